//! Select lists: stars, aliases, earlier aliases in later expressions, generators.

use std::collections::HashSet;

use datafusion::logical_expr::Expr;
use spark_sql_parser::ast;

use super::call::has_aggregate;
use super::scope::{Clause, Env, Scope};
use super::window::extract_windows;
use super::{Analyzer, fresh_name, output_field};
use crate::errors::{Result, analysis, quoted, unresolved_column};
use crate::field::{Hidden, OutputField, Rel, same_name};

/// One column of a select list, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) expr: Expr,
    pub(crate) name: String,
    pub(crate) metadata: Option<String>,
    /// The input column it is, when it is nothing else.
    pub(crate) column: Option<OutputField>,
}

/// One column of a select list before resolution: a column a star stands for, or an expression.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Column(OutputField),
    Expr(ast::Expr),
}

impl Analyzer<'_> {
    /// SELECT … FROM input, or `DataFrame.select`.
    pub(crate) fn project(&self, rel: Rel, exprs: &[ast::Expr], env: Env<'_>) -> Result<Rel> {
        let entries = {
            let scope = Scope::of(&rel, env, Clause::Select);
            self.expand(exprs, &scope)?
        };
        let aggregates = entries.iter().any(|e| match e {
            Entry::Column(_) => false,
            Entry::Expr(expr) => has_aggregate(expr),
        });
        if aggregates {
            return self.global_aggregate(rel, &entries, env);
        }
        let (rel, entries) = self.generators(rel, entries, env)?;
        let items = {
            let scope = Scope::of(&rel, env, Clause::Select);
            self.items(&entries, &scope)?
        };
        self.finish_select(rel, items, Vec::new()).map(|(rel, _)| rel)
    }

    /// Replaces stars by the columns they stand for.
    pub(crate) fn expand(&self, exprs: &[ast::Expr], scope: &Scope<'_>) -> Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity(exprs.len());
        for expr in exprs {
            match expr {
                ast::Expr::Star { target, plan_id, except } => {
                    if let Some(expanded) = self.struct_star(target, except, scope)? {
                        entries.extend(expanded.into_iter().map(Entry::Expr));
                        continue;
                    }
                    let fields = self.star_fields(target, *plan_id, except, scope)?;
                    entries.extend(fields.into_iter().map(Entry::Column));
                }
                ast::Expr::Regex { pattern, plan_id } => {
                    let sensitive = if self.case_sensitive { "" } else { "(?i)" };
                    let regex =
                        regex::Regex::new(&format!("{sensitive}^(?:{pattern})$")).map_err(|e| {
                            analysis(
                                "INVALID_REGEXP_REPLACE",
                                "22023",
                                format!(
                                    "The column pattern {pattern} is not a regular expression: {e}."
                                ),
                            )
                        })?;
                    for field in scope.fields {
                        let of_plan =
                            plan_id.is_none_or(|id| field.plan_ids.iter().any(|(p, _)| *p == id));
                        if of_plan && regex.is_match(&field.name) {
                            entries.push(Entry::Column(field.clone()));
                        }
                    }
                }
                other => entries.push(Entry::Expr(other.clone())),
            }
        }
        Ok(entries)
    }

    /// The columns `*`, `t.*` or `df["*"]` stand for.
    pub(crate) fn star_fields(
        &self,
        target: &[String],
        plan_id: Option<i64>,
        except: &[Vec<String>],
        scope: &Scope<'_>,
    ) -> Result<Vec<OutputField>> {
        let qualified = |field: &OutputField| {
            field.qualifier.len() >= target.len()
                && field.qualifier[field.qualifier.len() - target.len()..]
                    .iter()
                    .zip(target)
                    .all(|(a, b)| same_name(a, b, self.case_sensitive))
        };
        let of_plan = |field: &OutputField| {
            plan_id.is_none_or(|id| field.plan_ids.iter().any(|(p, _)| *p == id))
        };
        let mut fields: Vec<OutputField> = scope
            .fields
            .iter()
            .filter(|f| (target.is_empty() || qualified(f)) && of_plan(f))
            .cloned()
            .collect();
        if !target.is_empty() || plan_id.is_some() {
            // The columns a USING join merged are still columns of their table.
            let merged: Vec<OutputField> = scope
                .hidden
                .iter()
                .filter(|h| {
                    h.everywhere && of_plan(&h.field) && (target.is_empty() || qualified(&h.field))
                })
                .map(|h| h.field.clone())
                .collect();
            fields = merged
                .into_iter()
                .filter(|m| !fields.iter().any(|f| f.internal == m.internal))
                .chain(fields.clone())
                .collect();
        }
        if fields.is_empty() && !target.is_empty() {
            let mut columns: Vec<String> = Vec::new();
            for field in scope.fields {
                columns.push(quoted(&field.path()));
            }
            return Err(analysis(
                "CANNOT_RESOLVE_STAR_EXPAND",
                "42704",
                format!(
                    "Cannot resolve {}.* given input columns {}. Please check that the specified table or struct \
                     exists and is accessible in the input columns.",
                    quoted(target),
                    columns.join(", ")
                ),
            )
            .with("targetString", quoted(target))
            .with("columns", columns.join(", ")));
        }
        for path in except {
            let at = fields.iter().position(|f| {
                let full = f.path();
                full.len() >= path.len()
                    && full[full.len() - path.len()..]
                        .iter()
                        .zip(path)
                        .all(|(a, b)| same_name(a, b, self.case_sensitive))
            });
            match at {
                Some(index) => {
                    fields.remove(index);
                }
                None => {
                    let candidates: Vec<Vec<String>> =
                        scope.fields.iter().map(OutputField::path).collect();
                    return Err(unresolved_column(path, &candidates));
                }
            }
        }
        Ok(fields)
    }

    /// `s.*` of a struct column.
    fn struct_star(
        &self,
        target: &[String],
        except: &[Vec<String>],
        scope: &Scope<'_>,
    ) -> Result<Option<Vec<ast::Expr>>> {
        if target.is_empty() {
            return Ok(None);
        }
        let is_table = scope.fields.iter().chain(scope.hidden.iter().map(|h| &h.field)).any(|f| {
            f.qualifier.len() >= target.len()
                && f.qualifier[f.qualifier.len() - target.len()..]
                    .iter()
                    .zip(target)
                    .all(|(a, b)| same_name(a, b, self.case_sensitive))
        });
        if is_table || self.find(target, None, scope)?.is_none() {
            return Ok(None);
        }
        let attribute = ast::Expr::Attribute { name: target.to_vec(), plan_id: None };
        let expr = self.expression(&attribute, scope)?;
        let spark_sql_parser::types::DataType::Struct(schema) =
            self.type_of(&expr, scope.schema)?
        else {
            return Ok(None);
        };
        let fields = schema
            .fields
            .iter()
            .filter(|f| {
                !except
                    .iter()
                    .any(|e| e.last().is_some_and(|l| same_name(l, &f.name, self.case_sensitive)))
            })
            .map(|f| {
                let mut name = target.to_vec();
                name.push(f.name.clone());
                ast::Expr::Attribute { name, plan_id: None }
            })
            .collect();
        Ok(Some(fields))
    }

    /// Resolves the entries in order; later ones may use the names of earlier ones.
    pub(crate) fn items(&self, entries: &[Entry], scope: &Scope<'_>) -> Result<Vec<Item>> {
        let mut aliases: Vec<(OutputField, Expr)> = scope.aliases.to_vec();
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            let scope = Scope { aliases: &aliases, ..*scope };
            let item = self.item(entry, &scope)?;
            if let Entry::Expr(ast::Expr::Alias { .. }) = entry {
                let field = OutputField {
                    name: item.name.clone(),
                    data_type: spark_sql_parser::types::DataType::Null,
                    nullable: true,
                    qualifier: Vec::new(),
                    plan_ids: Vec::new(),
                    internal: fresh_name("alias"),
                    metadata: None,
                };
                aliases.push((field, item.expr.clone()));
            }
            items.push(item);
        }
        Ok(items)
    }

    fn item(&self, entry: &Entry, scope: &Scope<'_>) -> Result<Item> {
        let expr = match entry {
            Entry::Column(field) => {
                return Ok(Item {
                    expr: field.column(),
                    name: field.name.clone(),
                    metadata: field.metadata.clone(),
                    column: Some(field.clone()),
                });
            }
            Entry::Expr(expr) => expr,
        };
        if let ast::Expr::Alias { expr: inner, names, metadata } = expr {
            if names.len() != 1 {
                return Err(analysis(
                    "MULTI_ALIAS_WITHOUT_GENERATOR",
                    "42K0E",
                    format!(
                        "Multi part aliasing ({}) is not supported with {} as it is not a generator function.",
                        names.join(", "),
                        self.sql_of(inner, scope)
                    ),
                ));
            }
            let resolved = self.expression(inner, scope)?;
            let inherited = match (&resolved, metadata) {
                (Expr::Column(c), None) => scope
                    .fields
                    .iter()
                    .find(|f| f.internal == c.name)
                    .and_then(|f| f.metadata.clone()),
                _ => metadata.clone(),
            };
            return Ok(Item {
                expr: resolved,
                name: names[0].clone(),
                metadata: inherited,
                column: None,
            });
        }
        let resolved = self.expression(expr, scope)?;
        let name = self.name_of(expr, scope);
        let column = match (&resolved, expr) {
            (Expr::Column(c), ast::Expr::Attribute { .. }) => scope
                .fields
                .iter()
                .chain(scope.hidden.iter().map(|h| &h.field))
                .find(|f| f.internal == c.name)
                .cloned(),
            _ => None,
        };
        let metadata = column.as_ref().and_then(|c| c.metadata.clone());
        Ok(Item { expr: resolved, name, metadata, column })
    }

    /// Makes the projection of the items. `extra` expressions become additional columns, returned as column
    /// references; window functions in either move below.
    pub(crate) fn finish_select(
        &self,
        rel: Rel,
        items: Vec<Item>,
        extra: Vec<Expr>,
    ) -> Result<(Rel, Vec<Expr>)> {
        let mut exprs: Vec<Expr> = items.iter().map(|i| i.expr.clone()).collect();
        let count = exprs.len();
        exprs.extend(extra);
        let (plan, mut exprs) = extract_windows(rel.plan.clone(), exprs)?;
        let extra = exprs.split_off(count);
        let schema = plan.schema().clone();
        let mut used: HashSet<String> = HashSet::new();
        let mut outputs: Vec<Expr> = Vec::with_capacity(count + extra.len());
        let mut fields = Vec::with_capacity(count);
        for (item, expr) in items.iter().zip(&exprs) {
            let passes = match (&item.column, expr) {
                (Some(column), Expr::Column(c)) if c.name == column.internal => {
                    used.insert(column.internal.clone())
                }
                _ => false,
            };
            if let (true, Some(column)) = (passes, &item.column) {
                fields.push(OutputField { name: item.name.clone(), ..column.clone() });
                outputs.push(expr.clone());
                continue;
            }
            let internal = fresh_name(&item.name);
            let mut field = output_field(expr, &schema, &item.name, internal.clone())?;
            field.metadata.clone_from(&item.metadata);
            if let Some(column) = &item.column {
                field.data_type.clone_from(&column.data_type);
                field.qualifier.clone_from(&column.qualifier);
                field.plan_ids.clone_from(&column.plan_ids);
            } else if let Expr::Column(c) = expr
                && let Some(source) = rel.fields.iter().find(|f| f.internal == c.name)
            {
                field.data_type.clone_from(&source.data_type);
            }
            fields.push(field);
            outputs.push(expr.clone().alias(internal));
        }
        let mut extra_columns = Vec::with_capacity(extra.len());
        for expr in extra {
            if let Some(index) = exprs.iter().position(|e| *e == expr) {
                extra_columns.push(fields[index].column());
                continue;
            }
            if let Expr::Column(column) = &expr {
                if used.insert(column.name.clone()) {
                    outputs.push(expr.clone());
                }
                extra_columns.push(expr);
                continue;
            }
            let internal = fresh_name("sort");
            outputs.push(expr.alias(internal.clone()));
            extra_columns.push(Expr::Column(datafusion::common::Column::new_unqualified(internal)));
        }
        let mut hidden: Vec<Hidden> = Vec::new();
        let known: HashSet<&str> = fields.iter().map(|f| f.internal.as_str()).collect();
        for field in &rel.fields {
            if !known.contains(field.internal.as_str()) {
                hidden.push(Hidden { field: field.clone(), everywhere: false });
            }
        }
        for old in &rel.hidden {
            if !known.contains(old.field.internal.as_str()) {
                hidden.push(Hidden { field: old.field.clone(), everywhere: false });
            }
        }
        let plan = super::project(plan, outputs)?;
        Ok((Rel { plan, fields, hidden, render: None }, extra_columns))
    }
}
