//! Writing files so that each row is there exactly once, whatever happens to tasks.
//!
//! A task attempt writes below `<path>/_temporary/<job>/<attempt>/`, where the attempt's name is drawn at random, and
//! answers one row per file. The driver's commit moves exactly the files that the successful attempts answered into
//! place; all else is removed with the staging directory. An attempt that was declared dead and goes on writing can
//! therefore neither add nor change a row; nor leave a file, since attempts never make the staging directory itself.

mod cells;
mod csv;
mod dispatch;
mod exec;
mod json;
mod parquet;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::{DataType, Schema};
use uuid::Uuid;

pub(crate) use exec::DataWriterExec;
pub(crate) use parquet::SPARK_SCHEMA_KEY;

use crate::error::{self, Result};
use crate::options::Options;
use crate::path;
use crate::source::{Format, SourceContext, blocking};
use crate::text::compression::Codec;

/// `SaveMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaveMode {
    #[default]
    ErrorIfExists,
    Append,
    Overwrite,
    Ignore,
}

impl SaveMode {
    /// Reads `DataFrameWriter.mode`'s text.
    ///
    /// # Errors
    /// INVALID_SAVE_MODE.
    pub fn parse(text: &str) -> Result<Self, SparkError> {
        match text.to_lowercase().as_str() {
            "error" | "errorifexists" | "default" => Ok(Self::ErrorIfExists),
            "append" => Ok(Self::Append),
            "overwrite" => Ok(Self::Overwrite),
            "ignore" => Ok(Self::Ignore),
            _ => Err(SparkError::new(
                ErrorKind::Analysis,
                "INVALID_SAVE_MODE",
                "42000",
                format!(
                    "The specified save mode \"{text}\" is invalid. Valid save modes include \"append\", \
                     \"overwrite\", \"ignore\", \"error\", \"errorifexists\", and \"default\"."
                ),
            )
            .with("mode", format!("\"{text}\""))),
        }
    }
}

/// What `df.write.format(f).mode(m).partitionBy(p).options(o).save(path)` asks for.
#[derive(Debug, Clone, Default)]
pub struct WriteSpec {
    /// A short name or class name; see [`crate::open`].
    pub format: String,
    /// The directory to write to.
    pub path: String,
    pub mode: SaveMode,
    /// Columns whose values become directories.
    pub partition_by: Vec<String>,
    /// Keys are compared without case.
    pub options: BTreeMap<String, String>,
}

/// Everything a task needs to know; travels to executors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WriteTask {
    pub(crate) format: WriteFormat,
    /// All input columns, as Spark's JSON.
    pub(crate) columns: String,
    /// Positions of the columns that become directories, in their order.
    pub(crate) partition_columns: Vec<usize>,
    /// `<path>/_temporary/<job>`.
    pub(crate) staging: PathBuf,
    /// Part of all file names.
    pub(crate) job: String,
    /// `spark.sql.session.timeZone`.
    pub(crate) zone: String,
    pub(crate) max_records_per_file: u64,
}

/// The format's own options.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum WriteFormat {
    Parquet(parquet::ParquetOptions),
    Csv(csv::CsvOptions),
    Json(json::JsonOptions),
    Text(TextOptions),
}

/// Options of the text format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TextOptions {
    pub(crate) line_separator: String,
    pub(crate) codec: Codec,
}

impl WriteFormat {
    fn new(format: Format, options: &Options) -> Result<Self> {
        Ok(match format {
            Format::Parquet => Self::Parquet(parquet::ParquetOptions::new(options)?),
            Format::Csv => Self::Csv(csv::CsvOptions::new(options)?),
            Format::Json => Self::Json(json::JsonOptions::new(options)?),
            Format::Text => Self::Text(TextOptions {
                line_separator: options.string("lineSep", "\n"),
                codec: codec(options)?,
            }),
        })
    }

    /// What stands behind the counter in a file's name.
    pub(crate) fn suffix(&self) -> String {
        match self {
            Self::Parquet(options) => format!("{}.parquet", options.extension()),
            Self::Csv(options) => format!(".{}{}", options.extension, options.codec.extension()),
            Self::Json(options) => format!(".json{}", options.codec.extension()),
            Self::Text(options) => format!(".txt{}", options.codec.extension()),
        }
    }
}

fn codec(options: &Options) -> Result<Codec> {
    Codec::parse(options.first(&["compression", "codec"]).unwrap_or("none"))
}

/// A write whose checks have passed.
#[derive(Debug)]
pub struct PreparedWrite {
    task: WriteTask,
    directory: PathBuf,
    mode: SaveMode,
    dynamic_overwrite: bool,
    /// The directory was not there before.
    fresh: bool,
}

/// Checks a write against the file system and the schema; `None` means there is nothing to do (mode `ignore`).
///
/// # Errors
/// PATH_ALREADY_EXISTS, types that the format cannot hold, wrong partition columns and options.
pub async fn prepare_write(
    spec: &WriteSpec,
    schema: &Schema,
    context: &SourceContext,
) -> Result<Option<PreparedWrite>, SparkError> {
    let format = Format::parse(&spec.format)?;
    let options = Options::new(&spec.options);
    let partition_columns = partition_columns(spec, schema, context.case_sensitive)?;
    check_columns(format, schema, &partition_columns, context.case_sensitive)?;
    let write_format = WriteFormat::new(format, &options)?;
    let dynamic_overwrite = match options.get("partitionOverwriteMode") {
        None => context.dynamic_partition_overwrite,
        Some(text) if text.eq_ignore_ascii_case("dynamic") => true,
        Some(text) if text.eq_ignore_ascii_case("static") => false,
        Some(text) => {
            let way_out = "it must be STATIC or DYNAMIC";
            return Err(error::bad_option("partitionOverwriteMode", text, way_out));
        }
    };
    let max_records = options.integer("maxRecordsPerFile")?.unwrap_or(0);
    let directory = path::to_local(&spec.path)?;
    let job = Uuid::new_v4().to_string();
    let task = WriteTask {
        format: write_format,
        columns: schema.json(),
        partition_columns,
        staging: directory.join("_temporary").join(&job),
        job,
        zone: options.string("timeZone", &context.time_zone),
        max_records_per_file: u64::try_from(max_records).unwrap_or(0),
    };
    let mode = spec.mode;
    blocking(move || {
        let exists = directory.exists();
        match mode {
            SaveMode::ErrorIfExists if exists => {
                return Err(error::path_already_exists(&path::to_uri(&directory)));
            }
            SaveMode::Ignore if exists => return Ok(None),
            _ => {}
        }
        fs::create_dir_all(&task.staging)
            .map_err(|e| error::write_failed(&path::to_uri(&directory), &e.to_string()))?;
        Ok(Some(PreparedWrite { task, directory, mode, dynamic_overwrite, fresh: !exists }))
    })
    .await
}

fn partition_columns(
    spec: &WriteSpec,
    schema: &Schema,
    case_sensitive: bool,
) -> Result<Vec<usize>> {
    let mut positions = Vec::with_capacity(spec.partition_by.len());
    for name in &spec.partition_by {
        let found = schema.fields.iter().position(|field| {
            if case_sensitive {
                field.name == *name
            } else {
                field.name.to_lowercase() == name.to_lowercase()
            }
        });
        let Some(position) = found else {
            return Err(SparkError::new(
                ErrorKind::Analysis,
                "_LEGACY_ERROR_TEMP_1170",
                "",
                format!(
                    "Partition column `{name}` not found in schema {}.",
                    schema.simple_string()
                ),
            )
            .with("column", name.clone()));
        };
        if positions.contains(&position) {
            return Err(error::column_already_exists(name));
        }
        positions.push(position);
    }
    if !positions.is_empty() && positions.len() == schema.fields.len() {
        return Err(SparkError::new(
            ErrorKind::Analysis,
            "ALL_PARTITION_COLUMNS_NOT_ALLOWED",
            "KD005",
            "Cannot use all columns for partition columns.",
        ));
    }
    Ok(positions)
}

fn check_columns(
    format: Format,
    schema: &Schema,
    partition_columns: &[usize],
    case_sensitive: bool,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (index, field) in schema.fields.iter().enumerate() {
        let key = if case_sensitive { field.name.clone() } else { field.name.to_lowercase() };
        if !seen.insert(key) {
            return Err(error::column_already_exists(&field.name));
        }
        let supported = if partition_columns.contains(&index) {
            is_atomic(&field.data_type)
        } else {
            is_supported(format, &field.data_type)
        };
        if !supported {
            let name = field.data_type.sql();
            return Err(error::unsupported_type(format.name(), &field.name, &name));
        }
    }
    if format == Format::Text && schema.fields.len() - partition_columns.len() != 1 {
        return Err(error::text_with_columns(schema.fields.len() - partition_columns.len()));
    }
    Ok(())
}

fn is_atomic(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Array { .. }
            | DataType::Map { .. }
            | DataType::Struct(_)
            | DataType::Variant
            | DataType::Null
            | DataType::CalendarInterval
    )
}

fn is_supported(format: Format, data_type: &DataType) -> bool {
    match format {
        Format::Text => {
            matches!(data_type, DataType::String | DataType::Char(_) | DataType::Varchar(_))
        }
        Format::Csv => is_atomic(data_type),
        Format::Json | Format::Parquet => match data_type {
            DataType::Array { element, .. } => is_supported(format, element),
            DataType::Map { key, value, .. } => {
                is_supported(format, key) && is_supported(format, value)
            }
            DataType::Struct(schema) => {
                schema.fields.iter().all(|field| is_supported(format, &field.data_type))
            }
            DataType::Null => format == Format::Json,
            DataType::YearMonthInterval { .. } | DataType::DayTimeInterval { .. } => {
                format == Format::Json
            }
            DataType::CalendarInterval | DataType::Variant => false,
            _ => true,
        },
    }
}

/// A file that an attempt has finished.
#[derive(Debug, Clone)]
struct FinishedFile {
    staged: PathBuf,
    /// Relative to the destination.
    target: PathBuf,
}

impl PreparedWrite {
    /// The node that writes what `input` gives, partition by partition, and yields a row per file.
    ///
    /// # Errors
    /// If the input has not the number of columns that were announced.
    pub fn plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, SparkError> {
        Ok(Arc::new(DataWriterExec::new(input, self.task.clone())?))
    }

    /// Moves the files that `rows` name into place, and ends the write.
    ///
    /// # Errors
    /// TASK_WRITE_FAILED with the path that could not be moved.
    pub async fn commit(self, rows: Vec<RecordBatch>) -> Result<(), SparkError> {
        blocking(move || {
            let files = finished_files(&rows)?;
            let result = self.move_files(&files);
            self.remove_staging();
            result
        })
        .await
    }

    /// Removes what the tasks have written.
    pub async fn abort(self) {
        let removed = blocking(move || {
            self.remove_staging();
            if self.fresh {
                // Only goes if it is empty.
                let _ = fs::remove_dir(&self.directory);
            }
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "the staging directory of a failed write could not be removed");
        }
    }

    fn move_files(&self, files: &[FinishedFile]) -> Result<()> {
        let failed = |path: &Path, e: &std::io::Error| {
            error::write_failed(&path::to_uri(path), &e.to_string())
        };
        if self.mode == SaveMode::Overwrite {
            if self.dynamic_overwrite && !self.task.partition_columns.is_empty() {
                let touched: BTreeSet<&Path> =
                    files.iter().filter_map(|file| file.target.parent()).collect();
                for directory in touched {
                    self.clear(&self.directory.join(directory))?;
                }
            } else {
                self.clear(&self.directory)?;
            }
        }
        for file in files {
            let target = self.directory.join(&file.target);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(|e| failed(parent, &e))?;
            }
            fs::rename(&file.staged, &target).map_err(|e| failed(&target, &e))?;
        }
        let success = self.directory.join("_SUCCESS");
        fs::write(&success, []).map_err(|e| failed(&success, &e))
    }

    /// Empties a directory, but for staging directories.
    fn clear(&self, directory: &Path) -> Result<()> {
        let failed = |e: std::io::Error| {
            error::write_failed(
                &path::to_uri(directory),
                &format!("the old data could not be removed: {e}"),
            )
        };
        if !directory.exists() {
            return Ok(());
        }
        if directory.is_file() {
            return fs::remove_file(directory).map_err(failed);
        }
        for entry in fs::read_dir(directory).map_err(failed)? {
            let child = entry.map_err(failed)?.path();
            if child.file_name().is_some_and(|name| name == "_temporary") {
                continue;
            }
            let removed =
                if child.is_dir() { fs::remove_dir_all(&child) } else { fs::remove_file(&child) };
            removed.map_err(failed)?;
        }
        Ok(())
    }

    /// By another name first, so that no attempt that goes on writing can put a file into what is being removed.
    fn remove_staging(&self) {
        let staging = &self.task.staging;
        let ended = staging.with_file_name(format!("{}.ended", self.task.job));
        let removed = fs::rename(staging, &ended).and_then(|()| fs::remove_dir_all(&ended));
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let path = staging.display().to_string();
            tracing::warn!(path, %error, "a staging directory could not be removed");
        }
        // Other writes may still be staging in there; then it stays.
        let _ = fs::remove_dir(self.directory.join("_temporary"));
    }
}

fn finished_files(batches: &[RecordBatch]) -> Result<Vec<FinishedFile>> {
    let mut files = Vec::new();
    let mut targets = BTreeSet::new();
    for batch in batches {
        let columns = (batch.column_by_name("staged"), batch.column_by_name("target"));
        let (Some(staged), Some(target)) = columns else {
            return Err(error::internal("a write's result lacks the names of its files"));
        };
        let (staged, target) = (staged.as_string::<i32>(), target.as_string::<i32>());
        for row in 0..batch.num_rows() {
            if staged.is_null(row) {
                continue;
            }
            // A second answer for the same partition is another attempt's: one of them is enough.
            if targets.insert(target.value(row).to_owned()) {
                files.push(FinishedFile {
                    staged: PathBuf::from(staged.value(row)),
                    target: PathBuf::from(target.value(row)),
                });
            }
        }
    }
    Ok(files)
}
