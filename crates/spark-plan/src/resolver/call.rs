//! Function calls: built-ins, aggregates, and the few functions only the resolver can answer.

use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::scalar::ScalarValue;
use spark_functions::{AggregateCall, LambdaArgument, is_aggregate, is_generator, is_window};
use spark_sql_parser::ast;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use super::Analyzer;
use super::scope::{Clause, LambdaFrame, Scope};
use crate::errors::{Result, analysis, quoted};
use crate::visit;

/// An aggregate call without DISTINCT, FILTER or order.
pub(crate) fn plain_aggregate(name: &str, args: Vec<Expr>) -> AggregateCall {
    AggregateCall { name: name.to_owned(), args, ..AggregateCall::default() }
}

/// The lower-cased name of a built-in; built-ins may be qualified with their schema.
pub(crate) fn builtin_name(name: &[String]) -> Option<String> {
    match name {
        [single] => Some(single.to_lowercase()),
        [.., schema, single]
            if ["builtin", "session"].contains(&schema.to_lowercase().as_str()) =>
        {
            Some(single.to_lowercase())
        }
        _ => None,
    }
}

/// Whether an expression calls an aggregate function outside a window's own function.
pub(crate) fn has_aggregate(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Function(function) => {
            builtin_name(&function.name)
                .is_some_and(|n| is_aggregate(&n) || n == "grouping" || n == "grouping_id")
                || visit::children(expr).into_iter().any(has_aggregate)
        }
        ast::Expr::Window(window) => {
            visit::children(&window.function).into_iter().any(has_aggregate)
                || window.partition_by.iter().any(has_aggregate)
                || window.order_by.iter().any(|o| has_aggregate(&o.expr))
        }
        other => visit::children(other).into_iter().any(has_aggregate),
    }
}

impl Analyzer<'_> {
    pub(crate) fn function(&self, function: &ast::Function, scope: &Scope<'_>) -> Result<Expr> {
        let Some(name) = builtin_name(&function.name) else {
            return Err(self.unresolved_routine(&function.name));
        };
        if let Some(expr) = self.special_function(&name, function, scope)? {
            return Ok(expr);
        }
        if is_generator(&name) {
            return Err(analysis(
                "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
                "42K0E",
                format!(
                    "The generator is not supported: nested in expressions \"{}\".",
                    self.sql_of(&ast::Expr::Function(function.clone()), scope)
                ),
            ));
        }
        if is_aggregate(&name) {
            return self.aggregate_call(&name, function, scope);
        }
        if function.distinct || function.filter.is_some() {
            let what = if function.distinct { "DISTINCT" } else { "FILTER clause" };
            return Err(analysis(
                "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX",
                "42000",
                format!("Invalid SQL syntax: The function `{name}` does not support {what}."),
            ));
        }
        if is_window(&name) {
            return Err(analysis(
                "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE",
                "42601",
                format!("Window function \"{name}()\" requires an OVER clause."),
            )
            .with("funcName", format!("\"{name}()\"")));
        }
        if function.args.iter().any(|a| matches!(a, ast::Expr::Lambda { .. })) {
            return self.higher_order(&name, function, scope);
        }
        let mut args = Vec::with_capacity(function.args.len());
        for arg in self.expanded_arguments(&function.args, scope)? {
            args.push(self.expression(&arg, scope)?);
        }
        self.scalar(&name, args, scope.schema).map_err(|e| self.explained(e, function, scope))
    }

    /// Fills the text of the call into type errors, and the full name into unknown functions.
    fn explained(
        &self,
        error: SparkError,
        function: &ast::Function,
        scope: &Scope<'_>,
    ) -> SparkError {
        if error.condition == "UNRESOLVED_ROUTINE" {
            return self.unresolved_routine(&function.name);
        }
        let _ = scope;
        error
    }

    pub(crate) fn unresolved_routine(&self, name: &[String]) -> SparkError {
        let database = self.session.current_database();
        let path =
            format!("[`system`.`builtin`, `system`.`session`, `spark_catalog`.`{database}`]");
        analysis(
            "UNRESOLVED_ROUTINE",
            "42883",
            format!("Cannot resolve routine {} on search path {path}.", quoted(name)),
        )
        .with("routineName", quoted(name))
        .with("searchPath", path)
    }

    /// `f(*)` and `f(t.*)` as one argument per column.
    fn expanded_arguments(&self, args: &[ast::Expr], scope: &Scope<'_>) -> Result<Vec<ast::Expr>> {
        let mut all = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                ast::Expr::Star { target, except, plan_id } => {
                    for field in self.star_fields(target, *plan_id, except, scope)? {
                        let mut name = field.qualifier.clone();
                        name.push(field.name.clone());
                        all.push(ast::Expr::Attribute { name, plan_id: None });
                    }
                }
                other => all.push(other.clone()),
            }
        }
        Ok(all)
    }

    fn special_function(
        &self,
        name: &str,
        function: &ast::Function,
        scope: &Scope<'_>,
    ) -> Result<Option<Expr>> {
        let text = |value: String| Expr::Literal(ScalarValue::Utf8(Some(value)), None);
        Ok(Some(match name {
            "current_database" | "current_schema" => text(self.session.current_database()),
            "current_catalog" => text(self.session.current_catalog()),
            "current_user" | "user" | "session_user" => text(self.session.user.clone()),
            "current_timezone" => text(self.time_zone.clone()),
            "struct" => return self.struct_call(function, scope).map(Some),
            "when" if function.args.len() >= 2 => {
                let mut branches = Vec::new();
                let mut pairs = function.args.chunks_exact(2);
                for pair in pairs.by_ref() {
                    branches.push((pair[0].clone(), pair[1].clone()));
                }
                self.case(None, &branches, pairs.remainder().first(), scope)?
            }
            "grouping" | "grouping_id" => self.grouping_call(name, function, scope)?,
            _ => return Ok(None),
        }))
    }

    /// `struct(a, b + 1)`: fields are named as columns are, or `colN`.
    fn struct_call(&self, function: &ast::Function, scope: &Scope<'_>) -> Result<Expr> {
        let mut args = Vec::new();
        for (index, arg) in self.expanded_arguments(&function.args, scope)?.iter().enumerate() {
            let name = match arg {
                ast::Expr::Alias { names, .. } if names.len() == 1 => names[0].clone(),
                ast::Expr::Attribute { .. } => self.name_of(arg, scope),
                ast::Expr::NamedArgument { key, .. } => key.clone(),
                ast::Expr::ExtractValue { extraction, .. }
                    if matches!(
                        extraction.as_ref(),
                        ast::Expr::Literal(ast::Literal::String(_))
                    ) =>
                {
                    match extraction.as_ref() {
                        ast::Expr::Literal(ast::Literal::String(field)) => field.clone(),
                        _ => format!("col{}", index + 1),
                    }
                }
                _ => format!("col{}", index + 1),
            };
            args.push(Expr::Literal(ScalarValue::Utf8(Some(name)), None));
            args.push(self.expression(arg, scope)?);
        }
        self.scalar("named_struct", args, scope.schema)
    }

    /// `grouping(c)` and `grouping_id(…)`, read from the bits of the grouping id.
    fn grouping_call(
        &self,
        name: &str,
        function: &ast::Function,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let Some(grouping) = scope.grouping else {
            return Err(analysis(
                "UNSUPPORTED_GROUPING_EXPRESSION",
                "42K0E",
                "grouping()/grouping_id() can only be used with GroupingSets/Cube/Rollup.",
            ));
        };
        let id = Expr::Column(datafusion::common::Column::new_unqualified(&grouping.id_column));
        let inner = Scope { clause: Clause::AggregateArgument, aliases_first: false, ..*scope };
        let mut shifts = Vec::new();
        for arg in &function.args {
            let expr = self.expression(arg, &inner)?;
            let Some(index) = grouping.expressions.iter().position(|g| *g == expr) else {
                let list: Vec<String> =
                    grouping.expressions.iter().map(ToString::to_string).collect();
                return Err(analysis(
                    "GROUPING_COLUMN_MISMATCH",
                    "42803",
                    format!(
                        "Column of grouping (\"{}\") can't be found in grouping columns \"{}\".",
                        self.sql_of(arg, scope),
                        list.join(", ")
                    ),
                )
                .with("grouping", format!("\"{}\"", self.sql_of(arg, scope)))
                .with("groupingColumns", format!("\"{}\"", list.join(", "))));
            };
            shifts.push(grouping.expressions.len() - 1 - index);
        }
        let number =
            |n: usize| Expr::Literal(ScalarValue::Int64(Some(i64::try_from(n).unwrap_or(0))), None);
        let bit = |shift: usize| -> Expr {
            use std::ops::{BitAnd, Shr};
            id.clone().shr(number(shift)).bitand(number(1))
        };
        if name == "grouping" {
            let [shift] = shifts.as_slice() else {
                return Err(analysis(
                    "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
                    "42605",
                    format!(
                        "The `grouping` requires 1 parameters but the actual number is {}.",
                        shifts.len()
                    ),
                ));
            };
            return Ok(datafusion::logical_expr::cast(
                bit(*shift),
                arrow::datatypes::DataType::Int8,
            ));
        }
        if shifts.is_empty() {
            return Ok(id);
        }
        use std::ops::{BitOr, Shl};
        let count = shifts.len();
        let mut parts = shifts
            .into_iter()
            .enumerate()
            .map(|(position, shift)| bit(shift).shl(number(count - 1 - position)));
        let first = parts.next().unwrap_or_else(|| number(0));
        Ok(parts.fold(first, BitOr::bitor))
    }

    /// An aggregate function.
    fn aggregate_call(
        &self,
        name: &str,
        function: &ast::Function,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        self.check_aggregate_allowed(function, scope)?;
        let inner = Scope { clause: Clause::AggregateArgument, aliases_first: false, ..*scope };
        let call = self.aggregate_arguments(name, function, &inner)?;
        spark_functions::aggregate(call, &self.context(scope.schema))
    }

    pub(crate) fn aggregate_arguments(
        &self,
        name: &str,
        function: &ast::Function,
        scope: &Scope<'_>,
    ) -> Result<AggregateCall> {
        let mut args = Vec::with_capacity(function.args.len());
        let counts_all = name == "count"
            && matches!(function.args.as_slice(), [ast::Expr::Star { target, .. }] if target.is_empty());
        // `count(*)` has no arguments.
        if !counts_all || function.distinct {
            for arg in self.expanded_arguments(&function.args, scope)? {
                args.push(self.expression(&arg, scope)?);
            }
        }
        let filter = match &function.filter {
            Some(filter) => {
                let where_scope = Scope { clause: Clause::Where, ..*scope };
                Some(self.boolean(filter, &where_scope, "FILTER")?)
            }
            None => None,
        };
        let mut order_by: Vec<SortExpr> = Vec::new();
        for order in &function.within_group {
            let expr = self.expression(&order.expr, scope)?;
            order_by.push(super::relation::sort_expr(expr, order));
        }
        Ok(AggregateCall {
            name: name.to_owned(),
            args,
            distinct: function.distinct,
            filter,
            ignore_nulls: function.ignore_nulls,
            order_by,
        })
    }

    fn check_aggregate_allowed(&self, function: &ast::Function, scope: &Scope<'_>) -> Result<()> {
        let sql = || self.sql_of(&ast::Expr::Function(function.clone()), scope);
        match scope.clause {
            Clause::Select | Clause::Having | Clause::OrderBy | Clause::Other => Ok(()),
            Clause::AggregateArgument => Err(analysis(
                "NESTED_AGGREGATE_FUNCTION",
                "42607",
                "It is not allowed to use an aggregate function in the argument of another aggregate function. \
                 Please use the inner aggregate function in a sub-query.",
            )),
            Clause::Where => Err(crate::errors::where_condition(&sql(), &sql())),
            Clause::JoinCondition | Clause::JoinFilter => Err(analysis(
                "UNSUPPORTED_EXPR_FOR_OPERATOR",
                "42K0E",
                format!(
                    "A query operator contains one or more unsupported expressions.\nConsider to rewrite it to avoid \
                     window functions, aggregate functions, and generator functions in the WHERE clause.\nInvalid \
                     expressions: [{}]",
                    sql()
                ),
            )),
            Clause::GroupBy => Err(analysis(
                "GROUP_BY_AGGREGATE",
                "42903",
                format!("Aggregate functions are not allowed in GROUP BY, but found {}.", sql()),
            )
            .with("sqlExpr", sql())),
        }
    }

    /// `transform(xs, x -> …)` and its like: bodies are resolved once the types of their parameters are known.
    fn higher_order(
        &self,
        name: &str,
        function: &ast::Function,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        type Body<'b> = Box<dyn Fn(&[Expr]) -> Result<Expr> + 'b>;
        let mut bodies: Vec<Option<(usize, Body<'_>)>> = Vec::with_capacity(function.args.len());
        let mut values = Vec::with_capacity(function.args.len());
        for arg in &function.args {
            let ast::Expr::Lambda { body, parameters } = arg else {
                values.push(Some(self.expression(arg, scope)?));
                bodies.push(None);
                continue;
            };
            values.push(None);
            bodies.push(Some((
                parameters.len(),
                Box::new(move |variables: &[Expr]| {
                    let frame = LambdaFrame {
                        variables: parameters
                            .iter()
                            .cloned()
                            .zip(variables.iter().cloned())
                            .collect(),
                        parent: scope.lambda,
                    };
                    self.expression(body, &Scope { lambda: Some(&frame), ..*scope })
                }),
            )));
        }
        let mut arguments = Vec::with_capacity(values.len());
        for (value, body) in values.into_iter().zip(&bodies) {
            match (value, body) {
                (Some(value), _) => arguments.push(LambdaArgument::Value(value)),
                (None, Some((parameters, body))) => arguments
                    .push(LambdaArgument::Lambda { parameters: *parameters, body: body.as_ref() }),
                (None, None) => {}
            }
        }
        spark_functions::higher_order(name, &arguments, &self.context(scope.schema))
    }

    /// Whether values of this type are whole numbers, for ordinals.
    pub(crate) fn ordinal(expr: &ast::Expr) -> Option<i64> {
        match expr {
            ast::Expr::Literal(ast::Literal::Integer(n)) => Some(i64::from(*n)),
            ast::Expr::Literal(ast::Literal::Long(n)) => Some(*n),
            _ => None,
        }
    }

    /// Casts to boolean are what conditions of a type NULL need.
    pub(crate) fn null_of(&self, data_type: &DataType, scope: &Scope<'_>) -> Result<Expr> {
        self.cast(Expr::Literal(ScalarValue::Null, None), data_type, scope.schema)
    }
}
