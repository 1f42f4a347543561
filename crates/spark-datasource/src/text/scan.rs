//! The plan node that reads csv, json and text files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, stats::Precision};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions, StatisticsArgs,
};
use datafusion::scalar::ScalarValue;
use serde::{Deserialize, Serialize};
use spark_sql_parser::types::{Field, Schema};

use super::csv::CsvScan;
use super::json::JsonScan;
use super::plain::PlainScan;
use super::sink::{Flow, Sink};
use crate::error::{self, Result};
use crate::partitions;
use crate::schema::to_arrow_schema;
use crate::source::Column;
use crate::values::zone::Zone;

/// Batches a reader may be ahead of its consumer.
const BATCHES_AHEAD: usize = 2;

/// A piece of a file for one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TextPiece {
    pub(crate) path: PathBuf,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Directory texts of the partition columns.
    pub(crate) partition_texts: Vec<String>,
}

/// The format's own part of a scan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum TextFormat {
    Csv(CsvScan),
    Json(JsonScan),
    Text(PlainScan),
}

/// A scan, whole: what travels to executors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TextScan {
    pub(crate) format: TextFormat,
    /// Columns in the files, as Spark's JSON.
    pub(crate) file_columns: String,
    /// Partition columns, as Spark's JSON.
    pub(crate) partition_columns: String,
    pub(crate) projection: Vec<Column>,
    pub(crate) partitions: Vec<Vec<TextPiece>>,
    pub(crate) limit: Option<usize>,
    /// Zone of timestamps without one.
    pub(crate) zone: String,
}

/// Reads one piece after the other.
pub(crate) trait RecordReader {
    /// Appends the rows of a piece.
    fn read(&mut self, piece: &TextPiece, sink: &mut Sink<'_>) -> Result<Flow>;
}

/// Reads text files.
#[derive(Debug)]
pub(crate) struct TextScanExec {
    scan: Arc<TextScan>,
    file_columns: Arc<Schema>,
    partition_columns: Arc<Schema>,
    zone: Zone,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TextScanExec {
    pub(crate) fn new(scan: TextScan) -> Result<Self> {
        let file_columns = Schema::from_json(&scan.file_columns)?;
        let partition_columns = Schema::from_json(&scan.partition_columns)?;
        let zone = Zone::parse(&scan.zone)
            .ok_or_else(|| error::internal(format!("unknown time zone {}", scan.zone)))?;
        let fields = scan
            .projection
            .iter()
            .map(|column| match column {
                Column::File(index) => file_columns.fields[*index].clone(),
                Column::Partition(index) => partition_columns.fields[*index].clone(),
            })
            .collect();
        let schema = to_arrow_schema(&Schema { fields });
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(scan.partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            scan: Arc::new(scan),
            file_columns: Arc::new(file_columns),
            partition_columns: Arc::new(partition_columns),
            zone,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    pub(crate) fn scan(&self) -> &TextScan {
        &self.scan
    }

    fn format_name(&self) -> &'static str {
        match &self.scan.format {
            TextFormat::Csv(_) => "csv",
            TextFormat::Json(_) => "json",
            TextFormat::Text(_) => "text",
        }
    }

    fn bytes(&self, partition: Option<usize>) -> u64 {
        let pieces = |pieces: &Vec<TextPiece>| -> u64 {
            pieces.iter().map(|piece| piece.end - piece.start).sum()
        };
        match partition {
            Some(partition) => self.scan.partitions.get(partition).map_or(0, pieces),
            None => self.scan.partitions.iter().map(pieces).sum(),
        }
    }
}

impl DisplayAs for TextScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: std::collections::BTreeSet<&Path> =
            self.scan.partitions.iter().flatten().map(|piece| piece.path.as_path()).collect();
        let schema: &ArrowSchema = self.properties.eq_properties.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(
            f,
            "TextScanExec: format={}, files={}, partitions={}, projection=[{}]",
            self.format_name(),
            files.len(),
            self.scan.partitions.len(),
            names.join(", ")
        )?;
        match self.scan.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for TextScanExec {
    fn name(&self) -> &'static str {
        "TextScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let schema = Arc::clone(self.properties.eq_properties.schema());
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&schema), BATCHES_AHEAD);
        let sender = builder.tx();
        let task = ReadTask {
            scan: Arc::clone(&self.scan),
            partition,
            file_columns: Arc::clone(&self.file_columns),
            partition_columns: Arc::clone(&self.partition_columns),
            zone: self.zone,
            schema,
            batch_rows: context.session_config().batch_size(),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let scanned = MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition);
        scanned.add(usize::try_from(self.bytes(Some(partition))).unwrap_or(usize::MAX));
        builder.spawn_blocking(move || {
            let timer = metrics.elapsed_compute().timer();
            let result = task.run(&mut |batch| {
                metrics.record_output(batch.num_rows());
                // The consumer has left when nothing can be sent: no error.
                sender.blocking_send(Ok(batch)).is_ok()
            });
            drop(timer);
            result.map_err(error::external)
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        let bytes = usize::try_from(self.bytes(args.partition())).unwrap_or(usize::MAX);
        let mut statistics = Statistics::new_unknown(self.properties.eq_properties.schema());
        statistics.total_byte_size = Precision::Inexact(bytes);
        Ok(Arc::new(statistics))
    }
}

struct ReadTask {
    scan: Arc<TextScan>,
    partition: usize,
    file_columns: Arc<Schema>,
    partition_columns: Arc<Schema>,
    zone: Zone,
    schema: SchemaRef,
    batch_rows: usize,
}

impl ReadTask {
    fn run(&self, send: &mut dyn FnMut(arrow::array::RecordBatch) -> bool) -> Result<()> {
        let indices: Vec<usize> = self
            .scan
            .projection
            .iter()
            .filter_map(|column| match column {
                Column::File(index) => Some(*index),
                Column::Partition(_) => None,
            })
            .collect();
        let (mut reader, builders) = match &self.scan.format {
            TextFormat::Csv(csv) => csv.reader(&self.file_columns, &indices, self.zone)?,
            TextFormat::Json(json) => json.reader(&self.file_columns, &indices, self.zone)?,
            TextFormat::Text(plain) => plain.reader(&indices),
        };
        let mut sink = Sink::new(
            builders,
            Arc::clone(&self.schema),
            self.scan.projection.clone(),
            self.batch_rows,
            self.scan.limit,
            send,
        );
        for piece in &self.scan.partitions[self.partition] {
            let values = self.partition_values(piece)?;
            if sink.set_partition_values(values)? == Flow::Stop
                || reader.read(piece, &mut sink)? == Flow::Stop
            {
                return Ok(());
            }
        }
        sink.flush()?;
        Ok(())
    }

    fn partition_values(&self, piece: &TextPiece) -> Result<Vec<ScalarValue>> {
        self.partition_columns
            .fields
            .iter()
            .zip(&piece.partition_texts)
            .map(|(Field { name, data_type, .. }, text)| {
                partitions::value(name, text, data_type, self.zone)
            })
            .collect()
    }
}
