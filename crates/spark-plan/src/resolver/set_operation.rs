//! UNION, INTERSECT and EXCEPT: columns by position or name, types widened as Spark widens them.

use std::sync::Arc;

use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, SortExpr, Union};
use datafusion::scalar::ScalarValue;
use spark_functions::WindowCall;
use spark_functions::types::sql_name;
use spark_sql_parser::ast::{SetOperation, SetOperator};
use spark_sql_parser::types::DataType;

use super::scope::Env;
use super::window::extract_windows;
use super::{Analyzer, fresh_name};
use crate::errors::{Result, analysis, from_datafusion, unresolved_column};
use crate::field::{OutputField, Rel, same_name};

impl Analyzer<'_> {
    pub(super) fn set_operation(&self, operation: &SetOperation, env: Env<'_>) -> Result<Rel> {
        let mut left = self.relation(&operation.left, env)?.pruned()?;
        let mut right = self.relation(&operation.right, env)?.pruned()?;
        if operation.by_name {
            (left, right) = self.by_name(left, right, operation.allow_missing_columns)?;
        }
        let (left, right, fields) = self.aligned(left, right, operation.operator)?;
        let plan = match (operation.operator, operation.all) {
            (SetOperator::Union, all) => {
                let union = Union::try_new_with_loose_types(vec![Arc::new(left), Arc::new(right)])
                    .map_err(from_datafusion)?;
                let union = LogicalPlan::Union(union);
                if all { union } else { self.distinct(union)? }
            }
            (SetOperator::Intersect, false) => {
                set_join(self.distinct(left)?, right, JoinType::LeftSemi, &fields)?
            }
            (SetOperator::Except, false) => {
                set_join(self.distinct(left)?, right, JoinType::LeftAnti, &fields)?
            }
            (SetOperator::Intersect, true) => {
                self.multiset(left, right, JoinType::LeftSemi, &fields)?
            }
            (SetOperator::Except, true) => {
                self.multiset(left, right, JoinType::LeftAnti, &fields)?
            }
        };
        let mut rel = Rel::new(plan, fields);
        let names: Vec<String> =
            rel.plan.schema().fields().iter().map(|f| f.name().clone()).collect();
        for (field, internal) in rel.fields.iter_mut().zip(names) {
            field.internal = internal;
        }
        Ok(rel.synchronised())
    }

    /// `unionByName`: the right side in the order of the left one, with nulls for missing columns if allowed.
    fn by_name(&self, left: Rel, right: Rel, allow_missing: bool) -> Result<(Rel, Rel)> {
        let find = |fields: &[OutputField], name: &str| {
            fields.iter().position(|f| same_name(&f.name, name, self.case_sensitive))
        };
        let mut left_extra: Vec<&OutputField> = Vec::new();
        let mut right_exprs = Vec::new();
        let mut right_fields = Vec::new();
        for field in &left.fields {
            match find(&right.fields, &field.name) {
                Some(index) => {
                    right_exprs.push(right.fields[index].column());
                    right_fields.push(right.fields[index].clone());
                }
                None if allow_missing => {
                    let internal = fresh_name(&field.name);
                    let null = self.cast(
                        Expr::Literal(ScalarValue::Null, None),
                        &field.data_type,
                        right.plan.schema(),
                    )?;
                    right_exprs.push(null.alias(internal.clone()));
                    right_fields.push(OutputField { internal, nullable: true, ..field.clone() });
                }
                None => {
                    let candidates: Vec<Vec<String>> =
                        right.fields.iter().map(|f| vec![f.name.clone()]).collect();
                    return Err(unresolved_column(std::slice::from_ref(&field.name), &candidates));
                }
            }
        }
        for field in &right.fields {
            if find(&left.fields, &field.name).is_some() {
                continue;
            }
            if !allow_missing {
                return Err(analysis(
                    "NUM_COLUMNS_MISMATCH",
                    "42826",
                    format!(
                        "UNION can only be performed on inputs with the same number of columns, but the first input \
                         has {} columns and the second input has {} columns.",
                        left.fields.len(),
                        right.fields.len()
                    ),
                ));
            }
            right_exprs.push(field.column());
            right_fields.push(field.clone());
            left_extra.push(field);
        }
        let right_plan = super::project(right.plan.clone(), right_exprs)?;
        let right_done = Rel::new(right_plan, right_fields);
        if left_extra.is_empty() {
            return Ok((left, right_done));
        }
        let mut exprs: Vec<Expr> = left.fields.iter().map(OutputField::column).collect();
        let mut fields = left.fields.clone();
        for field in left_extra {
            let internal = fresh_name(&field.name);
            let null = self.cast(
                Expr::Literal(ScalarValue::Null, None),
                &field.data_type,
                left.plan.schema(),
            )?;
            exprs.push(null.alias(internal.clone()));
            fields.push(OutputField { internal, nullable: true, ..field.clone() });
        }
        let plan = super::project(left.plan, exprs)?;
        Ok((Rel::new(plan, fields), right_done))
    }

    /// Both sides with the same types under the same names.
    fn aligned(
        &self,
        left: Rel,
        right: Rel,
        operator: SetOperator,
    ) -> Result<(LogicalPlan, LogicalPlan, Vec<OutputField>)> {
        let word = match operator {
            SetOperator::Union => "UNION",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Except => "EXCEPT",
        };
        if left.fields.len() != right.fields.len() {
            return Err(analysis(
                "NUM_COLUMNS_MISMATCH",
                "42826",
                format!(
                    "{word} can only be performed on inputs with the same number of columns, but the first input has \
                     {} columns and the second input has {} columns.",
                    left.fields.len(),
                    right.fields.len()
                ),
            )
            .with("operator", word)
            .with("firstNumColumns", left.fields.len().to_string())
            .with("invalidOrdinalNum", "second")
            .with("invalidNumColumns", right.fields.len().to_string()));
        }
        let mut lefts = Vec::new();
        let mut rights = Vec::new();
        let mut fields = Vec::new();
        for (index, (l, r)) in left.fields.iter().zip(&right.fields).enumerate() {
            let Some(widened) = widen_pair(&l.data_type, &r.data_type) else {
                return Err(analysis(
                    "INCOMPATIBLE_COLUMN_TYPE",
                    "42825",
                    format!(
                        "{word} can only be performed on tables with compatible column types. The {} column of the \
                         second table is \"{}\" type which is not compatible with \"{}\" at the same column of the \
                         first table.",
                        ordinal_word(index),
                        sql_name(&r.data_type),
                        sql_name(&l.data_type)
                    ),
                )
                .with("operator", word)
                .with("columnOrdinalNumber", ordinal_word(index))
                .with("tableOrdinalNumber", "second")
                .with("dataType1", format!("\"{}\"", sql_name(&r.data_type)))
                .with("dataType2", format!("\"{}\"", sql_name(&l.data_type)))
                .with("hint", ""));
            };
            let internal = fresh_name(&l.name);
            let left_expr = self.cast(l.column(), &widened, left.plan.schema())?;
            let right_expr = self.cast(r.column(), &widened, right.plan.schema())?;
            lefts.push(left_expr.alias(internal.clone()));
            rights.push(right_expr.alias(internal.clone()));
            fields.push(OutputField {
                name: l.name.clone(),
                data_type: widened,
                nullable: l.nullable || r.nullable,
                qualifier: Vec::new(),
                plan_ids: Vec::new(),
                internal,
                metadata: None,
            });
        }
        Ok((super::project(left.plan, lefts)?, super::project(right.plan, rights)?, fields))
    }

    /// INTERSECT ALL and EXCEPT ALL: the n-th copy of a row on one side meets the n-th copy on the other.
    fn multiset(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        kind: JoinType,
        fields: &[OutputField],
    ) -> Result<LogicalPlan> {
        let numbered = |plan: LogicalPlan, name: &str| -> Result<LogicalPlan> {
            let schema = plan.schema().clone();
            let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
            let order: Vec<SortExpr> = columns.iter().map(|c| c.clone().sort(true, true)).collect();
            let number = spark_functions::window(
                WindowCall {
                    function: super::call::plain_aggregate("row_number", Vec::new()),
                    partition_by: columns.clone(),
                    order_by: order,
                    frame: None,
                },
                &self.context(&schema),
            )?;
            let mut exprs = columns;
            exprs.push(number);
            let (plan, mut exprs) = extract_windows(plan, exprs)?;
            if let Some(last) = exprs.pop() {
                exprs.push(last.alias(name));
            }
            super::project(plan, exprs)
        };
        let name = fresh_name("copy");
        let mut with_copy = fields.to_vec();
        with_copy.push(OutputField {
            name: "copy".to_owned(),
            data_type: DataType::Integer,
            nullable: false,
            qualifier: Vec::new(),
            plan_ids: Vec::new(),
            internal: name.clone(),
            metadata: None,
        });
        let joined = set_join(numbered(left, &name)?, numbered(right, &name)?, kind, &with_copy)?;
        let exprs = fields.iter().map(OutputField::column).collect();
        super::project(joined, exprs)
    }
}

/// As `TypeCoercion.WidenSetOperationTypes`: by widening, and text with anything only outside ANSI.
fn widen_pair(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right {
        return Some(left.clone());
    }
    spark_functions::widen(&[left.clone(), right.clone()])
}

/// A semi or anti join on all columns in which nulls are equal. The right side gets names of its own.
fn set_join(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinType,
    fields: &[OutputField],
) -> Result<LogicalPlan> {
    let mut renamed = Vec::with_capacity(fields.len());
    let mut on = Vec::with_capacity(fields.len());
    for field in fields {
        let other = fresh_name(&field.name);
        renamed.push(field.column().alias(other.clone()));
        on.push((field.column(), Expr::Column(Column::new_unqualified(other))));
    }
    let right = super::project(right, renamed)?;
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        None,
        kind,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )
    .map_err(from_datafusion)?;
    Ok(LogicalPlan::Join(join))
}

fn ordinal_word(index: usize) -> String {
    let words =
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];
    match words.get(index) {
        Some(word) => (*word).to_owned(),
        None => format!("{}th", index + 1),
    }
}
