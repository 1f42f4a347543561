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
    expect![[r#"
        ["a=1/f", "a=2/f"]
          struct<_c0:string,a:int>
          x|1
          y|2
        ["a=1/f", "b=2/f"]
          error [CONFLICTING_PARTITION_COLUMN_NAMES] Conflicting partition column names detected: (a) and (b) in file:DIR/b=2. For partitioned table directories, data files should only live in leaf directories. And directories at the same level should have the same partition column name. SQLSTATE: KD009
        ["a=1/f", "g"]
          struct<_c0:string,a:int>
          x|1
        ["a=1/b=2/f", "a=3/f"]
          error [CONFLICTING_PARTITION_COLUMN_NAMES] Conflicting partition column names detected: (a, b) and (a) in file:DIR/a=3. For partitioned table directories, data files should only live in leaf directories. And directories at the same level should have the same partition column name. SQLSTATE: KD009
        ["d/f", "g"]
          struct<_c0:string>
          y
        ["a=__HIVE_DEFAULT_PARTITION__/f", "a=2/f"]
          struct<_c0:string,a:int>
          y|2
          x|NULL
        ["a=__HIVE_DEFAULT_PARTITION__/f"]
          struct<_c0:string,a:void>
          x|NULL
        ["a=2020-01-01 10%3A00%3A00/f"]
          struct<_c0:string,a:timestamp>
          x|2020-01-01T10:00:00Z
        ["a=1.5/f", "a=2/f"]
          struct<_c0:string,a:double>
          x|1.5
          z|2.0
        ["a=1e3/f"]
          struct<_c0:string,a:decimal(4,0)>
          x|1000
        ["x/a=1/f", "y/a=2/f"]
          error [CONFLICTING_DIRECTORY_STRUCTURES] Conflicting directory structures detected. Suspicious paths: file:DIR/x, file:DIR/y. If provided paths are partition directories, please set "basePath" in the options of the data source to specify the root directory of the table. If there are multiple root directories, please load them separately and then union them. SQLSTATE: KD009
        ["a=1/x/f"]
          struct<_c0:string,a:int>
          x|1
        ["a=01/f"]
          struct<_c0:string,a:int>
          x|1
        ["a=2020-01-01/f", "a=2020-01-01 10%3A00%3A00.5/f"]
          struct<_c0:string,a:timestamp>
          x|2020-01-01T00:00:00Z
          y|2020-01-01T10:00:00.500Z
        ["a=true/f"]
          struct<_c0:string,a:string>
          y|true
        ["A=1/f", "a=2/f"]
          struct<_c0:string,A:int>
          x|1
          y|2
        ["_a=1/f"]
          struct<_c0:string,_a:int>
          x|1
        ["a=2020-01-01 10%3A00%3A00.123456/f"]
          struct<_c0:string,a:string>
          x|2020-01-01 10:00:00.123456
        ["a=12345678901234567890/f", "a=1/f"]
          struct<_c0:string,a:decimal(20,0)>
          y|1
          x|12345678901234567890
        ["a=3000000000/f", "a=1.5/f"]
          struct<_c0:string,a:string>
          y|1.5
          x|3000000000
        ["_SUCCESS", ".hidden", "f"]
          struct<_c0:string>
          y
    "#]].assert_eq(&out);
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
    expect![[r#"
        ["d/f", "g.csv", "e/h.csv"]
          struct<_c0:string>
          x
          z
          y
        ["d/f", "g.csv", "e/h.csv"]
          struct<_c0:string>
          y
        a=*
          struct<_c0:string>
          x
          y
        *.csv
          struct<_c0:string>
          z
          w
        {b,c}.csv
          struct<_c0:string>
          z
          w
        [^c].csv
          struct<_c0:string>
          z
        a=1
          struct<_c0:string>
          x
        nothing*
          error [PATH_NOT_FOUND] Path does not exist: file:DIR. SQLSTATE: 42K03
        nothing
          error [PATH_NOT_FOUND] Path does not exist: file:DIR. SQLSTATE: 42K03
        basePath
          struct<_c0:string,a:int>
          x|1
    "#]]
    .assert_eq(&out.replace(&base, "BASE"));
}
