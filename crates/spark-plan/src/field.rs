//! Output columns of a resolved relation and Spark's name look-up over them.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use spark_sql_parser::types::{DataType, Field, Schema};
use std::sync::Arc;

use crate::errors::{Result, from_datafusion};
use crate::render::Render;

/// One output column: what the user sees, how it may be named, and the unique name it has inside the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputField {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// `[alias]`, or catalog, database and table.
    pub qualifier: Vec<String>,
    /// Plan ids of the DataFrames that have this column in their output, and how many operators ago.
    pub plan_ids: Vec<(i64, u32)>,
    /// `name#id`, unique in the whole plan.
    pub internal: String,
    /// JSON text of `StructField.metadata`.
    pub metadata: Option<String>,
}

impl OutputField {
    /// The DataFusion expression that reads this column.
    #[must_use]
    pub fn column(&self) -> Expr {
        Expr::Column(Column::new_unqualified(&self.internal))
    }

    /// The qualified name, for messages.
    #[must_use]
    pub fn path(&self) -> Vec<String> {
        let mut path = self.qualifier.clone();
        path.push(self.name.clone());
        path
    }
}

/// A relation resolved to a DataFusion plan. The plan's columns are `fields`, in order, under their internal names;
/// the result batches are renamed by position.
#[derive(Debug, Clone)]
pub struct ResolvedPlan {
    pub plan: LogicalPlan,
    pub fields: Vec<OutputField>,
    /// What has to be made of the result before the client sees it (`show`).
    pub render: Option<Render>,
}

impl ResolvedPlan {
    /// The schema as Spark reports it: of the rendered result where there is one.
    #[must_use]
    pub fn schema(&self) -> Schema {
        match &self.render {
            Some(render) => render.schema(),
            None => schema_of(&self.fields),
        }
    }
}

#[must_use]
pub fn schema_of(fields: &[OutputField]) -> Schema {
    Schema {
        fields: fields
            .iter()
            .map(|f| Field {
                name: f.name.clone(),
                data_type: f.data_type.clone(),
                nullable: f.nullable,
                metadata: f.metadata.clone(),
            })
            .collect(),
    }
}

/// A column that is not in the output but that some operators may still reach.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    pub(crate) field: OutputField,
    /// Reachable from every operator (the other side's column of a USING join); otherwise only from Filter and Sort.
    pub(crate) everywhere: bool,
}

/// A resolved relation while the plan is being built. The plan has at least `fields`; it may carry more columns.
#[derive(Debug, Clone)]
pub(crate) struct Rel {
    pub(crate) plan: LogicalPlan,
    pub(crate) fields: Vec<OutputField>,
    pub(crate) hidden: Vec<Hidden>,
    pub(crate) render: Option<Render>,
}

impl Rel {
    pub(crate) fn new(plan: LogicalPlan, fields: Vec<OutputField>) -> Self {
        Self { plan, fields, hidden: Vec::new(), render: None }
    }

    /// Makes the plan's columns exactly `fields`.
    pub(crate) fn pruned(mut self) -> Result<Self> {
        let schema = self.plan.schema();
        let exact = schema.fields().len() == self.fields.len()
            && schema.fields().iter().zip(&self.fields).all(|(a, b)| *a.name() == b.internal);
        if !exact {
            let exprs = self.fields.iter().map(OutputField::column).collect();
            self.plan = LogicalPlan::Projection(
                Projection::try_new(exprs, Arc::new(self.plan)).map_err(from_datafusion)?,
            );
        }
        self.hidden.clear();
        Ok(self)
    }
}

/// How a name was found: the field and the struct fields still to be extracted from it.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) index: usize,
    pub(crate) field: &'a OutputField,
    pub(crate) nested: Vec<String>,
}

pub(crate) enum Lookup<'a> {
    None,
    One(Found<'a>),
    Many(Vec<&'a OutputField>),
}

pub(crate) fn same_name(a: &str, b: &str, case_sensitive: bool) -> bool {
    if case_sensitive { a == b } else { a == b || a.to_lowercase() == b.to_lowercase() }
}

/// `AttributeSeq.resolve`: the longest qualifier that matches wins, then the bare name with struct access.
pub(crate) fn lookup<'a>(
    fields: &[&'a OutputField],
    name: &[String],
    plan_id: Option<i64>,
    case_sensitive: bool,
) -> Lookup<'a> {
    for qualifier_length in (0..name.len().min(4)).rev() {
        let (qualifier, rest) = name.split_at(qualifier_length);
        let mut found: Vec<(usize, u32)> = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            if !same_name(&field.name, &rest[0], case_sensitive) {
                continue;
            }
            if qualifier.len() > field.qualifier.len() {
                continue;
            }
            let tail = &field.qualifier[field.qualifier.len() - qualifier.len()..];
            if !tail.iter().zip(qualifier).all(|(a, b)| same_name(a, b, case_sensitive)) {
                continue;
            }
            let depth = match plan_id {
                None => 0,
                Some(id) => {
                    match field.plan_ids.iter().filter(|(p, _)| *p == id).map(|p| p.1).min() {
                        Some(depth) => depth,
                        None => continue,
                    }
                }
            };
            if found.iter().any(|(i, _)| fields[*i].internal == field.internal) {
                continue;
            }
            found.push((index, depth));
        }
        if let Some(least) = found.iter().map(|f| f.1).min() {
            found.retain(|f| f.1 == least);
        }
        match found.as_slice() {
            [] => {}
            [(index, _)] => {
                return Lookup::One(Found {
                    index: *index,
                    field: fields[*index],
                    nested: rest[1..].to_vec(),
                });
            }
            many => return Lookup::Many(many.iter().map(|(i, _)| fields[*i]).collect()),
        }
    }
    Lookup::None
}
