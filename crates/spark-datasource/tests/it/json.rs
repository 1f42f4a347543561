//! JSON and text: every expectation here was printed by Spark 4.0.

use expect_test::expect;

use crate::support::show_text;

type Case<'a> = (&'a str, &'a [(&'a str, &'a str)]);

async fn inferred(cases: &[Case<'_>]) -> String {
    let mut out = String::new();
    for (text, options) in cases {
        out.push_str(&format!("{text:?} {options:?}\n  "));
        out.push_str(&show_text("json", text, None, options).await);
    }
    out
}

async fn given(cases: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (text, schema) in cases {
        let schema = format!("{schema}, _corrupt_record string");
        out.push_str(&show_text("json", text, Some(&schema), &[]).await);
    }
    out
}

#[tokio::test]
async fn schemas_are_merged() {
    let shown = inferred(&[
        (
            "{\"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\"c\":[1,2]}\n{\"b\":null,\"d\":{\"y\":1,\"x\":\"s\"}}\n",
            &[],
        ),
        ("{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":true}\n", &[]),
        ("{\"a\":12345678901234567890}\n{\"a\":1}\n", &[]),
        ("{\"a\":12345678901234567890}\n{\"a\":1.5}\n", &[]),
        ("{\"a\":123456789012345678901234567890123456789012}\n", &[]),
        ("{\"a\":\"\"}\n", &[]),
        ("{\"a\":[]}\n{\"a\":[null]}\n", &[]),
        ("{\"a\":{}}\n{\"b\":1}\n", &[]),
        ("[{\"a\":1},{\"a\":2}]\n{\"a\":3}\n", &[]),
        ("{\"a\":1}{\"a\":2}\n{\"a\":3} x\n", &[]),
        ("{\"a\":{\"b\":1}}\n{\"a\":{\"c\":\"x\"}}\n{\"a\":null}\n", &[]),
        ("{\"a\":[{\"b\":1}]}\n{\"a\":[{\"c\":2.5}]}\n", &[]),
        ("{\"a\":1}\n{\"a\":[1]}\n", &[]),
        ("{\"a\":{\"b\":1}}\n{\"a\":[1]}\n", &[]),
        ("{}\n{}\n", &[]),
        ("", &[]),
        ("{\"a\":null}\n", &[]),
        ("{\"a\":1,\"a\":2}\n", &[]),
        ("{\"A\":1,\"a\":2}\n", &[]),
        ("{\"b\":{\"z\":1,\"a\":{\"q\":[1.5,2]}},\"a\":\"s\"}\n", &[]),
        ("{\"t\":\"2020-01-01T10:00:00Z\",\"d\":\"2020-01-01\"}\n", &[]),
        ("{\"t\":\"2020-01-01T10:00:00Z\",\"d\":\"2020-01-01\"}\n", &[("inferTimestamp", "true")]),
        ("{\"a\":1,\"b\":1.5,\"c\":true}\n", &[("primitivesAsString", "true")]),
        ("{\"a\":null,\"b\":1}\n", &[("dropFieldIfAllNull", "true")]),
        ("[{\"a\":1},\n{\"a\":2}]", &[("multiLine", "true")]),
        ("{\"a\":1,\n\"b\":\"x\"}\n{\"a\":2}", &[("multiLine", "true")]),
    ])
    .await;
    expect![[r#"
        "{\"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\"c\":[1,2]}\n{\"b\":null,\"d\":{\"y\":1,\"x\":\"s\"}}\n" []
          struct<a:double,b:string,c:array<bigint>,d:struct<x:string,y:bigint>>
          1.0|x|NULL|NULL
          2.5|NULL|[1, 2]|NULL
          NULL|NULL|NULL|{x: s, y: 1}
        "{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":true}\n" []
          struct<a:string>
          1
          x
          true
        "{\"a\":12345678901234567890}\n{\"a\":1}\n" []
          struct<a:decimal(20,0)>
          12345678901234567890
          1
        "{\"a\":12345678901234567890}\n{\"a\":1.5}\n" []
          struct<a:double>
          1.2345678901234567e19
          1.5
        "{\"a\":123456789012345678901234567890123456789012}\n" []
          struct<a:double>
          1.2345678901234568e41
        "{\"a\":\"\"}\n" []
          struct<a:string>
          (empty)
        "{\"a\":[]}\n{\"a\":[null]}\n" []
          struct<a:array<string>>
          []
          [NULL]
        "{\"a\":{}}\n{\"b\":1}\n" []
          struct<b:bigint>
          NULL
          1
        "[{\"a\":1},{\"a\":2}]\n{\"a\":3}\n" []
          struct<a:bigint>
          1
          2
          3
        "{\"a\":1}{\"a\":2}\n{\"a\":3} x\n" []
          struct<a:bigint>
          1
          3
        "{\"a\":{\"b\":1}}\n{\"a\":{\"c\":\"x\"}}\n{\"a\":null}\n" []
          struct<a:struct<b:bigint,c:string>>
          {b: 1, c: NULL}
          {b: NULL, c: x}
          NULL
        "{\"a\":[{\"b\":1}]}\n{\"a\":[{\"c\":2.5}]}\n" []
          struct<a:array<struct<b:bigint,c:double>>>
          [{b: 1, c: NULL}]
          [{b: NULL, c: 2.5}]
        "{\"a\":1}\n{\"a\":[1]}\n" []
          struct<a:string>
          1
          [1]
        "{\"a\":{\"b\":1}}\n{\"a\":[1]}\n" []
          struct<a:string>
          {\"b\":1}
          [1]
        "{}\n{}\n" []
          struct<>
          (empty)
          (empty)
        "" []
          struct<>
        "{\"a\":null}\n" []
          struct<a:string>
          NULL
        "{\"a\":1,\"a\":2}\n" []
          error [COLUMN_ALREADY_EXISTS] The column `a` already exists. Choose another name or rename the existing column. SQLSTATE: 42711
        "{\"A\":1,\"a\":2}\n" []
          error [COLUMN_ALREADY_EXISTS] The column `a` already exists. Choose another name or rename the existing column. SQLSTATE: 42711
        "{\"b\":{\"z\":1,\"a\":{\"q\":[1.5,2]}},\"a\":\"s\"}\n" []
          struct<a:string,b:struct<a:struct<q:array<double>>,z:bigint>>
          s|{a: {q: [1.5, 2.0]}, z: 1}
        "{\"t\":\"2020-01-01T10:00:00Z\",\"d\":\"2020-01-01\"}\n" []
          struct<d:string,t:string>
          2020-01-01|2020-01-01T10:00:00Z
        "{\"t\":\"2020-01-01T10:00:00Z\",\"d\":\"2020-01-01\"}\n" [("inferTimestamp", "true")]
          struct<d:timestamp,t:timestamp>
          2020-01-01T00:00:00Z|2020-01-01T10:00:00Z
        "{\"a\":1,\"b\":1.5,\"c\":true}\n" [("primitivesAsString", "true")]
          struct<a:string,b:string,c:string>
          1|1.5|true
        "{\"a\":null,\"b\":1}\n" [("dropFieldIfAllNull", "true")]
          struct<b:bigint>
          1
        "[{\"a\":1},\n{\"a\":2}]" [("multiLine", "true")]
          struct<a:bigint>
          1
          2
        "{\"a\":1,\n\"b\":\"x\"}\n{\"a\":2}" [("multiLine", "true")]
          struct<a:bigint,b:string>
          1|x
    "#]].assert_eq(&shown);
}

#[tokio::test]
async fn records_that_are_none() {
    let shown = inferred(&[
        ("{\"a\":1}\nbad\n{\"a\":2}\n\n  \n", &[]),
        ("{\"a\":1}\nbad\n{\"a\":2}\n", &[("mode", "DROPMALFORMED")]),
        ("{\"a\":1}\nbad\n{\"a\":2}\n", &[("mode", "FAILFAST")]),
        ("1\n{\"a\":1}\n", &[]),
    ])
    .await;
    expect![[r#"
        "{\"a\":1}\nbad\n{\"a\":2}\n\n  \n" []
          struct<_corrupt_record:string,a:bigint>
          NULL|1
          bad|NULL
          NULL|2
        "{\"a\":1}\nbad\n{\"a\":2}\n" [("mode", "DROPMALFORMED")]
          struct<a:bigint>
          1
          2
        "{\"a\":1}\nbad\n{\"a\":2}\n" [("mode", "FAILFAST")]
          error Malformed records are detected in schema inference: bad. Parse Mode: FAILFAST. To infer a schema without them, set the option 'mode' to 'PERMISSIVE' or 'DROPMALFORMED'.
        "1\n{\"a\":1}\n" []
          struct<_corrupt_record:string,a:bigint>
          1|NULL
          NULL|1
    "#]].assert_eq(&shown);
}

#[tokio::test]
async fn values_by_type() {
    let shown = given(&[
        ("{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":1.0}\n{\"a\":3000000000}\n{\"a\":true}\n{\"a\":null}\n{}\n", "a int"),
        ("{\"a\":1}\n{\"a\":[1, 2]}\n{\"a\":{\"b\" : 1.50}}\n{\"a\":1.50}\n{\"a\":\"q\\\"\\u00e9\"}\n", "a string"),
        ("{\"a\":1}\n{\"a\":\"NaN\"}\n{\"a\":NaN}\n{\"a\":\"Infinity\"}\n{\"a\":-Infinity}\n{\"a\":\"1.5\"}\n{\"a\":+INF}\n", "a double"),
        ("{\"a\":\"2020-01-02\",\"b\":\"2020-01-02 03:04:05\",\"c\":1577934245,\"d\":\"x\"}\n", "a date, b timestamp, c timestamp, d date"),
        ("{\"a\":\"YWJj\",\"b\":\"12.345\",\"c\":1.005,\"d\":1e400}\n", "a binary, b decimal(10,2), c decimal(10,2), d double"),
        ("{'a':'b'}\n{a:1}\n{\"a\":\"x\ty\"}\n", "a string"),
        ("{\"a\":1}\n[1,2]\n[]\n\"x\"\nnull\n", "a int"),
        ("{\"a\":\"x\",\"b\":\n{\"a\":\"y\"}\n", "a string"),
        ("{\"a\":\"\"}\n{\"a\":\" 1\"}\n", "a int"),
        ("{\"a\":\"true\"}\n{\"a\":1}\n", "a boolean"),
        ("{\"a\":1,\"b\":2}\n", "b int, a int, c int"),
    ])
    .await;
    expect![[r#"
        struct<a:int,_corrupt_record:string>
          1|NULL
          NULL|{\"a\":\"x\"}
          NULL|{\"a\":1.0}
          NULL|{\"a\":3000000000}
          NULL|{\"a\":true}
          NULL|NULL
          NULL|NULL
        struct<a:string,_corrupt_record:string>
          1|NULL
          [1, 2]|NULL
          {\"b\" : 1.50}|NULL
          1.50|NULL
          q\"é|NULL
        struct<a:double,_corrupt_record:string>
          1.0|NULL
          NaN|NULL
          NaN|NULL
          inf|NULL
          -inf|NULL
          NULL|{\"a\":\"1.5\"}
          inf|NULL
        struct<a:date,b:timestamp,c:timestamp,d:date,_corrupt_record:string>
          2020-01-02|2020-01-02T03:04:05Z|2020-01-02T03:04:05Z|NULL|{\"a\":\"2020-01-02\",\"b\":\"2020-01-02 03:04:05\",\"c\":1577934245,\"d\":\"x\"}
        struct<a:binary,b:decimal(10,2),c:decimal(10,2),d:double,_corrupt_record:string>
          616263|12.35|1.01|inf|NULL
        struct<a:string,_corrupt_record:string>
          b|NULL
          NULL|{a:1}
          NULL|{\"a\":\"x\ty\"}
        struct<a:int,_corrupt_record:string>
          1|NULL
          NULL|[1,2]
          NULL|\"x\"
          NULL|null
        struct<a:string,_corrupt_record:string>
          NULL|{\"a\":\"x\",\"b\":
          y|NULL
        struct<a:int,_corrupt_record:string>
          NULL|{\"a\":\"\"}
          NULL|{\"a\":\" 1\"}
        struct<a:boolean,_corrupt_record:string>
          NULL|{\"a\":\"true\"}
          NULL|{\"a\":1}
        struct<b:int,a:int,c:int,_corrupt_record:string>
          2|1|NULL|NULL
    "#]].assert_eq(&shown);
}

#[tokio::test]
async fn nested_values_keep_what_is_good() {
    use spark_sql_parser::types::{DataType, Field, Schema};
    let schema = Schema {
        fields: vec![
            Field::new("a", DataType::array(DataType::Integer)),
            Field::new(
                "b",
                DataType::structure([("c", DataType::Integer), ("d", DataType::Integer)]),
            ),
            Field::new("m", DataType::map(DataType::String, DataType::Integer)),
            Field::new("_corrupt_record", DataType::String),
        ],
    };
    let text = b"{\"a\":[1,\"x\",3],\"b\":{\"c\":\"z\",\"d\":2},\"m\":{\"k\":1,\"l\":\"q\"}}\n\
        {\"a\":[1,null],\"b\":{},\"m\":{\"k\":null}}\n{\"b\":null}\n";
    let directory = crate::support::files(&[("f", text)]);
    let shown = crate::support::show("json", &directory.path().join("f"), Some(schema), &[]).await;
    expect![[r#"
        struct<a:array<int>,b:struct<c:int,d:int>,m:map<string,int>,_corrupt_record:string>
          NULL|{c: NULL, d: 2}|NULL|{\"a\":[1,\"x\",3],\"b\":{\"c\":\"z\",\"d\":2},\"m\":{\"k\":1,\"l\":\"q\"}}
          [1, NULL]|{c: NULL, d: NULL}|{k: NULL}|NULL
          NULL|NULL|NULL|NULL
    "#]].assert_eq(&shown);
}

#[tokio::test]
async fn leniencies() {
    let shown = show_text(
        "json",
        "{a:1}\n{\"a\":01}\n//c\n{\"a\":\"\\x\"}\n",
        Some("a string, _corrupt_record string"),
        &[
            ("allowUnquotedFieldNames", "true"),
            ("allowNumericLeadingZeros", "true"),
            ("allowComments", "true"),
            ("allowBackslashEscapingAnyCharacter", "true"),
        ],
    )
    .await;
    expect![[r#"
        struct<a:string,_corrupt_record:string>
          1|NULL
          01|NULL
          x|NULL
    "#]]
    .assert_eq(&shown);
}

#[tokio::test]
async fn text_files() {
    let mut out = String::new();
    for (text, options) in [
        (&b"a\nb\r\nc\rd\n\n  e"[..], &[][..]),
        (b"a\nb\n", &[("wholetext", "true")]),
        (b"a;b;", &[("lineSep", ";")]),
        (b"", &[]),
        (b"\xff\xfe\nx", &[]),
    ] {
        out.push_str(&show_text("text", text, None, options).await);
    }
    out.push_str(&show_text("text", "1", Some("a int"), &[]).await);
    out.push_str(&show_text("text", "1", Some("a string, b string"), &[]).await);
    expect![[r#"
        struct<value:string>
          a
          b
          c
          d
          (empty)
            e
        struct<value:string>
          a\nb\n
        struct<value:string>
          a
          b
        struct<value:string>
        struct<value:string>
          ��
          x
        error [UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] The Text datasource doesn't support the column `a` of the type "INT". SQLSTATE: 0A000
        error Text data source supports only a single column, and you have 2 columns.
    "#]].assert_eq(&out);
}
