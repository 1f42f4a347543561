//! Arrow data to and from clients.
//!
//! A result batch is a whole IPC stream (schema and one batch) in the types clients know: no view or dictionary types,
//! timestamps in the session's zone. Spark aims at 4 MiB a batch (`spark.connect.grpc.arrow.maxBatchSize`).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types as spark;

use crate::convert::missing;

/// Aim for the size of one result message.
const BATCH_BYTES: usize = 4 << 20;

/// Joins several IPC streams of one schema into one.
pub(crate) fn concatenate_streams(chunks: &[Vec<u8>]) -> Result<Option<Vec<u8>>, SparkError> {
    match chunks {
        [] => Ok(None),
        [single] => Ok(Some(single.clone())),
        [first, ..] => {
            let joined = || -> Result<Vec<u8>, ArrowError> {
                let schema = StreamReader::try_new(first.as_slice(), None)?.schema();
                let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
                for chunk in chunks {
                    for batch in StreamReader::try_new(chunk.as_slice(), None)? {
                        writer.write(&batch?)?;
                    }
                }
                writer.into_inner()
            };
            joined()
                .map(Some)
                .map_err(|error| missing(&format!("readable Arrow data (local relation: {error})")))
        }
    }
}

/// Turns internal batches into what the client is told to expect.
#[derive(Debug, Clone)]
pub struct ResultEncoder {
    schema: SchemaRef,
}

impl ResultEncoder {
    /// For results of this schema, timestamps shown in `time_zone`.
    #[must_use]
    pub fn new(schema: &spark::Schema, time_zone: &str) -> Self {
        let fields: Vec<Field> = schema
            .fields
            .iter()
            .map(|field| {
                let data_type = spark_functions::types::to_arrow(&field.data_type);
                Field::new(&field.name, with_zone(&data_type, time_zone), field.nullable)
            })
            .collect();
        Self { schema: Arc::new(Schema::new(fields)) }
    }

    /// IPC streams of at most about 4 MiB each, with their row counts.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Vec<(i64, Vec<u8>)>, ArrowError> {
        let batch = self.convert(batch)?;
        let rows = batch.num_rows();
        let size = batch.get_array_memory_size().max(1);
        let pieces = size.div_ceil(BATCH_BYTES).clamp(1, rows.max(1));
        let step = rows.div_ceil(pieces).max(1);
        let mut encoded = Vec::with_capacity(pieces);
        let mut offset = 0;
        while offset < rows {
            let length = step.min(rows - offset);
            encoded.push((length as i64, self.stream(&batch.slice(offset, length))?));
            offset += length;
        }
        Ok(encoded)
    }

    /// A stream with the schema and no rows: every result has at least one batch.
    pub fn empty(&self) -> Result<Vec<u8>, ArrowError> {
        self.stream(&RecordBatch::new_empty(Arc::clone(&self.schema)))
    }

    fn stream(&self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &self.schema)?;
        writer.write(batch)?;
        writer.into_inner()
    }

    fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(Arc::clone(column))
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect::<Result<_, _>>()?;
        // Nullability is what the analysis says; a looser plan must not make the batch invalid.
        let fields: Fields = self
            .schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| {
                let nullable = field.is_nullable() || column.null_count() > 0;
                Arc::new(field.as_ref().clone().with_nullable(nullable))
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
    }
}

/// The type with the session's zone in place of UTC, at every depth.
fn with_zone(data_type: &DataType, zone: &str) -> DataType {
    let field = |field: &Arc<Field>| {
        Arc::new(field.as_ref().clone().with_data_type(with_zone(field.data_type(), zone)))
    };
    match data_type {
        DataType::Timestamp(_, Some(_)) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))
        }
        DataType::List(element) => DataType::List(field(element)),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

/// Batches as the data of a `LocalRelation`.
pub fn local_data(schema: &spark::Schema, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let encoder = ResultEncoder::new(schema, "UTC");
    let mut writer = StreamWriter::try_new(Vec::new(), &encoder.schema)?;
    for batch in batches {
        writer.write(&encoder.convert(batch)?)?;
    }
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringViewArray, TimestampMicrosecondArray};

    fn schema(fields: &[(&str, spark::DataType)]) -> spark::Schema {
        spark::Schema {
            fields: fields
                .iter()
                .map(|(name, data_type)| spark::Field {
                    name: (*name).to_owned(),
                    data_type: data_type.clone(),
                    nullable: true,
                    metadata: None,
                })
                .collect(),
        }
    }

    #[test]
    fn names_types_and_zone_are_the_clients() {
        let internal = RecordBatch::try_from_iter([
            ("a#1", Arc::new(StringViewArray::from(vec!["x"])) as ArrayRef),
            ("a#2", Arc::new(TimestampMicrosecondArray::from(vec![5]).with_timezone("UTC")) as _),
        ])
        .unwrap();
        let schema = schema(&[("a", spark::DataType::String), ("a", spark::DataType::Timestamp)]);
        let encoded = ResultEncoder::new(&schema, "Europe/Paris").encode(&internal).unwrap();
        assert_eq!(encoded.len(), 1);
        let reader = StreamReader::try_new(encoded[0].1.as_slice(), None).unwrap();
        let text = format!(
            "{:?}",
            reader
                .schema()
                .fields()
                .iter()
                .map(|f| (f.name().clone(), f.data_type().clone()))
                .collect::<Vec<_>>()
        );
        assert_eq!(text, r#"[("a", Utf8), ("a", Timestamp(Microsecond, Some("Europe/Paris")))]"#);
    }

    #[test]
    fn large_batches_are_split() {
        let rows = 3 << 20;
        let batch = RecordBatch::try_from_iter([(
            "x",
            Arc::new(Int32Array::from_iter_values(0..rows)) as ArrayRef,
        )])
        .unwrap();
        let encoded = ResultEncoder::new(&schema(&[("x", spark::DataType::Integer)]), "UTC")
            .encode(&batch)
            .unwrap();
        assert!(encoded.iter().all(|(_, data)| data.len() <= BATCH_BYTES + 4096));
        assert!(encoded.len() <= 4, "{} pieces", encoded.len());
        assert_eq!(encoded.iter().map(|(rows, _)| *rows).sum::<i64>(), i64::from(rows));
    }
}
