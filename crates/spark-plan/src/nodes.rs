//! Operators DataFusion has no word for: sorts inside partitions, exchanges the user asked for, `coalesce(n)`,
//! `tail(n)`, and hints how to join.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;

use datafusion::common::DFSchemaRef;
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, SortExpr, UserDefinedLogicalNodeCore,
};
use std::sync::Arc;

use crate::operators::JoinHint;

/// What a [`SparkNode`] does to its input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum NodeKind {
    /// SORT BY.
    LocalSort(Vec<SortExpr>),
    /// `repartition(n)`: rows go round.
    RoundRobin(usize),
    /// `repartition(n, exprs)`; without a number as many as the session's shuffle partitions.
    HashPartition { exprs: Vec<Expr>, partitions: Option<usize> },
    /// `coalesce(n)`: partitions are read one after the other, nothing moves.
    Coalesce(usize),
    /// The last rows.
    Tail(usize),
    /// How to join what is below, if a join follows.
    JoinHint(JoinHint),
}

/// An operator with the columns of its input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SparkNode {
    pub(crate) kind: NodeKind,
    pub(crate) input: LogicalPlan,
}

impl SparkNode {
    pub(crate) fn plan(kind: NodeKind, input: LogicalPlan) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { kind, input }) })
    }
}

impl PartialOrd for SparkNode {
    fn partial_cmp(&self, _other: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for SparkNode {
    fn name(&self) -> &str {
        match &self.kind {
            NodeKind::LocalSort(_) => "LocalSort",
            NodeKind::RoundRobin(_) | NodeKind::HashPartition { .. } => "Exchange",
            NodeKind::Coalesce(_) => "Coalesce",
            NodeKind::Tail(_) => "Tail",
            NodeKind::JoinHint(_) => "JoinHint",
        }
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        match &self.kind {
            NodeKind::LocalSort(order) => order.iter().map(|s| s.expr.clone()).collect(),
            NodeKind::HashPartition { exprs, .. } => exprs.clone(),
            NodeKind::RoundRobin(_)
            | NodeKind::Coalesce(_)
            | NodeKind::Tail(_)
            | NodeKind::JoinHint(_) => Vec::new(),
        }
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        if matches!(self.kind, NodeKind::Tail(_)) {
            self.input.schema().fields().iter().map(|f| f.name().clone()).collect()
        } else {
            HashSet::new()
        }
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.kind {
            NodeKind::LocalSort(order) => {
                let order: Vec<String> = order.iter().map(ToString::to_string).collect();
                write!(f, "LocalSort: {}", order.join(", "))
            }
            NodeKind::RoundRobin(n) => write!(f, "Exchange: RoundRobin({n})"),
            NodeKind::HashPartition { exprs, partitions } => match partitions {
                Some(n) => write!(f, "Exchange: Hash({}, {n})", list(exprs)),
                None => write!(f, "Exchange: Hash({})", list(exprs)),
            },
            NodeKind::Coalesce(n) => write!(f, "Coalesce: {n}"),
            NodeKind::Tail(n) => write!(f, "Tail: {n}"),
            NodeKind::JoinHint(hint) => write!(f, "JoinHint: {hint}"),
        }
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let kind = match &self.kind {
            NodeKind::LocalSort(order) => NodeKind::LocalSort(
                order
                    .iter()
                    .zip(exprs)
                    .map(|(s, expr)| SortExpr { expr, asc: s.asc, nulls_first: s.nulls_first })
                    .collect(),
            ),
            NodeKind::HashPartition { partitions, .. } => {
                NodeKind::HashPartition { exprs, partitions: *partitions }
            }
            other => other.clone(),
        };
        let Some(input) = inputs.pop() else {
            return datafusion::common::internal_err!("an operator lost its input");
        };
        Ok(Self { kind, input })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut needed: Vec<usize> = output_columns.to_vec();
        for expr in self.expressions() {
            for column in expr.column_refs() {
                needed.push(self.input.schema().maybe_index_of_column(column)?);
            }
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }

    fn supports_limit_pushdown(&self) -> bool {
        matches!(self.kind, NodeKind::JoinHint(_))
    }
}
