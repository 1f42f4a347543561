//! Scans as plans: splits, projection, pruning, statistics, the wire, broken files.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::functions_aggregate::count::count_all;
use datafusion::functions_aggregate::expr_fn::{count, max};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{col, lit};
use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};
use expect_test::expect;
use proptest::prelude::*;
use spark_datasource::{SaveMode, SourceSpec, open};

use crate::support::{
    collect, context, files, open_path, recoded, rows, schema, session, show, write,
};

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
    RecordBatch::try_from_iter_with_nullable([("id", array, true)]).unwrap()
}

/// All ids that a scan of `path` gives with splits of the given size, sorted.
async fn ids(format: &str, path: &std::path::Path, split_bytes: u64) -> Vec<i64> {
    let session = session();
    let mut context = context(&session);
    context.max_partition_bytes = split_bytes;
    context.open_cost_bytes = 1;
    let spec = SourceSpec {
        format: format.into(),
        paths: vec![path.display().to_string()],
        schema: Some(schema("id bigint")),
        ..SourceSpec::default()
    };
    let opened = open(&spec, &context).await.unwrap();
    let plan = opened.provider.scan(&session.state(), None, &[], None).await.unwrap();
    let batches = collect(&session, recoded(&session, plan)).await.unwrap();
    let mut ids: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            let array = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            array.values().to_vec()
        })
        .collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn splits_cover_each_row_once(count in 1_i64..400, split_bytes in 3_u64..900, crlf in any::<bool>()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let end = if crlf { "\r\n" } else { "\n" };
        let expected: Vec<i64> = (0..count).collect();
        let csv: String = (0..count).map(|id| format!("{id}{end}")).collect();
        let json: String = (0..count).map(|id| format!("{{\"id\":{id}}}{end}")).collect();
        let directory = files(&[("f.csv", csv.as_bytes()), ("f.json", json.as_bytes())]);
        for format in ["csv", "json"] {
            let path = directory.path().join(format!("f.{format}"));
            prop_assert_eq!(runtime.block_on(ids(format, &path, split_bytes)), expected.clone());
        }
    }
}

#[tokio::test]
async fn parquet_row_groups_are_read_once_whatever_the_splits() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let target = directory.path().join("out");
    let batches = [numbers(0..30_000), numbers(30_000..31_000)];
    let small_groups = [("parquet.block.size", "1")];
    write(&session, &batches, &target, "parquet", SaveMode::default(), &[], &small_groups)
        .await
        .unwrap();
    let expected: Vec<i64> = (0..31_000).collect();
    for split_bytes in [1_000, 10_000, 1_000_000] {
        assert_eq!(ids("parquet", &target, split_bytes).await, expected);
    }
}

#[tokio::test]
async fn projection_pruning_and_display() {
    let directory = files(&[("k=1/a.csv", b"1,x,1.5\n2,y,2.5\n"), ("k=2/b.csv", b"3,z,3.5\n")]);
    let columns = Some(schema("i int, s string, d double"));
    let (session, opened) = open_path("csv", directory.path(), columns, &[]).await.unwrap();
    let mut out = String::new();
    for (projection, filters, limit) in [
        (Some(vec![2, 0]), vec![], None),
        (Some(vec![3, 1]), vec![col("k").eq(lit(2))], None),
        (Some(vec![]), vec![], None),
        (None, vec![col("k").gt(lit(5))], None),
        (None, vec![], Some(1)),
    ] {
        let plan = opened
            .provider
            .scan(&session.state(), projection.as_ref(), &filters, limit)
            .await
            .unwrap();
        out.push_str(&format!("{}", displayable(plan.as_ref()).indent(false)));
        let batches = collect(&session, recoded(&session, plan)).await.unwrap();
        out.push_str(&rows(&batches));
    }
    expect![[r#"
        TextScanExec: format=csv, files=2, partitions=1, projection=[d, i]
          1.5|1
          2.5|2
          3.5|3
        TextScanExec: format=csv, files=1, partitions=1, projection=[k, s]
          2|z
        TextScanExec: format=csv, files=2, partitions=1, projection=[]
          (empty)
          (empty)
          (empty)
        EmptyExec
        TextScanExec: format=csv, files=2, partitions=1, projection=[i, s, d, k], limit=1
          1|x|1.5|1
    "#]]
    .assert_eq(&out);
}

#[tokio::test]
async fn parquet_scans_travel_and_know_their_sizes() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let target = directory.path().join("out dir%20é");
    write(&session, &[numbers(0..5)], &target, "parquet", SaveMode::default(), &[], &[])
        .await
        .unwrap();
    std::fs::create_dir(target.join("k=a b%25")).unwrap();
    let data = std::fs::read_dir(&target)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .unwrap();
    std::fs::rename(&data, target.join("k=a b%25").join(data.file_name().unwrap())).unwrap();
    let (session, opened) = open_path("parquet", &target, None, &[]).await.unwrap();
    let plan = opened.provider.scan(&session.state(), None, &[], None).await.unwrap();
    let bytes = physical_plan_to_bytes(Arc::clone(&plan)).unwrap();
    let back = physical_plan_from_bytes(&bytes, &session.task_ctx()).unwrap();
    let batches = collect(&session, back).await.unwrap();
    expect![[r#"
        rows
          0|a b%
          1|a b%
          2|a b%
          3|a b%
          4|a b%
    "#]]
    .assert_eq(&format!("rows\n{}", rows(&batches)));

    session.register_table("t", opened.provider).unwrap();
    let table = session.table("t").await.unwrap();
    let counted = table
        .clone()
        .filter(col("k").eq(lit("a b%")))
        .unwrap()
        .aggregate(vec![], vec![count(lit(1)), max(col("id"))])
        .unwrap();
    expect![[r#"
        rows
          5|4
    "#]]
    .assert_eq(&format!("rows\n{}", rows(&counted.collect().await.unwrap())));
    // The count of all rows is known from the footers.
    let counted = table.aggregate(vec![], vec![count_all()]).unwrap();
    let plan = counted.create_physical_plan().await.unwrap();
    assert!(!plan_names(&plan).contains(&"DataSourceExec".to_owned()), "{plan:?}");
}

fn plan_names(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut names = vec![plan.name().to_owned()];
    names.extend(plan.children().into_iter().flat_map(plan_names));
    names
}

#[tokio::test]
async fn parquet_schemas() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    let target = directory.path().join("t");
    write(&session, &[numbers(0..2)], &target, "parquet", SaveMode::default(), &[], &[])
        .await
        .unwrap();
    let other: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let more = RecordBatch::try_from_iter_with_nullable([("more", other, true)]).unwrap();
    let mut out = String::new();
    for columns in ["ID bigint, z string", "id string", "id int", "id decimal(20,0)"] {
        let shown = show("parquet", &target, Some(schema(columns)), &[]).await;
        out.push_str(&shown);
    }
    // Two directories, so that it is known which file comes first.
    let second = directory.path().join("u");
    write(&session, &[more], &second, "parquet", SaveMode::default(), &[], &[]).await.unwrap();
    let both = directory.path().join("{t,u}");
    out.push_str(&show("parquet", &both, None, &[("mergeSchema", "true")]).await);
    expect![[r#"
        struct<ID:bigint,z:string>
          0|NULL
          1|NULL
        struct<id:string>
        error External error: [FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH] Encountered error while reading file FILE Data type mismatches when reading Parquet column [id]. Expected Spark type string, actual Parquet type bigint. SQLSTATE: KD001
        struct<id:int>
        error External error: [FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH] Encountered error while reading file FILE Data type mismatches when reading Parquet column [id]. Expected Spark type int, actual Parquet type bigint. SQLSTATE: KD001
        struct<id:decimal(20,0)>
          0
          1
        struct<id:bigint,more:bigint>
          0|NULL
          1|NULL
          NULL|7
    "#]].assert_eq(&without_names(&out));
}

fn without_names(text: &str) -> String {
    text.split(' ')
        .map(|word| if word.contains("part-") { "FILE" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn broken_files_are_named() {
    let directory = files(&[
        ("bad.parquet", b"hello world this is not parquet"),
        ("short.parquet", b"PAR1"),
        ("bad.csv.gz", b"not gzip at all"),
        ("x.lz4", b"x"),
        ("empty/_SUCCESS", b""),
    ]);
    let mut out = String::new();
    for (format, name) in [
        ("parquet", "bad.parquet"),
        ("parquet", "short.parquet"),
        ("parquet", "empty"),
        ("csv", "bad.csv.gz"),
        ("csv", "x.lz4"),
        ("csv", "empty"),
        ("json", "empty"),
        ("orc", "empty"),
    ] {
        out.push_str(&show(format, &directory.path().join(name), None, &[]).await);
    }
    let columns = Some(schema("a int"));
    out.push_str(&show("parquet", &directory.path().join("empty"), columns, &[]).await);
    expect![[r#"
        error [FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER] Encountered error while reading file file:DIR. Could not read footer. Please ensure that the file is in either ORC or Parquet format. If not, please convert it to a valid format. If the file is in the valid format, please check if the file is corrupt. If it is, you can choose to either ignore it or fix the corruption. Cause: Parquet error: Parquet error: Invalid Parquet file. Corrupt footer SQLSTATE: KD001
        error [FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER] Encountered error while reading file file:DIR. Could not read footer. Please ensure that the file is in either ORC or Parquet format. If not, please convert it to a valid format. If the file is in the valid format, please check if the file is corrupt. If it is, you can choose to either ignore it or fix the corruption. Cause: Parquet error: Parquet error: Parquet files are at least 8 bytes long, but file length is 4 SQLSTATE: KD001
        error [UNABLE_TO_INFER_SCHEMA] Unable to infer schema for Parquet. It must be specified manually. SQLSTATE: 42KD9
        error [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file://DIR. Cause: invalid gzip header SQLSTATE: KD001
        error [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file://DIR. Cause: the codec .lz4 cannot be read; use .gz, .bz2, .zst or .deflate SQLSTATE: KD001
        error [UNABLE_TO_INFER_SCHEMA] Unable to infer schema for CSV. It must be specified manually. SQLSTATE: 42KD9
        error [UNABLE_TO_INFER_SCHEMA] Unable to infer schema for JSON. It must be specified manually. SQLSTATE: 42KD9
        error [DATA_SOURCE_NOT_FOUND] Failed to find the data source: orc. Make sure the provider name is correct and the package is properly registered and compatible with your Spark version. Supported here: csv, json, parquet, text. SQLSTATE: 42K02
        struct<a:int>
    "#]].assert_eq(&out);
}

#[tokio::test]
async fn compressed_text() {
    let directory = tempfile::tempdir().unwrap();
    let session = session();
    for codec in ["gzip", "bzip2", "zstd", "deflate", "none"] {
        let target = directory.path().join(codec);
        let options = [("compression", codec)];
        write(&session, &[numbers(0..100)], &target, "csv", SaveMode::default(), &[], &options)
            .await
            .unwrap();
        let expected: Vec<i64> = (0..100).collect();
        assert_eq!(ids("csv", &target, 50).await, expected, "{codec}");
    }
}
