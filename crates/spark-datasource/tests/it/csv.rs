//! CSV: every expectation here was printed by Spark 4.0.

use expect_test::expect;

use crate::support::show_text;

/// Text, schema or none, options.
type Case<'a> = (&'a str, Option<&'a str>, &'a [(&'a str, &'a str)]);

async fn table(cases: &[Case<'_>]) -> String {
    let mut out = String::new();
    for (text, schema, options) in cases {
        out.push_str(&format!("{text:?} {options:?}\n  "));
        out.push_str(&show_text("csv", text, *schema, options).await);
    }
    out
}

#[tokio::test]
async fn the_ladder_of_types() {
    let texts = [
        "1", "1 ", "+1", "3000000000", "123456789012345678901", "1e3", "1.5", "1d", "NaN", "Inf",
        "Infinity", "2020-01-01", "2020-1-1", "2020", "2020-01", "2020-01-01 10:00:00",
        "2020-01-01T10:00", "2020-01-01 ", "10:30", "true", "TRUE", "x", "1E400", "0x10", ".5", "5.",
        "1_0",
    ];
    let mut out = String::new();
    for text in texts {
        let shown =
            show_text("csv", format!("{text}\n"), None, &[("inferSchema", "true")]).await;
        out.push_str(&format!("{text:?} {}\n", shown.lines().next().unwrap()));
    }
    expect![[""]].assert_eq(&out);
}

#[tokio::test]
async fn types_that_meet() {
    let pairs = [
        ("1", "3000000000"),
        ("1", "1.5"),
        ("123456789012345678901", "1.5"),
        ("3000000000", "123456789012345678901"),
        ("12345678901234567890", "1"),
        ("2020-01-01", "2020-01-01 10:00:00"),
        ("1", "true"),
        ("true", "x"),
        ("1", "2020-01-01"),
        ("", "1"),
    ];
    let mut out = String::new();
    for (a, b) in pairs {
        let text = format!("k,{a}\nk,{b}\n");
        let shown = show_text("csv", text, None, &[("inferSchema", "true")]).await;
        out.push_str(&format!("{a:?} {b:?} {}\n", shown.lines().next().unwrap()));
    }
    expect![[""]].assert_eq(&out);
}

#[tokio::test]
async fn headers() {
    let header = ("header", "true");
    let shown = table(&[
        ("a,a,,B\n1,2,3,4\n", None, &[header]),
        ("a,b\n1,2,3\n4\n\n  \n5,6\n", None, &[header]),
        ("a,b\n", None, &[header, ("inferSchema", "true")]),
        ("", None, &[]),
        ("\n\n", None, &[header]),
        ("\u{feff}a,b\n1,2\n", None, &[header]),
        ("a,c\n1,2\n", Some("a string, b string"), &[header]),
        ("a,c\n1,2\n", Some("a string, b string"), &[header, ("enforceSchema", "false")]),
    ])
    .await;
    expect![[""]].assert_eq(&shown);
}

#[tokio::test]
async fn quotes() {
    let shown = table(&[
        ("\"a b\",\"c\"\"d\",\"e\\\"f\",g\"h,\"i\"j,\"\",\n", None, &[]),
        (" a ,\" b \", \"c\", \"d\" \n", None, &[]),
        (
            " a ,\" b \", c\n",
            None,
            &[("ignoreLeadingWhiteSpace", "true"), ("ignoreTrailingWhiteSpace", "true")],
        ),
        ("\"a\",b\n", None, &[("quote", "")]),
        ("\"a\"\"b\",c\n", None, &[("escape", "\"")]),
        ("\"a\"\",b\"\n", None, &[]),
        ("\"a\"\"b\",c\n", None, &[]),
        ("\"a\\\\\",b\n", None, &[]),
        ("a,\"b\nc\",d\ne,f,g\n", None, &[("multiLine", "true")]),
        ("a,\"b\nc\",d\ne,f,g\n", None, &[]),
    ])
    .await;
    expect![[""]].assert_eq(&shown);
}

#[tokio::test]
async fn separators_comments_and_nulls() {
    let shown = table(&[
        ("a||b||c\n", None, &[("sep", "||")]),
        ("a\tb\tc\n", None, &[("sep", "\\t")]),
        ("a,b\r\nc,d\r\n", None, &[]),
        ("a,b\rc,d\r", None, &[]),
        ("a,b;c,d;", None, &[("lineSep", ";")]),
        ("#x\na,b\n #c\n", None, &[("comment", "#")]),
        ("\"\",x\n,y\nNA,z\n", None, &[("nullValue", "NA")]),
        ("\"\",x\n,y\nNA,z\n", None, &[("emptyValue", "EMPTY")]),
        ("\"\",x\n,y\nNA,z\n", None, &[("nullValue", "NA"), ("emptyValue", "EMPTY")]),
    ])
    .await;
    expect![[""]].assert_eq(&shown);
}

#[tokio::test]
async fn malformed_records() {
    let text = "1,a\nx,b\n3\n4,d,e\n";
    let plain = Some("i int, s string");
    let shown = table(&[
        (text, Some("i int, s string, _corrupt_record string"), &[]),
        (text, plain, &[]),
        (text, plain, &[("mode", "DROPMALFORMED")]),
        ("1,a\nx,b\n", plain, &[("mode", "FAILFAST")]),
        ("a,b\n1,2,3\n4\n5,6\n", None, &[("header", "true"), ("mode", "DROPMALFORMED")]),
        ("a,b\n", Some("x string, y string, z string"), &[]),
    ])
    .await;
    expect![[""]].assert_eq(&shown);
}

#[tokio::test]
async fn values_by_type() {
    let shown = table(&[
        (
            "01/02/2020,1.23\n2020-01-02,abc\n",
            Some("d date, m decimal(5,1)"),
            &[("dateFormat", "dd/MM/yyyy")],
        ),
        ("2020-1-2\n2020-01-02 10:00\n2020\n", Some("d date"), &[]),
        (
            "2020-1-2\n2020-01-02 10:00\n2020-01-02T10:00:00.123456Z\nx\n",
            Some("d timestamp"),
            &[],
        ),
        ("2020-01-02 10:00\n2020-01-02T10:00:00.123456Z\n", Some("d timestamp_ntz"), &[]),
        ("2020-06-02 10:00\n", Some("d timestamp"), &[("timeZone", "Europe/Berlin")]),
        ("1.005\n-1.005\n12345678\n1e2\n", Some("d decimal(5,2)"), &[]),
        ("true\nFalse\nx\n", Some("b boolean"), &[]),
        ("1\n300\n", Some("b tinyint"), &[]),
        (" 1\n1 \n1.0\n", Some("b int"), &[]),
        (" 1\n1 \nNaN\nInf\n", Some("b double"), &[]),
        ("abc\n", Some("b binary"), &[]),
        ("2020/01/02 10h\n", None, &[("inferSchema", "true"), ("timestampFormat", "yyyy/MM/dd HH'h'")]),
        ("02.01.2020\n", None, &[("inferSchema", "true"), ("dateFormat", "dd.MM.yyyy")]),
        ("2020-01-01\n", None, &[("inferSchema", "true"), ("preferDate", "false")]),
    ])
    .await;
    expect![[""]].assert_eq(&shown);
}

#[tokio::test]
async fn wrong_options_name_the_value_and_the_way_out() {
    let shown = table(&[
        ("a", None, &[("sep", "")]),
        ("a", None, &[("quote", "ab")]),
        ("a", None, &[("header", "maybe")]),
        ("a", None, &[("dateFormat", "bbb")]),
        ("a", None, &[("encoding", "UTF-16")]),
        ("a", None, &[("samplingRatio", "0")]),
    ])
    .await;
    expect![[""]].assert_eq(&shown);
}
