//! Expressions: names, literals, casts, conditionals, field access.

use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Case;
use datafusion::scalar::ScalarValue;
use spark_sql_parser::ast;
use spark_sql_parser::types::{DataType, Schema};

use super::Analyzer;
use super::scope::{Meaning, Scope};
use crate::errors::{Result, analysis, unsupported};
use crate::field::same_name;

impl Analyzer<'_> {
    /// Resolves an expression.
    pub(crate) fn expression(&self, expr: &ast::Expr, scope: &Scope<'_>) -> Result<Expr> {
        stacker::maybe_grow(128 * 1024, 2 * 1024 * 1024, || self.expression_kind(expr, scope))
    }

    fn expression_kind(&self, expr: &ast::Expr, scope: &Scope<'_>) -> Result<Expr> {
        use ast::Expr as E;
        match expr {
            E::Literal(literal) => spark_functions::literal(literal),
            E::Attribute { name, plan_id } => self.attribute(name, *plan_id, scope),
            E::Star { target, .. } => Err(analysis(
                "INVALID_USAGE_OF_STAR_OR_REGEX",
                "42000",
                if target.is_empty() {
                    "Invalid usage of '*' in expression.".to_owned()
                } else {
                    format!("Invalid usage of '{}.*' in expression.", target.join("."))
                },
            )
            .with("elem", "'*'")
            .with("prettyName", "expression")),
            E::Regex { pattern, .. } => Err(analysis(
                "INVALID_USAGE_OF_STAR_OR_REGEX",
                "42000",
                format!("Invalid usage of regular expression '{pattern}' in expression."),
            )),
            E::Function(function) => self.function(function, scope),
            E::NamedArgument { value, .. } => self.expression(value, scope),
            E::Alias { expr, .. } => self.expression(expr, scope),
            E::Cast { expr, to, mode } => {
                let child = self.expression(expr, scope)?;
                spark_functions::cast(child, to, *mode, &self.context(scope.schema))
            }
            E::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref(), scope)
            }
            E::InList { expr, list, negated } => self.in_list(expr, list, *negated, scope),
            E::InSubquery { exprs, query, negated } => {
                self.in_subquery(exprs, query, *negated, scope)
            }
            E::Exists { query, negated } => self.exists(query, *negated, scope),
            E::ScalarSubquery(query) => self.scalar_subquery(query, scope),
            E::Window(window) => self.window(window, scope),
            E::Lambda { .. } => Err(analysis(
                "INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION",
                "42K0D",
                "Invalid lambda function call. A lambda function should only be used in a higher order function.",
            )),
            E::LambdaVariable { name } => self.lambda_variable(name, scope),
            E::ExtractValue { child, extraction } => {
                let base = self.expression(child, scope)?;
                if let E::Literal(ast::Literal::String(field)) = extraction.as_ref()
                    && !matches!(self.type_of(&base, scope.schema)?, DataType::Map { .. })
                {
                    return self.extract_field(base, field, scope);
                }
                let key = self.expression(extraction, scope)?;
                spark_functions::extract_value(base, key, &self.context(scope.schema))
            }
            E::UpdateField { child, field, value } => {
                self.update_field(child, field, value.as_deref(), scope)
            }
            E::SortOrder(order) => self.expression(&order.expr, scope),
            E::Parameter(parameter) => {
                let name = match parameter {
                    ast::Parameter::Named(name) => name.clone(),
                    ast::Parameter::Positional(index) => format!("_{index}"),
                };
                Err(analysis(
                    "UNBOUND_SQL_PARAMETER",
                    "42P02",
                    format!(
                        "Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the \
                         parameter to either a SQL literal or collection constructor functions such as `map()`, \
                         `array()`, `struct()`."
                    ),
                )
                .with("name", name))
            }
            E::PythonUdf(udf) => Err(unsupported(format!("the Python function {}", udf.name))),
        }
    }

    fn attribute(&self, name: &[String], plan_id: Option<i64>, scope: &Scope<'_>) -> Result<Expr> {
        if let Some(variable) = self.lambda_lookup(name, scope)? {
            return Ok(variable);
        }
        match self.find(name, plan_id, scope)? {
            Some(meaning) => {
                let base = meaning.base()?;
                let nested = match &meaning {
                    Meaning::Column { nested, .. }
                    | Meaning::Alias { nested, .. }
                    | Meaning::Outer { nested, .. } => nested,
                };
                let mut expr = base;
                for field in nested {
                    expr = self.extract_field(expr, field, scope)?;
                }
                Ok(expr)
            }
            None => {
                if let [single] = name
                    && plan_id.is_none()
                    && let Some(expr) = self.bare_function(single, scope)?
                {
                    return Ok(expr);
                }
                Err(self.unresolved(name, plan_id, scope))
            }
        }
    }

    /// Functions that may be called without parentheses.
    fn bare_function(&self, name: &str, scope: &Scope<'_>) -> Result<Option<Expr>> {
        let name = name.to_lowercase();
        let known = [
            "current_date",
            "current_timestamp",
            "current_time",
            "localtimestamp",
            "current_user",
            "user",
            "session_user",
            "current_catalog",
            "current_database",
            "current_schema",
        ];
        if name == "grouping__id" {
            return self
                .function(
                    &ast::Function {
                        name: vec!["grouping_id".to_owned()],
                        ..ast::Function::default()
                    },
                    scope,
                )
                .map(Some);
        }
        if !known.contains(&name.as_str()) {
            return Ok(None);
        }
        self.function(&ast::Function { name: vec![name], ..ast::Function::default() }, scope)
            .map(Some)
    }

    fn lambda_lookup(&self, name: &[String], scope: &Scope<'_>) -> Result<Option<Expr>> {
        let mut frame = scope.lambda;
        while let Some(lambda) = frame {
            for (variable, expr) in &lambda.variables {
                if same_name(variable, &name[0], self.case_sensitive) {
                    let mut expr = expr.clone();
                    for field in &name[1..] {
                        expr = self.extract_field(expr, field, scope)?;
                    }
                    return Ok(Some(expr));
                }
            }
            frame = lambda.parent;
        }
        Ok(None)
    }

    fn lambda_variable(&self, name: &[String], scope: &Scope<'_>) -> Result<Expr> {
        match self.lambda_lookup(name, scope)? {
            Some(expr) => Ok(expr),
            None => Err(self.unresolved(name, None, scope)),
        }
    }

    /// `child.field`: of a struct, of every struct in an array, or the value under a key of a map.
    pub(crate) fn extract_field(
        &self,
        child: Expr,
        field: &str,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let key = || Expr::Literal(ScalarValue::Utf8(Some(field.to_owned())), None);
        match self.type_of(&child, scope.schema)? {
            DataType::Struct(schema) => {
                let found: Vec<&str> = schema
                    .fields
                    .iter()
                    .map(|f| f.name.as_str())
                    .filter(|n| same_name(n, field, self.case_sensitive))
                    .collect();
                match found.as_slice() {
                    [one] => Ok(get_field(child, *one)),
                    [] => {
                        let names: Vec<String> =
                            schema.fields.iter().map(|f| format!("`{}`", f.name)).collect();
                        Err(analysis(
                            "FIELD_NOT_FOUND",
                            "42704",
                            format!("No such struct field `{field}` in {}.", names.join(", ")),
                        )
                        .with("fieldName", format!("`{field}`"))
                        .with("fields", names.join(", ")))
                    }
                    _ => Err(analysis(
                        "AMBIGUOUS_REFERENCE_TO_FIELDS",
                        "42000",
                        format!(
                            "Ambiguous reference to the field `{field}`. It appears {} times in the schema.",
                            found.len()
                        ),
                    )),
                }
            }
            _ => spark_functions::extract_value(child, key(), &self.context(scope.schema)),
        }
    }

    fn update_field(
        &self,
        child: &ast::Expr,
        field: &str,
        value: Option<&ast::Expr>,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let base = self.expression(child, scope)?;
        let DataType::Struct(schema) = self.type_of(&base, scope.schema)? else {
            return Err(analysis(
                "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
                "42K09",
                format!("Cannot update the field `{field}` of a value that is not a struct."),
            ));
        };
        let value = value.map(|v| self.expression(v, scope)).transpose()?;
        let (first, rest) = match field.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (field, None),
        };
        if rest.is_some() {
            return Err(unsupported("withField and dropFields with a path of several names"));
        }
        let text = |name: &str| Expr::Literal(ScalarValue::Utf8(Some(name.to_owned())), None);
        let mut args = Vec::new();
        let mut replaced = false;
        for existing in &schema.fields {
            if same_name(&existing.name, first, self.case_sensitive) {
                if let Some(value) = &value {
                    args.push(text(first));
                    args.push(value.clone());
                }
                replaced = true;
            } else {
                args.push(text(&existing.name));
                args.push(get_field(base.clone(), existing.name.as_str()));
            }
        }
        if let (false, Some(value)) = (replaced, value) {
            args.push(text(first));
            args.push(value);
        }
        let made = self.scalar("named_struct", args, scope.schema)?;
        let null = self.cast(
            Expr::Literal(ScalarValue::Null, None),
            &self.type_of(&made, scope.schema)?,
            scope.schema,
        )?;
        Ok(Expr::Case(Case::new(
            None,
            vec![(Box::new(Expr::IsNull(Box::new(base))), Box::new(null))],
            Some(Box::new(made)),
        )))
    }

    pub(crate) fn case(
        &self,
        operand: Option<&ast::Expr>,
        branches: &[(ast::Expr, ast::Expr)],
        otherwise: Option<&ast::Expr>,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let operand = operand.map(|o| self.expression(o, scope)).transpose()?;
        let mut resolved = Vec::with_capacity(branches.len());
        for (when, then) in branches {
            resolved.push((self.expression(when, scope)?, self.expression(then, scope)?));
        }
        let otherwise = otherwise.map(|o| self.expression(o, scope)).transpose()?;
        spark_functions::case(operand, resolved, otherwise, &self.context(scope.schema))
    }

    /// A row with the field names of another one: `(a, b) IN ((1, 2))` compares by position.
    fn renamed_row(&self, row: Expr, names: &Schema, scope: &Scope<'_>) -> Result<Expr> {
        let DataType::Struct(own) = self.type_of(&row, scope.schema)? else { return Ok(row) };
        let same = own.fields.iter().zip(&names.fields).all(|(a, b)| a.name == b.name);
        if same || own.fields.len() != names.fields.len() {
            return Ok(row);
        }
        let mut args = Vec::with_capacity(own.fields.len() * 2);
        for (from, to) in own.fields.iter().zip(&names.fields) {
            args.push(Expr::Literal(ScalarValue::Utf8(Some(to.name.clone())), None));
            args.push(get_field(row.clone(), from.name.as_str()));
        }
        self.scalar("named_struct", args, scope.schema)
    }

    fn in_list(
        &self,
        expr: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let value = self.expression(expr, scope)?;
        let row = match self.type_of(&value, scope.schema)? {
            DataType::Struct(schema) => Some(schema),
            _ => None,
        };
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let item = self.expression(item, scope)?;
            items.push(match &row {
                Some(schema) => self.renamed_row(item, schema, scope)?,
                None => item,
            });
        }
        spark_functions::in_list(value, items, negated, &self.context(scope.schema))
    }
}

/// The type a list of comparable values is compared in: as a comparison would coerce them.
pub(crate) fn common_type(types: &[DataType]) -> Option<DataType> {
    spark_functions::widen(types)
}
