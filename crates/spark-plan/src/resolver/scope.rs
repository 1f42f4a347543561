//! Where names are looked up: the columns of the input, aliases of the select list, outer queries, CTEs.

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::Analyzer;
use crate::errors::{self, Result, from_datafusion};
use crate::field::{Hidden, Lookup, OutputField, Rel, lookup};
use crate::operators::JoinHint;
use crate::visit;
use spark_sql_parser::ast;

/// What a relation can see besides its own inputs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Env<'e> {
    pub(crate) ctes: Option<&'e CteFrame<'e>>,
    pub(crate) outer: Option<&'e OuterFrame<'e>>,
    /// The join hints above that name tables and aliases.
    pub(crate) hints: Option<&'e HintFrame<'e>>,
}

/// A join hint and the tables and aliases that it names.
pub(crate) struct HintFrame<'e> {
    pub(crate) hint: JoinHint,
    pub(crate) names: &'e [String],
    pub(crate) parent: Option<&'e Self>,
}

/// One name of a WITH clause; inner ones shadow outer ones.
pub(crate) struct CteFrame<'e> {
    pub(crate) name: &'e str,
    pub(crate) rel: &'e Rel,
    pub(crate) parent: Option<&'e Self>,
}

/// The columns of the query around a subquery.
pub(crate) struct OuterFrame<'e> {
    pub(crate) fields: &'e [OutputField],
    pub(crate) schema: &'e DFSchema,
    pub(crate) parent: Option<&'e Self>,
}

/// How far the look-up may go below the input's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The output, and columns hidden by USING.
    Output,
    /// Also columns that a projection below dropped: Filter and Sort.
    Missing,
}

/// Which functions an expression may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clause {
    Select,
    Where,
    Having,
    JoinCondition,
    /// The condition of an inner join, which may as well be a filter.
    JoinFilter,
    GroupBy,
    OrderBy,
    /// Inside the arguments of an aggregate function.
    AggregateArgument,
    Other,
}

/// Everything one expression may refer to.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) fields: &'a [OutputField],
    pub(crate) hidden: &'a [Hidden],
    pub(crate) schema: &'a DFSchema,
    pub(crate) env: Env<'a>,
    pub(crate) reach: Reach,
    pub(crate) clause: Clause,
    /// Names that stand for expressions: earlier aliases of the select list, outputs of an aggregate.
    pub(crate) aliases: &'a [(OutputField, Expr)],
    /// Aliases win over columns (HAVING and ORDER BY over an aggregate).
    pub(crate) aliases_first: bool,
    pub(crate) grouping: Option<&'a GroupingScope>,
    pub(crate) lambda: Option<&'a LambdaFrame<'a>>,
}

/// What `grouping()` needs: the grouping expressions in order and the column that holds the id.
pub(crate) struct GroupingScope {
    pub(crate) expressions: Vec<Expr>,
    pub(crate) id_column: String,
}

/// Parameters of the lambda functions around an expression.
pub(crate) struct LambdaFrame<'a> {
    pub(crate) variables: Vec<(String, Expr)>,
    pub(crate) parent: Option<&'a Self>,
}

impl<'a> Scope<'a> {
    pub(crate) fn of(rel: &'a Rel, env: Env<'a>, clause: Clause) -> Self {
        Scope {
            fields: &rel.fields,
            hidden: &rel.hidden,
            schema: rel.plan.schema(),
            env,
            reach: Reach::Output,
            clause,
            aliases: &[],
            aliases_first: false,
            grouping: None,
            lambda: None,
        }
    }

    pub(crate) fn missing(mut self) -> Self {
        self.reach = Reach::Missing;
        self
    }
}

/// What a name means.
pub(crate) enum Meaning<'a> {
    Column { field: &'a OutputField, nested: Vec<String> },
    Alias { expr: &'a Expr, nested: Vec<String> },
    Outer { field: &'a OutputField, schema: &'a DFSchema, nested: Vec<String> },
}

impl Analyzer<'_> {
    /// Finds a name; `Ok(None)` when nothing has it.
    pub(crate) fn find<'s>(
        &self,
        name: &[String],
        plan_id: Option<i64>,
        scope: &Scope<'s>,
    ) -> Result<Option<Meaning<'s>>> {
        if let Some(found) = self.find_here(name, plan_id, scope)? {
            return Ok(Some(found));
        }
        if plan_id.is_some()
            && let Some(found) = self.find_here(name, None, scope)?
        {
            return Ok(Some(found));
        }
        let mut frame = scope.env.outer;
        let mut levels = 0;
        while let Some(outer) = frame {
            levels += 1;
            let fields: Vec<&OutputField> = outer.fields.iter().collect();
            match lookup(&fields, name, plan_id, self.case_sensitive) {
                Lookup::One(_) if levels > 1 => {
                    return Err(errors::unsupported(format!(
                        "the column {} of a query two levels around a subquery; join the queries instead",
                        errors::quoted(name)
                    )));
                }
                Lookup::One(found) => {
                    return Ok(Some(Meaning::Outer {
                        field: found.field,
                        schema: outer.schema,
                        nested: found.nested,
                    }));
                }
                Lookup::Many(many) => return Err(ambiguous_name(name, &many)),
                Lookup::None => frame = outer.parent,
            }
        }
        Ok(None)
    }

    fn find_here<'s>(
        &self,
        name: &[String],
        plan_id: Option<i64>,
        scope: &Scope<'s>,
    ) -> Result<Option<Meaning<'s>>> {
        if scope.aliases_first
            && let Some(found) = self.find_alias(name, plan_id, scope)?
        {
            return Ok(Some(found));
        }
        let visible: Vec<&OutputField> = scope.fields.iter().collect();
        let everywhere: Vec<&OutputField> =
            scope.hidden.iter().filter(|h| h.everywhere).map(|h| &h.field).collect();
        let missing: Vec<&OutputField> = match scope.reach {
            Reach::Output => Vec::new(),
            Reach::Missing => {
                scope.hidden.iter().filter(|h| !h.everywhere).map(|h| &h.field).collect()
            }
        };
        for fields in [visible, everywhere, missing] {
            match lookup(&fields, name, plan_id, self.case_sensitive) {
                Lookup::One(found) => {
                    return Ok(Some(Meaning::Column { field: found.field, nested: found.nested }));
                }
                Lookup::Many(_) if plan_id.is_some() => {
                    return Err(errors::ambiguous_dataframe_column(name));
                }
                Lookup::Many(many) => return Err(ambiguous_name(name, &many)),
                Lookup::None => {}
            }
        }
        if scope.aliases_first { Ok(None) } else { self.find_alias(name, plan_id, scope) }
    }

    fn find_alias<'s>(
        &self,
        name: &[String],
        plan_id: Option<i64>,
        scope: &Scope<'s>,
    ) -> Result<Option<Meaning<'s>>> {
        let fields: Vec<&OutputField> = scope.aliases.iter().map(|(f, _)| f).collect();
        match lookup(&fields, name, plan_id, self.case_sensitive) {
            Lookup::One(found) => {
                let (_, expr) = &scope.aliases[found.index];
                Ok(Some(Meaning::Alias { expr, nested: found.nested }))
            }
            Lookup::Many(many) if scope.aliases_first => Err(ambiguous_name(name, &many)),
            Lookup::Many(_) | Lookup::None => Ok(None),
        }
    }

    /// The error for a name nothing has.
    pub(crate) fn unresolved(
        &self,
        name: &[String],
        plan_id: Option<i64>,
        scope: &Scope<'_>,
    ) -> spark_sql_parser::error::SparkError {
        let _ = plan_id;
        let mut candidates: Vec<Vec<String>> = scope.fields.iter().map(OutputField::path).collect();
        if scope.aliases_first {
            candidates.extend(scope.aliases.iter().map(|(f, _)| f.path()));
        }
        errors::unresolved_column(name, &candidates)
    }

    /// Adds columns that the expressions mention but a projection below dropped to the relation's plan.
    pub(crate) fn expose_missing<'e>(
        &self,
        mut rel: Rel,
        exprs: impl Iterator<Item = &'e ast::Expr>,
        env: Env<'_>,
    ) -> Result<Rel> {
        if rel.hidden.is_empty() {
            return Ok(rel);
        }
        let mut wanted: Vec<String> = Vec::new();
        for expr in exprs {
            self.collect_missing(expr, &rel, env, &mut wanted);
        }
        for internal in wanted {
            if rel.plan.schema().has_column_with_unqualified_name(&internal) {
                continue;
            }
            if let Some(plan) = expose(&rel.plan, &internal)? {
                rel.plan = plan;
            }
        }
        Ok(rel)
    }

    fn collect_missing(&self, expr: &ast::Expr, rel: &Rel, env: Env<'_>, wanted: &mut Vec<String>) {
        if let ast::Expr::Attribute { name, plan_id } = expr {
            let scope = Scope::of(rel, Env { outer: None, ..env }, Clause::Other).missing();
            if let Ok(Some(Meaning::Column { field, .. })) = self.find(name, *plan_id, &scope) {
                wanted.push(field.internal.clone());
            }
        }
        for child in visit::children(expr) {
            self.collect_missing(child, rel, env, wanted);
        }
    }
}

fn ambiguous_name(name: &[String], many: &[&OutputField]) -> spark_sql_parser::error::SparkError {
    let references: Vec<Vec<String>> = many.iter().map(|f| f.path()).collect();
    errors::ambiguous(name, &references)
}

impl Meaning<'_> {
    /// The expression that reads what was found, without nested fields.
    pub(crate) fn base(&self) -> Result<Expr> {
        Ok(match self {
            Self::Column { field, .. } => field.column(),
            Self::Alias { expr, .. } => (*expr).clone(),
            Self::Outer { field, schema, .. } => {
                let column = Column::new_unqualified(&field.internal);
                let (_, arrow) =
                    schema.iter().find(|(_, f)| *f.name() == field.internal).ok_or_else(|| {
                        errors::internal(format!("the outer column {} is gone", field.internal))
                    })?;
                Expr::OuterReferenceColumn(arrow.clone(), column)
            }
        })
    }
}

/// Makes a column that some operator below has part of the plan's output.
fn expose(plan: &LogicalPlan, internal: &str) -> Result<Option<LogicalPlan>> {
    if plan.schema().has_column_with_unqualified_name(internal) {
        return Ok(Some(plan.clone()));
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some(input) = expose(&projection.input, internal)? else { return Ok(None) };
            let mut exprs = projection.expr.clone();
            exprs.push(Expr::Column(Column::new_unqualified(internal)));
            super::project(input, exprs).map(Some)
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Extension(_) => {
            let inputs = plan.inputs();
            let [input] = inputs.as_slice() else { return Ok(None) };
            let Some(input) = expose(input, internal)? else { return Ok(None) };
            let rebuilt =
                plan.with_new_exprs(plan.expressions(), vec![input]).map_err(from_datafusion)?;
            Ok(Some(rebuilt))
        }
        LogicalPlan::Unnest(unnest) => {
            let Some(input) = expose(&unnest.input, internal)? else { return Ok(None) };
            let rebuilt = datafusion::logical_expr::Unnest::try_new(
                std::sync::Arc::new(input),
                unnest.exec_columns.clone(),
                unnest.options.clone(),
            )
            .map_err(from_datafusion)?;
            Ok(Some(LogicalPlan::Unnest(rebuilt)))
        }
        _ => Ok(None),
    }
}
