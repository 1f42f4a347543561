//! Which files are read, and what their directories say: expectations by Spark 4.0.

use expect_test::expect;

use crate::support::{files, show};

async fn read(paths: &[(&str, &str)], options: &[(&str, &str)]) -> String {
    let list: Vec<(&str, &[u8])> = paths.iter().map(|(p, c)| (*p, c.as_bytes())).collect();
    let directory = files(&list);
    let names: Vec<&str> = paths.iter().map(|(path, _)| *path).collect();
    format!("{names:?}\n  {}", show("csv", directory.path(), None, options).await)
}

#[tokio::test]
async fn partition_directories() {
    let mut out = String::new();
    for paths in [
        &[("a=1/f", "x"), ("a=2/f", "y")][..],
        &[("a=1/f", "x"), ("b=2/f", "y")],
        &[("a=1/f", "x"), ("g", "y")],
        &[("a=1/b=2/f", "x"), ("a=3/f", "y")],
        &[("d/f", "x"), ("g", "y")],
        &[("a=__HIVE_DEFAULT_PARTITION__/f", "x"), ("a=2/f", "y")],
        &[("a=__HIVE_DEFAULT_PARTITION__/f", "x")],
        &[("a=2020-01-01 10%3A00%3A00/f", "x")],
        &[("a=1.5/f", "x"), ("a=2/f", "z")],
        &[("a=1e3/f", "x")],
        &[("x/a=1/f", "x"), ("y/a=2/f", "x")],
        &[("a=1/x/f", "x")],
        &[("a=01/f", "x")],
        &[("a=2020-01-01/f", "x"), ("a=2020-01-01 10%3A00%3A00.5/f", "y")],
        &[("a=true/f", "y")],
        &[("A=1/f", "x"), ("a=2/f", "y")],
        &[("_a=1/f", "x")],
        &[("a=2020-01-01 10%3A00%3A00.123456/f", "x")],
        &[("a=12345678901234567890/f", "x"), ("a=1/f", "y")],
        &[("a=3000000000/f", "x"), ("a=1.5/f", "y")],
        &[("_SUCCESS", ""), (".hidden", "x"), ("f", "y")],
    ] {
        out.push_str(&read(paths, &[]).await);
    }
    expect![[""]].assert_eq(&out);
}

#[tokio::test]
async fn listing_options() {
    let nested = [("d/f", "x"), ("g.csv", "y"), ("e/h.csv", "z")];
    let mut out = read(&nested, &[("recursiveFileLookup", "true")]).await;
    out.push_str(&read(&nested, &[("pathGlobFilter", "*.csv")]).await);
    let directory = files(&[("a=1/f", b"x"), ("a=2/f", b"y"), ("b.csv", b"z"), ("c.csv", b"w")]);
    for (glob, options) in [
        ("a=*", vec![]),
        ("*.csv", vec![]),
        ("{b,c}.csv", vec![]),
        ("[^c].csv", vec![]),
        ("a=1", vec![]),
        ("nothing*", vec![]),
        ("nothing", vec![]),
    ] {
        let path = directory.path().join(glob);
        let shown = show("csv", &path, None, &options).await;
        out.push_str(&format!("{glob}\n  {shown}"));
    }
    let base = directory.path().display().to_string();
    let shown = show("csv", &directory.path().join("a=1"), None, &[("basePath", &base)]).await;
    out.push_str(&format!("basePath\n  {shown}"));
    expect![[""]].assert_eq(&out.replace(&base, "BASE"));
}
