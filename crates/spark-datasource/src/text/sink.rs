//! Where parsed rows go: builders, batches, the channel to the plan.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;

use super::columns::ColumnBuilder;
use crate::error::{self, Result};
use crate::source::Column;

/// Whether more rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    Stop,
}

/// Collects rows into batches.
pub(crate) struct Sink<'a> {
    /// One builder per projected file column, in the order of the projection.
    pub(crate) builders: Vec<ColumnBuilder>,
    schema: SchemaRef,
    projection: Vec<Column>,
    batch_rows: usize,
    rows: usize,
    left: usize,
    /// Numbers of the rows of this batch that were dropped again.
    dropped: Vec<usize>,
    partition_values: Vec<ScalarValue>,
    send: &'a mut dyn FnMut(RecordBatch) -> bool,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(
        builders: Vec<ColumnBuilder>,
        schema: SchemaRef,
        projection: Vec<Column>,
        batch_rows: usize,
        limit: Option<usize>,
        send: &'a mut dyn FnMut(RecordBatch) -> bool,
    ) -> Self {
        Self {
            builders,
            schema,
            projection,
            batch_rows,
            rows: 0,
            left: limit.unwrap_or(usize::MAX),
            dropped: Vec::new(),
            partition_values: Vec::new(),
            send,
        }
    }

    /// Values of the partition columns for the rows to come.
    pub(crate) fn set_partition_values(&mut self, values: Vec<ScalarValue>) -> Result<Flow> {
        if values == self.partition_values {
            return Ok(Flow::Continue);
        }
        let flow = self.flush()?;
        self.partition_values = values;
        Ok(flow)
    }

    /// A row was appended to all builders.
    pub(crate) fn end_row(&mut self) -> Result<Flow> {
        self.rows += 1;
        if self.rows - self.dropped.len() >= self.left {
            self.flush()?;
            return Ok(Flow::Stop);
        }
        if self.rows >= self.batch_rows { self.flush() } else { Ok(Flow::Continue) }
    }

    /// A row was appended to all builders, but does not count.
    pub(crate) fn drop_row(&mut self) -> Result<Flow> {
        self.dropped.push(self.rows);
        self.rows += 1;
        if self.rows >= self.batch_rows { self.flush() } else { Ok(Flow::Continue) }
    }

    /// Sends what there is.
    pub(crate) fn flush(&mut self) -> Result<Flow> {
        if self.rows == 0 {
            return Ok(Flow::Continue);
        }
        let rows = self.rows;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.projection.len());
        let mut builders = self.builders.iter_mut();
        for column in &self.projection {
            let array = match column {
                Column::File(_) => builders.next().map(ColumnBuilder::finish),
                Column::Partition(index) => {
                    self.partition_values[*index].to_array_of_size(rows).ok()
                }
            };
            columns.push(array.ok_or_else(|| error::internal("a text scan lost a column"))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|e| error::internal(e.to_string()))?;
        let batch = self.without_dropped(batch)?;
        self.rows = 0;
        self.left -= batch.num_rows();
        let wanted = batch.num_rows() == 0 || (self.send)(batch);
        Ok(if wanted && self.left > 0 { Flow::Continue } else { Flow::Stop })
    }

    fn without_dropped(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.dropped.is_empty() {
            return Ok(batch);
        }
        let mut keep = vec![true; batch.num_rows()];
        for row in self.dropped.drain(..) {
            keep[row] = false;
        }
        filter_record_batch(&batch, &BooleanArray::from(keep))
            .map_err(|e| error::internal(e.to_string()))
    }
}
