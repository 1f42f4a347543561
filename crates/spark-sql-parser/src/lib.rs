//! Spark SQL's text: lexer, parser, and the plan language (`ast`) that both front ends share.

pub mod ast;
mod datetime;
pub mod error;
mod lexer;
mod parser;
mod pretty;
mod script;
mod syntax;
pub mod types;

pub use parser::{
    ParserOptions, parse_data_type, parse_expression, parse_multipart_identifier, parse_schema,
    parse_statement,
};
pub use pretty::{
    PrettyNames, expr_sql, expr_sql_with, java_double, literal_sql, pretty_sql, quote_if_needed,
};
pub use script::parse_script;
