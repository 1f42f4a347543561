//! Batches in the engine's own Arrow types: view, large and dictionary forms are cast away.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as Arrow, Field, Schema as ArrowSchema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use spark_sql_parser::types::Schema;

use crate::errors::{Result, internal};

/// Brings a batch to the Arrow form of a Spark schema, by position.
pub(crate) fn to_schema(batch: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    let target = spark_functions::types::schema_to_arrow(schema);
    if batch.num_columns() != target.fields().len() {
        return Err(internal(format!(
            "the data has {} columns, its schema {}",
            batch.num_columns(),
            target.fields().len()
        )));
    }
    let mut columns = Vec::with_capacity(batch.num_columns());
    let mut fields = Vec::with_capacity(batch.num_columns());
    for (column, field) in batch.columns().iter().zip(target.fields()) {
        let column = cast_array(column, field.data_type())?;
        if column.null_count() > 0 && !field.is_nullable() {
            return Err(internal(format!("the column {} holds nulls but must not", field.name())));
        }
        columns.push(column);
        fields.push(Arc::clone(field));
    }
    make(columns, ArrowSchema::new(fields), batch.num_rows())
}

fn make(columns: Vec<ArrayRef>, schema: ArrowSchema, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
        .map_err(|e| internal(e.to_string()))
}

fn cast_array(array: &ArrayRef, to: &Arrow) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|e| internal(e.to_string()))
}

/// Renames the columns of result batches, by position.
///
/// # Errors
/// When the batch does not have as many columns as there are names.
pub fn rename(batch: &RecordBatch, names: &[&str]) -> Result<RecordBatch> {
    let fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .zip(names)
        .map(|(field, name)| field.as_ref().clone().with_name(*name))
        .collect();
    make(batch.columns().to_vec(), ArrowSchema::new(fields), batch.num_rows())
}
