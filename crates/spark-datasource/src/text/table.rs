//! Text files as a table: schema, splits, projection.

use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use spark_sql_parser::types::Schema;

use super::compression::Codec;
use super::scan::{TextFormat, TextPiece, TextScan, TextScanExec};
use super::{csv, json, plain};
use crate::error::{self, Result};
use crate::file_name;
use crate::listing::DataFile;
use crate::pruning;
use crate::schema::to_arrow_schema;
use crate::source::{Column, Format, Layout, Request, blocking};
use crate::splits::{self, FileSize, SplitOptions};

pub(crate) async fn open(
    format: Format,
    request: Request,
) -> Result<(Schema, Arc<dyn TableProvider>)> {
    blocking(move || open_blocking(format, request)).await
}

fn open_blocking(format: Format, mut request: Request) -> Result<(Schema, Arc<dyn TableProvider>)> {
    if request.schema.is_none() && request.listing.files.is_empty() {
        return Err(error::unable_to_infer_schema(format.name()));
    }
    let (format, data, splittable) = match format {
        Format::Csv => {
            let options = csv::CsvScan::new(&request.options, &request.context)?;
            let data = match request.schema.take() {
                Some(schema) => schema,
                None => csv::infer(&options, &request)?,
            };
            csv::check_types(&data)?;
            let splittable = !options.multi_line;
            (TextFormat::Csv(options), data, splittable)
        }
        Format::Json => {
            let options = json::JsonScan::new(&request.options, &request.context)?;
            let data = match request.schema.take() {
                Some(schema) => schema,
                None => json::infer(&options, &request)?,
            };
            json::check_types(&data)?;
            let splittable = !options.multi_line;
            (TextFormat::Json(options), data, splittable)
        }
        Format::Text => {
            let options = plain::PlainScan::new(&request.options)?;
            let data = request.schema.take().unwrap_or_else(plain::default_schema);
            plain::check_types(&request.layout(data.clone()).file_columns)?;
            let splittable = !options.whole_text;
            (TextFormat::Text(options), data, splittable)
        }
        Format::Parquet => return Err(error::internal("parquet is no text format")),
    };
    let layout = request.layout(data);
    let schema = layout.schema.clone();
    let table = TextTable {
        schema: to_arrow_schema(&schema),
        partition_columns: Schema { fields: request.listing.partition_columns.clone() },
        layout,
        files: request.listing.files,
        splits: request.context.splits(),
        splittable,
        format,
        zone: request
            .options
            .get("timeZone")
            .map_or_else(|| request.context.time_zone.clone(), str::to_owned),
    };
    Ok((schema, Arc::new(table)))
}

/// Cuts text files into pieces; compressed ones stay whole.
pub(crate) fn cut(
    files: &[DataFile],
    splittable: bool,
    options: SplitOptions,
) -> Result<Vec<Vec<TextPiece>>> {
    let sizes = files
        .iter()
        .map(|file| {
            let plain = Codec::of_file(&file.path)? == Codec::None;
            Ok(FileSize { bytes: file.size, splittable: splittable && plain })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(splits::plan(&sizes, options)
        .into_iter()
        .map(|pieces| {
            pieces
                .into_iter()
                .map(|piece| TextPiece {
                    path: files[piece.file].path.clone(),
                    start: piece.start,
                    end: piece.end,
                    partition_texts: files[piece.file].partition_texts.clone(),
                })
                .collect()
        })
        .collect())
}

#[derive(Debug, Clone)]
pub(crate) struct TextTable {
    schema: SchemaRef,
    partition_columns: Schema,
    layout: Layout,
    files: Vec<DataFile>,
    splits: SplitOptions,
    splittable: bool,
    format: TextFormat,
    zone: String,
}

impl TextTable {
    /// The same table with the file's name as its last column.
    pub(crate) fn with_file_name(&self) -> Self {
        let mut table = self.clone();
        table.partition_columns.fields.push(file_name::field());
        table.schema = file_name::appended(&table.schema);
        file_name::name(&mut table.files, &mut table.layout);
        table
    }

    /// A scan of the corrupt record column alone would have nothing to judge the records by.
    fn check_projection(&self, order: &[usize]) -> Result<()> {
        let corrupt = match &self.format {
            TextFormat::Csv(csv) => &csv.corrupt_column,
            TextFormat::Json(json) => &json.corrupt_column,
            TextFormat::Text(_) => return Ok(()),
        };
        let mut columns = order.iter().filter_map(|index| match self.layout.order[*index] {
            Column::File(column) => Some(&self.layout.file_columns.fields[column].name),
            Column::Partition(_) => None,
        });
        match (columns.next(), columns.next()) {
            (Some(name), None) if name == corrupt => Err(error::only_corrupt_record_column()),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl TableProvider for TextTable {
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
        // Filters choose files by their partition values; rows are filtered above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let order: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        self.check_projection(&order).map_err(error::external)?;
        let partition_schema = to_arrow_schema(&self.partition_columns);
        let files = pruning::prune(&self.files, &partition_schema, filters, state);
        let partitions = cut(&files, self.splittable, self.splits).map_err(error::external)?;
        if partitions.is_empty() {
            let fields: Vec<_> =
                order.iter().map(|index| self.schema.field(*index).clone()).collect();
            return Ok(Arc::new(EmptyExec::new(Arc::new(ArrowSchema::new(fields)))));
        }
        let scan = TextScan {
            format: self.format.clone(),
            file_columns: self.layout.file_columns.json(),
            partition_columns: self.partition_columns.json(),
            projection: order.iter().map(|index| self.layout.order[*index]).collect(),
            partitions,
            limit,
            zone: self.zone.clone(),
        };
        Ok(Arc::new(TextScanExec::new(scan).map_err(error::external)?))
    }
}
