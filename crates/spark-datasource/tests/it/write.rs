//! Files out, and in again.

use std::fs;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use expect_test::expect;
use spark_datasource::SaveMode;

use crate::support::{session, show, tree, write};

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
        ("csv", &[("dateFormat", "dd/MM/yy"), ("timestampFormat", "yyyy HH"), ("quoteAll", "true")]),
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
    expect![[""]].assert_eq(&out);
}

#[tokio::test]
async fn odd_strings_are_quoted_as_by_univocity() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let strings = StringArray::from(vec![
        Some("a,b"), Some("q\"q"), Some(" lead"), Some("trail "), Some(""), None, Some("nl\nx"),
        Some("cr\rx"), Some("back\\slash"), Some("back\\\"q"), Some("#c"), Some("a\\,b"), Some("é"),
        Some("\t"), Some(" "), Some("'"), Some("\""), Some("\"\""), Some("\\"),
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
        write(&session, &[batch.clone()], &target, format, SaveMode::default(), &[], options)
            .await
            .unwrap();
        let suffix = if format == "text" { "txt" } else { format };
        out.push_str(&format!("{format} {options:?}\n{:?}\n", content(&target, suffix)));
    }
    expect![[""]].assert_eq(&out);
}

#[tokio::test]
async fn parquet_round_trip() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let mut out = String::new();
    for codec in ["snappy", "none", "gzip", "zstd", "lz4_raw"] {
        let target = directory.path().join(codec);
        let options = [("compression", codec)];
        write(&session, &[batch(), batch()], &target, "parquet", SaveMode::default(), &[], &options)
            .await
            .unwrap();
        out.push_str(&format!("{:?}\n", tree(&target)));
        if codec == "snappy" {
            out.push_str(&show("parquet", &target, None, &[]).await);
        }
    }
    expect![[""]].assert_eq(&out);
}

#[tokio::test]
async fn partition_by_and_modes() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("out");
    let session = session();
    let by = ["dt", "s", "ts"];
    let run = |mode, by: &'static [&'static str], options: &'static [(&'static str, &'static str)]| {
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
    expect![[""]].assert_eq(&out);
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
        let error =
            write(&session, &[batch()], &target, format, SaveMode::default(), by, options)
                .await
                .unwrap_err();
        out.push_str(&format!("{error}\n"));
        assert!(!target.exists());
    }
    expect![[""]].assert_eq(&out);
}
