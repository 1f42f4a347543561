//! Relations that are kept (`cache`, `persist`, checkpoints) on executors.
//!
//! The rows of a kept plan are the map output of a stage of its own, one block per partition, that
//! outlives its query: a plan that reads them has a reader of these blocks in the place of the leaf.
//! What an executor takes with it is computed again as any lost map output is, for its partitions
//! alone. Executors hold what they read in memory as long as there is room, see
//! [`crate::executor::kept`].

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use futures::future::BoxFuture;

use super::adaptive::MapStageOutput;
use super::query::{QueryContext, Retained};
use super::{Command, Engine, query, subqueries};
use crate::nodes::{ReadMode, ShuffleReaderExec};
use crate::plugins::{KeptPlan, kept};
use crate::stages;

/// The rows of one kept plan.
struct KeptRows {
    shuffle: u64,
    output: MapStageOutput,
    schema: SchemaRef,
    /// The shuffle itself and those it would be computed from again.
    _retained: Retained,
    /// Kept plans that it was computed from, for the same reason.
    _sources: Vec<Arc<Self>>,
}

/// What a query reads of kept plans.
#[derive(Default)]
pub(super) struct Reads {
    /// What their stages wrote.
    pub(super) outputs: HashMap<u64, MapStageOutput>,
    /// They stay until the query is over.
    rows: Vec<Arc<KeptRows>>,
}

/// The plan with readers for its kept leaves; what is not kept yet is computed first.
pub(super) fn resolve<'a>(
    engine: &'a Engine,
    plan: Arc<dyn ExecutionPlan>,
    context: &'a QueryContext,
) -> BoxFuture<'a, Result<(Arc<dyn ExecutionPlan>, Reads)>> {
    Box::pin(async move {
        let mut leaves = Vec::new();
        plan.apply(|node| {
            if let Some(leaf) = kept(node) {
                leaves.push((address(node), leaf));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut reads = Reads::default();
        if leaves.is_empty() {
            return Ok((plan, reads));
        }
        let mut readers = HashMap::new();
        for (address, leaf) in leaves {
            let compute = || compute(engine, &leaf, context);
            let rows = leaf.slot.get_or_try_init(compute).await?;
            let rows: Arc<KeptRows> = Arc::clone(rows)
                .downcast()
                .map_err(|_| internal_datafusion_err!("kept rows are of another engine"))?;
            (leaf.on_kept)(rows.output.total());
            reads.outputs.insert(rows.shuffle, rows.output.clone());
            readers.insert(address, reader(&leaf, &rows)?);
            reads.rows.push(rows);
        }
        Ok((replace(plan, &readers)?, reads))
    })
}

fn address(plan: &Arc<dyn ExecutionPlan>) -> usize {
    Arc::as_ptr(plan).cast::<()>() as usize
}

fn replace(
    plan: Arc<dyn ExecutionPlan>,
    readers: &HashMap<usize, Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(reader) = readers.get(&address(&plan)) {
        return Ok(Arc::clone(reader));
    }
    let children = plan.children().into_iter().cloned().collect::<Vec<_>>();
    let children =
        children.into_iter().map(|child| replace(child, readers)).collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}

fn reader(leaf: &KeptPlan, rows: &KeptRows) -> Result<Arc<dyn ExecutionPlan>> {
    let maps = rows.output.maps.len();
    let all: Arc<dyn ExecutionPlan> = if maps == 0 {
        Arc::new(EmptyExec::new(Arc::clone(&rows.schema)))
    } else {
        let reader = ShuffleReaderExec::new(
            rows.shuffle,
            ReadMode::Map,
            EquivalenceProperties::new(Arc::clone(&rows.schema)),
            Partitioning::UnknownPartitioning(maps),
        );
        Arc::new(reader.kept_in_memory(leaf.in_memory))
    };
    let Some(projection) = &leaf.projection else { return Ok(all) };
    let columns = projection.iter().map(|index| {
        let name = rows.schema.field(*index).name();
        ProjectionExpr { expr: Arc::new(Column::new(name, *index)), alias: name.clone() }
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), all)?))
}

/// Runs a kept plan into a stage that stays.
async fn compute(
    engine: &Engine,
    leaf: &KeptPlan,
    context: &QueryContext,
) -> Result<Arc<dyn Any + Send + Sync>> {
    let schema = leaf.plan.schema();
    let plan = subqueries::resolve(engine, Arc::clone(&leaf.plan), context).await?;
    let (plan, sources) = resolve(engine, plan, context).await?;
    let empty = plan.output_partitioning().partition_count() == 0;
    let (graph, shuffle) = stages::cut_into_blocks(plan, &*engine.inner.ids, context.cut())?;
    let mut output = MapStageOutput { bytes: Vec::new(), maps: Vec::new(), keys: Vec::new() };
    let mut retained = Retained::of(engine);
    if !empty {
        let run = query::run_map_stages(engine, graph, context, sources.outputs.clone()).await?;
        retained = run.retained;
        output = run.outputs.get(&shuffle).cloned().ok_or_else(|| {
            internal_datafusion_err!("the stage of kept rows did not say what it wrote")
        })?;
    }
    engine.inner.handle.send(Command::Kept(shuffle));
    let _sources = sources.rows;
    Ok(Arc::new(KeptRows { shuffle, output, schema, _retained: retained, _sources }))
}
