//! Reading parquet: Spark's view of the schema over DataFusion's scan.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Schema as ArrowSchema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::parquet::Int96Coercer;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore};
use spark_sql_parser::types::{DataType, Schema};

use crate::error::{self, Result};
use crate::file_name;
use crate::listing::DataFile;
use crate::path;
use crate::pruning;
use crate::schema::{UTC, as_nullable, from_arrow, nullable_field, to_arrow_schema};
use crate::source::{Column, Layout, Request};
use crate::splits::{self, FileSize, Piece, SplitOptions};
use crate::write::SPARK_SCHEMA_KEY;

/// Footers read at the same time.
const FOOTER_CONCURRENCY: usize = 16;

/// Above this many files a scan is planned without their footers.
const MAX_FILES_WITH_STATISTICS: usize = 4096;

pub(crate) async fn open(mut request: Request) -> Result<(Schema, Arc<dyn TableProvider>)> {
    request.listing.files.retain(|file| {
        let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned());
        file.size > 0 && !name.is_some_and(|name| name.starts_with('_') && !name.contains('='))
    });
    let runtime = Arc::clone(&request.context.runtime);
    let data = match request.schema.take() {
        Some(schema) => schema,
        None => infer(&request, &runtime).await?,
    };
    let layout = request.layout(data);
    let physical = physical_columns(&request, &layout, &runtime).await?;
    let schema = layout.schema.clone();
    let table = ParquetTable {
        schema: to_arrow_schema(&schema),
        file_schema: to_arrow_schema(&physical),
        partition_schema: to_arrow_schema(&Schema {
            fields: request.listing.partition_columns.clone(),
        }),
        layout,
        files: request.listing.files,
        splits: request.context.splits(),
        runtime,
    };
    Ok((schema, Arc::new(table)))
}

/// The schema of the first file, or of all with `mergeSchema`.
async fn infer(request: &Request, runtime: &Arc<RuntimeEnv>) -> Result<Schema> {
    let merge = request.options.bool("mergeSchema", false)?;
    let files = &request.listing.files;
    if files.is_empty() {
        return Err(error::unable_to_infer_schema("Parquet"));
    }
    let wanted = if merge { files.len() } else { 1 };
    let schemas: Vec<Schema> = futures::stream::iter(files[..wanted].to_vec())
        .map(|file| file_schema(file, Arc::clone(runtime)))
        .buffered(FOOTER_CONCURRENCY)
        .try_collect()
        .await?;
    let mut merged = Schema::default();
    for schema in schemas {
        merged = merge_schemas(merged, schema, &|a, b| request.same_name(a, b))?;
    }
    Ok(as_nullable(&merged))
}

async fn file_schema(file: DataFile, runtime: Arc<RuntimeEnv>) -> Result<Schema> {
    let metadata = footer(&file, &runtime).await?;
    if let Some(schema) = sparks_schema(&metadata) {
        return Ok(schema);
    }
    let arrow = arrow_schema(&metadata, &file)?;
    let mut fields = Vec::with_capacity(arrow.fields().len());
    for field in arrow.fields() {
        let data_type = from_arrow(field.data_type()).ok_or_else(|| {
            error::unsupported_type("Parquet", field.name(), &field.data_type().to_string())
        })?;
        fields.push(nullable_field(field.name(), data_type));
    }
    Ok(Schema { fields })
}

/// The columns of a file by parquet's own types: Spark does not look at the `ARROW:schema` entry either.
fn arrow_schema(metadata: &ParquetMetaData, file: &DataFile) -> Result<ArrowSchema> {
    let parquet = metadata.file_metadata().schema_descr();
    let unreadable = |cause: String| error::unreadable_footer(&path::to_uri(&file.path), &cause);
    let arrow = parquet_to_arrow_schema(parquet, None).map_err(|e| unreadable(e.to_string()))?;
    Ok(Int96Coercer::new(parquet, &arrow, &TimeUnit::Microsecond)
        .with_timezone(Some(Arc::from(UTC)))
        .coerce()
        .unwrap_or(arrow))
}

/// The schema that Spark (or this engine) left in the footer.
fn sparks_schema(metadata: &ParquetMetaData) -> Option<Schema> {
    let entries = metadata.file_metadata().key_value_metadata()?;
    let entry = entries.iter().find(|entry| entry.key == SPARK_SCHEMA_KEY)?;
    Schema::from_json(entry.value.as_deref()?).ok()
}

fn merge_schemas(
    mut left: Schema,
    right: Schema,
    same: &dyn Fn(&str, &str) -> bool,
) -> Result<Schema> {
    for field in right.fields {
        match left.fields.iter_mut().find(|known| same(&known.name, &field.name)) {
            None => left.fields.push(field),
            Some(known) => known.data_type = merge_types(&known.data_type, field.data_type, same)?,
        }
    }
    Ok(left)
}

/// `StructType.merge`: equal types, wider decimals, nested merges; anything else cannot be one column.
fn merge_types(
    left: &DataType,
    right: DataType,
    same: &dyn Fn(&str, &str) -> bool,
) -> Result<DataType> {
    match (left, right) {
        (left, right) if *left == right => Ok(right),
        (DataType::Struct(a), DataType::Struct(b)) => {
            merge_schemas(a.clone(), b, same).map(DataType::Struct)
        }
        (DataType::Array { element: a, .. }, DataType::Array { element: b, .. }) => {
            Ok(DataType::Array {
                element: Box::new(merge_types(a, *b, same)?),
                contains_null: true,
            })
        }
        (DataType::Decimal { precision: p, scale: s }, DataType::Decimal { precision, scale })
            if *s == scale =>
        {
            Ok(DataType::Decimal { precision: precision.max(*p), scale })
        }
        (left, right) => Err(spark_sql_parser::error::SparkError::new(
            spark_sql_parser::error::ErrorKind::Execution,
            "CANNOT_MERGE_SCHEMAS",
            "42KD9",
            format!(
                "Failed merging schemas: \"{}\" and \"{}\" are not the same type. Give the schema, or read \
                 the files apart.",
                left.sql(),
                right.sql()
            ),
        )),
    }
}

/// The file columns under the names that the files use: a user's schema may differ in case.
async fn physical_columns(
    request: &Request,
    layout: &Layout,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Schema> {
    let mut columns = layout.file_columns.clone();
    if request.context.case_sensitive {
        return Ok(columns);
    }
    let Some(first) = request.listing.files.first() else { return Ok(columns) };
    let in_file = footer(first, runtime).await?;
    let names: Vec<String> = in_file
        .file_metadata()
        .schema_descr()
        .root_schema()
        .get_fields()
        .iter()
        .map(|field| field.name().to_owned())
        .collect();
    for column in &mut columns.fields {
        if names.contains(&column.name) {
            continue;
        }
        if let Some(name) = names.iter().find(|name| request.same_name(name, &column.name)) {
            column.name.clone_from(name);
        }
    }
    Ok(columns)
}

async fn footer(file: &DataFile, runtime: &Arc<RuntimeEnv>) -> Result<Arc<ParquetMetaData>> {
    let unreadable = |cause: String| error::unreadable_footer(&path::to_uri(&file.path), &cause);
    let store = local_store(runtime).map_err(|e| unreadable(e.to_string()))?;
    let meta = object_meta(file).map_err(error::from_datafusion)?;
    DFParquetMetadata::new(store.as_ref(), &meta)
        .with_file_metadata_cache(Some(runtime.cache_manager.get_file_metadata_cache()))
        .fetch_metadata()
        .await
        .map_err(|e| {
            if file.path.exists() {
                unreadable(e.strip_backtrace())
            } else {
                error::file_not_exist(&path::to_url(&file.path))
            }
        })
}

fn local_store(runtime: &Arc<RuntimeEnv>) -> DataFusionResult<Arc<dyn ObjectStore>> {
    runtime.object_store(ObjectStoreUrl::local_filesystem())
}

fn object_meta(file: &DataFile) -> DataFusionResult<ObjectMeta> {
    Ok(ObjectMeta {
        location: object_path(&file.path)?,
        last_modified: file.modified.into(),
        size: file.size,
        e_tag: None,
        version: None,
    })
}

fn object_path(path: &Path) -> DataFusionResult<ObjectPath> {
    Ok(ObjectPath::from_absolute_path(path)?)
}

/// Parquet files as a table.
#[derive(Debug, Clone)]
pub(crate) struct ParquetTable {
    /// All columns, in Spark's order.
    schema: SchemaRef,
    file_schema: SchemaRef,
    partition_schema: SchemaRef,
    layout: Layout,
    files: Vec<DataFile>,
    splits: SplitOptions,
    runtime: Arc<RuntimeEnv>,
}

impl ParquetTable {
    /// The same table with the file's name as its last column.
    pub(crate) fn with_file_name(&self) -> Self {
        let mut table = self.clone();
        table.partition_schema = file_name::appended(&table.partition_schema);
        table.schema = file_name::appended(&table.schema);
        file_name::name(&mut table.files, &mut table.layout);
        table
    }

    /// Row counts and column ranges of each file, where its footer can be read.
    /// `read` are the file columns that the scan wants.
    async fn statistics(
        &self,
        files: &[DataFile],
        read: &[usize],
    ) -> Result<Vec<Option<Statistics>>> {
        if files.len() > MAX_FILES_WITH_STATISTICS {
            return Ok(vec![None; files.len()]);
        }
        futures::stream::iter(files.to_vec())
            .map(|file| async move {
                let metadata = footer(&file, &self.runtime).await?;
                self.check_types(&metadata, &file, read)?;
                Ok(DFParquetMetadata::statistics_from_parquet_metadata(
                    &metadata,
                    &self.file_schema,
                )
                .ok()
                .map(|statistics| with_partition_values(statistics, &file)))
            })
            .buffered(FOOTER_CONCURRENCY)
            .try_collect()
            .await
    }

    /// Refuses files whose columns Spark would not convert to the type that is asked for.
    fn check_types(
        &self,
        metadata: &ParquetMetaData,
        file: &DataFile,
        read: &[usize],
    ) -> Result<()> {
        let in_file = arrow_schema(metadata, file)?;
        for index in read {
            let wanted = self.file_schema.field(*index);
            let Ok(found) = in_file.field_with_name(wanted.name()) else { continue };
            if !convertible(found.data_type(), wanted.data_type()) {
                let name = |data_type| {
                    from_arrow(data_type)
                        .map_or_else(|| data_type.to_string(), |spark| spark.simple_string())
                };
                return Err(error::parquet_type_mismatch(
                    &path::to_url(&file.path),
                    wanted.name(),
                    &name(wanted.data_type()),
                    &name(found.data_type()),
                ));
            }
        }
        Ok(())
    }

    fn file_groups(
        &self,
        files: &[DataFile],
        statistics: &[Option<Statistics>],
    ) -> DataFusionResult<Vec<FileGroup>> {
        let sizes: Vec<FileSize> =
            files.iter().map(|file| FileSize { bytes: file.size, splittable: true }).collect();
        splits::plan(&sizes, self.splits)
            .into_iter()
            .map(|pieces| {
                let pieces = pieces
                    .iter()
                    .map(|piece| {
                        partitioned_file(&files[piece.file], piece, &statistics[piece.file])
                    })
                    .collect::<DataFusionResult<Vec<_>>>()?;
                Ok(FileGroup::new(pieces))
            })
            .collect()
    }
}

/// Whether Spark reads a parquet column of one type as another: `ParquetVectorUpdaterFactory`.
fn convertible(found: &ArrowType, wanted: &ArrowType) -> bool {
    use ArrowType::{
        Binary, Date32, Decimal128, Duration, FixedSizeBinary, Float32, Float64, Int8, Int16,
        Int32, Int64, List, Map, Struct, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
    };
    match (found, wanted) {
        (found, wanted) if found == wanted => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16, Int8 | Int16 | Int32 | Int64 | Float64) => true,
        (UInt32, Int64) | (Int64, Duration(_)) | (Float32, Float64) => true,
        (Int8 | Int16 | Int32, Decimal128(precision, scale)) => {
            i16::from(*precision) - i16::from(*scale) >= 10
        }
        (Int64, Decimal128(precision, scale)) => i16::from(*precision) - i16::from(*scale) >= 20,
        (UInt64, Decimal128(precision, scale)) => i16::from(*precision) - i16::from(*scale) >= 20,
        (Decimal128(p, s), Decimal128(precision, scale)) => {
            scale >= s && i16::from(*precision) - i16::from(*scale) >= i16::from(*p) - i16::from(*s)
        }
        (Utf8 | Binary | FixedSizeBinary(_), Utf8 | Binary) => true,
        (Date32, Timestamp(_, None)) | (Timestamp(..), Timestamp(..)) => true,
        (List(found), List(wanted)) => convertible(found.data_type(), wanted.data_type()),
        (Map(found, _), Map(wanted, _)) => convertible(found.data_type(), wanted.data_type()),
        (Struct(found), Struct(wanted)) => {
            let entries = found.len() == 2 && wanted.len() == 2 && wanted[0].name() == "key";
            wanted.iter().enumerate().all(|(index, wanted)| {
                let same_name = found.iter().find(|field| field.name() == wanted.name());
                let found = if entries { found.get(index) } else { same_name };
                found.is_none_or(|found| convertible(found.data_type(), wanted.data_type()))
            })
        }
        _ => false,
    }
}

fn with_partition_values(mut statistics: Statistics, file: &DataFile) -> Statistics {
    for value in &file.partition_values {
        let column = if value.is_null() {
            ColumnStatistics { null_count: statistics.num_rows, ..ColumnStatistics::new_unknown() }
        } else {
            ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: Precision::Exact(value.clone()),
                max_value: Precision::Exact(value.clone()),
                distinct_count: Precision::Exact(1),
                ..ColumnStatistics::new_unknown()
            }
        };
        statistics.column_statistics.push(column);
    }
    statistics
}

fn partitioned_file(
    file: &DataFile,
    piece: &Piece,
    statistics: &Option<Statistics>,
) -> DataFusionResult<PartitionedFile> {
    let mut partitioned = PartitionedFile::new_from_meta(object_meta(file)?)
        .with_partition_values(file.partition_values.clone());
    let whole = piece.start == 0 && piece.end == file.size;
    if !whole {
        partitioned = partitioned.with_range(piece.start as i64, piece.end as i64);
    }
    partitioned.statistics = statistics.as_ref().map(|statistics| {
        Arc::new(if whole { statistics.clone() } else { share(statistics, piece.len(), file.size) })
    });
    Ok(partitioned)
}

/// The statistics of a part of a file: its ranges hold, its counts are estimates.
fn share(statistics: &Statistics, part: u64, whole: u64) -> Statistics {
    let scale = |count: &Precision<usize>| match count.get_value() {
        Some(count) => {
            Precision::Inexact((*count as u128 * u128::from(part) / u128::from(whole)) as usize)
        }
        None => Precision::Absent,
    };
    let mut shared = statistics.clone().to_inexact();
    shared.num_rows = scale(&shared.num_rows);
    shared.total_byte_size = scale(&shared.total_byte_size);
    shared
}

#[async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let files = pruning::prune(&self.files, &self.partition_schema, filters, state);
        let order: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        if files.is_empty() {
            let fields: Vec<_> =
                order.iter().map(|index| self.schema.field(*index).clone()).collect();
            return Ok(Arc::new(EmptyExec::new(Arc::new(ArrowSchema::new(fields)))));
        }
        let read: Vec<usize> = order
            .iter()
            .filter_map(|index| match self.layout.order[*index] {
                Column::File(column) => Some(column),
                Column::Partition(_) => None,
            })
            .collect();
        let statistics = self.statistics(&files, &read).await.map_err(error::external)?;
        let table_schema = TableSchema::builder(Arc::clone(&self.file_schema))
            .with_table_partition_cols(self.partition_schema.fields().to_vec())
            .build();
        let total = if statistics.iter().all(Option::is_some) {
            Statistics::try_merge_iter(statistics.iter().flatten(), table_schema.table_schema())?
        } else {
            Statistics::new_unknown(table_schema.table_schema())
        };
        let file_count = self.file_schema.fields().len();
        let indices: Vec<usize> = order
            .iter()
            .map(|index| match self.layout.order[*index] {
                Column::File(column) => column,
                Column::Partition(column) => file_count + column,
            })
            .collect();
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        options.global.coerce_int96 = Some("us".to_owned());
        options.global.coerce_int96_tz = Some(UTC.to_owned());
        options.global.schema_force_view_types = false;
        let reader = CachedParquetFileReaderFactory::new(
            local_store(&self.runtime)?,
            self.runtime.cache_manager.get_file_metadata_cache(),
        );
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader));
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
                .with_file_groups(self.file_groups(&files, &statistics)?)
                .with_statistics(total)
                .with_projection_indices(Some(indices.clone()))?
                .with_limit(limit)
                .build();
        let plan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        rename(plan, &order, &self.schema)
    }
}

/// Gives the columns the names of the table where the files spell them otherwise.
fn rename(
    plan: Arc<dyn ExecutionPlan>,
    order: &[usize],
    schema: &SchemaRef,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_expr::expressions::Column as PhysicalColumn;
    use datafusion::physical_plan::projection::ProjectionExec;

    let input = plan.schema();
    let same = order
        .iter()
        .zip(input.fields())
        .all(|(index, field)| schema.field(*index).name() == field.name());
    if same {
        return Ok(plan);
    }
    let exprs: Vec<(Arc<dyn PhysicalExpr>, String)> = order
        .iter()
        .zip(input.fields())
        .enumerate()
        .map(|(position, (index, field))| {
            let column = PhysicalColumn::new(field.name(), position);
            (Arc::new(column) as Arc<dyn PhysicalExpr>, schema.field(*index).name().clone())
        })
        .collect();
    Ok(Arc::new(ProjectionExec::try_new(exprs, plan)?))
}
