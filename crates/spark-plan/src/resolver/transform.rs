//! DataFrame operators that rewrite columns: withColumns, renames, drops, schemas, nulls, samples, unpivot.

use datafusion::logical_expr::{Expr, LogicalPlan, Union};
use datafusion::scalar::ScalarValue;
use spark_functions::types::{is_numeric, sql_name};
use spark_sql_parser::ast::{self, Literal};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::{DataType, Schema};
use std::sync::Arc;

use super::project::{Entry, Item};
use super::scope::{Clause, Env, Scope};
use super::{Analyzer, filter, fresh_name, output_field};
use crate::errors::{Result, analysis, from_datafusion, unresolved_column, unsupported};
use crate::field::{OutputField, Rel, same_name};

/// A column that stays as it is.
fn kept(field: &OutputField) -> Item {
    Item {
        expr: field.column(),
        name: field.name.clone(),
        metadata: field.metadata.clone(),
        column: Some(field.clone()),
    }
}

/// A column with a new name: another column, in Spark.
fn renamed_item(field: &OutputField, name: &str) -> Item {
    Item {
        expr: field.column(),
        name: name.to_owned(),
        metadata: field.metadata.clone(),
        column: None,
    }
}

impl Analyzer<'_> {
    fn field_named<'r>(&self, rel: &'r Rel, name: &str) -> Result<&'r OutputField> {
        let parts = spark_sql_parser::parse_multipart_identifier(name)
            .unwrap_or_else(|_| vec![name.to_owned()]);
        let found: Vec<&OutputField> =
            rel.fields.iter().filter(|f| same_name(&f.name, name, self.case_sensitive)).collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => {
                let fields: Vec<&OutputField> = rel.fields.iter().collect();
                if let crate::field::Lookup::One(found) =
                    crate::field::lookup(&fields, &parts, None, self.case_sensitive)
                    && found.nested.is_empty()
                {
                    return Ok(&rel.fields[found.index]);
                }
                let candidates: Vec<Vec<String>> =
                    rel.fields.iter().map(OutputField::path).collect();
                Err(unresolved_column(&parts, &candidates))
            }
            many => {
                let references: Vec<Vec<String>> = many.iter().map(|f| f.path()).collect();
                Err(crate::errors::ambiguous(&parts, &references))
            }
        }
    }

    pub(super) fn with_columns(
        &self,
        rel: Rel,
        columns: &[ast::Expr],
        env: Env<'_>,
    ) -> Result<Rel> {
        let mut names: Vec<&String> = Vec::with_capacity(columns.len());
        for column in columns {
            let ast::Expr::Alias { names: alias, .. } = column else {
                return Err(crate::errors::internal("withColumns with an unnamed column"));
            };
            if let Some(name) = alias.first() {
                if names.iter().any(|n| same_name(n, name, self.case_sensitive)) {
                    return Err(analysis(
                        "COLUMN_ALREADY_EXISTS",
                        "42711",
                        format!(
                            "The column `{0}` already exists. Choose another name or rename the existing column.",
                            name.to_lowercase()
                        ),
                    )
                    .with("columnName", format!("`{}`", name.to_lowercase())));
                }
                names.push(name);
            }
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut used = vec![false; columns.len()];
        for field in &rel.fields {
            match names.iter().position(|n| same_name(n, &field.name, self.case_sensitive)) {
                Some(index) => {
                    used[index] = true;
                    entries.push(Entry::Expr(columns[index].clone()));
                }
                None => entries.push(Entry::Column(field.clone())),
            }
        }
        for (index, column) in columns.iter().enumerate() {
            if !used[index] {
                entries.push(Entry::Expr(column.clone()));
            }
        }
        let aggregates = columns.iter().any(super::call::has_aggregate);
        if aggregates {
            return self.global_aggregate(rel, &entries, env);
        }
        let (rel, entries) = self.generators(rel, entries, env)?;
        let scope = Scope::of(&rel, env, Clause::Select);
        let items = self.items(&entries, &scope)?;
        self.finish_select(rel, items, Vec::new()).map(|(rel, _)| rel)
    }

    pub(super) fn renamed(&self, rel: Rel, renames: &[(String, String)]) -> Result<Rel> {
        let mut items: Vec<Item> = rel.fields.iter().map(kept).collect();
        for (from, to) in renames {
            for (item, field) in items.iter_mut().zip(&rel.fields) {
                if same_name(&item.name, from, self.case_sensitive) {
                    *item = renamed_item(field, to);
                }
            }
        }
        self.finish_select(rel, items, Vec::new()).map(|(rel, _)| rel)
    }

    pub(super) fn drop_columns(
        &self,
        rel: Rel,
        columns: &[ast::Expr],
        names: &[String],
        env: Env<'_>,
    ) -> Result<Rel> {
        let mut dropped: Vec<String> = Vec::new();
        let scope = Scope::of(&rel, env, Clause::Select);
        for column in columns {
            // A column that is not there is no error.
            match self.expression(column, &scope) {
                Ok(Expr::Column(c)) => dropped.push(c.name),
                Ok(_) => {}
                Err(e) if e.condition.starts_with("AMBIGUOUS") => return Err(e),
                Err(_) => {}
            }
        }
        let items: Vec<Item> = rel
            .fields
            .iter()
            .filter(|f| {
                !dropped.contains(&f.internal)
                    && !names.iter().any(|n| same_name(n, &f.name, self.case_sensitive))
            })
            .map(kept)
            .collect();
        self.finish_select(rel, items, Vec::new()).map(|(rel, _)| rel)
    }

    /// `DataFrame.to(schema)`.
    pub(super) fn to_schema(&self, rel: Rel, schema: &Schema) -> Result<Rel> {
        let mut items = Vec::with_capacity(schema.fields.len());
        for wanted in &schema.fields {
            let found =
                rel.fields.iter().find(|f| same_name(&f.name, &wanted.name, self.case_sensitive));
            let expr = match found {
                Some(field) => {
                    if field.nullable && !wanted.nullable {
                        return Err(analysis(
                            "NULLABLE_COLUMN_OR_FIELD",
                            "42000",
                            format!(
                                "Column or field `{}` is nullable while it's required to be non-nullable.",
                                wanted.name
                            ),
                        )
                        .with("name", format!("`{}`", wanted.name)));
                    }
                    self.cast(field.column(), &wanted.data_type, rel.plan.schema())?
                }
                None if wanted.nullable => self.cast(
                    Expr::Literal(ScalarValue::Null, None),
                    &wanted.data_type,
                    rel.plan.schema(),
                )?,
                None => {
                    let candidates: Vec<Vec<String>> =
                        rel.fields.iter().map(OutputField::path).collect();
                    return Err(unresolved_column(std::slice::from_ref(&wanted.name), &candidates));
                }
            };
            items.push(Item {
                expr,
                name: wanted.name.clone(),
                metadata: wanted.metadata.clone(),
                column: None,
            });
        }
        self.finish_select(rel, items, Vec::new()).map(|(rel, _)| rel)
    }

    pub(super) fn sample(
        &self,
        rel: Rel,
        lower: f64,
        upper: f64,
        with_replacement: bool,
        seed: Option<i64>,
    ) -> Result<Rel> {
        if with_replacement {
            return Err(unsupported(
                "sampling with replacement; sample without it, or join with a range of copies",
            ));
        }
        let number = |n: f64| Expr::Literal(ScalarValue::Float64(Some(n)), None);
        let seed = seed.unwrap_or(self.now_micros);
        let schema = rel.plan.schema().clone();
        let random = self.scalar(
            "rand",
            vec![Expr::Literal(ScalarValue::Int64(Some(seed)), None)],
            &schema,
        )?;
        let name = fresh_name("sample");
        let mut exprs: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
        exprs.push(random.alias(name.clone()));
        let plan = super::project(rel.plan.clone(), exprs)?;
        let random = super::subquery::column(&name);
        let inside = random.clone().gt_eq(number(lower)).and(random.lt(number(upper)));
        let plan = filter(plan, inside)?;
        Rel { plan, ..rel }.pruned()
    }

    /// `fillna`: one value for all columns of its kind, or a value per column.
    pub(super) fn fill_na(&self, rel: Rel, columns: &[String], values: &[Literal]) -> Result<Rel> {
        let mut items: Vec<Item> = Vec::with_capacity(rel.fields.len());
        for name in columns {
            self.field_named(&rel, name)?;
        }
        for field in &rel.fields {
            let at = columns.iter().position(|n| same_name(n, &field.name, self.case_sensitive));
            let value = match (values, at) {
                ([value], Some(_)) => Some(value),
                ([value], None) if columns.is_empty() => Some(value),
                (many, Some(index)) => many.get(index),
                _ => None,
            };
            let fits = value.is_some_and(|v| fill_fits(v, &field.data_type));
            let (Some(value), true) = (value, fits) else {
                items.push(kept(field));
                continue;
            };
            let schema = rel.plan.schema();
            let mut column = field.column();
            if matches!(field.data_type, DataType::Float | DataType::Double) {
                // NaN counts as missing.
                let nan = self.scalar("isnan", vec![field.column()], schema)?;
                let null =
                    self.cast(Expr::Literal(ScalarValue::Null, None), &field.data_type, schema)?;
                column = Expr::Case(datafusion::logical_expr::expr::Case::new(
                    None,
                    vec![(Box::new(nan), Box::new(null))],
                    Some(Box::new(column)),
                ));
            }
            let value = spark_functions::literal(value)?;
            let value = self.cast(value, &field.data_type, schema)?;
            let expr = self.scalar("coalesce", vec![column, value], schema)?;
            items.push(Item {
                expr,
                name: field.name.clone(),
                metadata: field.metadata.clone(),
                column: None,
            });
        }
        self.finish_select(rel, items, Vec::new()).map(|(rel, _)| rel)
    }

    pub(super) fn drop_na(
        &self,
        rel: Rel,
        columns: &[String],
        min_non_nulls: Option<i32>,
    ) -> Result<Rel> {
        let mut fields: Vec<OutputField> = Vec::new();
        if columns.is_empty() {
            fields.clone_from(&rel.fields);
        }
        for name in columns {
            fields.push(self.field_named(&rel, name)?.clone());
        }
        let schema = rel.plan.schema().clone();
        let wanted = min_non_nulls.unwrap_or(i32::try_from(fields.len()).unwrap_or(i32::MAX));
        let mut present = Vec::with_capacity(fields.len());
        for field in &fields {
            let mut there = field.column().is_not_null();
            if matches!(field.data_type, DataType::Float | DataType::Double) {
                let nan = self.scalar("isnan", vec![field.column()], &schema)?;
                there = there.and(Expr::Not(Box::new(nan)));
            }
            present.push(there);
        }
        let condition = if usize::try_from(wanted).is_ok_and(|w| w == present.len()) {
            present.into_iter().reduce(Expr::and)
        } else {
            let integer = |n: i32| Expr::Literal(ScalarValue::Int32(Some(n)), None);
            present
                .into_iter()
                .map(|p| {
                    Expr::Case(datafusion::logical_expr::expr::Case::new(
                        None,
                        vec![(Box::new(p), Box::new(integer(1)))],
                        Some(Box::new(integer(0))),
                    ))
                })
                .reduce(|a, b| a + b)
                .map(|count| count.gt_eq(integer(wanted)))
        };
        let Some(condition) = condition else { return Ok(rel) };
        let plan = filter(rel.plan.clone(), condition)?;
        Ok(Rel { plan, ..rel })
    }

    pub(super) fn replace(
        &self,
        rel: Rel,
        columns: &[String],
        replacements: &[(Literal, Literal)],
    ) -> Result<Rel> {
        for name in columns {
            self.field_named(&rel, name)?;
        }
        let mut items = Vec::with_capacity(rel.fields.len());
        for field in &rel.fields {
            let chosen = columns.is_empty()
                || columns.iter().any(|n| same_name(n, &field.name, self.case_sensitive));
            let fitting: Vec<&(Literal, Literal)> = replacements
                .iter()
                .filter(|(from, _)| replace_fits(from, &field.data_type))
                .collect();
            if !chosen || fitting.is_empty() {
                items.push(kept(field));
                continue;
            }
            let schema = rel.plan.schema();
            let mut branches = Vec::with_capacity(fitting.len());
            for (from, to) in fitting {
                let from = self.cast(spark_functions::literal(from)?, &field.data_type, schema)?;
                let to = self.cast(spark_functions::literal(to)?, &field.data_type, schema)?;
                let matched = self.scalar("<=>", vec![field.column(), from], schema)?;
                branches.push((Box::new(matched), Box::new(to)));
            }
            items.push(Item {
                expr: Expr::Case(datafusion::logical_expr::expr::Case::new(
                    None,
                    branches,
                    Some(Box::new(field.column())),
                )),
                name: field.name.clone(),
                metadata: field.metadata.clone(),
                column: None,
            });
        }
        self.finish_select(rel, items, Vec::new()).map(|(rel, _)| rel)
    }

    pub(super) fn unpivot(
        &self,
        rel: Rel,
        ids: &[ast::Expr],
        values: Option<&[ast::Expr]>,
        variable: &str,
        value: &str,
        env: Env<'_>,
    ) -> Result<Rel> {
        let scope = Scope::of(&rel, env, Clause::Select);
        let id_entries = self.expand(ids, &scope)?;
        let ids = self.items(&id_entries, &scope)?;
        let values = match values {
            Some(values) => {
                let entries = self.expand(values, &scope)?;
                self.items(&entries, &scope)?
            }
            None => rel
                .fields
                .iter()
                .filter(|f| {
                    !ids.iter().any(|i| i.column.as_ref().is_some_and(|c| c.internal == f.internal))
                })
                .map(kept)
                .collect(),
        };
        if values.is_empty() {
            return Err(analysis(
                "UNPIVOT_REQUIRES_VALUE_COLUMNS",
                "42K0E",
                "At least one value column needs to be specified for UNPIVOT, all columns specified as ids.",
            ));
        }
        let schema = rel.plan.schema().clone();
        let mut types = Vec::with_capacity(values.len());
        for item in &values {
            types.push(self.type_of(&item.expr, &schema)?);
        }
        let Some(widened) = spark_functions::widen(&types) else {
            let list: Vec<String> = values
                .iter()
                .zip(&types)
                .map(|(v, t)| format!("\"{}\" ({})", sql_name(t), v.name))
                .collect();
            return Err(analysis(
                "UNPIVOT_VALUE_DATA_TYPE_MISMATCH",
                "42K09",
                format!(
                    "Unpivot value columns must share a least common type, some types do not: [{}].",
                    list.join(", ")
                ),
            ));
        };
        let mut names: Vec<(String, String)> =
            ids.iter().map(|i| (i.name.clone(), fresh_name(&i.name))).collect();
        names.push((variable.to_owned(), fresh_name(variable)));
        names.push((value.to_owned(), fresh_name(value)));
        let mut inputs = Vec::with_capacity(values.len());
        for item in &values {
            let mut exprs: Vec<Expr> = ids.iter().map(|i| i.expr.clone()).collect();
            exprs.push(Expr::Literal(ScalarValue::Utf8(Some(item.name.clone())), None));
            exprs.push(self.cast(item.expr.clone(), &widened, &schema)?);
            let exprs =
                exprs.into_iter().zip(&names).map(|(e, (_, n))| e.alias(n.clone())).collect();
            inputs.push(Arc::new(super::project(rel.plan.clone(), exprs)?));
        }
        let plan = if inputs.len() == 1 {
            inputs.remove(0).as_ref().clone()
        } else {
            LogicalPlan::Union(Union::try_new_with_loose_types(inputs).map_err(from_datafusion)?)
        };
        let schema = plan.schema().clone();
        let mut fields = Vec::with_capacity(names.len());
        for (name, internal) in names {
            let expr = super::subquery::column(&internal);
            fields.push(output_field(&expr, &schema, &name, internal)?);
        }
        Ok(Rel::new(plan, fields))
    }
}

/// `toDF(names)`.
pub(super) fn to_df(rel: Rel, names: &[String]) -> Result<Rel> {
    if names.len() != rel.fields.len() {
        return Err(SparkError::new(
            ErrorKind::IllegalArgument,
            "ASSIGNMENT_ARITY_MISMATCH",
            "42802",
            format!(
                "The number of columns or variables assigned or aliased: {} does not match the number of source \
                 expressions: {}.",
                names.len(),
                rel.fields.len()
            ),
        ));
    }
    let mut exprs = Vec::with_capacity(names.len());
    let mut fields = Vec::with_capacity(names.len());
    for (field, name) in rel.fields.iter().zip(names) {
        let internal = fresh_name(name);
        exprs.push(field.column().alias(internal.clone()));
        fields.push(OutputField {
            name: name.clone(),
            qualifier: Vec::new(),
            plan_ids: Vec::new(),
            internal,
            ..field.clone()
        });
    }
    Ok(Rel::new(super::project(rel.plan, exprs)?, fields))
}

fn fill_fits(value: &Literal, data_type: &DataType) -> bool {
    match value {
        Literal::Boolean(_) => *data_type == DataType::Boolean,
        Literal::String(_) => matches!(data_type, DataType::String),
        _ => is_numeric(data_type),
    }
}

fn replace_fits(value: &Literal, data_type: &DataType) -> bool {
    match value {
        Literal::Null(_) => true,
        other => fill_fits(other, data_type),
    }
}
