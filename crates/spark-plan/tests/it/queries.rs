//! Select, filter, join, group, sort, set operations, and what is refused.

use expect_test::expect;

use crate::harness::check;

#[tokio::test]
async fn selects() {
    check(
        &[
            "SELECT 1",
            "SELECT 1 AS a, 'x' b, a + 1",
            "SELECT * FROM people",
            "SELECT ID, p.name n FROM people p WHERE age > 26 ORDER BY age DESC",
            "SELECT name FROM people ORDER BY age",
            "SELECT id, id + age FROM people ORDER BY 2 DESC, 1",
            "SELECT id FROM range(3) LIMIT 2",
            "SELECT p.* EXCEPT (age, name) FROM people AS p ORDER BY id",
        ],
        expect![[r#"
            > SELECT 1
            +---+
            |1  |
            +---+
            |1  |
            +---+
            > SELECT 1 AS a, 'x' b, a + 1
            +---+---+-------+
            |a  |b  |(a + 1)|
            +---+---+-------+
            |1  |x  |2      |
            +---+---+-------+
            > SELECT * FROM people
            +---+----+----+----+
            |id |name|age |team|
            +---+----+----+----+
            |1  |Ann |30  |A   |
            |2  |Bob |NULL|B   |
            |3  |Cid |25  |A   |
            |4  |NULL|41  |NULL|
            +---+----+----+----+
            > SELECT ID, p.name n FROM people p WHERE age > 26 ORDER BY age DESC
            +---+----+
            |ID |n   |
            +---+----+
            |4  |NULL|
            |1  |Ann |
            +---+----+
            > SELECT name FROM people ORDER BY age
            +----+
            |name|
            +----+
            |Bob |
            |Cid |
            |Ann |
            |NULL|
            +----+
            > SELECT id, id + age FROM people ORDER BY 2 DESC, 1
            +---+----------+
            |id |(id + age)|
            +---+----------+
            |4  |45        |
            |1  |31        |
            |3  |28        |
            |2  |NULL      |
            +---+----------+
            > SELECT id FROM range(3) LIMIT 2
            +---+
            |id |
            +---+
            |0  |
            |1  |
            +---+
            > SELECT p.* EXCEPT (age, name) FROM people AS p ORDER BY id
            +---+----+
            |id |team|
            +---+----+
            |1  |A   |
            |2  |B   |
            |3  |A   |
            |4  |NULL|
            +---+----+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn joins() {
    check(
        &[
            "SELECT p.id, t.title FROM people p JOIN teams t ON p.team = t.code ORDER BY p.id",
            "SELECT p.id, t.title FROM people p LEFT JOIN teams t ON p.team = t.code ORDER BY p.id",
            "SELECT p.id, t.title FROM people p FULL JOIN teams t ON p.team = t.code ORDER BY p.id, title",
            "SELECT id FROM people p LEFT SEMI JOIN teams t ON p.team = t.code ORDER BY id",
            "SELECT id FROM people p LEFT ANTI JOIN teams t ON p.team = t.code ORDER BY id",
            "SELECT count(*) FROM people CROSS JOIN teams",
            "SELECT * FROM people a JOIN people b USING (id) ORDER BY id",
            "SELECT a.id, b.id FROM people a JOIN people b ON a.id < b.id ORDER BY 1, 2",
            "SELECT code, a.code, b.code FROM teams a FULL JOIN (SELECT 'Z' code UNION ALL SELECT 'A') b USING (code) ORDER BY b.code, 1",
        ],
        expect![[r#"
            > SELECT p.id, t.title FROM people p JOIN teams t ON p.team = t.code ORDER BY p.id
            +---+-----+
            |id |title|
            +---+-----+
            |1  |Alpha|
            |2  |Beta |
            |3  |Alpha|
            +---+-----+
            > SELECT p.id, t.title FROM people p LEFT JOIN teams t ON p.team = t.code ORDER BY p.id
            +---+-----+
            |id |title|
            +---+-----+
            |1  |Alpha|
            |2  |Beta |
            |3  |Alpha|
            |4  |NULL |
            +---+-----+
            > SELECT p.id, t.title FROM people p FULL JOIN teams t ON p.team = t.code ORDER BY p.id, title
            +----+-----+
            |id  |title|
            +----+-----+
            |NULL|Gamma|
            |1   |Alpha|
            |2   |Beta |
            |3   |Alpha|
            |4   |NULL |
            +----+-----+
            > SELECT id FROM people p LEFT SEMI JOIN teams t ON p.team = t.code ORDER BY id
            +---+
            |id |
            +---+
            |1  |
            |2  |
            |3  |
            +---+
            > SELECT id FROM people p LEFT ANTI JOIN teams t ON p.team = t.code ORDER BY id
            +---+
            |id |
            +---+
            |4  |
            +---+
            > SELECT count(*) FROM people CROSS JOIN teams
            +--------+
            |count(1)|
            +--------+
            |12      |
            +--------+
            > SELECT * FROM people a JOIN people b USING (id) ORDER BY id
            +---+----+----+----+----+----+----+
            |id |name|age |team|name|age |team|
            +---+----+----+----+----+----+----+
            |1  |Ann |30  |A   |Ann |30  |A   |
            |2  |Bob |NULL|B   |Bob |NULL|B   |
            |3  |Cid |25  |A   |Cid |25  |A   |
            |4  |NULL|41  |NULL|NULL|41  |NULL|
            +---+----+----+----+----+----+----+
            > SELECT a.id, b.id FROM people a JOIN people b ON a.id < b.id ORDER BY 1, 2
            +---+---+
            |id |id |
            +---+---+
            |1  |2  |
            |1  |3  |
            |1  |4  |
            |2  |3  |
            |2  |4  |
            |3  |4  |
            +---+---+
            > SELECT code, a.code, b.code FROM teams a FULL JOIN (SELECT 'Z' code UNION ALL SELECT 'A') b USING (code) ORDER BY b.code, 1
            +----+----+----+
            |code|code|code|
            +----+----+----+
            |B   |B   |NULL|
            |C   |C   |NULL|
            |A   |A   |A   |
            |Z   |NULL|Z   |
            +----+----+----+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn groups() {
    check(
        &[
            "SELECT team, count(*), sum(age), avg(age) FROM people GROUP BY team ORDER BY team",
            "SELECT count(*), count(age), max(name) FROM people",
            "SELECT team AS t, count(*) AS c FROM people GROUP BY t HAVING c > 1",
            "SELECT team FROM people GROUP BY team ORDER BY count(*) DESC, team",
            "SELECT team, sum(age) + 1 FROM people GROUP BY ALL ORDER BY ALL",
            "SELECT team, id % 2 AS odd, count(*) AS n, grouping_id() AS g FROM people GROUP BY ROLLUP (team, id % 2) ORDER BY g, team, odd",
            "SELECT DISTINCT team FROM people ORDER BY team",
            "SELECT sum(age) FROM people WHERE false",
            "SELECT age FROM people GROUP BY team",
            "SELECT team, max(age) m, rank() OVER (ORDER BY max(age)) r FROM people GROUP BY team ORDER BY r",
        ],
        expect![[r#"
            > SELECT team, count(*), sum(age), avg(age) FROM people GROUP BY team ORDER BY team
            +----+--------+--------+--------+
            |team|count(1)|sum(age)|avg(age)|
            +----+--------+--------+--------+
            |NULL|1       |41      |41.0    |
            |A   |2       |55      |27.5    |
            |B   |1       |NULL    |NULL    |
            +----+--------+--------+--------+
            > SELECT count(*), count(age), max(name) FROM people
            +--------+----------+---------+
            |count(1)|count(age)|max(name)|
            +--------+----------+---------+
            |4       |3         |Cid      |
            +--------+----------+---------+
            > SELECT team AS t, count(*) AS c FROM people GROUP BY t HAVING c > 1
            +---+---+
            |t  |c  |
            +---+---+
            |A  |2  |
            +---+---+
            > SELECT team FROM people GROUP BY team ORDER BY count(*) DESC, team
            +----+
            |team|
            +----+
            |A   |
            |NULL|
            |B   |
            +----+
            > SELECT team, sum(age) + 1 FROM people GROUP BY ALL ORDER BY ALL
            +----+--------------+
            |team|(sum(age) + 1)|
            +----+--------------+
            |NULL|42            |
            |A   |56            |
            |B   |NULL          |
            +----+--------------+
            > SELECT team, id % 2 AS odd, count(*) AS n, grouping_id() AS g FROM people GROUP BY ROLLUP (team, id % 2) ORDER BY g, team, odd
            +----+----+---+---+
            |team|odd |n  |g  |
            +----+----+---+---+
            |NULL|0   |1  |0  |
            |A   |1   |2  |0  |
            |B   |0   |1  |0  |
            |NULL|NULL|1  |1  |
            |A   |NULL|2  |1  |
            |B   |NULL|1  |1  |
            |NULL|NULL|4  |3  |
            +----+----+---+---+
            > SELECT DISTINCT team FROM people ORDER BY team
            +----+
            |team|
            +----+
            |NULL|
            |A   |
            |B   |
            +----+
            > SELECT sum(age) FROM people WHERE false
            +--------+
            |sum(age)|
            +--------+
            |NULL    |
            +--------+
            > SELECT age FROM people GROUP BY team
            [MISSING_AGGREGATION] The non-aggregating expression "age" is based on columns which are not participating in the GROUP BY clause.
            Add the columns or the expression to the GROUP BY, aggregate the expression, or use "any_value(age)" if you do not care which of the values within a group is returned. SQLSTATE: 42803
            > SELECT team, max(age) m, rank() OVER (ORDER BY max(age)) r FROM people GROUP BY team ORDER BY r
            +----+----+---+
            |team|m   |r  |
            +----+----+---+
            |B   |NULL|1  |
            |A   |30  |2  |
            |NULL|41  |3  |
            +----+----+---+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn set_operations_and_subqueries() {
    check(
        &[
            "SELECT 1 AS a UNION ALL SELECT 2.5 UNION ALL SELECT 1",
            "SELECT code FROM teams INTERSECT SELECT team FROM people ORDER BY code",
            "SELECT code FROM teams EXCEPT SELECT team FROM people",
            "SELECT * FROM (VALUES (1), (1), (2)) INTERSECT ALL SELECT * FROM VALUES (1), (1), (1)",
            "SELECT id FROM people WHERE team IN (SELECT code FROM teams) ORDER BY id",
            "SELECT code FROM teams WHERE code NOT IN (SELECT team FROM people)",
            "SELECT code FROM teams t WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.team = t.code)",
            "SELECT title, (SELECT max(age) FROM people p WHERE p.team = t.code) AS oldest FROM teams t ORDER BY title",
            "SELECT id FROM people WHERE age > (SELECT avg(age) FROM people) ORDER BY id",
            "WITH a AS (SELECT 1 x), b AS (SELECT x + 1 y FROM a) SELECT * FROM a, b",
            "SELECT id FROM people WHERE id = 1 OR team IN (SELECT team FROM people WHERE id = 2) ORDER BY id",
            "SELECT typeof(x) FROM (SELECT 1.0BD / 3 * CAST(1 AS DECIMAL(38,19)) x UNION SELECT CAST(1 AS DECIMAL(38,9))) LIMIT 1",
        ],
        expect![[r#"
            > SELECT 1 AS a UNION ALL SELECT 2.5 UNION ALL SELECT 1
            +---+
            |a  |
            +---+
            |1.0|
            |2.5|
            |1.0|
            +---+
            > SELECT code FROM teams INTERSECT SELECT team FROM people ORDER BY code
            +----+
            |code|
            +----+
            |A   |
            |B   |
            +----+
            > SELECT code FROM teams EXCEPT SELECT team FROM people
            +----+
            |code|
            +----+
            |C   |
            +----+
            > SELECT * FROM (VALUES (1), (1), (2)) INTERSECT ALL SELECT * FROM VALUES (1), (1), (1)
            +----+
            |col1|
            +----+
            |1   |
            |1   |
            +----+
            > SELECT id FROM people WHERE team IN (SELECT code FROM teams) ORDER BY id
            +---+
            |id |
            +---+
            |1  |
            |2  |
            |3  |
            +---+
            > SELECT code FROM teams WHERE code NOT IN (SELECT team FROM people)
            +----+
            |code|
            +----+
            +----+
            > SELECT code FROM teams t WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.team = t.code)
            +----+
            |code|
            +----+
            |C   |
            +----+
            > SELECT title, (SELECT max(age) FROM people p WHERE p.team = t.code) AS oldest FROM teams t ORDER BY title
            +-----+------+
            |title|oldest|
            +-----+------+
            |Alpha|30    |
            |Beta |NULL  |
            |Gamma|NULL  |
            +-----+------+
            > SELECT id FROM people WHERE age > (SELECT avg(age) FROM people) ORDER BY id
            +---+
            |id |
            +---+
            |4  |
            +---+
            > WITH a AS (SELECT 1 x), b AS (SELECT x + 1 y FROM a) SELECT * FROM a, b
            +---+---+
            |x  |y  |
            +---+---+
            |1  |2  |
            +---+---+
            > SELECT id FROM people WHERE id = 1 OR team IN (SELECT team FROM people WHERE id = 2) ORDER BY id
            +---+
            |id |
            +---+
            |1  |
            |2  |
            +---+
            > SELECT typeof(x) FROM (SELECT 1.0BD / 3 * CAST(1 AS DECIMAL(38,19)) x UNION SELECT CAST(1 AS DECIMAL(38,9))) LIMIT 1
            +-------------+
            |typeof(x)    |
            +-------------+
            |decimal(38,9)|
            +-------------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn errors() {
    check(
        &[
            "SELECT nme FROM people",
            "SELECT p.agee FROM people p",
            "SELECT * FROM nowhere",
            "SELECT id FROM people a JOIN people b ON a.id = b.id",
            "SELECT no_such_function(1)",
            "SELECT id FROM people WHERE id",
            "SELECT id FROM people WHERE sum(id) > 1",
            "SELECT 1 / 0",
            "SELECT 2147483647 + 1",
            "SELECT 1 UNION SELECT 1, 2",
            "SELECT id FROM people ORDER BY 3",
            "SELECT name COLLATE UTF8_BINARY FROM people WHERE id = 1",
            "SELECT name COLLATE UNICODE_CI FROM people",
        ],
        expect![[r#"
            > SELECT nme FROM people
            [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `nme` cannot be resolved. Did you mean one of the following? [`name`, `age`, `id`, `team`]. SQLSTATE: 42703
            > SELECT p.agee FROM people p
            [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `p`.`agee` cannot be resolved. Did you mean one of the following? [`p`.`age`, `p`.`name`, `p`.`id`, `p`.`team`]. SQLSTATE: 42703
            > SELECT * FROM nowhere
            [TABLE_OR_VIEW_NOT_FOUND] The table or view `nowhere` cannot be found. Verify the spelling and correctness of the schema and catalog.
            If you did not qualify the name with a schema, verify the current_schema() output, or qualify the name with the correct schema and catalog.
            To tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS. SQLSTATE: 42P01
            > SELECT id FROM people a JOIN people b ON a.id = b.id
            [AMBIGUOUS_REFERENCE] Reference `id` is ambiguous, could be: [`a`.`id`, `b`.`id`]. SQLSTATE: 42704
            > SELECT no_such_function(1)
            [UNRESOLVED_ROUTINE] Cannot resolve routine `no_such_function` on search path [`system`.`builtin`, `system`.`session`, `spark_catalog`.`default`]. SQLSTATE: 42883
            > SELECT id FROM people WHERE id
            [DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN] Cannot resolve "id" due to data type mismatch: Filter expression "id" of type "INT" is not a boolean. SQLSTATE: 42K09
            > SELECT id FROM people WHERE sum(id) > 1
            [INVALID_WHERE_CONDITION] The WHERE condition "(sum(id) > 1)" contains invalid expressions: sum(id).
            Rewrite the query to avoid window functions, aggregate functions, and generator functions in the WHERE clause. SQLSTATE: 42903
            > SELECT 1 / 0
            [DIVIDE_BY_ZERO] Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. If necessary set "spark.sql.ansi.enabled" to "false" to bypass this error. SQLSTATE: 22012
            > SELECT 2147483647 + 1
            [ARITHMETIC_OVERFLOW] integer overflow. Use 'try_add' to tolerate overflow and return NULL instead. If necessary set "spark.sql.ansi.enabled" to "false" to bypass this error. SQLSTATE: 22003
            > SELECT 1 UNION SELECT 1, 2
            [NUM_COLUMNS_MISMATCH] UNION can only be performed on inputs with the same number of columns, but the first input has 1 columns and the second input has 2 columns. SQLSTATE: 42826
            > SELECT id FROM people ORDER BY 3
            [ORDER_BY_POS_OUT_OF_RANGE] ORDER BY position 3 is not in select list (valid range is [1, 1]). SQLSTATE: 42805
            > SELECT name COLLATE UTF8_BINARY FROM people WHERE id = 1
            +--------------------------+
            |collate(name, UTF8_BINARY)|
            +--------------------------+
            |Ann                       |
            +--------------------------+
            > SELECT name COLLATE UNICODE_CI FROM people
            [UNSUPPORTED_FEATURE.COLLATION] The feature is not supported: the collation UNICODE_CI; only UTF8_BINARY is there. SQLSTATE: 0A000
        "#]],
    )
    .await;
}
