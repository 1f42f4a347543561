//! Opening a data source: format, files, schema, table provider.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use spark_sql_parser::types::{DataType, Field, Schema};

use crate::error::{self, Result};
use crate::listing::{self, Listing, ListingOptions};
use crate::options::Options;
use crate::path;
use crate::schema::as_nullable;
use crate::splits::SplitOptions;
use crate::values::zone::Zone;
use crate::{parquet, text};

/// What `spark.read.format(f).schema(s).options(o).load(paths)` asks for.
#[derive(Debug, Clone, Default)]
pub struct SourceSpec {
    /// A short name or class name; see [`open`].
    pub format: String,
    /// Files, directories, globs; `file:` URIs are allowed.
    pub paths: Vec<String>,
    /// The user's schema, if one was given.
    pub schema: Option<Schema>,
    /// Keys are compared without case.
    pub options: BTreeMap<String, String>,
}

/// The session's part in opening a source.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// Holds the cache of file footers.
    pub runtime: Arc<RuntimeEnv>,
    /// `spark.sql.session.timeZone`.
    pub time_zone: String,
    /// `spark.sql.files.maxPartitionBytes`.
    pub max_partition_bytes: u64,
    /// `spark.sql.files.openCostInBytes`.
    pub open_cost_bytes: u64,
    /// `spark.sql.files.minPartitionNum`, else the default parallelism.
    pub min_partitions: usize,
    /// `spark.sql.caseSensitive`.
    pub case_sensitive: bool,
    /// Whether `spark.sql.timestampType` is `TIMESTAMP_NTZ`.
    pub timestamp_ntz: bool,
    /// `spark.sql.columnNameOfCorruptRecord`.
    pub corrupt_record_column: String,
    /// `spark.sql.sources.partitionColumnTypeInference.enabled`.
    pub infer_partition_types: bool,
    /// `spark.sql.sources.partitionOverwriteMode` is `dynamic`.
    pub dynamic_partition_overwrite: bool,
}

impl SourceContext {
    /// Spark's defaults.
    #[must_use]
    pub fn new(runtime: Arc<RuntimeEnv>) -> Self {
        Self {
            runtime,
            time_zone: "UTC".to_owned(),
            max_partition_bytes: 128 << 20,
            open_cost_bytes: 4 << 20,
            min_partitions: 1,
            case_sensitive: false,
            timestamp_ntz: false,
            corrupt_record_column: "_corrupt_record".to_owned(),
            infer_partition_types: true,
            dynamic_partition_overwrite: false,
        }
    }

    pub(crate) fn zone(&self, options: &Options) -> Result<Zone> {
        let (key, text) = match options.get("timeZone") {
            Some(text) => ("timeZone", text),
            None => ("spark.sql.session.timeZone", self.time_zone.as_str()),
        };
        Zone::parse(text)
            .ok_or_else(|| error::bad_option(key, text, "it must be a time zone as Europe/Paris"))
    }

    pub(crate) fn splits(&self) -> SplitOptions {
        SplitOptions {
            max_partition_bytes: self.max_partition_bytes,
            open_cost_bytes: self.open_cost_bytes,
            min_partitions: self.min_partitions,
        }
    }
}

/// A data source ready to be planned.
#[derive(Debug, Clone)]
pub struct OpenedSource {
    /// Columns of the data, then of the partitions.
    pub schema: Schema,
    /// The same columns in Arrow's types.
    pub provider: Arc<dyn TableProvider>,
    /// `file:///…` names of all files, for `inputFiles()`.
    pub input_files: Vec<String>,
}

/// The formats there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Json,
    Text,
}

impl Format {
    /// Accepts what Spark accepts: short names and the class names of its own sources.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lower = text.to_lowercase();
        let short = lower
            .strip_prefix("org.apache.spark.sql.execution.datasources.")
            .or_else(|| lower.strip_prefix("org.apache.spark.sql."))
            .map_or(lower.as_str(), |rest| rest.split('.').next().unwrap_or(rest));
        match short {
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(error::data_source_not_found(text)),
        }
    }

    /// The name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Text => "Text",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Opens parquet, csv, json or text files.
///
/// # Errors
/// DATA_SOURCE_NOT_FOUND, PATH_NOT_FOUND, UNABLE_TO_INFER_SCHEMA, FAILED_READ_FILE and wrong options.
pub async fn open(spec: &SourceSpec, context: &SourceContext) -> Result<OpenedSource> {
    let format = Format::parse(&spec.format)?;
    let options = Options::new(&spec.options);
    let mut paths = spec.paths.clone();
    if paths.is_empty() {
        paths.extend(options.get("path").map(str::to_owned));
    }
    if paths.is_empty() {
        return Err(error::unable_to_infer_schema(format.name()));
    }
    let zone = context.zone(&options)?;
    let listing = {
        let options = options.clone();
        let schema = spec.schema.clone();
        let (infer_types, case_sensitive) = (context.infer_partition_types, context.case_sensitive);
        blocking(move || {
            listing::list(
                &paths,
                &ListingOptions {
                    options: &options,
                    schema: schema.as_ref(),
                    infer_types,
                    case_sensitive,
                    zone,
                },
            )
        })
        .await?
    };
    let input_files = listing.files.iter().map(|file| path::to_url(&file.path)).collect();
    let request = Request {
        schema: spec.schema.as_ref().map(as_nullable),
        options,
        listing,
        zone,
        context: context.clone(),
    };
    let (schema, provider) = match format {
        Format::Parquet => parquet::open(request).await?,
        Format::Csv | Format::Json | Format::Text => text::open(format, request).await?,
    };
    check_duplicates(&schema, context.case_sensitive)?;
    Ok(OpenedSource { schema, provider, input_files })
}

/// Everything a format needs to open its files.
pub(crate) struct Request {
    pub(crate) schema: Option<Schema>,
    pub(crate) options: Options,
    pub(crate) listing: Listing,
    pub(crate) zone: Zone,
    pub(crate) context: SourceContext,
}

impl Request {
    /// Whether two column names are the same one.
    pub(crate) fn same_name(&self, a: &str, b: &str) -> bool {
        if self.context.case_sensitive { a == b } else { a.to_lowercase() == b.to_lowercase() }
    }

    /// Splits a schema into the columns inside the files and the order in which all columns are given: a partition
    /// column that the data schema names too stays where the data schema has it.
    pub(crate) fn layout(&self, data: Schema) -> Layout {
        let partitions = &self.listing.partition_columns;
        let position = |name: &str| {
            partitions.iter().position(|partition| self.same_name(&partition.name, name))
        };
        let mut file_columns: Vec<Field> = Vec::new();
        let mut order = Vec::new();
        for field in data.fields {
            match position(&field.name) {
                Some(index) => order.push(Column::Partition(index)),
                None => {
                    order.push(Column::File(file_columns.len()));
                    file_columns.push(field);
                }
            }
        }
        for index in 0..partitions.len() {
            if !order.contains(&Column::Partition(index)) {
                order.push(Column::Partition(index));
            }
        }
        let fields = order
            .iter()
            .map(|column| match column {
                Column::File(index) => file_columns[*index].clone(),
                Column::Partition(index) => partitions[*index].clone(),
            })
            .collect();
        Layout { file_columns: Schema { fields: file_columns }, order, schema: Schema { fields } }
    }
}

/// Where a column of a source comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Column {
    File(usize),
    Partition(usize),
}

/// The columns of a source and where they come from.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) file_columns: Schema,
    pub(crate) order: Vec<Column>,
    pub(crate) schema: Schema,
}

fn check_duplicates(schema: &Schema, case_sensitive: bool) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for field in &schema.fields {
        let key = if case_sensitive { field.name.clone() } else { field.name.to_lowercase() };
        if !seen.insert(key) {
            return Err(error::column_already_exists(&field.name));
        }
        if matches!(field.data_type, DataType::Variant) {
            return Err(error::unsupported_type("file", &field.name, "VARIANT"));
        }
    }
    Ok(())
}

/// Runs file system work away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => Err(error::internal(format!("a file task ended early: {failure}"))),
    }
}
