//! The names Spark gives unnamed columns: `toPrettySQL` of an expression.
//!
//! Measured on Spark 4.2.0. Spark names columns after its analyser has replaced functions by expression classes, so
//! some names show those classes' spelling and default arguments (`CEIL(x)`, `round(x, 0)`); the tables in
//! [`functions`] hold these.

mod functions;
mod literal;

pub use literal::{java_double, literal_sql};

use crate::ast::{
    CastMode, Expr, FrameBound, Function, Literal, Parameter, SortOrder, Window, WindowFrame,
};
use crate::types::DataType;

/// How names of columns are shown; the resolver knows more of them than the text says.
pub trait PrettyNames {
    /// A column inside an expression: Spark drops qualifiers and keeps struct fields (`t.s.f + 1` is `(s.f + 1)`).
    fn attribute(&self, name: &[String]) -> String {
        name.last().cloned().unwrap_or_default()
    }

    /// Whether `child['name']` takes a struct's field, shown as `child.name`, rather than a map's value.
    fn is_struct(&self, child: &Expr) -> bool {
        match child {
            Expr::Function(function) => {
                matches!(function.name.last().map(String::as_str), Some("struct" | "named_struct"))
            }
            Expr::ExtractValue { .. } | Expr::Window(_) | Expr::ScalarSubquery(_) => true,
            _ => false,
        }
    }
}

/// Names as the text has them.
struct TextNames;

impl PrettyNames for TextNames {}

/// The name Spark gives a column of this expression when the query gives none.
#[must_use]
pub fn expr_sql(expr: &Expr) -> String {
    expr_sql_with(expr, &TextNames)
}

/// As [`expr_sql`], with the resolver's knowledge of names.
#[must_use]
pub fn expr_sql_with(expr: &Expr, names: &dyn PrettyNames) -> String {
    match expr {
        // A top-level struct access is named by its field and a cast column by the column.
        Expr::Attribute { name, .. } => name.last().cloned().unwrap_or_default(),
        Expr::Alias { names, .. } => names.first().cloned().unwrap_or_default(),
        Expr::Cast { expr: inner, .. } if matches!(**inner, Expr::Attribute { .. }) => {
            expr_sql(inner)
        }
        _ => pretty_sql(expr, names),
    }
}

/// The text of an expression where it stands inside another one.
#[must_use]
pub fn pretty_sql(expr: &Expr, names: &dyn PrettyNames) -> String {
    Printer { names }.expr(expr)
}

/// Puts back-quotes around a name part that is not a plain identifier.
#[must_use]
pub fn quote_if_needed(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().any(|b| !b.is_ascii_digit());
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

struct Printer<'a> {
    names: &'a dyn PrettyNames,
}

impl Printer<'_> {
    fn expr(&self, expr: &Expr) -> String {
        match expr {
            Expr::Literal(literal) => literal::pretty(literal),
            Expr::Attribute { name, .. } => self.names.attribute(name),
            Expr::Star { target, .. } if target.is_empty() => "*".to_owned(),
            Expr::Star { target, .. } => format!("{}.*", target.join(".")),
            Expr::Regex { pattern, .. } => pattern.clone(),
            Expr::Function(function) => self.function(function),
            Expr::NamedArgument { key, value } => format!("{key} => {}", self.expr(value)),
            Expr::Alias { expr, names, .. } => match names.as_slice() {
                [name] => format!("{} AS {name}", self.expr(expr)),
                _ => format!("{} AS ({})", self.expr(expr), names.join(", ")),
            },
            Expr::Cast { expr, to, mode } => self.cast(expr, to, *mode),
            Expr::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref())
            }
            Expr::InList { expr, list, negated } => {
                negate(*negated, format!("({} IN ({}))", self.expr(expr), self.list(list)))
            }
            Expr::InSubquery { exprs, negated, .. } => {
                negate(*negated, format!("({} IN (listquery()))", self.in_values(exprs)))
            }
            Expr::Exists { negated, .. } => negate(*negated, "exists()".to_owned()),
            Expr::ScalarSubquery(_) => "scalarsubquery()".to_owned(),
            Expr::Window(window) => self.window(window),
            Expr::Lambda { body, parameters } => {
                let variables = ", namedlambdavariable()".repeat(parameters.len());
                format!("lambdafunction({}{variables})", self.expr(body))
            }
            Expr::LambdaVariable { name } => {
                let fields: String = name.iter().skip(1).map(|field| format!(".{field}")).collect();
                format!("namedlambdavariable(){fields}")
            }
            Expr::ExtractValue { child, extraction } => self.extract(child, extraction),
            Expr::UpdateField { child, field, value } => match value {
                Some(value) => {
                    format!("update_fields({}, WithField({}))", self.expr(child), self.expr(value))
                }
                None => format!("update_fields({}, dropfield({field}))", self.expr(child)),
            },
            Expr::SortOrder(order) => self.sort_order(order),
            Expr::Parameter(Parameter::Named(name)) => format!(":{name}"),
            Expr::Parameter(Parameter::Positional(_)) => "?".to_owned(),
            Expr::PythonUdf(udf) => format!("{}({})", udf.name, self.list(&udf.args)),
        }
    }

    fn list(&self, exprs: &[Expr]) -> String {
        let texts: Vec<_> = exprs.iter().map(|expr| self.expr(expr)).collect();
        texts.join(", ")
    }

    fn cast(&self, expr: &Expr, to: &DataType, mode: CastMode) -> String {
        match (expr, mode) {
            // The parser's form of TIMESTAMP '…'.
            (Expr::Literal(Literal::String(text)), CastMode::Ansi)
                if *to == DataType::Timestamp =>
            {
                format!("TIMESTAMP '{text}'")
            }
            (Expr::Literal(Literal::Null(_)), _) => "NULL".to_owned(),
            (_, CastMode::Try) => format!("TRY_CAST({} AS {})", self.expr(expr), to.sql()),
            _ => format!("CAST({} AS {})", self.expr(expr), to.sql()),
        }
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> String {
        let mut out = "CASE".to_owned();
        for (condition, value) in branches {
            let condition = match operand {
                Some(operand) => format!("({} = {})", self.expr(operand), self.expr(condition)),
                None => self.expr(condition),
            };
            out.push_str(&format!(" WHEN {condition} THEN {}", self.expr(value)));
        }
        if let Some(otherwise) = otherwise {
            out.push_str(&format!(" ELSE {}", self.expr(otherwise)));
        }
        out.push_str(" END");
        out
    }

    fn in_values(&self, exprs: &[Expr]) -> String {
        match exprs {
            [one] => self.expr(one),
            many => {
                let pairs: Vec<_> = many
                    .iter()
                    .enumerate()
                    .map(|(index, expr)| {
                        format!("'{}', {}", self.field_name(index, expr), self.expr(expr))
                    })
                    .collect();
                format!("named_struct({})", pairs.join(", "))
            }
        }
    }

    fn field_name(&self, index: usize, expr: &Expr) -> String {
        match expr {
            Expr::Attribute { name, .. } => name.last().cloned().unwrap_or_default(),
            Expr::Alias { names, .. } => names.first().cloned().unwrap_or_default(),
            _ => format!("col{}", index + 1),
        }
    }

    fn extract(&self, child: &Expr, extraction: &Expr) -> String {
        match extraction {
            Expr::Literal(Literal::String(field)) if self.names.is_struct(child) => {
                format!("{}.{field}", self.expr(child))
            }
            _ => format!("{}[{}]", self.expr(child), self.expr(extraction)),
        }
    }

    fn sort_order(&self, order: &SortOrder) -> String {
        let direction = if order.ascending { "ASC" } else { "DESC" };
        let nulls = if order.nulls_first.unwrap_or(order.ascending) { "FIRST" } else { "LAST" };
        format!("{} {direction} NULLS {nulls}", self.expr(&order.expr))
    }

    fn function(&self, function: &Function) -> String {
        let name = function.name.last().map(|name| name.to_lowercase()).unwrap_or_default();
        let args: Vec<_> = function.args.iter().map(|arg| self.argument(&name, arg)).collect();
        let plain = !function.distinct && function.within_group.is_empty();
        let mut out = match functions::special(&name, &function.args, &args) {
            Some(text) if plain => text,
            _ => {
                let distinct = if function.distinct { "DISTINCT " } else { "" };
                let shown = functions::display_name(&name);
                format!("{shown}({distinct}{})", args.join(", "))
            }
        };
        if !function.within_group.is_empty() {
            out.push_str(&self.within_group(&name, &function.within_group));
        }
        if let Some(filter) = &function.filter {
            out.push_str(&format!(" FILTER (WHERE {})", self.expr(filter)));
        }
        out
    }

    fn argument(&self, function: &str, arg: &Expr) -> String {
        match arg {
            // `count(*)` counts 1.
            Expr::Star { target, .. } if function == "count" && target.is_empty() => "1".to_owned(),
            _ => self.expr(arg),
        }
    }

    fn within_group(&self, name: &str, orders: &[SortOrder]) -> String {
        // Percentiles keep a flag, not a sort order, so the default direction is not shown.
        let short = name.starts_with("percentile") || name == "mode";
        let texts: Vec<_> = orders
            .iter()
            .map(|order| match short {
                // The mode of a descending order is the least value, and Spark shows the order turned round.
                true if order.ascending != (name == "mode") => self.expr(&order.expr),
                true => format!("{} DESC", self.expr(&order.expr)),
                false => self.sort_order(order),
            })
            .collect();
        format!(" WITHIN GROUP (ORDER BY {})", texts.join(", "))
    }

    fn window(&self, window: &Window) -> String {
        let mut parts = Vec::new();
        if !window.partition_by.is_empty() {
            parts.push(format!("PARTITION BY {}", self.list(&window.partition_by)));
        }
        if !window.order_by.is_empty() {
            let orders: Vec<_> =
                window.order_by.iter().map(|order| self.sort_order(order)).collect();
            parts.push(format!("ORDER BY {}", orders.join(", ")));
        }
        parts.push(match &window.frame {
            Some(frame) => self.frame(frame),
            None => functions::default_frame(&window.function, !window.order_by.is_empty()),
        });
        format!("{} OVER ({})", self.expr(&window.function), parts.join(" "))
    }

    fn frame(&self, frame: &WindowFrame) -> String {
        let kind = if frame.rows { "ROWS" } else { "RANGE" };
        format!("{kind} BETWEEN {} AND {}", self.bound(&frame.lower), self.bound(&frame.upper))
    }

    fn bound(&self, bound: &FrameBound) -> String {
        match bound {
            FrameBound::UnboundedPreceding => "UNBOUNDED PRECEDING".to_owned(),
            FrameBound::UnboundedFollowing => "UNBOUNDED FOLLOWING".to_owned(),
            FrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            FrameBound::Offset(offset) => self.offset(offset),
        }
    }

    fn offset(&self, offset: &Expr) -> String {
        if let Expr::Function(function) = offset
            && let ([name], [inner]) = (function.name.as_slice(), function.args.as_slice())
            && name == "-"
        {
            return format!("{} PRECEDING", self.expr(inner));
        }
        let text = self.expr(offset);
        match text.strip_prefix('-') {
            Some(positive) => format!("{positive} PRECEDING"),
            None => format!("{text} FOLLOWING"),
        }
    }
}

fn negate(negated: bool, text: String) -> String {
    if negated { format!("(NOT {text})") } else { text }
}
