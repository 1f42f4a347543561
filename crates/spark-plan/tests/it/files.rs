//! What rows know of the files they come from.

use expect_test::expect;

use crate::harness::{query, session};

#[tokio::test]
async fn rows_know_their_file() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("a b.csv", "1\n2\n"), ("c.csv", "3\n4\n5\n")] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let session = session();
    let files = format!("csv.`{}`", directory.path().display());
    let name = "regexp_extract(input_file_name(), '[^/]*$', 0)";
    let queries = [
        format!("SELECT _c0, {name} f FROM {files} ORDER BY _c0"),
        format!("SELECT DISTINCT startswith(input_file_name(), 'file:///') s FROM {files}"),
        format!("SELECT {name} f, count(*) n FROM {files} GROUP BY 1 ORDER BY 1"),
        format!(
            "SELECT x + 1 y, {name} f FROM (SELECT _c0 x FROM {files} t WHERE _c0 > 1) u ORDER BY y"
        ),
        format!("SELECT * FROM {files} WHERE input_file_name() LIKE '%c.csv' ORDER BY 1"),
        format!("SELECT n, {name} f FROM (SELECT count(*) n FROM {files})"),
        format!(
            "SELECT x, {name} f FROM (SELECT _c0 x FROM {files} UNION ALL SELECT '9') ORDER BY x"
        ),
    ];
    let mut out = String::new();
    for sql in &queries {
        out.push_str(&query(&session, sql).await);
    }
    expect![[r#"
        +---+---------+
        |_c0|f        |
        +---+---------+
        |1  |a%20b.csv|
        |2  |a%20b.csv|
        |3  |c.csv    |
        |4  |c.csv    |
        |5  |c.csv    |
        +---+---------+
        +----+
        |s   |
        +----+
        |true|
        +----+
        +---------+---+
        |f        |n  |
        +---------+---+
        |a%20b.csv|2  |
        |c.csv    |3  |
        +---------+---+
        +---+---------+
        |y  |f        |
        +---+---------+
        |3  |a%20b.csv|
        |4  |c.csv    |
        |5  |c.csv    |
        |6  |c.csv    |
        +---+---------+
        +---+
        |_c0|
        +---+
        |3  |
        |4  |
        |5  |
        +---+
        +---+---+
        |n  |f  |
        +---+---+
        |5  |   |
        +---+---+
        +---+---------+
        |x  |f        |
        +---+---------+
        |1  |a%20b.csv|
        |2  |a%20b.csv|
        |3  |c.csv    |
        |4  |c.csv    |
        |5  |c.csv    |
        |9  |         |
        +---+---------+
    "#]]
    .assert_eq(&out);
}
