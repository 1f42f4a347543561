//! Which row goes to which file: partition directories, file counters, open writers.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::SchemaRef;
use spark_sql_parser::types::Schema;
use uuid::Uuid;

use super::cells::{Cells, TextStyle};
use super::{WriteFormat, WriteTask, csv, json, parquet};
use crate::error::{self, Result};
use crate::path;
use crate::schema::to_arrow_schema;
use crate::values::zone::Zone;

/// Files of different partition values that one task keeps open; the one that was idle longest is closed first.
const MAX_OPEN_FILES: usize = 128;

/// A finished file.
#[derive(Debug, Clone)]
pub(super) struct WrittenFile {
    pub(super) staged: PathBuf,
    pub(super) target: PathBuf,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Writes rows of one format to one file.
pub(super) trait FileWriter: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    fn finish(self: Box<Self>) -> Result<()>;
}

struct OpenFile {
    writer: Box<dyn FileWriter>,
    staged: PathBuf,
    target: PathBuf,
    rows: u64,
    last_use: u64,
}

/// Distributes the rows of one task attempt.
pub(super) struct Dispatcher<'a> {
    task: &'a WriteTask,
    partition: usize,
    zone: Zone,
    /// `<staging>/<attempt>`.
    directory: PathBuf,
    /// The columns of the input, and those that are written into the files.
    schema: SchemaRef,
    columns: &'a Schema,
    file_columns: Vec<usize>,
    file_schema: Schema,
    file_arrow: SchemaRef,
    open: HashMap<String, OpenFile>,
    /// Files begun per directory.
    counters: HashMap<String, usize>,
    clock: u64,
    written: Vec<WrittenFile>,
}

impl<'a> Dispatcher<'a> {
    pub(super) fn new(task: &'a WriteTask, columns: &'a Schema, partition: usize) -> Result<Self> {
        let file_columns: Vec<usize> = (0..columns.fields.len())
            .filter(|index| !task.partition_columns.contains(index))
            .collect();
        let file_schema = Schema {
            fields: file_columns.iter().map(|index| columns.fields[*index].clone()).collect(),
        };
        let zone = Zone::parse(&task.zone)
            .ok_or_else(|| error::bad_option("timeZone", &task.zone, "it must be a time zone"))?;
        Ok(Self {
            task,
            partition,
            zone,
            directory: task.staging.join(Uuid::new_v4().to_string()),
            schema: to_arrow_schema(columns),
            columns,
            file_columns,
            file_arrow: to_arrow_schema(&file_schema),
            file_schema,
            open: HashMap::new(),
            counters: HashMap::new(),
            clock: 0,
            written: Vec::new(),
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = self.conformed(batch)?;
        let file_batch = self.file_batch(&columns, batch.num_rows())?;
        if self.task.partition_columns.is_empty() {
            return self.append("", &file_batch);
        }
        for (directory, rows) in self.rows_by_directory(&columns, batch.num_rows())? {
            let part = if rows.len() == batch.num_rows() {
                file_batch.clone()
            } else {
                take_record_batch(&file_batch, &UInt32Array::from(rows))
                    .map_err(|e| error::internal(e.to_string()))?
            };
            self.append(&directory, &part)?;
        }
        Ok(())
    }

    /// Ends all files. The first partition leaves a file even without rows, so that the schema is kept.
    pub(super) fn finish(mut self) -> Result<Vec<WrittenFile>> {
        let nothing = self.open.is_empty() && self.written.is_empty();
        if nothing && self.partition == 0 && self.task.partition_columns.is_empty() {
            let empty = RecordBatch::new_empty(Arc::clone(&self.file_arrow));
            self.append("", &empty)?;
        }
        let mut rest: Vec<OpenFile> = self.open.drain().map(|(_, file)| file).collect();
        rest.sort_by(|a, b| a.target.cmp(&b.target));
        for file in rest {
            self.close(file)?;
        }
        Ok(self.written)
    }

    /// The columns in the types that files are written with.
    fn conformed(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    return Ok(Arc::clone(column));
                }
                cast(column, field.data_type()).map_err(|e| {
                    error::internal(format!("the column {} cannot be written: {e}", field.name()))
                })
            })
            .collect()
    }

    fn file_batch(&self, columns: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        let columns = self.file_columns.iter().map(|index| Arc::clone(&columns[*index])).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.file_arrow), columns, &options)
            .map_err(|e| error::internal(e.to_string()))
    }

    /// Row numbers by the directory they belong to, in the order in which directories appear.
    fn rows_by_directory(
        &self,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<Vec<(String, Vec<u32>)>> {
        let style = TextStyle::cast(self.zone);
        let cells = self
            .task
            .partition_columns
            .iter()
            .map(|index| {
                let field = &self.columns.fields[*index];
                Ok((field.name.as_str(), Cells::new(&columns[*index], &field.data_type)?))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut text = Vec::new();
        for row in 0..rows {
            let mut directory = String::new();
            for (name, cells) in &cells {
                text.clear();
                let value = if cells.is_null(row) {
                    None
                } else {
                    cells.write_text(row, &style, &mut text);
                    Some(String::from_utf8_lossy(&text))
                };
                if !directory.is_empty() {
                    directory.push('/');
                }
                directory.push_str(&path::partition_directory(name, value.as_deref()));
            }
            let number = u32::try_from(row).unwrap_or(u32::MAX);
            match known.get(&directory) {
                Some(group) => groups[*group].1.push(number),
                None => {
                    known.insert(directory.clone(), groups.len());
                    groups.push((directory, vec![number]));
                }
            }
        }
        Ok(groups)
    }

    /// Appends rows to the file of a directory, which begins anew when it is full.
    fn append(&mut self, directory: &str, batch: &RecordBatch) -> Result<()> {
        let limit = match self.task.max_records_per_file {
            0 => u64::MAX,
            limit => limit,
        };
        let mut offset = 0;
        loop {
            self.make_open(directory)?;
            self.clock += 1;
            let Some(file) = self.open.get_mut(directory) else {
                return Err(error::internal("a file that was just opened is gone"));
            };
            let left = (batch.num_rows() - offset) as u64;
            let count = left.min(limit - file.rows);
            let part = batch.slice(offset, count as usize);
            file.writer.write(&part)?;
            file.rows += count;
            file.last_use = self.clock;
            offset += count as usize;
            if offset >= batch.num_rows() {
                return Ok(());
            }
            if let Some(full) = self.open.remove(directory) {
                self.close(full)?;
            }
        }
    }

    fn make_open(&mut self, directory: &str) -> Result<()> {
        if self.open.contains_key(directory) {
            return Ok(());
        }
        if self.open.len() >= MAX_OPEN_FILES {
            let idle =
                self.open.iter().min_by_key(|(_, file)| file.last_use).map(|(key, _)| key.clone());
            if let Some(file) = idle.and_then(|key| self.open.remove(&key)) {
                self.close(file)?;
            }
        }
        let counter = self.counters.entry(directory.to_owned()).or_insert(0);
        // Spark separates the counter by a dash, in partition directories by a dot.
        let separator = if self.task.partition_columns.is_empty() { '-' } else { '.' };
        let name = format!(
            "part-{:05}-{}{separator}c{counter:03}{}",
            self.partition,
            self.task.job,
            self.task.format.suffix()
        );
        *counter += 1;
        let target = Path::new(directory).join(name);
        let staged = self.directory.join(&target);
        let failed =
            |e: std::io::Error| error::write_failed(&path::to_uri(&staged), &e.to_string());
        if let Some(parent) = staged.parent() {
            create_below(&self.task.staging, parent).map_err(failed)?;
        }
        let output = BufWriter::with_capacity(1 << 16, File::create(&staged).map_err(failed)?);
        let writer = self.writer(output, &staged)?;
        self.open.insert(
            directory.to_owned(),
            OpenFile { writer, staged, target, rows: 0, last_use: self.clock },
        );
        Ok(())
    }

    fn writer(&self, output: BufWriter<File>, staged: &Path) -> Result<Box<dyn FileWriter>> {
        let uri = path::to_uri(staged);
        Ok(match &self.task.format {
            WriteFormat::Parquet(options) => Box::new(parquet::ParquetFile::new(
                output,
                options,
                &self.file_schema,
                &self.file_arrow,
                uri,
            )?),
            WriteFormat::Csv(options) => {
                Box::new(csv::CsvFile::new(output, options, &self.file_schema, self.zone, uri)?)
            }
            WriteFormat::Json(options) => {
                Box::new(json::JsonFile::new(output, options, &self.file_schema, self.zone, uri)?)
            }
            WriteFormat::Text(options) => {
                Box::new(csv::TextFile::new(output, options, self.zone, uri)?)
            }
        })
    }

    fn close(&mut self, file: OpenFile) -> Result<()> {
        file.writer.finish()?;
        let bytes = fs::metadata(&file.staged)
            .map_err(|e| error::write_failed(&path::to_uri(&file.staged), &e.to_string()))?
            .len();
        self.written.push(WrittenFile {
            staged: file.staged,
            target: file.target,
            rows: file.rows,
            bytes,
        });
        Ok(())
    }
}

/// Makes a directory below another one that must be there: the staging directory of a write that has ended stays away.
fn create_below(base: &Path, directory: &Path) -> std::io::Result<()> {
    let below = directory.strip_prefix(base).map_err(std::io::Error::other)?;
    let mut path = base.to_owned();
    for component in below.components() {
        path.push(component);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let why = "the write has ended, or this host does not share the path";
                let gone = format!("{} is not there: {why}", base.display());
                return Err(std::io::Error::new(error.kind(), gone));
            }
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
