//! The wire form of the crate's own plan nodes: a tag and JSON. Parquet scans are DataFusion's own and need nothing.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

use crate::error;
use crate::text::scan::{TextScan, TextScanExec};
use crate::write::{DataWriterExec, WriteTask};

/// Begins every encoded node, so that another crate's bytes are not mistaken for ours.
const MAGIC: &[u8; 4] = b"SDS1";
const TEXT_SCAN: u8 = 1;
const DATA_WRITER: u8 = 2;

/// Encodes a node of this crate; its inputs travel apart. `None` for other crates' nodes.
#[must_use]
pub fn encode(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<u8>> {
    let (tag, body) = if let Some(scan) = plan.downcast_ref::<TextScanExec>() {
        (TEXT_SCAN, serde_json::to_vec(scan.scan()))
    } else if let Some(writer) = plan.downcast_ref::<DataWriterExec>() {
        (DATA_WRITER, serde_json::to_vec(writer.task()))
    } else {
        return None;
    };
    let mut bytes = MAGIC.to_vec();
    bytes.push(tag);
    // These structures hold nothing that JSON cannot.
    bytes.extend(body.ok()?);
    Some(bytes)
}

/// Decodes what [`encode`] gave; `None` for bytes that are not ours.
///
/// # Errors
/// If the bytes are ours but broken, or the number of inputs is wrong.
pub fn decode(
    bytes: &[u8],
    inputs: &[Arc<dyn ExecutionPlan>],
    _context: &TaskContext,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some([tag, body @ ..]) = bytes.strip_prefix(MAGIC) else { return Ok(None) };
    let broken = |e: serde_json::Error| DataFusionError::External(Box::new(e));
    let plan: Arc<dyn ExecutionPlan> = match (*tag, inputs) {
        (TEXT_SCAN, []) => {
            let scan: TextScan = serde_json::from_slice(body).map_err(broken)?;
            Arc::new(TextScanExec::new(scan).map_err(error::external)?)
        }
        (DATA_WRITER, [input]) => {
            let task: WriteTask = serde_json::from_slice(body).map_err(broken)?;
            Arc::new(DataWriterExec::new(Arc::clone(input), task).map_err(error::external)?)
        }
        (tag, inputs) => {
            return Err(error::external(error::internal(format!(
                "a data source node with tag {tag} and {} inputs cannot be decoded",
                inputs.len()
            ))));
        }
    };
    Ok(Some(plan))
}
