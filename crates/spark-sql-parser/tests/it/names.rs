//! Column names, as Spark 4.2.0 prints them; and so the precedence of operators.

use expect_test::{Expect, expect};
use spark_sql_parser::{ParserOptions, expr_sql, parse_expression};

fn name(text: &str) -> String {
    match parse_expression(text, &ParserOptions::default()) {
        Ok(expr) => expr_sql(&expr),
        Err(error) => panic!("{text}: {error}"),
    }
}

/// Each line is an expression, ` => `, and the name Spark gives it.
#[test]
fn names_are_sparks() {
    let wrong: Vec<String> = include_str!("names.txt")
        .lines()
        .filter_map(|line| line.split_once("  =>  "))
        .filter_map(|(text, expected)| {
            let found = name(text);
            (found != expected).then(|| format!("{text}: {found:?}, Spark has {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&name(text));
}

#[test]
fn precedence() {
    check("a or b and not c = d", expect!["(a OR (b AND (NOT (c = d))))"]);
    check("a + b * c - d / e % f", expect!["((a + (b * c)) - ((d / e) % f))"]);
    check("a | b ^ c & d << e + f", expect!["(a | (b ^ (c & (d << (e + f)))))"]);
    check("a and b and c and d and e", expect!["(((a AND b) AND c) AND (d AND e))"]);
    check("a or b or c or d", expect!["((a OR b) OR (c OR d))"]);
    check("a << b + c & d | e ^ f = g", expect!["((((a << (b + c)) & d) | (e ^ f)) = g)"]);
    check("not a is null and b in (c, d)", expect!["((NOT (a IS NULL)) AND (b IN (c, d)))"]);
    check("- a * b", expect!["((- a) * b)"]);
    check("a = b = c", expect!["((a = b) = c)"]);
    check("a between b and c and d", expect!["(between(a, b, c) AND d)"]);
    check("not a between b and c", expect!["(NOT between(a, b, c))"]);
    check("a || b + c", expect!["(concat(a, b) + c)"]);
    check("a + b like c", expect!["(a + b) LIKE c"]);
    check("a is null or b is not null", expect!["((a IS NULL) OR (b IS NOT NULL))"]);
    check("-1::string", expect!["CAST(-1 AS STRING)"]);
}
