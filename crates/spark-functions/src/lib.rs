//! Spark's functions, casts and type rules over DataFusion expressions.
//!
//! The resolver hands in a function's name and typed arguments; out comes a DataFusion expression with Spark's implicit
//! casts, result type and error behaviour. What DataFusion does exactly as Spark stays DataFusion's own expression, so
//! that the optimizer and the plan codec understand it; the rest are functions of ours ([`codec`] ships them).

mod aggregate;
mod arith;
mod cast;
pub mod codec;
pub mod coercion;
mod collections;
mod date_arith;
mod datetime;
mod decimal;
pub mod errors;
mod hash;
mod interval;
mod json;
mod kernels;
mod lambda;
mod lists;
mod literal;
mod math;
mod misc;
mod operators;
mod regexes;
mod signature;
mod strings;
pub mod task;
mod text;
mod time;
pub mod types;
mod udf;
mod window;

use arrow::datatypes::DataType as Arrow;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

pub use aggregate::{AggregateCall, aggregate, is_aggregate};
pub use cast::cast;
pub use coercion::widen;
pub use hash::hash_rows;
pub use lambda::{LambdaArgument, LambdaBody, higher_order, is_higher_order};
pub use literal::literal;
pub use literal::scalar_value;
pub use misc::{SPARK_VERSION, extract_value};
pub use operators::{case, in_list, normalize_key};
pub use window::{Bound, Frame, WindowCall, is_window, window};

/// What the meaning of a function depends on besides its arguments.
#[derive(Debug, Clone, Copy)]
pub struct FunctionContext<'a> {
    /// `spark.sql.ansi.enabled`.
    pub ansi: bool,
    /// `spark.sql.session.timeZone`.
    pub time_zone: &'a str,
    /// Columns the arguments may refer to.
    pub schema: &'a DFSchema,
    /// The query's start, in microseconds since the epoch: what `now()` answers.
    pub now_micros: i64,
    pub user: &'a str,
    pub catalog: &'a str,
    pub database: &'a str,
}

impl<'a> FunctionContext<'a> {
    /// Spark's defaults: ANSI, UTC, the start of the epoch.
    #[must_use]
    pub fn new(schema: &'a DFSchema) -> Self {
        Self {
            ansi: true,
            time_zone: types::UTC,
            schema,
            now_micros: 0,
            user: "spark",
            catalog: "spark_catalog",
            database: "default",
        }
    }

    fn arrow_type(&self, expr: &Expr) -> Result<Arrow, SparkError> {
        expr.get_type(self.schema).map_err(|error| errors::from_datafusion(&error))
    }
}

/// The Spark type of an expression.
///
/// # Errors
/// If the expression refers to columns that the schema has not.
pub fn data_type_of(expr: &Expr, ctx: &FunctionContext) -> Result<DataType, SparkError> {
    Ok(types::from_arrow(&ctx.arrow_type(expr)?))
}

/// An expression as error messages show it: without the resolver's internal column numbers.
pub(crate) fn sql_text(expr: &Expr) -> String {
    let text = match expr {
        Expr::Literal(value, _) => match value {
            datafusion::common::ScalarValue::Utf8(Some(text)) => text.clone(),
            value if value.is_null() => "NULL".into(),
            value => value.to_string(),
        },
        Expr::Column(column) => column.name.clone(),
        Expr::Cast(cast) => return sql_text(&cast.expr),
        Expr::BinaryExpr(binary) => {
            format!("({} {} {})", sql_text(&binary.left), binary.op, sql_text(&binary.right))
        }
        Expr::ScalarFunction(call) => {
            let args: Vec<String> = call.args.iter().map(sql_text).collect();
            format!("{}({})", call.func.name(), args.join(", "))
        }
        other => other.to_string(),
    };
    without_ids(&text)
}

fn without_ids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('#') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            out.push('#');
        }
        rest = &rest[digits..];
    }
    out.push_str(rest);
    out
}

/// A scalar function or operator by its (lower-case) name.
///
/// # Errors
/// WRONG_NUM_ARGS, DATATYPE_MISMATCH and the like for wrong arguments; UNRESOLVED_ROUTINE for an unknown name.
pub fn scalar(name: &str, args: Vec<Expr>, ctx: &FunctionContext) -> Result<Expr, SparkError> {
    let call = signature::Call::new(name, args, ctx)?;
    for build in builders() {
        if let Some(expr) = build(&call)? {
            return canonical(expr, ctx);
        }
    }
    match signature::find(name) {
        Some(function) => canonical(call.build(function)?, ctx),
        None => Err(errors::unresolved_routine(name)),
    }
}

/// Whether the (lower-case) name makes several rows out of one.
#[must_use]
pub fn is_generator(name: &str) -> bool {
    GENERATORS.contains(&name)
}

const GENERATORS: &[&str] = &[
    "explode",
    "explode_outer",
    "inline",
    "inline_outer",
    "json_tuple",
    "posexplode",
    "posexplode_outer",
    "stack",
];

/// Whether [`scalar`] knows the (lower-case) name.
#[must_use]
pub fn is_scalar(name: &str) -> bool {
    signature::find(name).is_some() || operators::NAMES.contains(&name) || BUILT.contains(&name)
}

/// Names of all built-in functions, sorted: scalar, aggregate, window, higher-order and generators.
#[must_use]
pub fn function_names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = signature::names().collect();
    names.extend(operators::NAMES);
    names.extend(BUILT);
    names.extend(aggregate::NAMES);
    names.extend(window::NAMES);
    names.extend(lambda::NAMES);
    names.extend(GENERATORS);
    names.sort_unstable();
    names.dedup();
    names
}

/// Scalar functions that are neither in the signature table nor operators.
const BUILT: &[&str] = &[
    "||",
    "array",
    "array_append",
    "array_contains",
    "array_except",
    "array_insert",
    "array_intersect",
    "array_join",
    "array_max",
    "array_min",
    "array_position",
    "array_prepend",
    "array_remove",
    "array_repeat",
    "array_union",
    "arrays_overlap",
    "arrays_zip",
    "assert_true",
    "bigint",
    "binary",
    "bitwise_not",
    "boolean",
    "bround",
    "ceil",
    "ceiling",
    "concat",
    "concat_ws",
    "convert_timezone",
    "curdate",
    "current_catalog",
    "current_database",
    "current_date",
    "current_schema",
    "current_timestamp",
    "current_timezone",
    "current_user",
    "date",
    "date_part",
    "datepart",
    "decimal",
    "decode",
    "double",
    "e",
    "element_at",
    "elt",
    "extract",
    "flatten",
    "float",
    "floor",
    "from_json",
    "from_utc_timestamp",
    "get",
    "hex",
    "ilike",
    "input_file_name",
    "int",
    "like",
    "localtimestamp",
    "log",
    "ltrim",
    "make_dt_interval",
    "make_interval",
    "make_timestamp",
    "make_timestamp_ltz",
    "make_timestamp_ntz",
    "map",
    "map_concat",
    "map_contains_key",
    "map_from_arrays",
    "map_from_entries",
    "monotonically_increasing_id",
    "named_struct",
    "now",
    "pi",
    "rand",
    "randn",
    "random",
    "randstr",
    "reverse",
    "round",
    "rtrim",
    "schema_of_json",
    "sequence",
    "session_user",
    "smallint",
    "spark_partition_id",
    "string",
    "struct",
    "timestamp",
    "timestampadd",
    "timestampdiff",
    "tinyint",
    "to_date",
    "to_json",
    "to_timestamp",
    "to_timestamp_ltz",
    "to_timestamp_ntz",
    "to_utc_timestamp",
    "trim",
    "try_element_at",
    "try_make_interval",
    "try_make_timestamp",
    "try_to_date",
    "try_to_timestamp",
    "typeof",
    "uniform",
    "user",
    "uuid",
    "version",
    "window",
    "window_time",
];

/// Functions whose result types or arguments need code; each answers `None` for names that are not its own.
fn builders() -> &'static [signature::Builder] {
    &[
        operators::build,
        strings::build,
        strings::build_pattern,
        datetime::build,
        math::build,
        hash::build,
        collections::build,
        json::build,
        misc::build,
    ]
}

fn definition_tables() -> Vec<&'static [udf::Definition]> {
    let mut tables = vec![
        arith::DEFINITIONS,
        cast::DEFINITIONS,
        date_arith::DEFINITIONS,
        operators::DEFINITIONS,
        strings::DEFINITIONS,
        strings::FORMAT_DEFINITIONS,
        strings::PATTERN_DEFINITIONS,
        hash::DEFINITIONS,
        misc::DEFINITIONS,
        misc::ITEM_DEFINITIONS,
    ];
    tables.extend(datetime::DEFINITION_TABLES);
    tables.extend(math::DEFINITION_TABLES);
    tables.extend(collections::DEFINITION_TABLES);
    tables.extend(json::DEFINITION_TABLES);
    tables
}

fn function_tables() -> Vec<&'static [signature::Function]> {
    let mut tables =
        vec![strings::FUNCTIONS, strings::FORMAT_FUNCTIONS, strings::PATTERN_FUNCTIONS];
    tables.push(hash::FUNCTIONS);
    tables.push(misc::FUNCTIONS);
    tables.push(json::FUNCTIONS);
    tables.extend(datetime::FUNCTION_TABLES);
    tables.extend(math::FUNCTION_TABLES);
    tables.extend(collections::FUNCTION_TABLES);
    tables
}

/// Brings an expression of DataFusion's making to the Arrow form its Spark type has.
pub(crate) fn canonical(expr: Expr, ctx: &FunctionContext) -> Result<Expr, SparkError> {
    let arrow = ctx.arrow_type(&expr)?;
    let target = types::to_arrow(&types::from_arrow(&arrow));
    if arrow == target {
        return Ok(expr);
    }
    Ok(Expr::Cast(datafusion::logical_expr::Cast::new(Box::new(expr), target)))
}
