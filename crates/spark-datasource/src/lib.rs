//! Spark data sources over files: parquet, csv, json and text, read and written with Spark's options.
//!
//! [`open`] lists the files of a read, finds their schema and gives a table provider whose scans are split the way Spark
//! splits them; [`prepare_write`] checks a write and gives a plan node whose tasks write files under a staging
//! directory, and a commit that moves exactly the files of the successful attempts into place. [`codec`] carries the
//! crate's own plan nodes to executors; parquet scans are DataFusion's and carry themselves.
//!
//! Matched is Spark 4: `DataSource`, `PartitioningAwareFileIndex`, `FilePartition`, `CSVOptions`, `JSONOptions` and
//! their parsers. Files live on a file system that driver and executors share.

pub mod codec;
mod error;
mod file_name;
mod listing;
mod options;
mod parquet;
mod partitions;
mod path;
mod pruning;
mod schema;
mod source;
mod splits;
mod text;
mod values;
mod write;

pub use file_name::{FILE_NAME_COLUMN, with_file_name};
pub use options::Options;
pub use source::{OpenedSource, SourceContext, SourceSpec, open};
pub use write::{PreparedWrite, SaveMode, WriteSpec, prepare_write};
