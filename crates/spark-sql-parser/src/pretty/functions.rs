//! What Spark's analyser makes of function names in column names.

use crate::ast::{Expr, Literal};

/// Functions shown under the spelling of their expression class.
const DISPLAY_NAMES: &[(&str, &str)] = &[
    ("acos", "ACOS"),
    ("acosh", "ACOSH"),
    ("asin", "ASIN"),
    ("asinh", "ASINH"),
    ("atan", "ATAN"),
    ("atan2", "ATAN2"),
    ("atanh", "ATANH"),
    ("cbrt", "CBRT"),
    ("ceil", "CEIL"),
    ("cos", "COS"),
    ("cosh", "COSH"),
    ("cot", "COT"),
    ("degrees", "DEGREES"),
    ("e", "E"),
    ("exp", "EXP"),
    ("expm1", "EXPM1"),
    ("floor", "FLOOR"),
    ("hypot", "HYPOT"),
    ("log10", "LOG10"),
    ("log1p", "LOG1P"),
    ("log2", "LOG2"),
    ("pi", "PI"),
    ("power", "POWER"),
    ("radians", "RADIANS"),
    ("rank", "RANK"),
    ("rlike", "RLIKE"),
    ("signum", "SIGNUM"),
    ("sin", "SIN"),
    ("sinh", "SINH"),
    ("spark_partition_id", "SPARK_PARTITION_ID"),
    ("sqrt", "SQRT"),
    ("tan", "TAN"),
    ("tanh", "TANH"),
    ("dense_rank", "DENSE_RANK"),
    ("percent_rank", "PERCENT_RANK"),
    ("array_agg", "collect_list"),
    ("csc", "CSC"),
    ("curdate", "current_date"),
    ("current_database", "current_schema"),
    ("dateadd", "date_add"),
    ("random", "rand"),
    ("regexp", "REGEXP"),
    ("regexp_like", "REGEXP_LIKE"),
    ("sec", "SEC"),
    ("to_varchar", "to_char"),
];

/// Arguments the analyser adds: function, number of arguments written, text added.
const DEFAULT_ARGUMENTS: &[(&str, usize, &str)] = &[
    ("round", 1, "0"),
    ("bround", 1, "0"),
    ("lag", 1, "1, NULL"),
    ("lag", 2, "NULL"),
    ("lead", 1, "1, NULL"),
    ("lead", 2, "NULL"),
    ("split", 2, "-1"),
    ("regexp_replace", 3, "1"),
    ("regexp_extract", 2, "1"),
    ("regexp_extract_all", 2, "1"),
    ("substring", 2, "2147483647"),
    ("substr", 2, "2147483647"),
    ("locate", 2, "1"),
    ("overlay", 3, "-1"),
    ("sort_array", 1, "true"),
    ("unix_timestamp", 1, "yyyy-MM-dd HH:mm:ss"),
    ("to_unix_timestamp", 1, "yyyy-MM-dd HH:mm:ss"),
    ("from_unixtime", 1, "yyyy-MM-dd HH:mm:ss"),
    ("lpad", 2, " "),
    ("rpad", 2, " "),
    ("sentences", 1, ", "),
    ("aes_decrypt", 2, "GCM, DEFAULT, "),
    ("aes_decrypt", 3, "DEFAULT, "),
    ("aes_decrypt", 4, ""),
    ("aes_encrypt", 2, "GCM, DEFAULT, , "),
    ("aes_encrypt", 3, "DEFAULT, , "),
    ("aes_encrypt", 4, ", "),
    ("aes_encrypt", 5, ""),
    ("try_aes_decrypt", 2, "GCM, DEFAULT, "),
    ("try_aes_decrypt", 3, "DEFAULT, "),
    ("try_aes_decrypt", 4, ""),
    ("approx_top_k", 1, "5, 10000"),
    ("approx_top_k", 2, "10000"),
    ("current_time", 0, "6"),
    ("hll_sketch_agg", 1, "12"),
    ("hll_union", 2, "false"),
    ("listagg", 1, "NULL"),
    ("string_agg", 1, "NULL"),
    ("make_dt_interval", 1, "0, 0, 0.000000"),
    ("make_dt_interval", 2, "0, 0.000000"),
    ("make_dt_interval", 3, "0.000000"),
    ("make_interval", 1, "0, 0, 0, 0, 0, 0.000000"),
    ("make_interval", 2, "0, 0, 0, 0, 0.000000"),
    ("make_interval", 3, "0, 0, 0, 0.000000"),
    ("make_interval", 4, "0, 0, 0.000000"),
    ("make_interval", 5, "0, 0.000000"),
    ("make_interval", 6, "0.000000"),
    ("make_ym_interval", 1, "0"),
    ("mask", 1, "X, x, n, NULL"),
    ("mask", 2, "x, n, NULL"),
    ("mask", 3, "n, NULL"),
    ("mask", 4, "NULL"),
    ("months_between", 2, "true"),
    ("percentile", 2, "1"),
    ("regexp_instr", 2, "0"),
    ("unix_timestamp", 0, "current_timestamp(), yyyy-MM-dd HH:mm:ss"),
    ("str_to_map", 1, ",, :"),
    ("str_to_map", 2, ":"),
];

/// Functions of whose arguments only some are shown.
const SHOWN_ARGUMENTS: &[(&str, usize)] = &[
    ("any_value", 1),
    ("dense_rank", 0),
    ("first", 1),
    ("first_value", 1),
    ("from_csv", 1),
    ("from_json", 1),
    ("from_xml", 1),
    ("ilike", 2),
    ("last", 1),
    ("last_value", 1),
    ("percent_rank", 0),
    ("rank", 0),
    ("schema_of_csv", 1),
    ("schema_of_json", 1),
    ("schema_of_xml", 1),
    ("to_csv", 1),
    ("to_json", 1),
    ("to_xml", 1),
    ("try_variant_get", 2),
    ("variant_get", 2),
];

/// Functions that are casts, which do not show.
const CASTS: &[&str] = &[
    "bigint",
    "binary",
    "boolean",
    "date",
    "decimal",
    "double",
    "float",
    "int",
    "smallint",
    "string",
    "timestamp",
    "tinyint",
];

const ROWS_TO_CURRENT: &str = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";

pub(super) fn display_name(name: &str) -> &str {
    DISPLAY_NAMES.iter().find(|(plain, _)| *plain == name).map_or(name, |(_, shown)| shown)
}

/// The text of operators and of functions with a form of their own.
pub(super) fn special(name: &str, args: &[Expr], texts: &[String]) -> Option<String> {
    if let Some(text) = operator(name, args, texts) {
        return Some(text);
    }
    match (name, texts) {
        (_, [inner]) if CASTS.contains(&name) => Some(inner.clone()),
        ("ceil" | "floor", [_, _]) => Some(format!("{name}({})", texts.join(", "))),
        ("datepart", [field, source]) => Some(format!("datepart({field} FROM {source})")),
        ("sentences", [text, language]) => Some(format!("sentences({text}, {language}, )")),
        ("if", [condition, yes, no]) => Some(format!("(IF({condition}, {yes}, {no}))")),
        ("log", [x]) => Some(format!("LOG(E(), {x})")),
        ("log", [base, x]) => Some(format!("LOG({base}, {x})")),
        ("extract", [field, source]) => Some(format!("extract({field} FROM {source})")),
        ("trim", [what, text]) => Some(format!("TRIM(BOTH {what} FROM {text})")),
        ("ltrim", [what, text]) => Some(format!("TRIM(LEADING {what} FROM {text})")),
        ("rtrim", [what, text]) => Some(format!("TRIM(TRAILING {what} FROM {text})")),
        ("position" | "locate", [what, text]) => Some(format!("{name}({what}, {text}, 1)")),
        ("aggregate" | "reduce", [array, start, merge]) => Some(format!(
            "{name}({array}, {start}, {merge}, lambdafunction(namedlambdavariable(), namedlambdavariable()))"
        )),
        _ => with_defaults(name, texts),
    }
}

fn with_defaults(name: &str, texts: &[String]) -> Option<String> {
    if let Some((_, count)) = SHOWN_ARGUMENTS.iter().find(|(function, _)| *function == name) {
        let shown = &texts[..texts.len().min(*count)];
        return Some(format!("{}({})", display_name(name), shown.join(", ")));
    }
    let (_, _, added) = DEFAULT_ARGUMENTS
        .iter()
        .find(|(function, count, _)| *function == name && *count == texts.len())?;
    let separator = if texts.is_empty() { "" } else { ", " };
    Some(format!("{}({}{separator}{added})", display_name(name), texts.join(", ")))
}

fn operator(name: &str, args: &[Expr], texts: &[String]) -> Option<String> {
    match texts {
        [left, right] => {
            let shown = match name {
                "+" | "-" if is_interval(&args[1]) => {
                    return Some(format!("{left} {name} {right}"));
                }
                "==" | "=" => "=",
                "!=" | "<>" => return Some(format!("(NOT ({left} = {right}))")),
                "and" => "AND",
                "or" => "OR",
                "||" => return Some(format!("concat({left}, {right})")),
                "like" => return Some(format!("{left} LIKE {right}")),
                "+" | "-" | "*" | "/" | "%" | "div" | "<=>" | "<" | "<=" | ">" | ">=" | "&"
                | "|" | "^" | "<<" | ">>" | ">>>" => name,
                _ => return None,
            };
            Some(format!("({left} {shown} {right})"))
        }
        [operand] => match name {
            "not" | "!" => Some(format!("(NOT {operand})")),
            "-" => Some(format!("(- {operand})")),
            "positive" | "+" => Some(format!("(+ {operand})")),
            "~" => Some(format!("~{operand}")),
            "isnull" => Some(format!("({operand} IS NULL)")),
            "isnotnull" => Some(format!("({operand} IS NOT NULL)")),
            _ => None,
        },
        [left, right, escape] if name == "like" => {
            Some(format!("{left} LIKE {right} ESCAPE '{escape}'"))
        }
        _ => None,
    }
}

fn is_interval(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(
            Literal::CalendarInterval { .. }
                | Literal::YearMonthInterval(_)
                | Literal::DayTimeInterval(_)
        )
    )
}

/// The frame of a window that names none.
pub(super) fn default_frame(function: &Expr, ordered: bool) -> String {
    let (name, args) = match function {
        Expr::Function(function) => (
            function.name.last().map(|name| name.to_lowercase()).unwrap_or_default(),
            function.args.as_slice(),
        ),
        _ => (String::new(), [].as_slice()),
    };
    let offset = match args.get(1) {
        Some(Expr::Literal(Literal::Integer(offset))) => *offset,
        _ => 1,
    };
    match name.as_str() {
        "row_number" | "rank" | "dense_rank" | "percent_rank" | "ntile" => {
            ROWS_TO_CURRENT.to_owned()
        }
        "lead" => format!("ROWS BETWEEN {offset} FOLLOWING AND {offset} FOLLOWING"),
        "lag" => format!("ROWS BETWEEN {0} FOLLOWING AND {0} FOLLOWING", -offset),
        _ if ordered => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
        _ => "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".to_owned(),
    }
}
