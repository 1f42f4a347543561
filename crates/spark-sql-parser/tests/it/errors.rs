//! Errors are Spark's, with their place.

use expect_test::{Expect, expect};
use spark_sql_parser::{ParserOptions, parse_statement};

fn check(sql: &str, expected: Expect) {
    match parse_statement(sql, &ParserOptions::default()) {
        Ok(statement) => panic!("{sql} parses: {statement:?}"),
        Err(error) => expected.assert_eq(&error.to_string()),
    }
}

#[test]
fn syntax_errors_show_the_place() {
    check(
        "select * form t",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near 't': extra input 't'. SQLSTATE: 42601 (line 1, pos 14)

        == SQL ==
        select * form t
        --------------^^^
    "#]],
    );
    check(
        "select 1 +",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near end of input. SQLSTATE: 42601 (line 1, pos 10)

        == SQL ==
        select 1 +
        ----------^^^
    "#]],
    );
    check(
        "select a\nfrom t\nwhere b = = 1\norder by a",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near '='. SQLSTATE: 42601 (line 3, pos 10)

        == SQL ==
        select a
        from t
        where b = = 1
        ----------^^^
        order by a
    "#]],
    );
    check(
        "selct 1",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near 'selct'. SQLSTATE: 42601 (line 1, pos 0)

        == SQL ==
        selct 1
        ^^^
    "#]],
    );
    check(
        "select (1",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near end of input. SQLSTATE: 42601 (line 1, pos 9)

        == SQL ==
        select (1
        ---------^^^
    "#]],
    );
    check(
        "  -- nothing",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near end of input. SQLSTATE: 42601 (line 1, pos 12)

        == SQL ==
          -- nothing
        ------------^^^
    "#]],
    );
    check(
        "",
        expect![[r#"
        [PARSE_EMPTY_STATEMENT] Syntax error, unexpected empty statement. SQLSTATE: 42617 (line 1, pos 0)

        == SQL ==

        ^^^
    "#]],
    );
    check(
        ";",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near ';'. SQLSTATE: 42601 (line 1, pos 0)

        == SQL ==
        ;
        ^^^
    "#]],
    );
    check(
        "select 'open",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near '''. SQLSTATE: 42601 (line 1, pos 7)

        == SQL ==
        select 'open
        -------^^^
    "#]],
    );
    check(
        "select * from test-table",
        expect![[r#"
            [INVALID_IDENTIFIER] The unquoted identifier test-table is invalid and must be back quoted as: `test-table`.
            Unquoted identifiers can only contain ASCII letters ('a' - 'z', 'A' - 'Z'), digits ('0' - '9'), and underbar ('_').
            Unquoted identifiers must also not start with a digit.
            Different data sources and meta stores may impose additional restrictions on valid identifiers. SQLSTATE: 42602 (line 1, pos 18)

            == SQL ==
            select * from test-table
            ------------------^^^
        "#]],
    );
    check(
        "select cast(a as foo)",
        expect![[r#"
        [UNSUPPORTED_DATATYPE] Unsupported data type "FOO". SQLSTATE: 0A000
        == SQL (line 1, position 18) ==
        select cast(a as foo)
                         ^^^
    "#]],
    );
    check(
        "select cast(1 as varchar)",
        expect![[r#"
        [DATATYPE_MISSING_SIZE] DataType "VARCHAR" requires a length parameter, for example "VARCHAR"(10). Please specify the length. SQLSTATE: 42K01
        == SQL (line 1, position 18) ==
        select cast(1 as varchar)
                         ^^^^^^^
    "#]],
    );
    check(
        "select cast(1 as array)",
        expect![[r#"
        [INCOMPLETE_TYPE_DEFINITION.ARRAY] Incomplete complex type: The definition of "ARRAY" type is incomplete. You must provide an element type. For example: "ARRAY<INT>". SQLSTATE: 42K01
        == SQL (line 1, position 18) ==
        select cast(1 as array)
                         ^^^^^
    "#]],
    );
    check(
        "select date 'never'",
        expect![[r#"
        [INVALID_TYPED_LITERAL] The value of the typed literal "DATE" is invalid: 'never'. SQLSTATE: 42604
        == SQL (line 1, position 8) ==
        select date 'never'
               ^^^^^^^^^^^^
    "#]],
    );
    check(
        "select interval '1 foo'",
        expect![[r#"
        [INVALID_TYPED_LITERAL] The value of the typed literal "INTERVAL" is invalid: '1 foo'. SQLSTATE: 42604
        == SQL (line 1, position 8) ==
        select interval '1 foo'
               ^^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "select 128Y",
        expect![[r#"
        [INVALID_NUMERIC_LITERAL_RANGE] Numeric literal 128 is outside the valid range for tinyint with minimum value of -128 and maximum value of 127. Please adjust the value accordingly. SQLSTATE: 22003
        == SQL (line 1, position 8) ==
        select 128Y
               ^^^^
    "#]],
    );
    check(
        "select 1 /* open",
        expect![[r#"
        [UNCLOSED_BRACKETED_COMMENT] Found an unclosed bracketed comment. Please, append */ at the end of the comment. SQLSTATE: 42601 (line 1, pos 9)

        == SQL ==
        select 1 /* open
        ---------^^^
    "#]],
    );
    check(
        "select a from range(1) a b",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near 'b': extra input 'b'. SQLSTATE: 42601 (line 1, pos 25)

        == SQL ==
        select a from range(1) a b
        -------------------------^^^
    "#]],
    );
    check(
        "select a b c from range(1)",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near 'c'. SQLSTATE: 42601 (line 1, pos 11)

        == SQL ==
        select a b c from range(1)
        -----------^^^
    "#]],
    );
    check(
        "select f(1,)",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near ')'. SQLSTATE: 42601 (line 1, pos 11)

        == SQL ==
        select f(1,)
        -----------^^^
    "#]],
    );
    check(
        "select sum(a over (partition by b)",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near 'over'. SQLSTATE: 42601 (line 1, pos 13)

        == SQL ==
        select sum(a over (partition by b)
        -------------^^^
    "#]],
    );
    check(
        "drop tabel x",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near 'tabel'. SQLSTATE: 42601 (line 1, pos 5)

        == SQL ==
        drop tabel x
        -----^^^
    "#]],
    );
    check(
        "insert into t",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near end of input. SQLSTATE: 42601 (line 1, pos 13)

        == SQL ==
        insert into t
        -------------^^^
    "#]],
    );
    check(
        "select 1;select 2",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near 'select': extra input 'select'. SQLSTATE: 42601 (line 1, pos 9)

        == SQL ==
        select 1;select 2
        ---------^^^
    "#]],
    );
    check(
        "set a b = 3",
        expect![[r#"
        [INVALID_SET_SYNTAX] Expected format is 'SET', 'SET key', or 'SET key=value'. If you want to include special characters in key, or include semicolon in value, please use backquotes, e.g., SET `key`=`value`. SQLSTATE: 42000
        == SQL (line 1, position 1) ==
        set a b = 3
        ^^^^^^^^^^^
    "#]],
    );
    check(
        "merge into t using s on a = b",
        expect![[r#"
        [UNSUPPORTED_FEATURE.SQL] The feature is not supported: the statement MERGE. SQLSTATE: 0A000 (line 1, pos 0)

        == SQL ==
        merge into t using s on a = b
        ^^^
    "#]],
    );
    check(
        "select a 'b'",
        expect![[r#"
        [UNSUPPORTED_TYPED_LITERAL] Literals of the type "A" are not supported. Supported types are "DATE", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP", "INTERVAL", "X". SQLSTATE: 0A000
        == SQL (line 1, position 8) ==
        select a 'b'
               ^^^^^
    "#]],
    );
    check(
        "select sum(a) over w from t",
        expect![
            "[MISSING_WINDOW_SPECIFICATION] Window specification is not defined in the WINDOW clause for w. For more information about WINDOW clauses, please refer to 'https://spark.apache.org/docs/latest/sql-ref-syntax-qry-select-window.html'. SQLSTATE: 42P20"
        ],
    );
    check(
        "select cast(1 as decimal(39,2))",
        expect![
            "[DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION] Decimal precision 39 exceeds max precision 38. SQLSTATE: 22003"
        ],
    );
    check(
        "select cast(1 as decimal(3,4))",
        expect![[r#"
        Decimal scale (4) cannot be greater than precision (3).
        == SQL (line 1, position 18) ==
        select cast(1 as decimal(3,4))
                         ^^^^^^^^^^^^
    "#]],
    );
    check(
        "select * from values (1,2), (3)",
        expect![[r#"
        [INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH] Invalid inline table. Inline table expected 2 columns but found 1 columns in row 1. SQLSTATE: 42000
        == SQL (line 1, position 15) ==
        select * from values (1,2), (3)
                      ^^^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "select 1 like 'a' escape 'bc'",
        expect![[r#"
        [INVALID_ESC] Found an invalid escape string: 'bc'. The escape string must contain only one character. SQLSTATE: 42604
        == SQL (line 1, position 10) ==
        select 1 like 'a' escape 'bc'
                 ^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "select interval 1 year 2 days",
        expect![[r#"
        Cannot mix year-month and day-time fields: interval 1 year 2 days.
        == SQL (line 1, position 8) ==
        select interval 1 year 2 days
               ^^^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "select interval '1-2' year to day",
        expect![[r#"
        [INVALID_INTERVAL_FORMAT.UNSUPPORTED_FROM_TO_EXPRESSION] Error parsing '1-2' to interval. Please ensure that the value provided is in a valid format for defining an interval. You can reference the documentation for the correct format. Cannot support (interval '1-2' year to day) expression. SQLSTATE: 22006
        == SQL (line 1, position 17) ==
        select interval '1-2' year to day
                        ^^^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "select interval '1-13' year to month",
        expect![[r#"
        [INVALID_INTERVAL_FORMAT.INTERVAL_PARSING] Error parsing '1-13' to interval. Please ensure that the value provided is in a valid format for defining an interval. You can reference the documentation for the correct format. Error parsing interval year-month string. SQLSTATE: 22006
        == SQL (line 1, position 17) ==
        select interval '1-13' year to month
                        ^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "reset a,b",
        expect![[r#"
        [INVALID_RESET_COMMAND_FORMAT] Expected format is 'RESET' or 'RESET key'. If you want to include special characters in key, please use quotes, e.g., RESET `key`. SQLSTATE: 42000
        == SQL (line 1, position 1) ==
        reset a,b
        ^^^^^^^^^
    "#]],
    );
    check(
        "select X'zz'",
        expect![[r#"
        [INVALID_TYPED_LITERAL] The value of the typed literal "X" is invalid: 'zz'. SQLSTATE: 42604
        == SQL (line 1, position 8) ==
        select X'zz'
               ^^^^^
    "#]],
    );
    check(
        "select 1e400",
        expect![[r#"
        [INVALID_NUMERIC_LITERAL_RANGE] Numeric literal 1e400 is outside the valid range for double with minimum value of -1.7976931348623157E+308 and maximum value of 1.7976931348623157E+308. Please adjust the value accordingly. SQLSTATE: 22003
        == SQL (line 1, position 8) ==
        select 1e400
               ^^^^^
    "#]],
    );
    check(
        "select (a b)",
        expect![[r#"
        [PARSE_SYNTAX_ERROR] Syntax error at or near ')'. SQLSTATE: 42601 (line 1, pos 11)

        == SQL ==
        select (a b)
        -----------^^^
    "#]],
    );
}
