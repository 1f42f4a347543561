//! Types: texts both ways.

use expect_test::expect;
use spark_sql_parser::types::{DataType, Field, Schema};
use spark_sql_parser::{parse_data_type, parse_multipart_identifier, parse_schema};

#[test]
fn types_go_both_ways() {
    for text in [
        "void",
        "boolean",
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "float",
        "double",
        "decimal(38,18)",
        "string",
        "char(3)",
        "varchar(10)",
        "binary",
        "date",
        "timestamp",
        "timestamp_ntz",
        "interval",
        "interval year to month",
        "interval month",
        "interval day to second",
        "interval hour to minute",
        "array<array<int>>",
        "map<string,array<map<int,double>>>",
        "struct<a:int,b:array<string>,c:struct<d:date>>",
        "struct<>",
        "variant",
    ] {
        let parsed = parse_data_type(text).unwrap();
        assert_eq!(parsed.simple_string(), text);
        assert_eq!(DataType::from_json(&parsed.json()).unwrap(), parsed);
        if text != "struct<>" {
            assert_eq!(parse_data_type(&parsed.sql()).unwrap(), parsed);
        }
    }
}

#[test]
fn other_names() {
    for (text, expected) in [
        ("LONG", "bigint"),
        ("integer", "int"),
        ("byte", "tinyint"),
        ("short", "smallint"),
        ("real", "float"),
        ("dec(5)", "decimal(5,0)"),
        ("numeric", "decimal(10,0)"),
        ("timestamp_ltz", "timestamp"),
        ("null", "void"),
        ("STRUCT<a INT NOT NULL COMMENT 'x', `b c`: STRING>", "struct<a:int,b c:string>"),
    ] {
        assert_eq!(parse_data_type(text).unwrap().simple_string(), expected);
    }
    for wrong in [
        "",
        "foo",
        "decimal(39,1)",
        "decimal(3,4)",
        "array<int",
        "varchar",
        "map<int>",
        "int(3)",
        "array",
    ] {
        assert!(parse_data_type(wrong).is_err(), "{wrong}");
    }
}

fn sample() -> Schema {
    parse_schema("a INT NOT NULL COMMENT 'it''s', b ARRAY<STRUCT<x: DOUBLE>>, c MAP<STRING, DECIMAL(10,2)>, `d e` DATE")
        .expect("a schema")
}

#[test]
fn schema_texts() {
    expect![[r#"
        root
         |-- a: integer (nullable = false)
         |-- b: array (nullable = true)
         |    |-- element: struct (containsNull = true)
         |    |    |-- x: double (nullable = true)
         |-- c: map (nullable = true)
         |    |-- key: string
         |    |-- value: decimal(10,2) (valueContainsNull = true)
         |-- d e: date (nullable = true)
    "#]]
    .assert_eq(&sample().tree_string(None));
    expect![[r#"
        root
         |-- a: integer (nullable = false)
         |-- b: array (nullable = true)
         |-- c: map (nullable = true)
         |-- d e: date (nullable = true)
    "#]]
    .assert_eq(&sample().tree_string(Some(1)));
    expect![[r#"{"type":"struct","fields":[{"name":"a","type":"integer","nullable":false,"metadata":{"comment":"it's"}},{"name":"b","type":{"type":"array","elementType":{"type":"struct","fields":[{"name":"x","type":"double","nullable":true,"metadata":{}}]},"containsNull":true},"nullable":true,"metadata":{}},{"name":"c","type":{"type":"map","keyType":"string","valueType":"decimal(10,2)","valueContainsNull":true},"nullable":true,"metadata":{}},{"name":"d e","type":"date","nullable":true,"metadata":{}}]}"#]].assert_eq(&sample().json());
    assert_eq!(Schema::from_json(&sample().json()).unwrap(), sample());
    expect!["a INT NOT NULL COMMENT 'it\\'s',b ARRAY<STRUCT<x: DOUBLE>>,c MAP<STRING, DECIMAL(10,2)>,`d e` DATE"]
        .assert_eq(&sample().ddl());
    assert_eq!(parse_schema(&sample().ddl()).unwrap(), sample());
}

#[test]
fn wide_structs_are_cut() {
    let schema = Schema {
        fields: (0..30).map(|i| Field::new(format!("c{i}"), DataType::Integer)).collect(),
    };
    assert!(schema.simple_string().ends_with("c23:int,... 6 more fields>"));
}

#[test]
fn identifiers() {
    assert_eq!(parse_multipart_identifier("a.b.`c d`").unwrap(), ["a", "b", "c d"]);
    assert_eq!(parse_multipart_identifier("select.`a``b`").unwrap(), ["select", "a`b"]);
    assert!(parse_multipart_identifier("a..b").is_err());
    let error = parse_multipart_identifier("test-table").unwrap_err();
    assert_eq!(error.condition, "INVALID_IDENTIFIER");
}
