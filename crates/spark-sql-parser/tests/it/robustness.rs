//! Nothing a user can send panics or overflows the stack.

use proptest::prelude::*;
use spark_sql_parser::{
    ParserOptions, parse_data_type, parse_expression, parse_schema, parse_script, parse_statement,
};

fn parse(sql: &str) -> bool {
    parse_statement(sql, &ParserOptions::default()).is_ok()
}

/// On a thread as small as the servers' are.
fn on_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(test);
    thread.expect("a thread").join().expect("no panic");
}

#[test]
fn deep_nesting_is_an_error() {
    on_small_stack(|| {
        for (open, close) in [
            ("(", ")"),
            ("f(", ")"),
            ("not ", ""),
            ("- ", ""),
            ("case when a then ", " end"),
            ("(select ", ")"),
            ("a[", "]"),
            ("x -> ", ""),
            ("a in (", ")"),
            ("cast(", " as int)"),
            ("a + (", ")"),
            ("array<", ">"),
        ] {
            let text = format!("select {}1{}", open.repeat(10_000), close.repeat(10_000));
            assert!(!parse(&text), "{open}");
        }
        let text = format!("select * from {}t{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(!parse(&text));
        let text =
            format!("select * from {}t{}", "(select * from ".repeat(10_000), ")".repeat(10_000));
        assert!(!parse(&text));
        let text = format!("{}select 1", "explain ".repeat(10_000));
        assert!(!parse(&text));
        assert!(
            parse_data_type(&format!("{}int{}", "array<".repeat(10_000), ">".repeat(10_000)))
                .is_err()
        );
    });
}

#[test]
fn reasonable_nesting_parses() {
    on_small_stack(|| {
        assert!(parse(&format!("select {}1{}", "(".repeat(90), ")".repeat(90))));
        assert!(parse(&format!("select {}1{}", "coalesce(a + ".repeat(50), ")".repeat(50))));
        assert!(parse(&format!("select {}1", "1 + ".repeat(300))));
        assert!(parse(&format!("select 1 where {}a = 1", "a = 2 or ".repeat(20_000))));
        assert!(parse(&format!("select {}a", "b, ".repeat(20_000))));
        assert!(parse(&format!("{}select 1", "select 1 union all ".repeat(300))));
        assert!(parse(&format!("select {}1{}", "((select 1 + ".repeat(20), "))".repeat(20))));
    });
}

fn fragment() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "select",
        "from",
        "where",
        "group by",
        "order by",
        "(",
        ")",
        ",",
        ".",
        "*",
        "a",
        "`b`",
        "'c'",
        "1",
        "1.5",
        "-",
        "+",
        "and",
        "or",
        "not",
        "in",
        "between",
        "like",
        "case",
        "when",
        "then",
        "end",
        "cast(",
        "as",
        "int",
        "join",
        "on",
        "using",
        "left",
        "union",
        "all",
        "with",
        "values",
        "interval",
        "day",
        "to",
        "second",
        "date",
        "x'1'",
        "over",
        "window",
        "partition by",
        "rows",
        "unbounded",
        "preceding",
        "->",
        "=>",
        "::",
        "[",
        "]",
        "lateral",
        "view",
        "pivot",
        "unpivot",
        "for",
        "create",
        "table",
        "drop",
        "set",
        "show",
        "describe",
        "insert",
        "into",
        ";",
        "=",
        "<",
        ">",
        ">>",
        "/*+",
        "*/",
        "?",
        ":",
        "exists",
        "distinct",
        "struct<",
        "rollup",
        "grouping sets",
        "limit",
        "trim(",
        "extract(",
        "is",
        "null",
        "timestamp",
        "tablesample",
        "percent",
        "explain",
        "cache",
        "\\",
        "é",
        "😀",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = parse(&text);
        let _ = parse_script(&text);
        let _ = parse_data_type(&text);
        let _ = parse_schema(&text);
    }

    #[test]
    fn random_tokens_never_panic(words in prop::collection::vec(fragment(), 0..40)) {
        let text = words.join(" ");
        let _ = parse(&text);
        let _ = parse(&format!("select {text}"));
        let _ = parse(&format!("select * from t {text}"));
        let _ = parse_expression(&text, &ParserOptions::default()).map(|expr| spark_sql_parser::expr_sql(&expr));
        if let Err(error) = parse_statement(&text, &ParserOptions::default()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
