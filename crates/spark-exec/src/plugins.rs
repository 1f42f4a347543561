//! The codecs of the crates whose functions and nodes travel inside plans.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::RwLock;

pub(crate) use spark_functions::codec::{
    decode_higher_order, decode_udaf, decode_udf, decode_udwf, encode_higher_order, encode_udaf,
    encode_udf, encode_udwf,
};

/// How the plan nodes of another crate travel.
#[derive(Debug, Clone, Copy)]
pub struct NodeCodec {
    /// The node itself without its inputs; `None` if it is not of that crate.
    pub encode: fn(&Arc<dyn ExecutionPlan>) -> Option<Vec<u8>>,
    /// The node; `None` if the bytes are not of that crate.
    pub decode: DecodeNode,
}

/// Decodes a node over its inputs.
pub type DecodeNode =
    fn(&[u8], &[Arc<dyn ExecutionPlan>], &TaskContext) -> Result<Option<Arc<dyn ExecutionPlan>>>;

static NODES: RwLock<Vec<NodeCodec>> = RwLock::new(Vec::new());

/// Makes the nodes of a crate known to driver and executor of this process; the program does so at
/// its start, in the same way in both roles.
pub fn register_nodes(codec: NodeCodec) {
    NODES.write().push(codec);
}

pub(crate) fn encode_source(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<u8>> {
    NODES.read().iter().find_map(|codec| (codec.encode)(plan))
}

pub(crate) fn decode_source(
    payload: &[u8],
    inputs: &[Arc<dyn ExecutionPlan>],
    context: &TaskContext,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    for codec in NODES.read().iter() {
        if let Some(plan) = (codec.decode)(payload, inputs, context)? {
            return Ok(Some(plan));
        }
    }
    Ok(None)
}
