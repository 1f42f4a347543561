//! Parquet files as Spark writes them.

use std::fs::File;
use std::io::{BufWriter, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::Schema;

use super::dispatch::FileWriter;
use crate::error::{self, Result};
use crate::options::Options;

/// Footer key under which Spark keeps its own schema.
pub(crate) const SPARK_SCHEMA_KEY: &str = "org.apache.spark.sql.parquet.row.metadata";

/// Footer key by which Spark's readers know that days are counted in the proleptic calendar.
const SPARK_VERSION_KEY: &str = "org.apache.spark.version";
const SPARK_VERSION: &str = "4.0.0";

/// `parquet.block.size`'s default.
const ROW_GROUP_BYTES: usize = 128 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Codec {
    None,
    Snappy,
    Gzip,
    Lz4Raw,
    Brotli,
    Zstd,
}

/// Options of a parquet write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ParquetOptions {
    codec: Codec,
    row_group_bytes: usize,
}

impl ParquetOptions {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let text = options.first(&["compression", "parquet.compression"]).unwrap_or("snappy");
        let codec = match text.to_lowercase().as_str() {
            "none" | "uncompressed" => Codec::None,
            "snappy" => Codec::Snappy,
            "gzip" => Codec::Gzip,
            "lz4_raw" | "lz4" => Codec::Lz4Raw,
            "brotli" => Codec::Brotli,
            "zstd" => Codec::Zstd,
            _ => {
                let available = "brotli, uncompressed, snappy, lz4_raw, none, zstd, lz4, gzip";
                return Err(SparkError::new(
                    ErrorKind::IllegalArgument,
                    "CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION",
                    "56038",
                    format!("The codec {text} is not available. Available codecs are {available}."),
                )
                .with("codecName", text)
                .with("availableCodecs", available));
            }
        };
        let row_group_bytes = match options.integer("parquet.block.size")? {
            Some(bytes) if bytes > 0 => usize::try_from(bytes).unwrap_or(ROW_GROUP_BYTES),
            _ => ROW_GROUP_BYTES,
        };
        Ok(Self { codec, row_group_bytes })
    }

    pub(super) fn extension(&self) -> &'static str {
        match self.codec {
            Codec::None => "",
            Codec::Snappy => ".snappy",
            Codec::Gzip => ".gz",
            Codec::Lz4Raw => ".lz4raw",
            Codec::Brotli => ".br",
            Codec::Zstd => ".zstd",
        }
    }

    fn compression(&self) -> Compression {
        match self.codec {
            Codec::None => Compression::UNCOMPRESSED,
            Codec::Snappy => Compression::SNAPPY,
            Codec::Gzip => Compression::GZIP(GzipLevel::default()),
            Codec::Lz4Raw => Compression::LZ4_RAW,
            Codec::Brotli => Compression::BROTLI(Default::default()),
            Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
        }
    }
}

/// One parquet file being written.
pub(super) struct ParquetFile {
    writer: ArrowWriter<BufWriter<File>>,
    row_group_bytes: usize,
    uri: String,
}

impl ParquetFile {
    pub(super) fn new(
        output: BufWriter<File>,
        options: &ParquetOptions,
        schema: &Schema,
        arrow: &SchemaRef,
        uri: String,
    ) -> Result<Self> {
        let metadata = vec![
            KeyValue::new(SPARK_SCHEMA_KEY.to_owned(), schema.json()),
            KeyValue::new(SPARK_VERSION_KEY.to_owned(), SPARK_VERSION.to_owned()),
        ];
        let properties = WriterProperties::builder()
            .set_compression(options.compression())
            .set_created_by(concat!("ferrospark version ", env!("CARGO_PKG_VERSION")).to_owned())
            // Lists and maps get the names that the parquet format asks for.
            .set_coerce_types(true)
            .set_key_value_metadata(Some(metadata))
            .build();
        let writer_options =
            ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(output, SchemaRef::clone(arrow), writer_options)
                .map_err(|e| error::write_failed(&uri, &e.to_string()))?;
        Ok(Self { writer, row_group_bytes: options.row_group_bytes, uri })
    }
}

impl FileWriter for ParquetFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let failed = |e: datafusion::parquet::errors::ParquetError| {
            error::write_failed(&self.uri, &e.to_string())
        };
        self.writer.write(batch).map_err(failed)?;
        if self.writer.in_progress_size() >= self.row_group_bytes {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let uri = self.uri;
        let mut output =
            self.writer.into_inner().map_err(|e| error::write_failed(&uri, &e.to_string()))?;
        output.flush().map_err(|e| error::write_failed(&uri, &e.to_string()))
    }
}
