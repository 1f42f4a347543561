//! One method per kind of relation, or the way to the file that has it.

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Distinct, EmptyRelation, Expr, Limit, LogicalPlan, SortExpr};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

use super::scope::{Clause, CteFrame, Env, HintFrame, Scope};
use super::{Analyzer, filter, refreshed};
use crate::errors::{self, Result, from_datafusion, internal, unsupported};
use crate::field::{OutputField, Rel, same_name};
use crate::nodes::{NodeKind, SparkNode};
use crate::operators::JoinHint;
use crate::render::Render;
use spark_sql_parser::ast::{self, Relation, RelationKind};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

impl Analyzer<'_> {
    /// Resolves a relation and marks its columns with its plan id.
    pub(crate) fn relation(&self, relation: &Relation, env: Env<'_>) -> Result<Rel> {
        stacker::maybe_grow(256 * 1024, 4 * 1024 * 1024, || {
            let rel = match self.kept(relation, env)? {
                Some(rel) => rel,
                None => self.relation_kind(relation, env)?,
            };
            Ok(attach_plan_id(rel, relation.plan_id))
        })
    }

    /// The rows kept for a relation. Names of a WITH clause are none a cache knows.
    fn kept(&self, relation: &Relation, env: Env<'_>) -> Result<Option<Rel>> {
        if !self.use_kept || env.ctes.is_some() {
            return Ok(None);
        }
        let Some(kept) = self.session.shared.cache.current(self.session, relation) else {
            return Ok(None);
        };
        let rel = kept.scan()?;
        Ok(Some(match &relation.kind {
            RelationKind::NamedTable { name, .. } => match name.last() {
                Some(last) => self.hinted(rel, last, env),
                None => rel,
            },
            _ => rel,
        }))
    }

    fn relation_kind(&self, relation: &Relation, env: Env<'_>) -> Result<Rel> {
        use RelationKind as K;
        match &relation.kind {
            K::OneRow => Ok(one_row()),
            K::NamedTable { name, .. } => self.named_table(name, env),
            K::DataSource { .. } => self.data_source(&relation.kind),
            K::LocalRelation { data, schema } => {
                super::source::local_relation(data.as_deref(), schema.as_ref())
            }
            K::CachedRemoteRelation { id } => self.cached_relation(id),
            K::Range { start, end, step, num_partitions } => {
                super::source::range(self.session, *start, *end, *step, *num_partitions)
            }
            K::Values { rows } => self.values(rows, env),
            K::TableFunction { name, args } => self.table_function(name, args, env),
            K::Project { input, exprs } => {
                let input = self.relation(input, env)?;
                self.project(input, exprs, env)
            }
            K::Filter { input, condition } => {
                let input = self.relation(input, env)?;
                self.filter(input, condition, env)
            }
            K::Qualify { input, condition } => self.qualify(input, condition, env),
            K::Join(join) => self.join(join, env),
            K::SetOperation(operation) => self.set_operation(operation, env),
            K::Sort { input, order, global } => self.sort(input, order, *global, env),
            K::Limit { input, limit } => {
                let rel = self.relation(input, env)?;
                let fetch = self.row_count(limit, "limit", env)?;
                limited(rel, 0, Some(fetch))
            }
            K::Offset { input, offset } => {
                let rel = self.relation(input, env)?;
                let skip = self.row_count(offset, "offset", env)?;
                limited(rel, skip, None)
            }
            K::Tail { input, limit } => {
                let rel = self.relation(input, env)?.pruned()?;
                let rows = usize::try_from(*limit).unwrap_or(0);
                Ok(rel.wrap(NodeKind::Coalesce(1)).wrap(NodeKind::Tail(rows)))
            }
            K::Aggregate(aggregate) => self.aggregate(aggregate, &[], env).map(|(rel, _)| rel),
            K::LateralView { input, generator, outer, table_alias, column_aliases } => self
                .lateral_view(
                    input,
                    generator,
                    *outer,
                    table_alias.as_deref(),
                    column_aliases,
                    env,
                ),
            K::SubqueryAlias { input, alias, columns } => {
                // An alias hides the names below it from hints above.
                let rel = self.relation(input, Env { hints: None, ..env })?;
                let rel = aliased(rel, alias, columns)?;
                Ok(self.hinted(rel, alias, env))
            }
            K::With { ctes, recursive, input } => {
                if *recursive
                    && let Some(cte) = ctes.iter().find(|c| refers_to(&c.relation, &c.name))
                {
                    return Err(unsupported(format!(
                        "the recursion of {} in WITH RECURSIVE",
                        errors::quoted(std::slice::from_ref(&cte.name))
                    )));
                }
                self.with(ctes, input, env)
            }
            K::Deduplicate { input, columns, all_columns } => {
                let rel = self.relation(input, env)?;
                self.deduplicate(rel, columns, *all_columns)
            }
            K::Repartition { input, num_partitions, shuffle } => {
                let rel = self.relation(input, env)?.pruned()?;
                let count = positive("number of partitions", i64::from(*num_partitions))?;
                Ok(rel.wrap(if *shuffle {
                    NodeKind::RoundRobin(count)
                } else {
                    NodeKind::Coalesce(count)
                }))
            }
            K::RepartitionByExpression { input, exprs, num_partitions } => {
                let rel = self.relation(input, env)?.pruned()?;
                let scope = Scope::of(&rel, env, Clause::Other);
                let mut keys = Vec::with_capacity(exprs.len());
                for expr in exprs {
                    let expr = match expr {
                        ast::Expr::SortOrder(order) => &order.expr,
                        other => other,
                    };
                    keys.push(self.expression(expr, &scope)?);
                }
                let partitions = num_partitions
                    .map(|n| positive("number of partitions", i64::from(n)))
                    .transpose()?;
                Ok(rel.wrap(if keys.is_empty() {
                    let count = partitions.unwrap_or_else(|| self.session.shuffle_partitions());
                    NodeKind::RoundRobin(count)
                } else {
                    NodeKind::HashPartition { exprs: keys, partitions }
                }))
            }
            K::Hint { input, name, parameters } => self.hint(input, name, parameters, env),
            K::WithColumns { input, columns } => {
                let rel = self.relation(input, env)?;
                self.with_columns(rel, columns, env)
            }
            K::WithColumnsRenamed { input, renames } => {
                let rel = self.relation(input, env)?;
                self.renamed(rel, renames)
            }
            K::ToDf { input, names } => {
                let rel = self.relation(input, env)?;
                super::transform::to_df(rel, names)
            }
            K::Drop { input, columns, names } => {
                let rel = self.relation(input, env)?;
                self.drop_columns(rel, columns, names, env)
            }
            K::ToSchema { input, schema } => {
                let rel = self.relation(input, env)?;
                self.to_schema(rel, schema)
            }
            K::Sample { input, lower, upper, with_replacement, seed } => {
                let rel = self.relation(input, env)?;
                self.sample(rel, *lower, *upper, *with_replacement, *seed)
            }
            K::Unpivot { input, ids, values, variable_column, value_column } => {
                let rel = self.relation(input, env)?;
                self.unpivot(rel, ids, values.as_deref(), variable_column, value_column, env)
            }
            K::ShowString { input, num_rows, truncate, vertical } => {
                let rel = self.relation(input, env)?.pruned()?;
                let rows = usize::try_from(*num_rows).unwrap_or(0).min(2_147_483_632);
                let render = Render::Show {
                    fields: rel.fields.clone(),
                    rows,
                    truncate: usize::try_from(*truncate).unwrap_or(0),
                    vertical: *vertical,
                    time_zone: self.time_zone.clone(),
                };
                let mut rel = limited(rel, 0, Some(rows + 1))?;
                rel.render = Some(render);
                Ok(rel)
            }
            K::HtmlString { input, num_rows, truncate } => {
                let rel = self.relation(input, env)?.pruned()?;
                let rows = usize::try_from(*num_rows).unwrap_or(0).min(2_147_483_632);
                let render = Render::Html {
                    fields: rel.fields.clone(),
                    rows,
                    truncate: usize::try_from(*truncate).unwrap_or(0),
                    time_zone: self.time_zone.clone(),
                };
                let mut rel = limited(rel, 0, Some(rows + 1))?;
                rel.render = Some(render);
                Ok(rel)
            }
            K::FillNa { input, columns, values } => {
                let rel = self.relation(input, env)?;
                self.fill_na(rel, columns, values)
            }
            K::DropNa { input, columns, min_non_nulls } => {
                let rel = self.relation(input, env)?;
                self.drop_na(rel, columns, *min_non_nulls)
            }
            K::Replace { input, columns, replacements } => {
                let rel = self.relation(input, env)?;
                self.replace(rel, columns, replacements)
            }
            K::Describe { input, columns } => {
                let rel = self.relation(input, env)?;
                self.describe(rel, columns)
            }
            K::Summary { input, statistics } => {
                let rel = self.relation(input, env)?;
                self.summary(rel, statistics)
            }
            K::Crosstab { input, left, right } => {
                let rel = self.relation(input, env)?;
                self.crosstab(relation, rel, left, right)
            }
        }
    }

    fn with(&self, ctes: &[ast::Cte], input: &Relation, env: Env<'_>) -> Result<Rel> {
        let Some((first, rest)) = ctes.split_first() else { return self.relation(input, env) };
        let mut rel = self.relation(&first.relation, env)?.pruned()?;
        if !first.columns.is_empty() {
            rel = aliased(rel, &first.name, &first.columns)?;
        }
        let frame = CteFrame { name: &first.name, rel: &rel, parent: env.ctes };
        self.with(rest, input, Env { ctes: Some(&frame), ..env })
    }

    fn named_table(&self, name: &[String], env: Env<'_>) -> Result<Rel> {
        if let [single] = name {
            let mut frame = env.ctes;
            while let Some(cte) = frame {
                if same_name(cte.name, single, self.case_sensitive) {
                    let mut rel = refreshed(cte.rel.clone())?;
                    for field in &mut rel.fields {
                        field.qualifier = vec![single.clone()];
                        field.plan_ids.clear();
                    }
                    return Ok(rel);
                }
                frame = cte.parent;
            }
        }
        match self.leaves.table(name) {
            Some(leaf) => {
                let rel = self.leaf(leaf)?;
                Ok(match name.last() {
                    Some(last) => self.hinted(rel, last, env),
                    None => rel,
                })
            }
            None => Err(errors::table_not_found(name)),
        }
    }

    /// Marks a relation that a join hint names; of several the outermost, which is written first.
    fn hinted(&self, rel: Rel, name: &str, env: Env<'_>) -> Rel {
        let naming = std::iter::successors(env.hints, |frame| frame.parent)
            .filter(|frame| frame.names.iter().any(|n| same_name(n, name, self.case_sensitive)));
        match naming.last() {
            Some(frame) => rel.wrap(NodeKind::JoinHint(frame.hint)),
            None => rel,
        }
    }

    fn data_source(&self, kind: &RelationKind) -> Result<Rel> {
        match self.leaves.source(kind) {
            Some(leaf) => self.leaf(leaf),
            None => Err(internal("a data source was not opened before the analysis")),
        }
    }

    fn cached_relation(&self, id: &str) -> Result<Rel> {
        let Some(plan) = self.session.remembered(id) else {
            return Err(SparkError::new(
                ErrorKind::Execution,
                "INVALID_HANDLE.CACHED_RELATION_NOT_FOUND",
                "HY000",
                format!("The relation {id} is not kept by this session (any more)."),
            ));
        };
        let rel =
            Rel { plan: plan.plan, fields: plan.fields, hidden: Vec::new(), render: plan.render };
        refreshed(rel)
    }

    /// A WHERE, a HAVING below which nothing is grouped, or `DataFrame.filter`.
    pub(crate) fn filter(&self, rel: Rel, condition: &ast::Expr, env: Env<'_>) -> Result<Rel> {
        let mut rel = self.expose_missing(rel, std::iter::once(condition), env)?;
        self.check_where(condition, &Scope::of(&rel, env, Clause::Where).missing())?;
        let scope = Scope::of(&rel, env, Clause::Where).missing();
        let predicate = self.boolean(condition, &scope, "Filter")?;
        rel.plan = filter(rel.plan, predicate)?;
        Ok(rel)
    }

    /// Aggregates, windows and generators have no place in a filter.
    fn check_where(&self, condition: &ast::Expr, scope: &Scope<'_>) -> Result<()> {
        let mut found: Vec<String> = Vec::new();
        self.misplaced(condition, scope, &mut found);
        if found.is_empty() {
            return Ok(());
        }
        Err(errors::where_condition(&self.sql_of(condition, scope), &found.join(", ")))
    }

    fn misplaced(&self, expr: &ast::Expr, scope: &Scope<'_>, found: &mut Vec<String>) {
        let wrong = match expr {
            ast::Expr::Window(_) => true,
            ast::Expr::Function(function) => {
                super::call::builtin_name(&function.name).is_some_and(|n| {
                    spark_functions::is_aggregate(&n) || spark_functions::is_generator(&n)
                })
            }
            _ => false,
        };
        if wrong {
            found.push(self.sql_of(expr, scope));
            return;
        }
        for child in crate::visit::children(expr) {
            self.misplaced(child, scope, found);
        }
    }

    /// Resolves a condition and checks that it is boolean.
    pub(crate) fn boolean(
        &self,
        condition: &ast::Expr,
        scope: &Scope<'_>,
        operator: &str,
    ) -> Result<Expr> {
        let predicate = self.expression(condition, scope)?;
        match self.type_of(&predicate, scope.schema)? {
            DataType::Boolean => Ok(predicate),
            DataType::Null => self.cast(predicate, &DataType::Boolean, scope.schema),
            other => Err(errors::not_boolean(
                operator,
                &self.sql_of(condition, scope),
                &spark_functions::types::sql_name(&other),
            )),
        }
    }

    /// The value of LIMIT and OFFSET.
    fn row_count(&self, expr: &ast::Expr, what: &str, env: Env<'_>) -> Result<usize> {
        let empty = one_row();
        let scope = Scope::of(&empty, env, Clause::Other);
        let resolved = self.expression(expr, &scope)?;
        let value = self.constant(&resolved, scope.schema)?;
        let rows = match value {
            Some(ScalarValue::Int8(Some(n))) => i64::from(n),
            Some(ScalarValue::Int16(Some(n))) => i64::from(n),
            Some(ScalarValue::Int32(Some(n))) => i64::from(n),
            Some(ScalarValue::Int64(Some(n))) => n,
            Some(other) => {
                let name = spark_functions::types::sql_name(&spark_functions::types::from_arrow(
                    &other.data_type(),
                ));
                let condition = if other.is_null() { "IS_NULL" } else { "DATA_TYPE" };
                return Err(errors::analysis(
                    &format!("INVALID_LIMIT_LIKE_EXPRESSION.{condition}"),
                    "42K0E",
                    format!(
                        "The limit like expression \"{}\" is invalid. The {what} expression must be integer type, \
                         but got \"{name}\".",
                        self.sql_of(expr, &scope)
                    ),
                ));
            }
            None => {
                return Err(errors::analysis(
                    "INVALID_LIMIT_LIKE_EXPRESSION.IS_UNFOLDABLE",
                    "42K0E",
                    format!(
                        "The limit like expression \"{}\" is invalid. The {what} expression must evaluate to a \
                         constant value.",
                        self.sql_of(expr, &scope)
                    ),
                ));
            }
        };
        usize::try_from(rows).map_err(|_| {
            errors::analysis(
                "INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE",
                "42K0E",
                format!(
                    "The limit like expression \"{}\" is invalid. The {what} expression must be equal to or greater \
                     than 0, but got {rows}.",
                    self.sql_of(expr, &scope)
                ),
            )
        })
    }

    /// Evaluates an expression that refers to no column; `None` when it is not constant.
    pub(crate) fn constant(&self, expr: &Expr, schema: &DFSchema) -> Result<Option<ScalarValue>> {
        if let Expr::Literal(value, _) = expr {
            return Ok(Some(value.clone()));
        }
        if !expr.column_refs().is_empty() || expr.any_column_refs() {
            return Ok(None);
        }
        let schema = Arc::new(schema.clone());
        let context = datafusion::logical_expr::simplify::SimplifyContext::builder()
            .with_schema(Arc::clone(&schema))
            .build();
        let simplified = datafusion::optimizer::simplify_expressions::ExprSimplifier::new(context)
            .simplify(expr.clone())
            .map_err(from_datafusion)?;
        match simplified {
            Expr::Literal(value, _) => Ok(Some(value)),
            Expr::Alias(alias) => match *alias.expr {
                Expr::Literal(value, _) => Ok(Some(value)),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// DISTINCT over all columns; floats that Spark takes for equal are made equal.
    pub(crate) fn distinct(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::clone(plan.schema());
        let mut exprs = Vec::with_capacity(schema.fields().len());
        let mut changed = false;
        for column in schema.columns() {
            let name = column.name.clone();
            let normal =
                spark_functions::normalize_key(Expr::Column(column), &self.context(&schema))?;
            exprs.push(match normal {
                column @ Expr::Column(_) => column,
                other => {
                    changed = true;
                    other.alias(name)
                }
            });
        }
        let plan = if changed { super::project(plan, exprs)? } else { plan };
        Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(plan))))
    }

    fn deduplicate(&self, rel: Rel, columns: &[String], all: bool) -> Result<Rel> {
        let rel = rel.pruned()?;
        if all || columns.is_empty() {
            let plan = self.distinct(rel.plan)?;
            return Ok(Rel::new(plan, rel.fields));
        }
        let mut keys: Vec<&OutputField> = Vec::new();
        for name in columns {
            let found: Vec<&OutputField> = rel
                .fields
                .iter()
                .filter(|f| same_name(&f.name, name, self.case_sensitive))
                .collect();
            if found.is_empty() {
                let candidates: Vec<Vec<String>> =
                    rel.fields.iter().map(|f| vec![f.name.clone()]).collect();
                return Err(errors::unresolved_column(std::slice::from_ref(name), &candidates));
            }
            keys.extend(found);
        }
        let schema = Arc::clone(rel.plan.schema());
        let mut group: Vec<Expr> = Vec::with_capacity(keys.len());
        for key in &keys {
            let normal = spark_functions::normalize_key(key.column(), &self.context(&schema))?;
            group.push(match normal {
                column @ Expr::Column(_) => column,
                other => other.alias(key.internal.clone()),
            });
        }
        let mut firsts = Vec::new();
        for field in &rel.fields {
            if keys.iter().any(|k| k.internal == field.internal) {
                continue;
            }
            let call = super::call::plain_aggregate("first", vec![field.column()]);
            let first = spark_functions::aggregate(call, &self.context(&schema))?;
            firsts.push((field.internal.clone(), first));
        }
        let (plan, exprs) =
            self.aggregate_node(rel.plan, group, firsts.iter().map(|(_, e)| e.clone()).collect())?;
        let mut outputs = Vec::with_capacity(rel.fields.len());
        for field in &rel.fields {
            match firsts.iter().position(|(name, _)| *name == field.internal) {
                Some(index) => {
                    outputs.push(exprs[index].clone().alias(field.internal.clone()));
                }
                None => outputs.push(Expr::Column(Column::new_unqualified(&field.internal))),
            }
        }
        let plan = super::project(plan, outputs)?;
        Ok(Rel::new(plan, rel.fields))
    }

    fn hint(
        &self,
        input: &Relation,
        name: &str,
        parameters: &[ast::Expr],
        env: Env<'_>,
    ) -> Result<Rel> {
        let lower = name.to_lowercase();
        if let Some(hint) = JoinHint::named(name) {
            let names: Vec<String> = parameters.iter().filter_map(hint_name).collect();
            if names.is_empty() {
                return Ok(self.relation(input, env)?.wrap(NodeKind::JoinHint(hint)));
            }
            let frame = HintFrame { hint, names: &names, parent: env.hints };
            return self.relation(input, Env { hints: Some(&frame), ..env });
        }
        let rel = self.relation(input, env)?;
        let numbers: Vec<usize> = parameters
            .iter()
            .filter_map(|p| match p {
                ast::Expr::Literal(ast::Literal::Integer(n)) => usize::try_from(*n).ok(),
                ast::Expr::Literal(ast::Literal::Long(n)) => usize::try_from(*n).ok(),
                _ => None,
            })
            .collect();
        match lower.as_str() {
            "coalesce" => match numbers.first() {
                Some(n) => Ok(rel.pruned()?.wrap(NodeKind::Coalesce((*n).max(1)))),
                None => Ok(rel),
            },
            "repartition" | "rebalance" | "repartition_by_range" => {
                let rel = rel.pruned()?;
                let scope = Scope::of(&rel, env, Clause::Other);
                let mut keys = Vec::new();
                for parameter in parameters {
                    if matches!(parameter, ast::Expr::Attribute { .. }) {
                        keys.push(self.expression(parameter, &scope)?);
                    }
                }
                let count = numbers.first().copied();
                if keys.is_empty() {
                    let count = count.unwrap_or_else(|| self.session.shuffle_partitions());
                    return Ok(rel.wrap(NodeKind::RoundRobin(count.max(1))));
                }
                Ok(rel.wrap(NodeKind::HashPartition { exprs: keys, partitions: count }))
            }
            _ => Ok(rel),
        }
    }
}

/// Whether a relation names a table.
fn refers_to(relation: &Relation, name: &str) -> bool {
    let mut found = false;
    crate::visit::each_relation(relation, &mut |r| {
        if let RelationKind::NamedTable { name: parts, .. } = &r.kind {
            found |= matches!(parts.as_slice(), [only] if only.eq_ignore_ascii_case(name));
        }
    });
    found
}

/// The table a hint's parameter names.
fn hint_name(parameter: &ast::Expr) -> Option<String> {
    match parameter {
        ast::Expr::Attribute { name, .. } => name.last().cloned(),
        ast::Expr::Literal(ast::Literal::String(name)) => Some(name.clone()),
        _ => None,
    }
}

fn positive(what: &str, number: i64) -> Result<usize> {
    match usize::try_from(number) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(SparkError::new(
            ErrorKind::IllegalArgument,
            "INVALID_PARAMETER_VALUE.LONG",
            "22023",
            format!("requirement failed: {what} ({number}) must be positive."),
        )),
    }
}

pub(crate) fn one_row() -> Rel {
    let plan = LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: true,
        schema: Arc::new(DFSchema::empty()),
    });
    Rel::new(plan, Vec::new())
}

pub(crate) fn limited(rel: Rel, skip: usize, fetch: Option<usize>) -> Result<Rel> {
    let number = |n: usize| {
        Box::new(Expr::Literal(
            ScalarValue::Int64(Some(i64::try_from(n).unwrap_or(i64::MAX))),
            None,
        ))
    };
    let plan = LogicalPlan::Limit(Limit {
        skip: (skip > 0).then(|| number(skip)),
        fetch: fetch.map(number),
        input: Arc::new(rel.plan),
    });
    Ok(Rel { plan, ..rel })
}

/// `input AS alias(columns)`.
pub(crate) fn aliased(rel: Rel, alias: &str, columns: &[String]) -> Result<Rel> {
    let mut rel = rel.pruned()?;
    if !columns.is_empty() && columns.len() != rel.fields.len() {
        return Err(errors::analysis(
            "ASSIGNMENT_ARITY_MISMATCH",
            "42802",
            format!(
                "The number of columns or variables assigned or aliased: {} does not match the number of source \
                 expressions: {}.",
                columns.len(),
                rel.fields.len()
            ),
        )
        .with("numTarget", columns.len().to_string())
        .with("numExpr", rel.fields.len().to_string()));
    }
    for (index, field) in rel.fields.iter_mut().enumerate() {
        if let Some(name) = columns.get(index) {
            field.name.clone_from(name);
            field.plan_ids.clear();
        }
        field.qualifier = vec![alias.to_owned()];
    }
    Ok(rel)
}

pub(crate) fn attach_plan_id(mut rel: Rel, plan_id: Option<i64>) -> Rel {
    let hidden = rel.hidden.iter_mut().map(|h| &mut h.field);
    for field in rel.fields.iter_mut().chain(hidden) {
        for (_, depth) in &mut field.plan_ids {
            *depth += 1;
        }
    }
    if let Some(id) = plan_id {
        for field in &mut rel.fields {
            if !field.plan_ids.iter().any(|(p, _)| *p == id) {
                field.plan_ids.push((id, 0));
            }
        }
    }
    rel
}

impl Rel {
    /// Puts an operator of ours on top.
    pub(crate) fn wrap(self, kind: NodeKind) -> Self {
        Self { plan: SparkNode::plan(kind, self.plan), ..self }
    }

    /// Takes over what the plan says of nullability.
    pub(crate) fn synchronised(mut self) -> Self {
        for field in &mut self.fields {
            if let Some((_, arrow)) =
                self.plan.schema().iter().find(|(_, f)| *f.name() == field.internal)
            {
                field.nullable = arrow.is_nullable();
            }
        }
        self
    }
}

/// Spark's default place of nulls.
pub(crate) fn sort_expr(expr: Expr, order: &ast::SortOrder) -> SortExpr {
    SortExpr {
        expr,
        asc: order.ascending,
        nulls_first: order.nulls_first.unwrap_or(order.ascending),
    }
}

pub(crate) fn no_generator(what: &str) -> SparkError {
    unsupported(format!("a generator {what}"))
}
