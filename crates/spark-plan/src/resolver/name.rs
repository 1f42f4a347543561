//! The names of unnamed columns and the text of expressions in messages, with the resolver's knowledge of columns.

use spark_sql_parser::ast;
use spark_sql_parser::types::DataType;
use spark_sql_parser::{PrettyNames, expr_sql_with, pretty_sql};

use super::Analyzer;
use super::scope::{Meaning, Scope};

struct ScopeNames<'a, 's> {
    analyzer: &'a Analyzer<'a>,
    scope: &'a Scope<'s>,
}

impl PrettyNames for ScopeNames<'_, '_> {
    fn attribute(&self, name: &[String]) -> String {
        match self.analyzer.find(name, None, self.scope) {
            Ok(Some(
                Meaning::Column { nested, .. }
                | Meaning::Alias { nested, .. }
                | Meaning::Outer { nested, .. },
            )) => {
                // The user's spelling, without the qualifier.
                let from = name.len() - 1 - nested.len().min(name.len() - 1);
                name[from..].join(".")
            }
            _ => name.last().cloned().unwrap_or_default(),
        }
    }

    fn is_struct(&self, child: &ast::Expr) -> bool {
        self.analyzer
            .expression(child, self.scope)
            .and_then(|e| self.analyzer.type_of(&e, self.scope.schema))
            .is_ok_and(|t| match t {
                DataType::Struct(_) => true,
                DataType::Array { element, .. } => matches!(*element, DataType::Struct(_)),
                _ => false,
            })
    }
}

impl Analyzer<'_> {
    /// The name of an unnamed column.
    pub(crate) fn name_of(&self, expr: &ast::Expr, scope: &Scope<'_>) -> String {
        expr_sql_with(expr, &ScopeNames { analyzer: self, scope })
    }

    /// The text of an expression in an error message.
    pub(crate) fn sql_of(&self, expr: &ast::Expr, scope: &Scope<'_>) -> String {
        pretty_sql(expr, &ScopeNames { analyzer: self, scope })
    }
}
