//! Every expression of `tests/answers/*.sql` against what Apache Spark answered when it was recorded.

use std::collections::BTreeSet;

use spark_sql_parser::error::SparkError;

use crate::harness::{context, empty_schema, shown};
use crate::{sql, table};

/// Expressions whose answers are known to differ; each must really differ, so that the list cannot rot.
const KNOWN: &str = include_str!("../answers/known-differences.txt");

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r")
}

/// Compares all recorded lines with the answers of `evaluate`.
fn compare(recorded: &str, mut evaluate: impl FnMut(&str) -> Result<(String, String), SparkError>) {
    let known: BTreeSet<&str> =
        KNOWN.lines().filter(|line| !line.is_empty() && !line.starts_with("-- ")).collect();
    let (mut wrong, mut healed, mut total) = (vec![], vec![], 0);
    for line in recorded.lines().filter(|line| !line.starts_with("-- Apache Spark")) {
        let mut parts = line.split('\t');
        let (Some(expression), Some(value), Some(name)) =
            (parts.next(), parts.next(), parts.next())
        else {
            panic!("not a recorded line: {line}");
        };
        total += 1;
        let actual = match evaluate(expression) {
            Ok((value, name)) => (escape(&value), name),
            Err(error) => (format!("[{}]", error.condition), String::new()),
        };
        let same = actual.0 == value && actual.1 == name;
        match (same, known.contains(expression)) {
            (false, false) => wrong.push(format!(
                "{expression}\n    is {}: {}\n    but Spark says {value}: {name}",
                actual.0, actual.1
            )),
            (true, true) => healed.push(expression),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {total} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(healed.is_empty(), "no longer different, take them off the list: {healed:#?}");
}

#[test]
fn expressions_answer_as_recorded() {
    compare(include_str!("../answers/scalar.tsv"), |expression| {
        let schema = empty_schema();
        let ctx = context(&schema);
        shown(sql::expression(expression, &ctx)?, &ctx)
    });
}

#[test]
fn aggregates_answer_as_recorded() {
    compare(include_str!("../answers/table.tsv"), table::aggregated);
}

#[test]
fn windows_answer_as_recorded() {
    compare(include_str!("../answers/window.tsv"), table::windowed);
}
