//! Files out, and in again.

use std::fs;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use expect_test::expect;
use spark_datasource::{SaveMode, WriteSpec};

use crate::support::{collect, prepared, session, show, tree, write};

fn batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]))),
        ("s", Arc::new(StringArray::from(vec![Some("x,y"), None, Some("")]))),
        ("d", Arc::new(Float64Array::from(vec![1.5, 1e10, f64::NAN]))),
        (
            "m",
            Arc::new(
                Decimal128Array::from(vec![110, -5, 0]).with_precision_and_scale(5, 2).unwrap(),
            ),
        ),
        ("dt", Arc::new(Date32Array::from(vec![0, 18_263, -1]))),
        (
            "ts",
            Arc::new(
                TimestampMicrosecondArray::from(vec![1_577_934_245_678_901, 0, -1])
                    .with_timezone("UTC"),
            ),
        ),
        ("n", Arc::new(TimestampMicrosecondArray::from(vec![1_577_934_245_000_000, 0, 1]))),
        ("b", Arc::new(BooleanArray::from(vec![true, false, true]))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn content(directory: &std::path::Path, suffix: &str) -> String {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.display().to_string().ends_with(suffix))
        .collect();
    found.sort();
    found.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn texts_are_sparks() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let mut out = String::new();
    for (number, (format, options)) in [
        ("csv", &[][..]),
        ("csv", &[("header", "true"), ("sep", ";"), ("nullValue", "NULL"), ("emptyValue", "E")]),
        (
            "csv",
            &[("dateFormat", "dd/MM/yy"), ("timestampFormat", "yyyy HH"), ("quoteAll", "true")],
        ),
        ("json", &[]),
        ("json", &[("ignoreNullFields", "false"), ("timeZone", "Europe/Berlin")]),
    ]
    .into_iter()
    .enumerate()
    {
        let target = directory.path().join(number.to_string());
        write(&session, &[batch()], &target, format, SaveMode::default(), &[], options)
            .await
            .unwrap();
        out.push_str(&format!("{format} {options:?}\n{}", content(&target, format)));
    }
    expect![[r#"
        csv []
        1,"x,y",1.5,1.10,1970-01-01,2020-01-02T03:04:05.678Z,2020-01-02T03:04:05.000,true
        ,,1.0E10,-0.05,2020-01-02,1970-01-01T00:00:00.000Z,1970-01-01T00:00:00.000,false
        3,"",NaN,0.00,1969-12-31,1969-12-31T23:59:59.999Z,1970-01-01T00:00:00.000,true
        csv [("header", "true"), ("sep", ";"), ("nullValue", "NULL"), ("emptyValue", "E")]
        a;s;d;m;dt;ts;n;b
        1;x,y;1.5;1.10;1970-01-01;2020-01-02T03:04:05.678Z;2020-01-02T03:04:05.000;true
        NULL;NULL;1.0E10;-0.05;2020-01-02;1970-01-01T00:00:00.000Z;1970-01-01T00:00:00.000;false
        3;E;NaN;0.00;1969-12-31;1969-12-31T23:59:59.999Z;1970-01-01T00:00:00.000;true
        csv [("dateFormat", "dd/MM/yy"), ("timestampFormat", "yyyy HH"), ("quoteAll", "true")]
        "1","x,y","1.5","1.10","01/01/70","2020 03","2020-01-02T03:04:05.000","true"
        "","","1.0E10","-0.05","02/01/20","1970 00","1970-01-01T00:00:00.000","false"
        "3","","NaN","0.00","31/12/69","1969 23","1970-01-01T00:00:00.000","true"
        json []
        {"a":1,"s":"x,y","d":1.5,"m":1.10,"dt":"1970-01-01","ts":"2020-01-02T03:04:05.678Z","n":"2020-01-02T03:04:05.000","b":true}
        {"d":1.0E10,"m":-0.05,"dt":"2020-01-02","ts":"1970-01-01T00:00:00.000Z","n":"1970-01-01T00:00:00.000","b":false}
        {"a":3,"s":"","d":"NaN","m":0.00,"dt":"1969-12-31","ts":"1969-12-31T23:59:59.999Z","n":"1970-01-01T00:00:00.000","b":true}
        json [("ignoreNullFields", "false"), ("timeZone", "Europe/Berlin")]
        {"a":1,"s":"x,y","d":1.5,"m":1.10,"dt":"1970-01-01","ts":"2020-01-02T04:04:05.678+01:00","n":"2020-01-02T03:04:05.000","b":true}
        {"a":null,"s":null,"d":1.0E10,"m":-0.05,"dt":"2020-01-02","ts":"1970-01-01T01:00:00.000+01:00","n":"1970-01-01T00:00:00.000","b":false}
        {"a":3,"s":"","d":"NaN","m":0.00,"dt":"1969-12-31","ts":"1970-01-01T00:59:59.999+01:00","n":"1970-01-01T00:00:00.000","b":true}
    "#]].assert_eq(&out);
}

#[tokio::test]
async fn odd_strings_are_quoted_as_by_univocity() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let strings = StringArray::from(vec![
        Some("a,b"),
        Some("q\"q"),
        Some(" lead"),
        Some("trail "),
        Some(""),
        None,
        Some("nl\nx"),
        Some("cr\rx"),
        Some("back\\slash"),
        Some("back\\\"q"),
        Some("#c"),
        Some("a\\,b"),
        Some("é"),
        Some("\t"),
        Some(" "),
        Some("'"),
        Some("\""),
        Some("\"\""),
        Some("\\"),
    ]);
    let batch =
        RecordBatch::try_from_iter_with_nullable([("s", Arc::new(strings) as ArrayRef, true)])
            .unwrap();
    let mut out = String::new();
    for (number, (format, options)) in [
        ("csv", &[][..]),
        ("csv", &[("quoteAll", "true")]),
        ("csv", &[("escapeQuotes", "false")]),
        ("csv", &[("nullValue", "NULL"), ("emptyValue", "E")]),
        ("csv", &[("ignoreLeadingWhiteSpace", "false"), ("ignoreTrailingWhiteSpace", "false")]),
        ("csv", &[("escape", "\"")]),
        ("text", &[]),
        ("json", &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let target = directory.path().join(number.to_string());
        write(
            &session,
            std::slice::from_ref(&batch),
            &target,
            format,
            SaveMode::default(),
            &[],
            options,
        )
        .await
        .unwrap();
        let suffix = if format == "text" { "txt" } else { format };
        out.push_str(&format!("{format} {options:?}\n{:?}\n", content(&target, suffix)));
    }
    expect![[r##"
        csv []
        "\"a,b\"\n\"q\\\"q\"\nlead\ntrail\n\"\"\n\"nl\nx\"\n\"cr\rx\"\nback\\slash\n\"back\\\\\\\"q\"\n\"#c\"\n\"a\\\\,b\"\né\n\"\"\n\"\"\n'\n\"\\\"\"\n\"\\\"\\\"\"\n\\\n"
        csv [("quoteAll", "true")]
        "\"a,b\"\n\"q\\\"q\"\n\"lead\"\n\"trail\"\n\"\"\n\"\"\n\"nl\nx\"\n\"cr\rx\"\n\"back\\\\slash\"\n\"back\\\\\\\"q\"\n\"#c\"\n\"a\\\\,b\"\n\"é\"\n\"\"\n\"\"\n\"'\"\n\"\\\"\"\n\"\\\"\\\"\"\n\"\\\\\"\n"
        csv [("escapeQuotes", "false")]
        "\"a,b\"\nq\"q\nlead\ntrail\n\"\"\n\"nl\nx\"\n\"cr\rx\"\nback\\slash\nback\\\"q\n\"#c\"\n\"a\\\\,b\"\né\n\"\"\n\"\"\n'\n\"\\\"\"\n\"\\\"\\\"\"\n\\\n"
        csv [("nullValue", "NULL"), ("emptyValue", "E")]
        "\"a,b\"\n\"q\\\"q\"\nlead\ntrail\nE\nNULL\n\"nl\nx\"\n\"cr\rx\"\nback\\slash\n\"back\\\\\\\"q\"\n\"#c\"\n\"a\\\\,b\"\né\nE\nE\n'\n\"\\\"\"\n\"\\\"\\\"\"\n\\\n"
        csv [("ignoreLeadingWhiteSpace", "false"), ("ignoreTrailingWhiteSpace", "false")]
        "\"a,b\"\n\"q\\\"q\"\n lead\ntrail \n\"\"\n\"nl\nx\"\n\"cr\rx\"\nback\\slash\n\"back\\\\\\\"q\"\n\"#c\"\n\"a\\\\,b\"\né\n\t\n \n'\n\"\\\"\"\n\"\\\"\\\"\"\n\\\n"
        csv [("escape", "\"")]
        "\"a,b\"\n\"q\"\"q\"\nlead\ntrail\n\"\"\n\"nl\nx\"\n\"cr\rx\"\nback\\slash\n\"back\\\"\"q\"\n\"#c\"\n\"a\\,b\"\né\n\"\"\n\"\"\n'\n\"\"\"\"\n\"\"\"\"\"\"\n\\\n"
        text []
        "a,b\nq\"q\n lead\ntrail \n\n\nnl\nx\ncr\rx\nback\\slash\nback\\\"q\n#c\na\\,b\né\n\t\n \n'\n\"\n\"\"\n\\\n"
        json []
        "{\"s\":\"a,b\"}\n{\"s\":\"q\\\"q\"}\n{\"s\":\" lead\"}\n{\"s\":\"trail \"}\n{\"s\":\"\"}\n{}\n{\"s\":\"nl\\nx\"}\n{\"s\":\"cr\\rx\"}\n{\"s\":\"back\\\\slash\"}\n{\"s\":\"back\\\\\\\"q\"}\n{\"s\":\"#c\"}\n{\"s\":\"a\\\\,b\"}\n{\"s\":\"é\"}\n{\"s\":\"\\t\"}\n{\"s\":\" \"}\n{\"s\":\"'\"}\n{\"s\":\"\\\"\"}\n{\"s\":\"\\\"\\\"\"}\n{\"s\":\"\\\\\"}\n"
    "##]].assert_eq(&out);
}

#[tokio::test]
async fn parquet_round_trip() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let mut out = String::new();
    for codec in ["snappy", "none", "gzip", "zstd", "lz4_raw"] {
        let target = directory.path().join(codec);
        let options = [("compression", codec)];
        write(
            &session,
            &[batch(), batch()],
            &target,
            "parquet",
            SaveMode::default(),
            &[],
            &options,
        )
        .await
        .unwrap();
        out.push_str(&format!("{:?}\n", tree(&target)));
        if codec == "snappy" {
            out.push_str(&show("parquet", &target, None, &[]).await);
        }
    }
    expect![[r#"
        ["_SUCCESS", "part-00000-JOB-c000.snappy.parquet", "part-00001-JOB-c000.snappy.parquet"]
        struct<a:int,s:string,d:double,m:decimal(5,2),dt:date,ts:timestamp,n:timestamp_ntz,b:boolean>
          1|x,y|1.5|1.10|1970-01-01|2020-01-02T03:04:05.678901Z|2020-01-02T03:04:05|true
          NULL|NULL|10000000000.0|-0.05|2020-01-02|1970-01-01T00:00:00Z|1970-01-01T00:00:00|false
          3||NaN|0.00|1969-12-31|1969-12-31T23:59:59.999999Z|1970-01-01T00:00:00.000001|true
          1|x,y|1.5|1.10|1970-01-01|2020-01-02T03:04:05.678901Z|2020-01-02T03:04:05|true
          NULL|NULL|10000000000.0|-0.05|2020-01-02|1970-01-01T00:00:00Z|1970-01-01T00:00:00|false
          3||NaN|0.00|1969-12-31|1969-12-31T23:59:59.999999Z|1970-01-01T00:00:00.000001|true
        ["_SUCCESS", "part-00000-JOB-c000.parquet", "part-00001-JOB-c000.parquet"]
        ["_SUCCESS", "part-00000-JOB-c000.gz.parquet", "part-00001-JOB-c000.gz.parquet"]
        ["_SUCCESS", "part-00000-JOB-c000.zstd.parquet", "part-00001-JOB-c000.zstd.parquet"]
        ["_SUCCESS", "part-00000-JOB-c000.lz4raw.parquet", "part-00001-JOB-c000.lz4raw.parquet"]
    "#]].assert_eq(&out);
}

#[tokio::test]
async fn partition_by_and_modes() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("out");
    let session = session();
    let by = ["dt", "s", "ts"];
    let run =
        |mode, by: &'static [&'static str], options: &'static [(&'static str, &'static str)]| {
            let (session, target) = (&session, &target);
            async move { write(session, &[batch()], target, "parquet", mode, by, options).await }
        };
    let mut out = String::new();
    run(SaveMode::ErrorIfExists, &["dt", "s", "ts"], &[]).await.unwrap();
    assert_eq!(by.len(), 3);
    out.push_str(&format!("{:#?}\n", tree(&target)));
    out.push_str(&show("parquet", &target, None, &[]).await);
    let error = run(SaveMode::ErrorIfExists, &[], &[]).await.unwrap_err();
    out.push_str(&format!("{error}\n").replace(&directory.path().display().to_string(), "DIR"));
    run(SaveMode::Ignore, &[], &[]).await.unwrap();
    out.push_str(&format!("ignore {}\n", tree(&target).len()));
    run(SaveMode::Append, &["dt", "s", "ts"], &[]).await.unwrap();
    out.push_str(&format!("append {}\n", tree(&target).len()));
    run(SaveMode::Overwrite, &["dt", "s", "ts"], &[("partitionOverwriteMode", "dynamic")])
        .await
        .unwrap();
    out.push_str(&format!("dynamic {}\n", tree(&target).len()));
    run(SaveMode::Overwrite, &["b"], &[("maxRecordsPerFile", "1")]).await.unwrap();
    out.push_str(&format!("overwrite {:#?}\n", tree(&target)));
    expect![[r#"
        [
            "_SUCCESS",
            "dt=1969-12-31/s=__HIVE_DEFAULT_PARTITION__/ts=1969-12-31 23%3A59%3A59.999999/part-00000-JOB.c000.snappy.parquet",
            "dt=1970-01-01/s=x,y/ts=2020-01-02 03%3A04%3A05.678901/part-00000-JOB.c000.snappy.parquet",
            "dt=2020-01-02/s=__HIVE_DEFAULT_PARTITION__/ts=1970-01-01 00%3A00%3A00/part-00000-JOB.c000.snappy.parquet",
        ]
        struct<a:int,d:double,m:decimal(5,2),n:timestamp_ntz,b:boolean,dt:date,s:string,ts:string>
          1|1.5|1.10|2020-01-02T03:04:05|true|1970-01-01|x,y|2020-01-02 03:04:05.678901
          NULL|10000000000.0|-0.05|1970-01-01T00:00:00|false|2020-01-02|NULL|1970-01-01 00:00:00
          3|NaN|0.00|1970-01-01T00:00:00.000001|true|1969-12-31|NULL|1969-12-31 23:59:59.999999
        [PATH_ALREADY_EXISTS] Path file:DIR/out already exists. Set mode as "overwrite" to overwrite the existing path. SQLSTATE: 42K04
        ignore 4
        append 7
        dynamic 4
        overwrite [
            "_SUCCESS",
            "b=false/part-00000-JOB.c000.snappy.parquet",
            "b=true/part-00000-JOB.c000.snappy.parquet",
            "b=true/part-00000-JOB.c001.snappy.parquet",
        ]
    "#]].assert_eq(&out);
}

#[tokio::test]
async fn refusals() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let mut out = String::new();
    for (format, by, options) in [
        ("orc", &[][..], &[][..]),
        ("csv", &["q"], &[]),
        ("csv", &["a", "A"], &[]),
        ("text", &[], &[]),
        ("csv", &[], &[("compression", "nope")]),
        ("parquet", &[], &[("compression", "nope")]),
        ("parquet", &["a", "s", "d", "m", "dt", "ts", "n", "b"], &[]),
    ] {
        let target = directory.path().join("out");
        let error = write(&session, &[batch()], &target, format, SaveMode::default(), by, options)
            .await
            .unwrap_err();
        out.push_str(&format!("{error}\n"));
        assert!(!target.exists());
    }
    expect![[r#"
        [DATA_SOURCE_NOT_FOUND] Failed to find the data source: orc. Make sure the provider name is correct and the package is properly registered and compatible with your Spark version. Supported here: csv, json, parquet, text. SQLSTATE: 42K02
        Partition column `q` not found in schema struct<a:int,s:string,d:double,m:decimal(5,2),dt:date,ts:timestamp,n:timestamp_ntz,b:boolean>.
        [COLUMN_ALREADY_EXISTS] The column `a` already exists. Choose another name or rename the existing column. SQLSTATE: 42711
        [UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] The Text datasource doesn't support the column `a` of the type "INT". SQLSTATE: 0A000
        [INVALID_OPTION_VALUE] The option "compression" has the value "nope", which is not possible: it must be one of none, uncompressed, bzip2, deflate, gzip, zstd. SQLSTATE: 42616
        [CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION] The codec nope is not available. Available codecs are brotli, uncompressed, snappy, lz4_raw, none, zstd, lz4, gzip. SQLSTATE: 56038
        [ALL_PARTITION_COLUMNS_NOT_ALLOWED] Cannot use all columns for partition columns. SQLSTATE: KD005
    "#]].assert_eq(&out);
}

/// An attempt that goes on after its write has ended, as a speculative copy may, fails and leaves nothing.
#[tokio::test]
async fn a_late_attempt_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    for (number, committed) in [true, false].into_iter().enumerate() {
        let target = directory.path().join(number.to_string());
        let spec = WriteSpec {
            format: "csv".to_owned(),
            path: target.display().to_string(),
            partition_by: vec!["a".to_owned()],
            ..WriteSpec::default()
        };
        let (prepared, plan) = prepared(&session, &[batch()], &spec).await.unwrap().unwrap();
        let rows = collect(&session, Arc::clone(&plan)).await.unwrap();
        if committed {
            prepared.commit(rows).await.unwrap();
        } else {
            prepared.abort().await;
        }
        let late = collect(&session, plan).await.unwrap_err().to_string();
        assert!(late.contains("the write has ended"), "{late}");
        assert!(!target.join("_temporary").exists());
        assert_eq!(target.exists(), committed);
    }
}
