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
        "1",
        "1 ",
        "+1",
        "3000000000",
        "123456789012345678901",
        "1e3",
        "1.5",
        "1d",
        "NaN",
        "Inf",
        "Infinity",
        "2020-01-01",
        "2020-1-1",
        "2020",
        "2020-01",
        "2020-01-01 10:00:00",
        "2020-01-01T10:00",
        "2020-01-01 ",
        "10:30",
        "true",
        "TRUE",
        "x",
        "1E400",
        "0x10",
        ".5",
        "5.",
        "1_0",
    ];
    let mut out = String::new();
    for text in texts {
        let shown = show_text("csv", format!("{text}\n"), None, &[("inferSchema", "true")]).await;
        out.push_str(&format!("{text:?} {}\n", shown.lines().next().unwrap()));
    }
    expect![[r#"
        "1" struct<_c0:int>
        "1 " struct<_c0:double>
        "+1" struct<_c0:int>
        "3000000000" struct<_c0:bigint>
        "123456789012345678901" struct<_c0:decimal(21,0)>
        "1e3" struct<_c0:double>
        "1.5" struct<_c0:double>
        "1d" struct<_c0:double>
        "NaN" struct<_c0:double>
        "Inf" struct<_c0:double>
        "Infinity" struct<_c0:double>
        "2020-01-01" struct<_c0:date>
        "2020-1-1" struct<_c0:timestamp>
        "2020" struct<_c0:int>
        "2020-01" struct<_c0:timestamp>
        "2020-01-01 10:00:00" struct<_c0:timestamp>
        "2020-01-01T10:00" struct<_c0:timestamp>
        "2020-01-01 " struct<_c0:timestamp>
        "10:30" struct<_c0:timestamp>
        "true" struct<_c0:boolean>
        "TRUE" struct<_c0:boolean>
        "x" struct<_c0:string>
        "1E400" struct<_c0:double>
        "0x10" struct<_c0:string>
        ".5" struct<_c0:double>
        "5." struct<_c0:decimal(1,0)>
        "1_0" struct<_c0:string>
    "#]]
    .assert_eq(&out);
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
    expect![[r#"
        "1" "3000000000" struct<_c0:string,_c1:bigint>
        "1" "1.5" struct<_c0:string,_c1:double>
        "123456789012345678901" "1.5" struct<_c0:string,_c1:double>
        "3000000000" "123456789012345678901" struct<_c0:string,_c1:decimal(21,0)>
        "12345678901234567890" "1" struct<_c0:string,_c1:decimal(20,0)>
        "2020-01-01" "2020-01-01 10:00:00" struct<_c0:string,_c1:timestamp>
        "1" "true" struct<_c0:string,_c1:string>
        "true" "x" struct<_c0:string,_c1:string>
        "1" "2020-01-01" struct<_c0:string,_c1:string>
        "" "1" struct<_c0:string,_c1:int>
    "#]]
    .assert_eq(&out);
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
    expect![[r#"
        "a,a,,B\n1,2,3,4\n" [("header", "true")]
          struct<a0:string,a1:string,_c2:string,B:string>
          1|2|3|4
        "a,b\n1,2,3\n4\n\n  \n5,6\n" [("header", "true")]
          struct<a:string,b:string>
          1|2
          4|NULL
          5|6
        "a,b\n" [("header", "true"), ("inferSchema", "true")]
          struct<a:string,b:string>
        "" []
          struct<>
        "\n\n" [("header", "true")]
          struct<>
        "\u{feff}a,b\n1,2\n" [("header", "true")]
          struct<a:string,b:string>
          1|2
        "a,c\n1,2\n" [("header", "true")]
          struct<a:string,b:string>
          1|2
        "a,c\n1,2\n" [("header", "true"), ("enforceSchema", "false")]
          struct<a:string,b:string>
        error External error: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file://DIR. Cause: CSV header does not conform to the schema. Header: a, c. Schema: a, b. CSV file: file://DIR SQLSTATE: KD001
    "#]].assert_eq(&shown);
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
    expect![[r#"
        "\"a b\",\"c\"\"d\",\"e\\\"f\",g\"h,\"i\"j,\"\",\n" []
          struct<_c0:string,_c1:string,_c2:string,_c3:string,_c4:string,_c5:string,_c6:string>
          a b|\"c\"\"d\"|e\"f|g\"h|\"i\"j|NULL|NULL
        " a ,\" b \", \"c\", \"d\" \n" []
          struct<_c0:string,_c1:string,_c2:string,_c3:string>
           a | b | \"c\"| \"d\" 
        " a ,\" b \", c\n" [("ignoreLeadingWhiteSpace", "true"), ("ignoreTrailingWhiteSpace", "true")]
          struct<_c0:string,_c1:string,_c2:string>
          a| b |c
        "\"a\",b\n" [("quote", "")]
          struct<_c0:string,_c1:string>
          \"a\"|b
        "\"a\"\"b\",c\n" [("escape", "\"")]
          struct<_c0:string,_c1:string>
          a\"b|c
        "\"a\"\",b\"\n" []
          struct<_c0:string,_c1:string>
          a\"|b\"
        "\"a\"\"b\",c\n" []
          struct<_c0:string,_c1:string>
          \"a\"\"b\"|c
        "\"a\\\\\",b\n" []
          struct<_c0:string,_c1:string>
          a\\|b
        "a,\"b\nc\",d\ne,f,g\n" [("multiLine", "true")]
          struct<_c0:string,_c1:string,_c2:string>
          a|b\nc|d
          e|f|g
        "a,\"b\nc\",d\ne,f,g\n" []
          struct<_c0:string,_c1:string>
          a|b
          c\"|d
          e|f
    "#]].assert_eq(&shown);
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
    expect![[r##"
        "a||b||c\n" [("sep", "||")]
          struct<_c0:string,_c1:string,_c2:string>
          a|b|c
        "a\tb\tc\n" [("sep", "\\t")]
          struct<_c0:string,_c1:string,_c2:string>
          a|b|c
        "a,b\r\nc,d\r\n" []
          struct<_c0:string,_c1:string>
          a|b
          c|d
        "a,b\rc,d\r" []
          struct<_c0:string,_c1:string>
          a|b
          c|d
        "a,b;c,d;" [("lineSep", ";")]
          struct<_c0:string,_c1:string>
          a|b
          c|d
        "#x\na,b\n #c\n" [("comment", "#")]
          struct<_c0:string,_c1:string>
          a|b
           #c|NULL
        "\"\",x\n,y\nNA,z\n" [("nullValue", "NA")]
          struct<_c0:string,_c1:string>
          |x
          NULL|y
          NULL|z
        "\"\",x\n,y\nNA,z\n" [("emptyValue", "EMPTY")]
          struct<_c0:string,_c1:string>
          EMPTY|x
          NULL|y
          NA|z
        "\"\",x\n,y\nNA,z\n" [("nullValue", "NA"), ("emptyValue", "EMPTY")]
          struct<_c0:string,_c1:string>
          EMPTY|x
          NULL|y
          NULL|z
    "##]]
    .assert_eq(&shown);
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
    expect![[r#"
        "1,a\nx,b\n3\n4,d,e\n" []
          struct<i:int,s:string,_corrupt_record:string>
          1|a|NULL
          NULL|b|x,b
          3|NULL|3
          4|d|4,d,e
        "1,a\nx,b\n3\n4,d,e\n" []
          struct<i:int,s:string>
          1|a
          NULL|b
          3|NULL
          4|d
        "1,a\nx,b\n3\n4,d,e\n" [("mode", "DROPMALFORMED")]
          struct<i:int,s:string>
          1|a
        "1,a\nx,b\n" [("mode", "FAILFAST")]
          struct<i:int,s:string>
        error External error: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file://DIR. Cause: [MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION] Malformed records are detected in record parsing: x,b. Parse Mode: FAILFAST. To process malformed records as null result, try setting the option 'mode' as 'PERMISSIVE'. SQLSTATE: 22023 SQLSTATE: KD001
        "a,b\n1,2,3\n4\n5,6\n" [("header", "true"), ("mode", "DROPMALFORMED")]
          struct<a:string,b:string>
          5|6
        "a,b\n" []
          struct<x:string,y:string,z:string>
          a|b|NULL
    "#]].assert_eq(&shown);
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
        ("2020-1-2\n2020-01-02 10:00\n2020-01-02T10:00:00.123456Z\nx\n", Some("d timestamp"), &[]),
        ("2020-01-02 10:00\n2020-01-02T10:00:00.123456Z\n", Some("d timestamp_ntz"), &[]),
        ("2020-06-02 10:00\n", Some("d timestamp"), &[("timeZone", "Europe/Berlin")]),
        ("1.005\n-1.005\n12345678\n1e2\n", Some("d decimal(5,2)"), &[]),
        ("true\nFalse\nx\n", Some("b boolean"), &[]),
        ("1\n300\n", Some("b tinyint"), &[]),
        (" 1\n1 \n1.0\n", Some("b int"), &[]),
        (" 1\n1 \nNaN\nInf\n", Some("b double"), &[]),
        ("abc\n", Some("b binary"), &[]),
        (
            "2020/01/02 10h\n",
            None,
            &[("inferSchema", "true"), ("timestampFormat", "yyyy/MM/dd HH'h'")],
        ),
        ("02.01.2020\n", None, &[("inferSchema", "true"), ("dateFormat", "dd.MM.yyyy")]),
        ("2020-01-01\n", None, &[("inferSchema", "true"), ("preferDate", "false")]),
    ])
    .await;
    expect![[r#"
        "01/02/2020,1.23\n2020-01-02,abc\n" [("dateFormat", "dd/MM/yyyy")]
          struct<d:date,m:decimal(5,1)>
          2020-02-01|1.2
          NULL|NULL
        "2020-1-2\n2020-01-02 10:00\n2020\n" []
          struct<d:date>
          2020-01-02
          2020-01-02
          2020-01-01
        "2020-1-2\n2020-01-02 10:00\n2020-01-02T10:00:00.123456Z\nx\n" []
          struct<d:timestamp>
          2020-01-02T00:00:00Z
          2020-01-02T10:00:00Z
          2020-01-02T10:00:00.123456Z
          NULL
        "2020-01-02 10:00\n2020-01-02T10:00:00.123456Z\n" []
          struct<d:timestamp_ntz>
          2020-01-02T10:00:00
          NULL
        "2020-06-02 10:00\n" [("timeZone", "Europe/Berlin")]
          struct<d:timestamp>
          2020-06-02T08:00:00Z
        "1.005\n-1.005\n12345678\n1e2\n" []
          struct<d:decimal(5,2)>
          1.01
          -1.01
          NULL
          100.00
        "true\nFalse\nx\n" []
          struct<b:boolean>
          true
          false
          NULL
        "1\n300\n" []
          struct<b:tinyint>
          1
          NULL
        " 1\n1 \n1.0\n" []
          struct<b:int>
          NULL
          NULL
          NULL
        " 1\n1 \nNaN\nInf\n" []
          struct<b:double>
          1.0
          1.0
          NaN
          inf
        "abc\n" []
          struct<b:binary>
          616263
        "2020/01/02 10h\n" [("inferSchema", "true"), ("timestampFormat", "yyyy/MM/dd HH'h'")]
          struct<_c0:timestamp>
          2020-01-02T10:00:00Z
        "02.01.2020\n" [("inferSchema", "true"), ("dateFormat", "dd.MM.yyyy")]
          struct<_c0:date>
          2020-01-02
        "2020-01-01\n" [("inferSchema", "true"), ("preferDate", "false")]
          struct<_c0:timestamp>
          2020-01-01T00:00:00Z
    "#]]
    .assert_eq(&shown);
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
    expect![[r#"
        "a" [("sep", "")]
          error [INVALID_OPTION_VALUE] The option "sep" has the value "", which is not possible: the delimiter cannot be empty. SQLSTATE: 42616
        "a" [("quote", "ab")]
          error [INVALID_OPTION_VALUE] The option "quote" has the value "ab", which is not possible: it must be exactly one ASCII character. SQLSTATE: 42616
        "a" [("header", "maybe")]
          error [INVALID_OPTION_VALUE] The option "header" has the value "maybe", which is not possible: it must be true or false. SQLSTATE: 42616
        "a" [("dateFormat", "bbb")]
          error [INVALID_OPTION_VALUE] The option "dateFormat" has the value "bbb", which is not possible: it must be a datetime pattern; the letter 'b' is not a Spark 3 datetime pattern letter. SQLSTATE: 42616
        "a" [("encoding", "UTF-16")]
          error [INVALID_OPTION_VALUE] The option "encoding" has the value "UTF-16", which is not possible: supported are UTF-8, US-ASCII and ISO-8859-1. SQLSTATE: 42616
        "a" [("samplingRatio", "0")]
          error [INVALID_OPTION_VALUE] The option "samplingRatio" has the value "0", which is not possible: it must be greater than 0. SQLSTATE: 42616
    "#]].assert_eq(&shown);
}

/// Random texts of quotes, escapes, blanks and delimiters, with the rows that Spark 4.0.5 made of them. Text, options and
/// rows are in `data/csv_quotes.json`.
#[tokio::test]
async fn quotes_in_odd_places() {
    use datafusion::arrow::array::{Array, AsArray};
    use serde_json::Value;

    use crate::support::{collect, files, open_path, schema};

    let cases: Vec<Value> = serde_json::from_str(include_str!("data/csv_quotes.json")).unwrap();
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let options: Vec<(&str, &str)> = case["options"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
            .collect();
        let directory = files(&[("f", text.as_bytes())]);
        let columns = schema("c0 string, c1 string, c2 string, c3 string");
        let path = directory.path().join("f");
        let (session, opened) = open_path("csv", &path, Some(columns), &options).await.unwrap();
        let plan = opened.provider.scan(&session.state(), None, &[], None).await.unwrap();
        let mut rows: Vec<Value> = Vec::new();
        for batch in collect(&session, plan).await.unwrap() {
            for row in 0..batch.num_rows() {
                let cell = |column: usize| {
                    let array = batch.column(column).as_string::<i32>();
                    if array.is_null(row) { Value::Null } else { array.value(row).into() }
                };
                rows.push((0..4).map(cell).collect());
            }
        }
        assert_eq!(Value::Array(rows), case["rows"], "{options:?} {text:?}");
    }
}
