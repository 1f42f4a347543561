//! What the operators of a task's plan counted, for the event log (Spark's SQL metrics).

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;

use crate::protocol::OperatorMetric;

/// A plan is used by many tasks, and its operators keep what each counted. Beyond so many it is decoded
/// anew: looking through them would take longer than the task.
pub(super) const KEPT_METRICS: usize = 1024;

/// The operator that writes files (`spark-datasource`), and what it calls their bytes.
const WRITER: &str = "DataWriterExec";
const BYTES_WRITTEN: &str = "bytes_written";

/// What scans of all kinds call the bytes they read.
const BYTES_SCANNED: &str = "bytes_scanned";

/// What one task's operators counted.
#[derive(Default)]
pub(super) struct OperatorMetrics {
    /// By operator, in the order of the plan from its root.
    pub(super) all: Vec<OperatorMetric>,
    /// Processor time of all operators.
    pub(super) compute_nanos: u64,
    pub(super) spilled_bytes: u64,
    /// Read by scans.
    pub(super) input_bytes: u64,
    pub(super) input_rows: u64,
    /// Written by writers of files.
    pub(super) sink_bytes: u64,
    pub(super) sink_rows: u64,
    /// The most entries an operator holds.
    pub(super) kept: usize,
}

/// Collects what the operators counted for a partition.
pub(super) fn collect(plan: &Arc<dyn ExecutionPlan>, partition: usize) -> OperatorMetrics {
    let mut found = OperatorMetrics::default();
    walk(plan, partition, &mut 0, &mut found);
    found
}

fn walk(
    plan: &Arc<dyn ExecutionPlan>,
    partition: usize,
    number: &mut u32,
    found: &mut OperatorMetrics,
) {
    let operator = *number;
    *number += 1;
    // Leaves that read map output count nothing themselves.
    let scans = plan.children().is_empty();
    let writes = plan.name() == WRITER;
    if let Some(metrics) = plan.metrics() {
        found.kept = found.kept.max(metrics.iter().count());
        for metric in metrics.iter().filter(|metric| metric.partition() == Some(partition)) {
            let value = metric.value();
            if matches!(value, MetricValue::StartTimestamp(_) | MetricValue::EndTimestamp(_)) {
                continue;
            }
            let amount = value.as_usize() as u64;
            match value {
                MetricValue::ElapsedCompute(_) => found.compute_nanos += amount,
                MetricValue::SpilledBytes(_) => found.spilled_bytes += amount,
                MetricValue::OutputRows(_) if scans => found.input_rows += amount,
                MetricValue::OutputRows(_) if writes => found.sink_rows += amount,
                MetricValue::Count { name, .. } if scans && name == BYTES_SCANNED => {
                    found.input_bytes += amount;
                }
                MetricValue::Count { name, .. } if writes && name == BYTES_WRITTEN => {
                    found.sink_bytes += amount;
                }
                _ => {}
            }
            if amount > 0 {
                found.all.push(OperatorMetric {
                    operator,
                    node: plan.name().to_owned(),
                    name: value.name().to_owned(),
                    value: amount,
                });
            }
        }
    }
    for child in plan.children() {
        walk(child, partition, number, found);
    }
}
