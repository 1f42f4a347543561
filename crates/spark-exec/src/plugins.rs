//! The codecs of the crates whose functions and nodes travel inside plans.

use std::any::Any;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::RwLock;
use tokio::sync::OnceCell;

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

/// A leaf that reads rows kept for it (`cache`), as the crate that has it describes it.
pub struct KeptPlan {
    /// The plan whose rows are kept.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The columns read; `None` is all.
    pub projection: Option<Vec<usize>>,
    /// Whether executors may keep the rows in memory.
    pub in_memory: bool,
    /// Where the engine leaves what it made of the plan; dropped, it lets go of the rows.
    pub slot: Arc<OnceCell<Arc<dyn Any + Send + Sync>>>,
    /// Told how many bytes are kept, once they are.
    pub on_kept: Box<dyn Fn(u64) + Send + Sync>,
}

/// Tells whether a node is such a leaf.
pub type FindKept = fn(&Arc<dyn ExecutionPlan>) -> Option<KeptPlan>;

static KEPT: RwLock<Option<FindKept>> = RwLock::new(None);

/// Makes the leaf of kept rows known to the engine of this process.
pub fn register_kept(find: FindKept) {
    *KEPT.write() = Some(find);
}

pub(crate) fn kept(plan: &Arc<dyn ExecutionPlan>) -> Option<KeptPlan> {
    let find = *KEPT.read();
    find.and_then(|find| find(plan))
}
