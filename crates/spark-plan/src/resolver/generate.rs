//! Generators: explode and its family as Unnest over an array column.

use std::sync::Arc;

use datafusion::common::{Column, NullHandling, UnnestOptions};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, LogicalPlan, Unnest};
use datafusion::scalar::ScalarValue;
use spark_functions::is_generator;
use spark_functions::types::sql_name;
use spark_sql_parser::ast;
use spark_sql_parser::types::DataType;

use super::call::builtin_name;
use super::project::Entry;
use super::relation::no_generator;
use super::scope::{Clause, Env, Scope};
use super::{Analyzer, fresh_name, output_field};
use crate::errors::{Result, analysis, from_datafusion};
use crate::field::{OutputField, Rel};
use crate::visit;

/// A generator call and the names given to its columns.
struct Generator<'a> {
    name: String,
    outer: bool,
    args: &'a [ast::Expr],
    names: &'a [String],
}

/// The arrays to unnest side by side, and the output columns over one element of each.
struct Generated {
    arrays: Vec<Expr>,
    /// Name of the column, index of the array, struct field of its element.
    columns: Vec<(String, usize, Option<String>)>,
}

fn generator_of(expr: &ast::Expr) -> Option<Generator<'_>> {
    let (expr, names): (&ast::Expr, &[String]) = match expr {
        ast::Expr::Alias { expr, names, .. } => (expr, names),
        other => (other, &[]),
    };
    let ast::Expr::Function(function) = expr else { return None };
    let full = builtin_name(&function.name)?;
    if !is_generator(&full) {
        return None;
    }
    let (name, outer) = match full.strip_suffix("_outer") {
        Some(name) => (name.to_owned(), true),
        None => (full, false),
    };
    Some(Generator { name, outer, args: &function.args, names })
}

impl Analyzer<'_> {
    /// Moves the generator of a select list below it.
    pub(super) fn generators(
        &self,
        rel: Rel,
        entries: Vec<Entry>,
        env: Env<'_>,
    ) -> Result<(Rel, Vec<Entry>)> {
        let positions: Vec<usize> = entries
            .iter()
            .enumerate()
            .filter(|(_, e)| matches!(e, Entry::Expr(expr) if generator_of(expr).is_some()))
            .map(|(i, _)| i)
            .collect();
        match positions.as_slice() {
            [] => {
                let nested = entries.iter().any(|e| match e {
                    Entry::Expr(expr) => visit::any(expr, &|x| generator_of(x).is_some()),
                    Entry::Column(_) => false,
                });
                if nested {
                    return Err(no_generator("nested in an expression"));
                }
                Ok((rel, entries))
            }
            [position] => {
                let Entry::Expr(expr) = &entries[*position] else {
                    return Ok((rel, entries));
                };
                let Some(generator) = generator_of(expr) else { return Ok((rel, entries)) };
                let (rel, columns) = self.generate(rel, &generator, env)?;
                let mut all = Vec::with_capacity(entries.len() + columns.len());
                for (index, entry) in entries.iter().enumerate() {
                    if index == *position {
                        all.extend(columns.iter().cloned().map(Entry::Column));
                    } else {
                        all.push(entry.clone());
                    }
                }
                Ok((rel, all))
            }
            many => Err(analysis(
                "UNSUPPORTED_GENERATOR.MULTI_GENERATOR",
                "42K0E",
                format!(
                    "The generator is not supported: only one generator allowed per SELECT clause but found {}.",
                    many.len()
                ),
            )
            .with("num", many.len().to_string())),
        }
    }

    /// LATERAL VIEW.
    pub(super) fn lateral_view(
        &self,
        input: &ast::Relation,
        generator: &ast::Expr,
        outer: bool,
        table_alias: Option<&str>,
        column_aliases: &[String],
        env: Env<'_>,
    ) -> Result<Rel> {
        let rel = self.relation(input, env)?;
        let Some(mut found) = generator_of(generator) else {
            return Err(analysis(
                "UNSUPPORTED_GENERATOR.NOT_GENERATOR",
                "42K0E",
                format!(
                    "The generator is not supported: {} is expected to be a generator.",
                    spark_sql_parser::expr_sql(generator)
                ),
            ));
        };
        if !column_aliases.is_empty() {
            found.names = column_aliases;
        }
        found.outer |= outer;
        let (mut rel, mut columns) = self.generate(rel, &found, env)?;
        if let Some(alias) = table_alias {
            for column in &mut columns {
                column.qualifier = vec![alias.to_owned()];
            }
        }
        rel.fields.extend(columns);
        Ok(rel)
    }

    /// Puts the generator over a relation; the relation's fields stay, the generated ones are returned apart.
    fn generate(
        &self,
        rel: Rel,
        generator: &Generator<'_>,
        env: Env<'_>,
    ) -> Result<(Rel, Vec<OutputField>)> {
        let scope = Scope::of(&rel, env, Clause::Select);
        let generated = self.generated(generator, &scope)?;
        if !generator.names.is_empty() && generator.names.len() != generated.columns.len() {
            return Err(analysis(
                "UDTF_ALIAS_NUMBER_MISMATCH",
                "42802",
                format!(
                    "The number of aliases supplied in the AS clause does not match the number of columns output by \
                     the UDTF. Expected {} aliases, but got {}. Please ensure that the number of aliases provided \
                     matches the number of columns output by the UDTF.",
                    generated.columns.len(),
                    generator.names.join(", ")
                ),
            ));
        }
        let mut exprs: Vec<Expr> =
            rel.plan.schema().columns().into_iter().map(Expr::Column).collect();
        let names: Vec<String> = generated.arrays.iter().map(|_| fresh_name("gen")).collect();
        for (array, name) in generated.arrays.iter().zip(&names) {
            exprs.push(array.clone().alias(name.clone()));
        }
        let below = super::project(rel.plan.clone(), exprs)?;
        let handling =
            if generator.outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
        let unnest = Unnest::try_new(
            Arc::new(below),
            names.iter().map(Column::new_unqualified).collect(),
            UnnestOptions::new().with_null_handling(handling),
        )
        .map_err(from_datafusion)?;
        let unnest = LogicalPlan::Unnest(unnest);
        let schema = unnest.schema().clone();
        let mut above: Vec<Expr> =
            rel.plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut fields = Vec::with_capacity(generated.columns.len());
        for (index, (name, array, field)) in generated.columns.iter().enumerate() {
            let element = Expr::Column(Column::new_unqualified(&names[*array]));
            let expr = match field {
                Some(field) => get_field(element, field.as_str()),
                None => element,
            };
            let name = generator.names.get(index).unwrap_or(name);
            let internal = fresh_name(name);
            let mut output = output_field(&expr, &schema, name, internal.clone())?;
            if generator.outer {
                output.nullable = true;
            } else if field.is_none() {
                output.nullable = self.element_nullable(&generated.arrays[*array], &scope)?;
            }
            fields.push(output);
            above.push(expr.alias(internal));
        }
        let plan = super::project(unnest, above)?;
        Ok((Rel { plan, ..rel }, fields))
    }

    fn element_nullable(&self, array: &Expr, scope: &Scope<'_>) -> Result<bool> {
        Ok(match self.type_of(array, scope.schema)? {
            DataType::Array { contains_null, .. } => contains_null,
            _ => true,
        })
    }

    fn generated(&self, generator: &Generator<'_>, scope: &Scope<'_>) -> Result<Generated> {
        let mut args = Vec::with_capacity(generator.args.len());
        for arg in generator.args {
            args.push(self.expression(arg, scope)?);
        }
        let plain = |name: &str, array: usize| (name.to_owned(), array, None);
        let part = |name: &str, array: usize, field: &str| {
            (name.to_owned(), array, Some(field.to_owned()))
        };
        match (generator.name.as_str(), args.as_slice()) {
            ("explode" | "posexplode", [collection]) => {
                let with_position = generator.name == "posexplode";
                let (array, mut columns) = match self.type_of(collection, scope.schema)? {
                    DataType::Array { .. } => (collection.clone(), vec![plain("col", 0)]),
                    DataType::Map { .. } => (
                        self.scalar("map_entries", vec![collection.clone()], scope.schema)?,
                        vec![part("key", 0, "key"), part("value", 0, "value")],
                    ),
                    other => return Err(wrong_input(&generator.name, generator.args, &other)),
                };
                if !with_position {
                    return Ok(Generated { arrays: vec![array], columns });
                }
                let positions = self.positions(&array, scope)?;
                columns.insert(0, plain("pos", 1));
                Ok(Generated { arrays: vec![array, positions], columns })
            }
            ("inline", [array]) => match self.type_of(array, scope.schema)? {
                DataType::Array { element, .. } => match *element {
                    DataType::Struct(schema) => Ok(Generated {
                        arrays: vec![array.clone()],
                        columns: schema.fields.iter().map(|f| part(&f.name, 0, &f.name)).collect(),
                    }),
                    other => Err(wrong_input("inline", generator.args, &other)),
                },
                other => Err(wrong_input("inline", generator.args, &other)),
            },
            ("stack", [rows, values @ ..]) => self.stack(rows, values, scope),
            ("json_tuple", [json, names @ ..]) if !names.is_empty() => {
                let mut args = Vec::with_capacity(names.len() * 2);
                let mut columns = Vec::with_capacity(names.len());
                for (index, name) in names.iter().enumerate() {
                    let dollar = Expr::Literal(ScalarValue::Utf8(Some("$.".to_owned())), None);
                    let path = self.scalar("concat", vec![dollar, name.clone()], scope.schema)?;
                    let column = format!("c{index}");
                    let label = Expr::Literal(ScalarValue::Utf8(Some(column.clone())), None);
                    args.push(label);
                    args.push(self.scalar(
                        "get_json_object",
                        vec![json.clone(), path],
                        scope.schema,
                    )?);
                    columns.push(part(&column, 0, &column));
                }
                let row = self.scalar("named_struct", args, scope.schema)?;
                let array = self.scalar("array", vec![row], scope.schema)?;
                Ok(Generated { arrays: vec![array], columns })
            }
            (name, _) => Err(no_generator(&format!("{name} with {} arguments", args.len()))),
        }
    }

    /// The positions 0 … n-1 beside an array, null beside a null or empty one.
    fn positions(&self, array: &Expr, scope: &Scope<'_>) -> Result<Expr> {
        let integer = |n: i32| Expr::Literal(ScalarValue::Int32(Some(n)), None);
        let size = self.scalar("size", vec![array.clone()], scope.schema)?;
        let last = self.scalar("-", vec![size.clone(), integer(1)], scope.schema)?;
        let sequence = self.scalar("sequence", vec![integer(0), last], scope.schema)?;
        let some = self.scalar(">", vec![size, integer(0)], scope.schema)?;
        spark_functions::case(None, vec![(some, sequence)], None, &self.context(scope.schema))
    }

    fn stack(&self, rows: &Expr, values: &[Expr], scope: &Scope<'_>) -> Result<Generated> {
        let count = match self.constant(rows, scope.schema)? {
            Some(ScalarValue::Int32(Some(n))) if n > 0 => usize::try_from(n).unwrap_or(1),
            _ => {
                return Err(analysis(
                    "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
                    "42K09",
                    "Cannot resolve \"stack\" due to data type mismatch: The number of rows must be a positive \
                     constant.",
                ));
            }
        };
        let width = values.len().div_ceil(count);
        let mut types = Vec::with_capacity(width);
        for column in 0..width {
            let mut all = Vec::new();
            for row in 0..count {
                if let Some(value) = values.get(row * width + column) {
                    all.push(self.type_of(value, scope.schema)?);
                }
            }
            types.push(spark_functions::widen(&all).ok_or_else(|| {
                analysis(
                    "DATATYPE_MISMATCH.STACK_COLUMN_DIFF_TYPES",
                    "42K09",
                    format!(
                        "Cannot resolve \"stack\" due to data type mismatch: The data type of the column (`{column}`) \
                         do not have the same type."
                    ),
                )
            })?);
        }
        let mut structs = Vec::with_capacity(count);
        for row in 0..count {
            let mut args = Vec::with_capacity(width * 2);
            for (column, data_type) in types.iter().enumerate() {
                let name = format!("col{column}");
                args.push(Expr::Literal(ScalarValue::Utf8(Some(name)), None));
                args.push(match values.get(row * width + column) {
                    Some(value) => self.cast(value.clone(), data_type, scope.schema)?,
                    None => self.null_of(data_type, scope)?,
                });
            }
            structs.push(self.scalar("named_struct", args, scope.schema)?);
        }
        let array = self.scalar("array", structs, scope.schema)?;
        let columns = (0..width).map(|c| (format!("col{c}"), 0, Some(format!("col{c}")))).collect();
        Ok(Generated { arrays: vec![array], columns })
    }
}

fn wrong_input(
    name: &str,
    args: &[ast::Expr],
    found: &DataType,
) -> spark_sql_parser::error::SparkError {
    let input = args.first().map(spark_sql_parser::expr_sql).unwrap_or_default();
    let required = if name == "inline" { "\"ARRAY<STRUCT>\"" } else { "(\"ARRAY\" or \"MAP\")" };
    analysis(
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        "42K09",
        format!(
            "Cannot resolve \"{name}({input})\" due to data type mismatch: The first parameter requires the \
             {required} type, however \"{input}\" has the type \"{}\".",
            sql_name(found)
        ),
    )
    .with("sqlExpr", format!("\"{name}({input})\""))
    .with("paramIndex", "first")
    .with("inputSql", format!("\"{input}\""))
    .with("inputType", format!("\"{}\"", sql_name(found)))
    .with("requiredType", required)
}
