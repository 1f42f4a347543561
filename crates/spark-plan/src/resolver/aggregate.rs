//! Grouping: plain, ALL, ROLLUP, CUBE and sets; aggregates taken out of select list, HAVING and ORDER BY.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan};
use datafusion::scalar::ScalarValue;
use spark_sql_parser::ast::{self, Grouping};
use spark_sql_parser::types::DataType;

use super::call::has_aggregate;
use super::project::{Entry, Item};
use super::scope::{Clause, Env, GroupingScope, Scope};
use super::window::extract_windows;
use super::{Analyzer, filter, fresh_name};
use crate::errors::{self, Result, analysis, from_datafusion};
use crate::field::{OutputField, Rel};

/// The expressions of a query with grouping, all over the grouped input.
struct Grouped {
    items: Vec<Item>,
    having: Option<Expr>,
    order: Vec<Expr>,
}

impl Analyzer<'_> {
    /// An aggregate relation. `order` are sort expressions of an ORDER BY above it, which may use what only the
    /// aggregate knows; they come back as columns of the result's plan.
    pub(crate) fn aggregate(
        &self,
        aggregate: &ast::Aggregate,
        order: &[&ast::Expr],
        env: Env<'_>,
    ) -> Result<(Rel, Vec<Expr>)> {
        if let Some(pivot) = &aggregate.pivot {
            let rel = self.relation(&aggregate.input, env)?;
            return self.pivot(aggregate, pivot, rel, env).map(|rel| (rel, Vec::new()));
        }
        let ast::Aggregate { input, grouping, aggregates, select_list, having, pivot: _ } =
            aggregate;
        self.aggregate_parts(input, grouping, aggregates, *select_list, having.as_ref(), order, env)
    }

    /// The clauses of a query that groups.
    #[expect(clippy::too_many_arguments, reason = "the clauses of one query")]
    pub(crate) fn aggregate_parts(
        &self,
        input: &ast::Relation,
        grouping: &Grouping,
        exprs: &[ast::Expr],
        select_list: bool,
        having: Option<&ast::Expr>,
        order: &[&ast::Expr],
        env: Env<'_>,
    ) -> Result<(Rel, Vec<Expr>)> {
        let rel = self.relation(input, env)?;
        let scope = Scope::of(&rel, env, Clause::Select);
        let mut entries = self.expand(exprs, &scope)?;
        let (grouping, sets) = self.grouping_expressions(grouping, &entries, &scope)?;
        if !select_list {
            let keys: Vec<Entry> = grouping.iter().map(|g| Entry::Expr(g.clone())).collect();
            entries.splice(0..0, keys);
        }
        self.grouped(rel, &entries, &grouping, sets, having, order, env)
    }

    /// Aggregates in a select list without GROUP BY: one group.
    pub(crate) fn global_aggregate(
        &self,
        rel: Rel,
        entries: &[Entry],
        env: Env<'_>,
    ) -> Result<Rel> {
        self.grouped(rel, entries, &[], None, None, &[], env).map(|(rel, _)| rel)
    }

    /// Groups by the expressions and computes the entries; no HAVING, no order.
    pub(crate) fn pivot_groups(
        &self,
        rel: Rel,
        entries: &[Entry],
        grouping: &[ast::Expr],
        env: Env<'_>,
    ) -> Result<Rel> {
        self.grouped(rel, entries, grouping, None, None, &[], env).and_then(|(rel, _)| rel.pruned())
    }

    /// The grouping expressions in order, and the sets as indices where there are several.
    #[expect(clippy::type_complexity, reason = "two values used at once by the only caller")]
    fn grouping_expressions(
        &self,
        grouping: &Grouping,
        entries: &[Entry],
        scope: &Scope<'_>,
    ) -> Result<(Vec<ast::Expr>, Option<Vec<Vec<usize>>>)> {
        let substitute = |exprs: &[ast::Expr]| -> Result<Vec<ast::Expr>> {
            exprs.iter().map(|e| self.group_by_item(e, entries, scope)).collect()
        };
        Ok(match grouping {
            Grouping::Expressions(exprs) => (substitute(exprs)?, None),
            Grouping::All => {
                let mut all = Vec::new();
                for entry in entries {
                    match entry {
                        Entry::Expr(expr) if !has_aggregate(expr) => all.push(unaliased(expr)),
                        Entry::Expr(_) => {}
                        Entry::Column(field) => all.push(attribute_of(field)),
                    }
                }
                (all, None)
            }
            Grouping::Rollup(exprs) => {
                let count = exprs.len();
                let sets = (0..=count).rev().map(|n| (0..n).collect()).collect();
                (substitute(exprs)?, Some(sets))
            }
            Grouping::Cube(exprs) => {
                let count = exprs.len();
                let sets = (0..1_usize << count)
                    .map(|mask| (0..count).filter(|i| mask >> (count - 1 - i) & 1 == 0).collect())
                    .collect();
                (substitute(exprs)?, Some(sets))
            }
            Grouping::Sets { expressions, sets } => {
                let expressions = substitute(expressions)?;
                let mut indices = Vec::with_capacity(sets.len());
                for set in sets {
                    let mut one = Vec::with_capacity(set.len());
                    for expr in substitute(set)? {
                        if let Some(index) = expressions.iter().position(|e| *e == expr) {
                            one.push(index);
                        }
                    }
                    indices.push(one);
                }
                (expressions, Some(indices))
            }
        })
    }

    /// Ordinals and aliases in GROUP BY.
    fn group_by_item(
        &self,
        expr: &ast::Expr,
        entries: &[Entry],
        scope: &Scope<'_>,
    ) -> Result<ast::Expr> {
        if let Some(ordinal) = Self::ordinal(expr)
            && self.session.flag("spark.sql.groupByOrdinal")
            && !entries.is_empty()
        {
            let entry = usize::try_from(ordinal).ok().and_then(|n| n.checked_sub(1));
            return match entry.and_then(|n| entries.get(n)) {
                Some(Entry::Column(field)) => Ok(attribute_of(field)),
                Some(Entry::Expr(expr)) if has_aggregate(expr) => Err(analysis(
                    "GROUP_BY_POS_AGGREGATE",
                    "42903",
                    format!(
                        "GROUP BY {ordinal} refers to an expression {} that contains an aggregate function. \
                         Aggregate functions are not allowed in GROUP BY.",
                        self.sql_of(&unaliased(expr), scope)
                    ),
                )
                .with("index", ordinal.to_string())
                .with("aggExpr", self.sql_of(&unaliased(expr), scope))),
                Some(Entry::Expr(expr)) => Ok(unaliased(expr)),
                None => Err(analysis(
                    "GROUP_BY_POS_OUT_OF_RANGE",
                    "42805",
                    format!(
                        "GROUP BY position {ordinal} is not in select list (valid range is [1, {}]).",
                        entries.len()
                    ),
                )
                .with("index", ordinal.to_string())
                .with("size", entries.len().to_string())),
            };
        }
        if let ast::Expr::Attribute { name, plan_id } = expr
            && name.len() == 1
            && self.session.flag("spark.sql.groupByAliases")
            && self.find(name, *plan_id, scope)?.is_none()
        {
            for entry in entries {
                if let Entry::Expr(ast::Expr::Alias { expr, names, .. }) = entry
                    && names.len() == 1
                    && crate::field::same_name(&names[0], &name[0], self.case_sensitive)
                {
                    return Ok((**expr).clone());
                }
            }
        }
        Ok(expr.clone())
    }

    #[expect(clippy::too_many_arguments, reason = "the clauses of one query")]
    fn grouped(
        &self,
        rel: Rel,
        entries: &[Entry],
        grouping: &[ast::Expr],
        sets: Option<Vec<Vec<usize>>>,
        having: Option<&ast::Expr>,
        order: &[&ast::Expr],
        env: Env<'_>,
    ) -> Result<(Rel, Vec<Expr>)> {
        let mut keys: Vec<Expr> = Vec::with_capacity(grouping.len());
        {
            let scope = Scope::of(&rel, env, Clause::GroupBy);
            for expr in grouping {
                keys.push(self.expression(&unaliased(expr), &scope)?);
            }
        }
        let grouping_scope = sets.is_some().then(|| GroupingScope {
            expressions: keys.clone(),
            id_column: fresh_name("spark_grouping_id"),
        });
        let schema = match &grouping_scope {
            Some(scope) => Arc::new(with_grouping_id(rel.plan.schema(), &scope.id_column)?),
            None => Arc::clone(rel.plan.schema()),
        };
        let base = Scope {
            schema: &schema,
            grouping: grouping_scope.as_ref(),
            ..Scope::of(&rel, env, Clause::Select)
        };
        let mut items = self.items(entries, &base)?;
        let outputs: Vec<(OutputField, Expr)> =
            items.iter().map(|item| (named(item), item.expr.clone())).collect();
        let over = Scope { aliases: &outputs, aliases_first: true, ..base };
        let having = match having {
            Some(having) => {
                let scope = Scope { clause: Clause::Having, ..over };
                Some(self.boolean(having, &scope, "Filter")?)
            }
            None => None,
        };
        let mut sort = Vec::with_capacity(order.len());
        let order_scope = Scope { clause: Clause::OrderBy, ..over };
        for expr in order {
            sort.push(match self.output_ordinal(expr, items.len(), "ORDER_BY")? {
                Some(index) => items[index].expr.clone(),
                None => self.expression(expr, &order_scope)?,
            });
        }
        for item in &mut items {
            if !matches!(&item.expr, Expr::Column(_)) {
                item.column = None;
            }
        }
        let grouped = Grouped { items, having, order: sort };
        self.finish_grouped(rel, keys, sets, grouping_scope.as_ref(), grouped, &schema)
    }

    fn finish_grouped(
        &self,
        rel: Rel,
        keys: Vec<Expr>,
        sets: Option<Vec<Vec<usize>>>,
        grouping: Option<&GroupingScope>,
        grouped: Grouped,
        schema: &DFSchema,
    ) -> Result<(Rel, Vec<Expr>)> {
        let Grouped { mut items, having, order } = grouped;
        let count = items.len();
        let mut exprs: Vec<Expr> = items.iter().map(|i| i.expr.clone()).collect();
        exprs.extend(having.iter().cloned());
        exprs.extend(order.iter().cloned());
        let calls = aggregate_calls(&exprs)?;
        let texts: Vec<String> = items.iter().map(|i| i.name.clone()).collect();

        // Keys that are not plain columns get a name; the same key may stand twice.
        let mut names: Vec<String> = Vec::with_capacity(keys.len());
        let mut normal: Vec<Expr> = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            normal.push(spark_functions::normalize_key(key.clone(), &self.context(schema))?);
            names.push(match (key, keys[..index].iter().position(|k| k == key)) {
                (_, Some(earlier)) => names[earlier].clone(),
                (Expr::Column(column), None) if sets.is_none() => column.name.clone(),
                _ => fresh_name("group"),
            });
        }
        let aggregates: Vec<(Expr, String)> =
            calls.into_iter().map(|call| (call, fresh_name("agg"))).collect();
        let plan = if let (Some(sets), Some(grouping)) = (&sets, grouping) {
            self.grouping_sets_plan(rel.plan.clone(), &normal, &names, sets, &aggregates, grouping)?
        } else if keys.is_empty() && aggregates.is_empty() {
            super::relation::one_row().plan
        } else {
            let mut group = Vec::new();
            let mut seen: HashSet<&str> = HashSet::new();
            for (key, name) in normal.iter().zip(&names) {
                if seen.insert(name) {
                    group.push(match key {
                        Expr::Column(_) => key.clone(),
                        other => other.clone().alias(name.clone()),
                    });
                }
            }
            let calls = aggregates.iter().map(|(call, name)| call.clone().alias(name.clone()));
            LogicalPlan::Aggregate(
                Aggregate::try_new(Arc::new(rel.plan.clone()), group, calls.collect())
                    .map_err(from_datafusion)?,
            )
        };

        let mut rewritten = Vec::with_capacity(exprs.len());
        let available: HashSet<&str> =
            plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
        for (index, expr) in exprs.into_iter().enumerate() {
            let result = replace_grouped(expr, &keys, &names, &aggregates)?;
            let missing = result
                .column_refs()
                .into_iter()
                .find(|c| !available.contains(c.name.as_str()))
                .map(|c| c.name.clone());
            if let Some(missing) = missing {
                return Err(not_grouped(&rel, &missing, keys.is_empty(), texts.get(index)));
            }
            rewritten.push(result);
        }
        let mut rest = rewritten.split_off(count);
        for (item, expr) in items.iter_mut().zip(rewritten) {
            // A plain grouping column keeps its identity.
            if let (Some(column), Expr::Column(c)) = (&item.column, &expr)
                && c.name != column.internal
            {
                let mut moved = column.clone();
                moved.internal.clone_from(&c.name);
                moved.nullable = true;
                item.column = Some(moved);
            }
            item.expr = expr;
        }
        let mut plan = plan;
        if having.is_some() {
            let condition = rest.remove(0);
            plan = filter(plan, condition)?;
        }
        let fields: Vec<OutputField> = Vec::new();
        let grouped = Rel::new(plan, fields);
        let (rel, order) = self.finish_select(grouped, items, rest)?;
        Ok((rel.synchronised(), order))
    }

    /// GROUPING SETS: the keys are computed below, DataFusion's id becomes Spark's.
    fn grouping_sets_plan(
        &self,
        input: LogicalPlan,
        keys: &[Expr],
        names: &[String],
        sets: &[Vec<usize>],
        aggregates: &[(Expr, String)],
        grouping: &GroupingScope,
    ) -> Result<LogicalPlan> {
        let mut below: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let mut unique: Vec<&String> = Vec::new();
        for (key, name) in keys.iter().zip(names) {
            if !unique.contains(&name) {
                unique.push(name);
                below.push(key.clone().alias(name.clone()));
            }
        }
        let input = super::project(input, below)?;
        let column = |name: &String| Expr::Column(Column::new_unqualified(name));
        let group_sets: Vec<Vec<Expr>> = sets
            .iter()
            .map(|set| {
                let mut one: Vec<Expr> = Vec::new();
                for index in set {
                    let key = column(&names[*index]);
                    if !one.contains(&key) {
                        one.push(key);
                    }
                }
                one
            })
            .collect();
        let group = vec![Expr::GroupingSet(GroupingSet::GroupingSets(group_sets.clone()))];
        let order: Vec<Expr> = datafusion::logical_expr::utils::grouping_set_to_exprlist(&group)
            .map_err(from_datafusion)?
            .into_iter()
            .cloned()
            .collect();
        let calls: Vec<Expr> =
            aggregates.iter().map(|(call, name)| call.clone().alias(name.clone())).collect();
        let plan = LogicalPlan::Aggregate(
            Aggregate::try_new(Arc::new(input), group, calls).map_err(from_datafusion)?,
        );
        // DataFusion numbers the bits by first appearance in the sets; Spark by the order of the keys.
        let id = Expr::Column(Column::new_unqualified(Aggregate::INTERNAL_GROUPING_ID));
        let id = datafusion::logical_expr::cast(id, arrow::datatypes::DataType::Int64);
        let number =
            |n: usize| Expr::Literal(ScalarValue::Int64(Some(i64::try_from(n).unwrap_or(0))), None);
        let mut spark_id = number(0);
        for (position, name) in names.iter().enumerate() {
            use std::ops::{BitAnd, BitOr, Shl, Shr};
            let shift_to = names.len() - 1 - position;
            let bit = match order.iter().position(|e| *e == column(name)) {
                Some(at) => id.clone().shr(number(order.len() - 1 - at)).bitand(number(1)),
                None => number(1),
            };
            spark_id = spark_id.bitor(bit.shl(number(shift_to)));
        }
        let mut outputs = Vec::new();
        for name in &unique {
            let key = column(name);
            if order.contains(&key) {
                outputs.push(key);
            } else {
                let index = names.iter().position(|n| n == *name).unwrap_or(0);
                let scope_type = self.type_of(&keys[index], plan.schema());
                let null = Expr::Literal(ScalarValue::Null, None);
                let data_type = scope_type.unwrap_or(DataType::Null);
                outputs.push(self.cast(null, &data_type, plan.schema())?.alias((*name).clone()));
            }
        }
        outputs.push(spark_id.alias(grouping.id_column.clone()));
        outputs.extend(aggregates.iter().map(|(_, name)| column(name)));
        super::project(plan, outputs)
    }

    /// A plain aggregate of columns; gives back the plan and an expression for each call.
    pub(crate) fn aggregate_node(
        &self,
        input: LogicalPlan,
        group: Vec<Expr>,
        calls: Vec<Expr>,
    ) -> Result<(LogicalPlan, Vec<Expr>)> {
        let found = aggregate_calls(&calls)?;
        let aggregates: Vec<(Expr, String)> =
            found.into_iter().map(|call| (call, fresh_name("agg"))).collect();
        let aliased =
            aggregates.iter().map(|(call, name)| call.clone().alias(name.clone())).collect();
        let plan = LogicalPlan::Aggregate(
            Aggregate::try_new(Arc::new(input), group.clone(), aliased).map_err(from_datafusion)?,
        );
        let names: Vec<String> = group
            .iter()
            .map(|g| match g {
                Expr::Column(c) => c.name.clone(),
                Expr::Alias(alias) => alias.name.clone(),
                other => other.schema_name().to_string(),
            })
            .collect();
        let mut exprs = Vec::with_capacity(calls.len());
        for call in calls {
            exprs.push(replace_grouped(call, &group, &names, &aggregates)?);
        }
        Ok((plan, exprs))
    }

    /// `ORDER BY 2`: the position of the output column, checked.
    pub(crate) fn output_ordinal(
        &self,
        expr: &ast::Expr,
        size: usize,
        clause: &str,
    ) -> Result<Option<usize>> {
        let Some(ordinal) = Self::ordinal(expr) else { return Ok(None) };
        if !self.session.flag("spark.sql.orderByOrdinal") {
            return Ok(None);
        }
        match usize::try_from(ordinal).ok().and_then(|n| n.checked_sub(1)) {
            Some(index) if index < size => Ok(Some(index)),
            _ => Err(analysis(
                &format!("{clause}_POS_OUT_OF_RANGE"),
                "42805",
                format!(
                    "{} position {ordinal} is not in select list (valid range is [1, {size}]).",
                    clause.replace('_', " ")
                ),
            )
            .with("index", ordinal.to_string())
            .with("size", size.to_string())),
        }
    }
}

/// The aggregate functions in the expressions, each once.
fn aggregate_calls(exprs: &[Expr]) -> Result<Vec<Expr>> {
    let mut calls: Vec<Expr> = Vec::new();
    for expr in exprs {
        expr.apply(|e| {
            if matches!(e, Expr::AggregateFunction(_)) {
                if !calls.contains(e) {
                    calls.push(e.clone());
                }
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(from_datafusion)?;
    }
    Ok(calls)
}

/// Puts columns of the aggregate in the places of keys and aggregate functions.
fn replace_grouped(
    expr: Expr,
    keys: &[Expr],
    names: &[String],
    aggregates: &[(Expr, String)],
) -> Result<Expr> {
    let replaced = expr
        .transform_down(|e| {
            let column = |name: &String| {
                Transformed::new(
                    Expr::Column(Column::new_unqualified(name)),
                    true,
                    TreeNodeRecursion::Jump,
                )
            };
            if let Some(index) = keys.iter().position(|k| *k == e) {
                return Ok(column(&names[index]));
            }
            if let Some((_, name)) = aggregates.iter().find(|(call, _)| *call == e) {
                return Ok(column(name));
            }
            Ok(Transformed::no(e))
        })
        .map_err(from_datafusion)?;
    Ok(replaced.data)
}

fn not_grouped(
    rel: &Rel,
    missing: &str,
    no_keys: bool,
    item: Option<&String>,
) -> spark_sql_parser::error::SparkError {
    if no_keys {
        return errors::missing_group_by();
    }
    let name = rel
        .fields
        .iter()
        .find(|f| f.internal == missing)
        .map_or_else(|| missing.to_owned(), |f| f.name.clone());
    let _ = item;
    errors::missing_aggregation(&name, &format!("any_value({name})"))
}

fn with_grouping_id(schema: &DFSchema, name: &str) -> Result<DFSchema> {
    let id = arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Int64, false);
    let extra =
        DFSchema::new_with_metadata(vec![(None, Arc::new(id))], std::collections::HashMap::new())
            .map_err(from_datafusion)?;
    schema.join(&extra).map_err(from_datafusion)
}

/// An output of the select list as a name to look up.
fn named(item: &Item) -> OutputField {
    match &item.column {
        Some(column) => OutputField { name: item.name.clone(), ..column.clone() },
        None => OutputField {
            name: item.name.clone(),
            data_type: DataType::Null,
            nullable: true,
            qualifier: Vec::new(),
            plan_ids: Vec::new(),
            internal: fresh_name("output"),
            metadata: None,
        },
    }
}

pub(crate) fn unaliased(expr: &ast::Expr) -> ast::Expr {
    match expr {
        ast::Expr::Alias { expr, .. } => (**expr).clone(),
        other => other.clone(),
    }
}

fn attribute_of(field: &OutputField) -> ast::Expr {
    let mut name = field.qualifier.clone();
    name.push(field.name.clone());
    ast::Expr::Attribute { name, plan_id: None }
}

/// Moves windows of sort expressions below; used where a sort stands alone.
pub(crate) fn windows_of(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
    extract_windows(plan, exprs)
}
