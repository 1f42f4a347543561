//! From the plan language to DataFusion's logical plan, by the rules of Spark's analyzer.
//!
//! Resolution has two parts. Everything that may wait (opening files, running a query for the values of a pivot) is
//! done first by [`leaves`]; the analysis itself is a plain recursion over the relation. When the analysis finds that
//! it needs an answer it does not have yet, it says which, the answer is fetched, and the analysis starts again.

mod aggregate;
mod call;
mod expression;
mod file_name;
mod generate;
mod join;
mod leaves;
mod name;
mod pivot;
mod project;
mod relation;
mod scope;
mod set_operation;
mod sort;
mod source;
mod statistics;
mod subquery;
mod transform;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use datafusion::common::DFSchema;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use spark_functions::FunctionContext;
use spark_sql_parser::ast;
use spark_sql_parser::types::DataType;

use crate::catalog::CATALOG;
use crate::errors::{Result, from_datafusion};
use crate::field::{OutputField, Rel, ResolvedPlan};
use crate::session::Session;
use crate::state::Mode;
use leaves::{Leaves, Need};
use scope::Env;
pub(crate) use source::scan;

/// Runs a physical plan for the resolver and for commands.
#[async_trait]
pub trait QueryRunner: Send + Sync {
    /// How plans are to be planned for this runner.
    fn mode(&self, session: &Session) -> Mode;

    /// Starts the plan and returns its rows.
    async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
    ) -> Result<SendableRecordBatchStream>;
}

/// Resolves relations for one session.
pub struct Resolver<'a> {
    session: &'a Session,
    runner: Option<&'a dyn QueryRunner>,
}

impl<'a> Resolver<'a> {
    #[must_use]
    pub fn new(session: &'a Session) -> Self {
        Self { session, runner: None }
    }

    /// With a runner, relations whose columns depend on data (pivot without values, crosstab) can be resolved.
    #[must_use]
    pub fn with_runner(mut self, runner: &'a dyn QueryRunner) -> Self {
        self.runner = Some(runner);
        self
    }

    /// Resolves a relation.
    ///
    /// # Errors
    /// Spark's analysis errors, and what opening its sources reports.
    pub async fn resolve(&self, relation: &ast::Relation) -> Result<ResolvedPlan> {
        if !self.session.shared.cache.is_empty() {
            self.session.shared.cache.renew(self.session, self.runner).await;
        }
        let mut leaves = Leaves::default();
        leaves.prepare(self.session, self.runner, relation).await?;
        let mut use_kept = !self.session.shared.cache.is_empty();
        loop {
            let analyzer = Analyzer::new(self.session, &leaves, use_kept);
            let outcome = analyzer.top(relation);
            match analyzer.need.into_inner() {
                Some(need) => leaves.fetch(self.session, self.runner, need).await?,
                // What is kept has its output columns only; an operator above may reach others.
                None if outcome.is_err() && use_kept => use_kept = false,
                None => return outcome,
            }
        }
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A name no other column of any plan has.
pub(crate) fn fresh_name(name: &str) -> String {
    format!("{name}#{}", NEXT_ID.fetch_add(1, Ordering::Relaxed))
}

/// The analysis of one relation.
pub(crate) struct Analyzer<'a> {
    pub(crate) session: &'a Session,
    leaves: &'a Leaves,
    /// Whether kept rows stand for the relations they were kept for.
    use_kept: bool,
    need: std::cell::RefCell<Option<Need>>,
    pub(crate) ansi: bool,
    pub(crate) time_zone: String,
    pub(crate) case_sensitive: bool,
    now_micros: i64,
    database: String,
}

impl<'a> Analyzer<'a> {
    fn new(session: &'a Session, leaves: &'a Leaves, use_kept: bool) -> Self {
        Self {
            session,
            leaves,
            use_kept,
            need: std::cell::RefCell::new(None),
            ansi: session.ansi(),
            time_zone: session.time_zone(),
            case_sensitive: session.case_sensitive(),
            now_micros: chrono::Utc::now().timestamp_micros(),
            database: session.current_database(),
        }
    }

    fn top(&self, relation: &ast::Relation) -> Result<ResolvedPlan> {
        let rel = self.relation(relation, Env::default())?.pruned()?;
        let plan = file_name::placed(rel.plan)?;
        Ok(ResolvedPlan { plan, fields: rel.fields, render: rel.render })
    }

    pub(crate) fn context<'c>(&'c self, schema: &'c DFSchema) -> FunctionContext<'c> {
        FunctionContext {
            ansi: self.ansi,
            time_zone: &self.time_zone,
            schema,
            now_micros: self.now_micros,
            user: &self.session.user,
            catalog: CATALOG,
            database: &self.database,
        }
    }

    pub(crate) fn scalar(&self, name: &str, args: Vec<Expr>, schema: &DFSchema) -> Result<Expr> {
        spark_functions::scalar(name, args, &self.context(schema))
    }

    pub(crate) fn cast(&self, expr: Expr, to: &DataType, schema: &DFSchema) -> Result<Expr> {
        spark_functions::cast(expr, to, ast::CastMode::Session, &self.context(schema))
    }

    pub(crate) fn type_of(&self, expr: &Expr, schema: &DFSchema) -> Result<DataType> {
        let arrow = expr.get_type(schema).map_err(from_datafusion)?;
        Ok(spark_functions::types::from_arrow(&arrow))
    }
}

/// The description of an expression as an output column under a given internal name.
pub(crate) fn output_field(
    expr: &Expr,
    schema: &DFSchema,
    name: &str,
    internal: String,
) -> Result<OutputField> {
    let (_, field) = expr.to_field(schema).map_err(from_datafusion)?;
    Ok(OutputField {
        name: name.to_owned(),
        data_type: spark_functions::types::from_arrow(field.data_type()),
        nullable: field.is_nullable(),
        qualifier: Vec::new(),
        plan_ids: Vec::new(),
        internal,
        metadata: None,
    })
}

/// Gives a relation new internal names, so that it can stand in a plan a second time.
pub(crate) fn refreshed(rel: Rel) -> Result<Rel> {
    let mut exprs = Vec::with_capacity(rel.fields.len());
    let mut fields = Vec::with_capacity(rel.fields.len());
    for field in &rel.fields {
        let internal = fresh_name(&field.name);
        exprs.push(field.column().alias(internal.clone()));
        fields.push(OutputField { internal, ..field.clone() });
    }
    let plan = project(rel.plan, exprs)?;
    Ok(Rel { plan, fields, hidden: Vec::new(), render: rel.render })
}

pub(crate) fn project(input: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    let projection = datafusion::logical_expr::Projection::try_new(exprs, Arc::new(input))
        .map_err(from_datafusion)?;
    Ok(LogicalPlan::Projection(projection))
}

pub(crate) fn filter(input: LogicalPlan, predicate: Expr) -> Result<LogicalPlan> {
    let filter = datafusion::logical_expr::Filter::try_new(predicate, Arc::new(input))
        .map_err(from_datafusion)?;
    Ok(LogicalPlan::Filter(filter))
}
