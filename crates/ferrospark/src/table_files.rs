//! Parquet files of generated tables, in folders as Spark would have written them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use clap::Parser;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;

/// What a generator of tables is told.
#[derive(Debug, Parser)]
pub(crate) struct TableArguments {
    /// 1 makes about 1 GB of raw data.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) scale_factor: f64,
    /// Directory that gets one folder a table; complete data of the same scale is left alone.
    #[arg(long)]
    pub(crate) output: PathBuf,
    /// Files of each large table.
    #[arg(long, default_value_t = 4)]
    pub(crate) files: i32,
}

/// Runs the part of the program that makes the tables of a benchmark, unless they are there.
pub(crate) fn make_tables(
    benchmark: &str,
    words: &[String],
    generate: fn(&TableArguments) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let program = format!("{benchmark}-data");
    let arguments = TableArguments::parse_from(std::iter::once(&program).chain(words));
    anyhow::ensure!(
        arguments.scale_factor > 0.0 && arguments.scale_factor <= 1000.0,
        "--scale-factor {} is out of range; expected more than 0 and at most 1000",
        arguments.scale_factor
    );
    anyhow::ensure!(
        (1..=1000).contains(&arguments.files),
        "--files {} is out of range; expected 1 to 1000",
        arguments.files
    );
    let stamp = arguments.output.join("_COMPLETE");
    let wanted =
        format!("{benchmark}gen sf={} files={}\n", arguments.scale_factor, arguments.files);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(ExitCode::SUCCESS);
    }
    generate(&arguments)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The folder of a table, without what was in it.
pub(crate) fn empty_folder(output: &Path, table: &str) -> anyhow::Result<PathBuf> {
    let folder = output.join(table);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// One file of a table, made at its first batch.
pub(crate) struct TableFile {
    path: PathBuf,
    writer: Option<ArrowWriter<File>>,
}

impl TableFile {
    pub(crate) fn new(folder: &Path, part: i32) -> Self {
        Self { path: folder.join(format!("part-{part:05}.snappy.parquet")), writer: None }
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let batch = plain(batch)?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let writer = open(&self.path, &batch)
                    .with_context(|| format!("cannot write {}", self.path.display()))?;
                self.writer.insert(writer)
            }
        };
        writer.write(&batch).with_context(|| format!("cannot write {}", self.path.display()))
    }

    pub(crate) fn close(self) -> anyhow::Result<()> {
        if let Some(writer) = self.writer {
            writer.close().with_context(|| format!("cannot write {}", self.path.display()))?;
        }
        Ok(())
    }
}

fn open(path: &Path, batch: &RecordBatch) -> anyhow::Result<ArrowWriter<File>> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    // Without Arrow's own schema in the file, as Spark would have written it.
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    Ok(ArrowWriter::try_new_with_options(File::create(path)?, batch.schema(), options)?)
}

/// The batch with plain strings in place of views.
fn plain(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(schema.fields().len());
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let data_type = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            other => other.clone(),
        };
        columns.push(cast(column, &data_type)?);
        fields.push(Field::new(field.name(), data_type, true));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
