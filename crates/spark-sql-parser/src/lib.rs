//! Spark SQL's text: lexer, parser, and the plan language (`ast`) that both front ends share.

pub mod ast;
pub mod error;
pub mod types;
