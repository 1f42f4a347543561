//! The name of the file a row comes from, as a column that a scan has when it is asked for: what
//! `input_file_name()` gives directly above a scan.

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::scalar::ScalarValue;
use spark_sql_parser::types::{DataType, Field};

use crate::listing::DataFile;
use crate::parquet::ParquetTable;
use crate::path;
use crate::schema::to_arrow;
use crate::source::{Column, Layout};
use crate::text::TextTable;

/// The column's name.
pub const FILE_NAME_COLUMN: &str = "input_file_name()";

/// The same files with the name of each row's file as last column, [`FILE_NAME_COLUMN`]; `None` if these are not
/// files.
#[must_use]
pub fn with_file_name(table: &Arc<dyn TableProvider>) -> Option<Arc<dyn TableProvider>> {
    if let Some(table) = table.downcast_ref::<ParquetTable>() {
        return Some(Arc::new(table.with_file_name()));
    }
    if let Some(table) = table.downcast_ref::<TextTable>() {
        return Some(Arc::new(table.with_file_name()));
    }
    None
}

pub(crate) fn field() -> Field {
    let name = FILE_NAME_COLUMN.to_owned();
    Field { name, data_type: DataType::String, nullable: false, metadata: None }
}

pub(crate) fn appended(schema: &SchemaRef) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(ArrowField::new(FILE_NAME_COLUMN, to_arrow(&DataType::String), false)));
    Arc::new(ArrowSchema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Gives each file its name as one more partition value.
pub(crate) fn name(files: &mut [DataFile], layout: &mut Layout) {
    let partition = layout.order.iter().filter(|c| matches!(c, Column::Partition(_))).count();
    layout.order.push(Column::Partition(partition));
    for file in files {
        let url = path::to_url(&file.path);
        file.partition_values.push(ScalarValue::Utf8(Some(url.clone())));
        file.partition_texts.push(url);
    }
}
