//! A check for tests: every plan that is sent comes back as it was. Development builds, which all tests run, do it
//! always.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable};
use datafusion::prelude::SessionConfig;

use super::{decode_context, decode_plan};

static ON: AtomicBool = AtomicBool::new(cfg!(debug_assertions));

/// From now on each plan this process encodes is decoded again and compared: its nodes, their
/// schemas, partitions and orders, and every expression to the last field. Costs as much again; a development build
/// does so from its start.
pub fn check_every_plan() {
    ON.store(true, Ordering::Relaxed);
}

pub(super) fn check(plan: &Arc<dyn ExecutionPlan>, bytes: &Bytes) -> Result<()> {
    if !ON.load(Ordering::Relaxed) {
        return Ok(());
    }
    let context = decode_context(SessionConfig::new(), Arc::new(RuntimeEnv::default()));
    let back = decode_plan(bytes, &context)?;
    let (sent, received) = (describe(plan)?, describe(&back)?);
    for (sent, received) in sent.iter().zip(&received) {
        if sent != received {
            return internal_err!(
                "a plan changed on its way to executors: {sent} became {received}"
            );
        }
    }
    if sent.len() != received.len() {
        return internal_err!("a plan of {} nodes became one of {}", sent.len(), received.len());
    }
    Ok(())
}

/// One text per node, with all that must survive.
fn describe(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    plan.apply(|node| {
        if changes_nothing(node)? {
            return Ok(TreeNodeRecursion::Continue);
        }
        let mut expressions = Vec::new();
        node.apply_expressions(&mut |expression| {
            expressions.push(without_target_fields(&format!("{expression:?}")));
            Ok(TreeNodeRecursion::Continue)
        })?;
        texts.push(format!(
            "{} of {:?} in {} partitions ordered {:?} with {}",
            displayable(node.as_ref()).one_line(),
            node.schema().fields().iter().map(|f| (f.name(), f.data_type())).collect::<Vec<_>>(),
            node.output_partitioning().partition_count(),
            node.output_ordering(),
            expressions.join("; ")
        ));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(texts)
}

/// Whether a node gives its input as it is. A union whose inputs are nullable here and there casts
/// them to one schema; `datafusion-proto` loses the nullability such a cast states, so the decoded
/// union casts again, to no effect.
fn changes_nothing(node: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let Some(projection) = node.downcast_ref::<ProjectionExec>() else { return Ok(false) };
    let schema = projection.input().schema();
    for (index, output) in projection.expr().iter().enumerate() {
        let inner = match output.expr.downcast_ref::<CastExpr>() {
            Some(cast) => cast.expr(),
            None => &output.expr,
        };
        let same = inner
            .downcast_ref::<Column>()
            .is_some_and(|column| column.index() == index && column.name() == output.alias);
        if !same || output.expr.data_type(&schema)? != inner.data_type(&schema)? {
            return Ok(false);
        }
    }
    Ok(projection.expr().len() == schema.fields().len())
}

/// The text without the fields that casts name as their targets: their types are in the text too.
fn without_target_fields(text: &str) -> String {
    const STARTS: &str = "target_field: Field {";
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, field)) = rest.split_once(STARTS) {
        out.push_str(before);
        rest = field.split_once("}, ").map_or("", |(_, rest)| rest);
        rest = rest.strip_prefix("explicit_target: true, ").unwrap_or(rest);
        rest = rest.strip_prefix("explicit_target: false, ").unwrap_or(rest);
    }
    out + rest
}
