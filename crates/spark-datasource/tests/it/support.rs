//! Small files, small sessions, rows as text.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use spark_datasource::{
    OpenedSource, PreparedWrite, SaveMode, SourceContext, SourceSpec, WriteSpec, codec, open,
    prepare_write,
};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::{DataType, Field, Schema};
use tempfile::TempDir;

pub(crate) fn session() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2))
}

pub(crate) fn context(session: &SessionContext) -> SourceContext {
    SourceContext::new(session.runtime_env())
}

pub(crate) fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Writes files below a new directory.
pub(crate) fn files(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    directory
}

/// `a int, b string` as a schema.
pub(crate) fn schema(text: &str) -> Schema {
    let field = |text: &str| {
        let (name, data_type) = text.trim().split_once(' ').unwrap();
        Field { name: name.into(), data_type: simple(data_type), nullable: true, metadata: None }
    };
    Schema { fields: text.split(", ").map(field).collect() }
}

fn simple(text: &str) -> DataType {
    match text {
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::Byte,
        "smallint" => DataType::Short,
        "int" => DataType::Integer,
        "bigint" => DataType::Long,
        "float" => DataType::Float,
        "double" => DataType::Double,
        "string" => DataType::String,
        "binary" => DataType::Binary,
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp,
        "timestamp_ntz" => DataType::TimestampNtz,
        other => {
            let (precision, scale) = other
                .strip_prefix("decimal(")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|rest| rest.split_once(','))
                .unwrap_or_else(|| panic!("unknown type {other}"));
            DataType::Decimal {
                precision: precision.parse().unwrap(),
                scale: scale.parse().unwrap(),
            }
        }
    }
}

pub(crate) async fn open_path(
    format: &str,
    path: &Path,
    schema: Option<Schema>,
    pairs: &[(&str, &str)],
) -> Result<(SessionContext, OpenedSource), SparkError> {
    let session = session();
    let spec = SourceSpec {
        format: format.to_owned(),
        paths: vec![path.display().to_string()],
        schema,
        options: options(pairs),
    };
    let opened = open(&spec, &context(&session)).await?;
    Ok((session, opened))
}

/// Schema and rows, one per line; the scan travels through the codec on the way.
pub(crate) async fn show(
    format: &str,
    path: &Path,
    schema: Option<Schema>,
    pairs: &[(&str, &str)],
) -> String {
    let (session, opened) = match open_path(format, path, schema, pairs).await {
        Ok(opened) => opened,
        Err(error) => {
            return format!("error {error}\n").replace(&path.display().to_string(), "DIR");
        }
    };
    let mut out = format!("{}\n", opened.schema.simple_string());
    match opened.provider.scan(&session.state(), None, &[], None).await {
        Ok(plan) => match collect(&session, recoded(&session, plan)).await {
            Ok(batches) => out.push_str(&rows(&batches)),
            Err(error) => out.push_str(&format!("error {error}\n")),
        },
        Err(error) => out.push_str(&format!("error {}\n", error.strip_backtrace())),
    }
    out.replace(&path.display().to_string(), "DIR")
}

/// The plan after a journey to an executor.
pub(crate) fn recoded(
    session: &SessionContext,
    plan: Arc<dyn ExecutionPlan>,
) -> Arc<dyn ExecutionPlan> {
    let Some(bytes) = codec::encode(&plan) else { return plan };
    let inputs: Vec<_> = plan.children().into_iter().map(Arc::clone).collect();
    codec::decode(&bytes, &inputs, &session.task_ctx()).unwrap().unwrap()
}

pub(crate) async fn collect(
    session: &SessionContext,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Vec<RecordBatch>, String> {
    let mut batches = Vec::new();
    for partition in 0..plan.properties().partitioning.partition_count() {
        let stream = plan.execute(partition, session.task_ctx()).map_err(|e| e.to_string())?;
        let part = datafusion::physical_plan::common::collect(stream)
            .await
            .map_err(|e| e.strip_backtrace())?;
        batches.extend(part);
    }
    Ok(batches)
}

pub(crate) fn rows(batches: &[RecordBatch]) -> String {
    let mut out = String::new();
    let format = FormatOptions::default().with_null("NULL");
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &format).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns
                .iter()
                .map(|column| column.value(row).to_string().escape_debug().to_string())
                .collect();
            let line = cells.join("|");
            // A blank line would be lost in an expectation.
            out.push_str(&format!("  {}\n", if line.is_empty() { "(empty)" } else { &line }));
        }
    }
    out
}

/// Shows one file of a format.
pub(crate) async fn show_text(
    format: &str,
    text: impl AsRef<[u8]>,
    schema_text: Option<&str>,
    pairs: &[(&str, &str)],
) -> String {
    let directory = files(&[("f", text.as_ref())]);
    show(format, &directory.path().join("f"), schema_text.map(schema), pairs)
        .await
        .replace(&directory.path().display().to_string(), "DIR")
}

/// Writes batches as the partitions of one input.
pub(crate) async fn write(
    session: &SessionContext,
    batches: &[RecordBatch],
    target: &Path,
    format: &str,
    mode: SaveMode,
    partition_by: &[&str],
    pairs: &[(&str, &str)],
) -> Result<(), SparkError> {
    let spec = WriteSpec {
        format: format.to_owned(),
        path: target.display().to_string(),
        mode,
        partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
        options: options(pairs),
    };
    let Some((prepared, plan)) = prepared(session, batches, &spec).await? else {
        return Ok(());
    };
    match collect(session, plan).await {
        Ok(results) => prepared.commit(results).await,
        Err(error) => {
            prepared.abort().await;
            panic!("{error}");
        }
    }
}

/// A write of batches as the partitions of one input, and the plan of its tasks.
pub(crate) async fn prepared(
    session: &SessionContext,
    batches: &[RecordBatch],
    spec: &WriteSpec,
) -> Result<Option<(PreparedWrite, Arc<dyn ExecutionPlan>)>, SparkError> {
    let schema = spark_schema(&batches[0]);
    let Some(prepared) = prepare_write(spec, &schema, &context(session)).await? else {
        return Ok(None);
    };
    let partitions: Vec<Vec<RecordBatch>> =
        batches.iter().map(|batch| vec![batch.clone()]).collect();
    let schema = batches[0].schema();
    let input = MemorySourceConfig::try_new_exec(&partitions, schema, None).unwrap();
    let plan = recoded(session, prepared.plan(input)?);
    Ok(Some((prepared, plan)))
}

fn spark_schema(batch: &RecordBatch) -> Schema {
    let fields = batch.schema();
    Schema {
        fields: fields
            .fields()
            .iter()
            .map(|field| spark_functions_free_field(field.name(), field.data_type()))
            .collect(),
    }
}

fn spark_functions_free_field(
    name: &str,
    data_type: &datafusion::arrow::datatypes::DataType,
) -> Field {
    use datafusion::arrow::datatypes::{DataType as Arrow, TimeUnit};
    let data_type = match data_type {
        Arrow::Boolean => DataType::Boolean,
        Arrow::Int32 => DataType::Integer,
        Arrow::Int64 => DataType::Long,
        Arrow::Float64 => DataType::Double,
        Arrow::Utf8 => DataType::String,
        Arrow::Date32 => DataType::Date,
        Arrow::Timestamp(TimeUnit::Microsecond, Some(_)) => DataType::Timestamp,
        Arrow::Timestamp(TimeUnit::Microsecond, None) => DataType::TimestampNtz,
        Arrow::Decimal128(precision, scale) => {
            DataType::Decimal { precision: *precision, scale: *scale }
        }
        other => panic!("unknown type {other}"),
    };
    Field { name: name.to_owned(), data_type, nullable: true, metadata: None }
}

/// Paths of all files below a directory, job ids replaced.
pub(crate) fn tree(directory: &Path) -> Vec<String> {
    fn walk(directory: &Path, root: &Path, out: &mut Vec<String>) {
        let mut children: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        children.sort();
        for child in children {
            if child.is_dir() {
                walk(&child, root, out);
            } else {
                let name = child.strip_prefix(root).unwrap().display().to_string();
                out.push(without_job(&name));
            }
        }
    }
    let mut out = Vec::new();
    walk(directory, directory, &mut out);
    out
}

fn without_job(name: &str) -> String {
    match name.find("part-") {
        Some(at) => {
            let job = at + "part-00000-".len();
            format!("{}JOB{}", &name[..job], &name[job + 36..])
        }
        None => name.to_owned(),
    }
}
