//! Select, filter, join, group, sort, set operations.

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
        "#]],
    )
    .await;
}

#[tokio::test]
async fn windows_and_generators() {
    check(
        &[
            "SELECT id, row_number() OVER (PARTITION BY team ORDER BY id) rn FROM people ORDER BY id",
            "SELECT id, sum(age) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) s FROM people ORDER BY id",
            "SELECT id, lag(id) OVER (ORDER BY id) l FROM people QUALIFY l > 1 ORDER BY id",
            "SELECT explode(array(1, 2)) AS x",
            "SELECT id, x FROM people LATERAL VIEW explode(array(id, id * 10)) t AS x WHERE id < 3 ORDER BY x",
            "SELECT stack(2, 1, 'a', 2, 'b')",
        ],
        expect![[r#"
            > SELECT id, row_number() OVER (PARTITION BY team ORDER BY id) rn FROM people ORDER BY id
            +---+---+
            |id |rn |
            +---+---+
            |1  |1  |
            |2  |1  |
            |3  |2  |
            |4  |1  |
            +---+---+
            > SELECT id, sum(age) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) s FROM people ORDER BY id
            +---+---+
            |id |s  |
            +---+---+
            |1  |30 |
            |2  |30 |
            |3  |25 |
            |4  |66 |
            +---+---+
            > SELECT id, lag(id) OVER (ORDER BY id) l FROM people QUALIFY l > 1 ORDER BY id
            +---+---+
            |id |l  |
            +---+---+
            |3  |2  |
            |4  |3  |
            +---+---+
            > SELECT explode(array(1, 2)) AS x
            +---+
            |x  |
            +---+
            |1  |
            |2  |
            +---+
            > SELECT id, x FROM people LATERAL VIEW explode(array(id, id * 10)) t AS x WHERE id < 3 ORDER BY x
            +---+---+
            |id |x  |
            +---+---+
            |1  |1  |
            |2  |2  |
            |1  |10 |
            |2  |20 |
            +---+---+
            > SELECT stack(2, 1, 'a', 2, 'b')
            +----+----+
            |col0|col1|
            +----+----+
            |1   |a   |
            |2   |b   |
            +----+----+
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
        "#]],
    )
    .await;
}

#[tokio::test]
async fn nested_values() {
    check(
        &[
            "SELECT s.a, s.b.c, m['k'], xs[1], xs FROM (SELECT named_struct('a', 1, 'b', named_struct('c', 'x')) s, map('k', 2) m, array(10, 20) xs)",
            "SELECT s.* FROM (SELECT named_struct('a', 1, 'B', 2) s)",
            "SELECT struct(id, name AS n, id + 1) FROM people WHERE id = 1",
            "SELECT transform(array(1, 2, 3), x -> x * 10) t, filter(array(1, 2, 3), x -> x > 1) f",
            "SELECT transform(array(1, 2), (x, i) -> x + i + id) FROM people WHERE id < 3 ORDER BY id",
            "SELECT posexplode(array('a', 'b'))",
            "SELECT explode_outer(CAST(NULL AS ARRAY<INT>))",
            "SELECT explode(map('a', 1, 'b', 2))",
            "SELECT inline(array(named_struct('x', 1, 'y', 'p'), named_struct('x', 2, 'y', 'q')))",
            "SELECT id, k, v FROM people LATERAL VIEW OUTER explode(map('n', name)) t AS k, v WHERE id IN (1, 4) ORDER BY id",
            "SELECT * FROM explode(array(1, 2))",
            "SELECT id, explode(array(1)), explode(array(2)) FROM people",
            "SELECT explode(1)",
            "SELECT xs.y FROM (SELECT array(named_struct('y', 1), named_struct('y', 2)) xs)",
        ],
        expect![[r#"
            > SELECT s.a, s.b.c, m['k'], xs[1], xs FROM (SELECT named_struct('a', 1, 'b', named_struct('c', 'x')) s, map('k', 2) m, array(10, 20) xs)
            +---+---+----+-----+--------+
            |a  |c  |m[k]|xs[1]|xs      |
            +---+---+----+-----+--------+
            |1  |x  |2   |20   |[10, 20]|
            +---+---+----+-----+--------+
            > SELECT s.* FROM (SELECT named_struct('a', 1, 'B', 2) s)
            +---+---+
            |a  |B  |
            +---+---+
            |1  |2  |
            +---+---+
            > SELECT struct(id, name AS n, id + 1) FROM people WHERE id = 1
            +-------------------------------+
            |struct(id, name AS n, (id + 1))|
            +-------------------------------+
            |{1, Ann, 2}                    |
            +-------------------------------+
            > SELECT transform(array(1, 2, 3), x -> x * 10) t, filter(array(1, 2, 3), x -> x > 1) f
            +------------+------+
            |t           |f     |
            +------------+------+
            |[10, 20, 30]|[2, 3]|
            +------------+------+
            > SELECT transform(array(1, 2), (x, i) -> x + i + id) FROM people WHERE id < 3 ORDER BY id
            +--------------------------------------------------------------------------------------------------------------------------------------------+
            |transform(array(1, 2), lambdafunction(((namedlambdavariable() + namedlambdavariable()) + id), namedlambdavariable(), namedlambdavariable()))|
            +--------------------------------------------------------------------------------------------------------------------------------------------+
            |[2, 4]                                                                                                                                      |
            |[3, 5]                                                                                                                                      |
            +--------------------------------------------------------------------------------------------------------------------------------------------+
            > SELECT posexplode(array('a', 'b'))
            +---+---+
            |pos|col|
            +---+---+
            |0  |a  |
            |1  |b  |
            +---+---+
            > SELECT explode_outer(CAST(NULL AS ARRAY<INT>))
            +----+
            |col |
            +----+
            |NULL|
            +----+
            > SELECT explode(map('a', 1, 'b', 2))
            +---+-----+
            |key|value|
            +---+-----+
            |a  |1    |
            |b  |2    |
            +---+-----+
            > SELECT inline(array(named_struct('x', 1, 'y', 'p'), named_struct('x', 2, 'y', 'q')))
            +---+---+
            |x  |y  |
            +---+---+
            |1  |p  |
            |2  |q  |
            +---+---+
            > SELECT id, k, v FROM people LATERAL VIEW OUTER explode(map('n', name)) t AS k, v WHERE id IN (1, 4) ORDER BY id
            +---+---+----+
            |id |k  |v   |
            +---+---+----+
            |1  |n  |Ann |
            |4  |n  |NULL|
            +---+---+----+
            > SELECT * FROM explode(array(1, 2))
            +---+
            |col|
            +---+
            |1  |
            |2  |
            +---+
            > SELECT id, explode(array(1)), explode(array(2)) FROM people
            [UNSUPPORTED_GENERATOR.MULTI_GENERATOR] The generator is not supported: only one generator allowed per SELECT clause but found 2. SQLSTATE: 42K0E
            > SELECT explode(1)
            [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "explode(1)" due to data type mismatch: The first parameter requires the ("ARRAY" or "MAP") type, however "1" has the type "INT". SQLSTATE: 42K09
            > SELECT xs.y FROM (SELECT array(named_struct('y', 1), named_struct('y', 2)) xs)
            +------+
            |y     |
            +------+
            |[1, 2]|
            +------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn harder_queries() {
    check(
        &[
            "SELECT * FROM teams t, LATERAL (SELECT count(*) AS n FROM people p WHERE p.team = t.code) ORDER BY code",
            "SELECT * FROM teams t JOIN LATERAL (SELECT p.name FROM people p WHERE p.team = t.code) x ORDER BY name",
            "SELECT a AS b, b + 1 AS c, c * 2 AS d FROM (SELECT 1 AS a)",
            "SELECT team, count(*) c, c + 1 FROM people GROUP BY team ORDER BY 2 DESC, 1",
            "SELECT code FROM teams WHERE (code, title) IN (SELECT 'A', 'Alpha')",
            "SELECT code FROM teams WHERE (code, title) NOT IN (SELECT 'A', 'Alpha') ORDER BY code",
            "SELECT code FROM teams t WHERE 1 < (SELECT count(*) FROM people p WHERE p.team = t.code)",
            "SELECT title, exists(SELECT 1 FROM people p WHERE p.team = t.code) e FROM teams t ORDER BY title",
            "SELECT code, code IN (SELECT team FROM people WHERE team = 'A') a, code NOT IN (SELECT team FROM people) b FROM teams ORDER BY code",
            "SELECT team FROM people GROUP BY team HAVING EXISTS (SELECT 1 FROM teams WHERE code = team) ORDER BY team",
            "SELECT id FROM people WHERE sum(id) > 1 AND rank() OVER (ORDER BY id) = 1",
            "SELECT p.id FROM people p JOIN teams t ON p.team = t.code AND p.id IN (SELECT 1) ORDER BY id",
            "SELECT id, (SELECT title FROM teams WHERE code = team) t FROM people ORDER BY id",
            "SELECT title, (SELECT id FROM people WHERE code = team) t FROM teams",
            "SELECT title, (SELECT id FROM people WHERE code = team LIMIT 1) IS NULL t FROM teams ORDER BY title",
            "SELECT id FROM people WHERE (id, name) IN ((1, 'Ann'), (2, 'x'))",
            "SELECT code FROM teams t WHERE EXISTS (SELECT 1 FROM people p WHERE EXISTS (SELECT 1 FROM people q WHERE q.team = t.code))",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r",
            "SELECT d, sum(x) OVER (ORDER BY d RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW) s FROM VALUES (date'2020-01-01', 1), (date'2020-01-02', 2), (date'2020-01-05', 3) t(d, x) ORDER BY d",
            "SELECT max(age) FROM people GROUP BY team ORDER BY team",
            "SELECT team, count(DISTINCT name), sum(DISTINCT age), count(*) FROM people GROUP BY team ORDER BY team",
            "SELECT id, rank() OVER (PARTITION BY team ORDER BY sum(age)) r FROM people GROUP BY id, team ORDER BY id",
            "SELECT a.id, t.code FROM people a FULL JOIN teams t ON a.age > 26 AND t.code < 'B' ORDER BY 1, 2",
            "SELECT id FROM people p WHERE team NOT IN (SELECT code FROM teams t WHERE t.title > p.name) ORDER BY id",
            "SELECT (SELECT id FROM people)",
            "SELECT count(DISTINCT x), sum(DISTINCT x) FROM VALUES (1.0D), (1.0D), (-0.0D), (0.0D), (NULL) t(x)",
            "SELECT x, count(*) FROM VALUES (0.0D), (-0.0D), (double('NaN')), (double('NaN')) t(x) GROUP BY x ORDER BY x",
            "SELECT DISTINCT x FROM VALUES (0.0D), (-0.0D) t(x)",
            "SELECT team, name, grouping(team), grouping(name), sum(age) FROM people GROUP BY GROUPING SETS ((team), (name), ()) ORDER BY 3, 4, 1, 2",
            "SELECT team, id % 2 k, sum(age) FROM people GROUP BY CUBE(team, k) ORDER BY ALL",
            "SELECT * FROM (SELECT team, name, age FROM people) PIVOT (sum(age) AS s FOR team IN ('A' AS a, 'B')) ORDER BY name",
            "SELECT id FROM people ORDER BY (SELECT max(code) FROM teams), id DESC",
            "SELECT name FROM people ORDER BY row_number() OVER (ORDER BY id DESC)",
            "SELECT id, sum(id) OVER w AS s FROM people WINDOW w AS (ORDER BY id) ORDER BY id",
            "SELECT sum(age) FILTER (WHERE team = 'A') FROM people",
            "SELECT team, first(name) FROM people GROUP BY team HAVING count(*) > 1",
            "SELECT max(id) FROM people HAVING max(id) > 10",
            "SELECT * FROM people NATURAL JOIN (SELECT 1 AS id, 'x' AS extra)",
            "SELECT p.id, q.id FROM people p RIGHT JOIN (SELECT 1 AS id UNION ALL SELECT 9) q USING (id) ORDER BY q.id",
            "SELECT /*+ BROADCAST(t) */ p.id FROM people p JOIN teams t ON p.team = t.code ORDER BY p.id",
            "SELECT id, count(*) OVER (PARTITION BY team) n FROM people ORDER BY id",
            "SELECT CASE WHEN id > 2 THEN 'big' ELSE id END AS c FROM people ORDER BY id",
            "SELECT id FROM people WHERE id IN (1, 2L, 3.0) ORDER BY id",
            "SELECT id FROM people LIMIT 1 OFFSET 2",
            "SELECT id FROM people LIMIT -1",
            "SELECT * FROM VALUES (1, 'a'), (2)",
            "SELECT count(*) FROM people TABLESAMPLE (100 PERCENT)",
            "WITH t AS (SELECT 1 AS x) SELECT * FROM (WITH t AS (SELECT 2 AS x) SELECT * FROM t), t",
        ],
        expect![[r#"
            > SELECT * FROM teams t, LATERAL (SELECT count(*) AS n FROM people p WHERE p.team = t.code) ORDER BY code
            +----+-----+---+
            |code|title|n  |
            +----+-----+---+
            |A   |Alpha|2  |
            |B   |Beta |1  |
            |C   |Gamma|0  |
            +----+-----+---+
            > SELECT * FROM teams t JOIN LATERAL (SELECT p.name FROM people p WHERE p.team = t.code) x ORDER BY name
            +----+-----+----+
            |code|title|name|
            +----+-----+----+
            |A   |Alpha|Ann |
            |B   |Beta |Bob |
            |A   |Alpha|Cid |
            +----+-----+----+
            > SELECT a AS b, b + 1 AS c, c * 2 AS d FROM (SELECT 1 AS a)
            +---+---+---+
            |b  |c  |d  |
            +---+---+---+
            |1  |2  |4  |
            +---+---+---+
            > SELECT team, count(*) c, c + 1 FROM people GROUP BY team ORDER BY 2 DESC, 1
            +----+---+-------+
            |team|c  |(c + 1)|
            +----+---+-------+
            |A   |2  |3      |
            |NULL|1  |2      |
            |B   |1  |2      |
            +----+---+-------+
            > SELECT code FROM teams WHERE (code, title) IN (SELECT 'A', 'Alpha')
            +----+
            |code|
            +----+
            |A   |
            +----+
            > SELECT code FROM teams WHERE (code, title) NOT IN (SELECT 'A', 'Alpha') ORDER BY code
            +----+
            |code|
            +----+
            |B   |
            |C   |
            +----+
            > SELECT code FROM teams t WHERE 1 < (SELECT count(*) FROM people p WHERE p.team = t.code)
            +----+
            |code|
            +----+
            |A   |
            +----+
            > SELECT title, exists(SELECT 1 FROM people p WHERE p.team = t.code) e FROM teams t ORDER BY title
            +-----+-----+
            |title|e    |
            +-----+-----+
            |Alpha|true |
            |Beta |true |
            |Gamma|false|
            +-----+-----+
            > SELECT code, code IN (SELECT team FROM people WHERE team = 'A') a, code NOT IN (SELECT team FROM people) b FROM teams ORDER BY code
            +----+-----+-----+
            |code|a    |b    |
            +----+-----+-----+
            |A   |true |false|
            |B   |false|false|
            |C   |false|NULL |
            +----+-----+-----+
            > SELECT team FROM people GROUP BY team HAVING EXISTS (SELECT 1 FROM teams WHERE code = team) ORDER BY team
            +----+
            |team|
            +----+
            |A   |
            |B   |
            +----+
            > SELECT id FROM people WHERE sum(id) > 1 AND rank() OVER (ORDER BY id) = 1
            [INVALID_WHERE_CONDITION] The WHERE condition "((sum(id) > 1) AND (RANK() OVER (ORDER BY id ASC NULLS FIRST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) = 1))" contains invalid expressions: sum(id), RANK() OVER (ORDER BY id ASC NULLS FIRST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW).
            Rewrite the query to avoid window functions, aggregate functions, and generator functions in the WHERE clause. SQLSTATE: 42903
            > SELECT p.id FROM people p JOIN teams t ON p.team = t.code AND p.id IN (SELECT 1) ORDER BY id
            +---+
            |id |
            +---+
            |1  |
            +---+
            > SELECT id, (SELECT title FROM teams WHERE code = team) t FROM people ORDER BY id
            +---+-----+
            |id |t    |
            +---+-----+
            |1  |Alpha|
            |2  |Beta |
            |3  |Alpha|
            |4  |NULL |
            +---+-----+
            > SELECT title, (SELECT id FROM people WHERE code = team) t FROM teams
            [SCALAR_SUBQUERY_TOO_MANY_ROWS] More than one row returned by a subquery used as an expression. SQLSTATE: 21000
            > SELECT title, (SELECT id FROM people WHERE code = team LIMIT 1) IS NULL t FROM teams ORDER BY title
            +-----+-----+
            |title|t    |
            +-----+-----+
            |Alpha|false|
            |Beta |false|
            |Gamma|true |
            +-----+-----+
            > SELECT id FROM people WHERE (id, name) IN ((1, 'Ann'), (2, 'x'))
            +---+
            |id |
            +---+
            |1  |
            +---+
            > SELECT code FROM teams t WHERE EXISTS (SELECT 1 FROM people p WHERE EXISTS (SELECT 1 FROM people q WHERE q.team = t.code))
            [UNSUPPORTED_FEATURE] The feature is not supported: the column `t`.`code` of a query two levels around a subquery; join the queries instead. SQLSTATE: 0A000
            > WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r
            [UNSUPPORTED_FEATURE] The feature is not supported: the recursion of `r` in WITH RECURSIVE. SQLSTATE: 0A000
            > SELECT d, sum(x) OVER (ORDER BY d RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW) s FROM VALUES (date'2020-01-01', 1), (date'2020-01-02', 2), (date'2020-01-05', 3) t(d, x) ORDER BY d
            +----------+---+
            |d         |s  |
            +----------+---+
            |2020-01-01|1  |
            |2020-01-02|3  |
            |2020-01-05|3  |
            +----------+---+
            > SELECT max(age) FROM people GROUP BY team ORDER BY team
            +--------+
            |max(age)|
            +--------+
            |41      |
            |30      |
            |NULL    |
            +--------+
            > SELECT team, count(DISTINCT name), sum(DISTINCT age), count(*) FROM people GROUP BY team ORDER BY team
            +----+--------------------+-----------------+--------+
            |team|count(DISTINCT name)|sum(DISTINCT age)|count(1)|
            +----+--------------------+-----------------+--------+
            |NULL|0                   |41               |1       |
            |A   |2                   |55               |2       |
            |B   |1                   |NULL             |1       |
            +----+--------------------+-----------------+--------+
            > SELECT id, rank() OVER (PARTITION BY team ORDER BY sum(age)) r FROM people GROUP BY id, team ORDER BY id
            +---+---+
            |id |r  |
            +---+---+
            |1  |2  |
            |2  |1  |
            |3  |1  |
            |4  |1  |
            +---+---+
            > SELECT a.id, t.code FROM people a FULL JOIN teams t ON a.age > 26 AND t.code < 'B' ORDER BY 1, 2
            +----+----+
            |id  |code|
            +----+----+
            |NULL|B   |
            |NULL|C   |
            |1   |A   |
            |2   |NULL|
            |3   |NULL|
            |4   |A   |
            +----+----+
            > SELECT id FROM people p WHERE team NOT IN (SELECT code FROM teams t WHERE t.title > p.name) ORDER BY id
            +---+
            |id |
            +---+
            |1  |
            |2  |
            |3  |
            |4  |
            +---+
            > SELECT (SELECT id FROM people)
            [SCALAR_SUBQUERY_TOO_MANY_ROWS] More than one row returned by a subquery used as an expression. SQLSTATE: 21000
            > SELECT count(DISTINCT x), sum(DISTINCT x) FROM VALUES (1.0D), (1.0D), (-0.0D), (0.0D), (NULL) t(x)
            +-----------------+---------------+
            |count(DISTINCT x)|sum(DISTINCT x)|
            +-----------------+---------------+
            |2                |1.0            |
            +-----------------+---------------+
            > SELECT x, count(*) FROM VALUES (0.0D), (-0.0D), (double('NaN')), (double('NaN')) t(x) GROUP BY x ORDER BY x
            +---+--------+
            |x  |count(1)|
            +---+--------+
            |0.0|2       |
            |NaN|2       |
            +---+--------+
            > SELECT DISTINCT x FROM VALUES (0.0D), (-0.0D) t(x)
            +---+
            |x  |
            +---+
            |0.0|
            +---+
            > SELECT team, name, grouping(team), grouping(name), sum(age) FROM people GROUP BY GROUPING SETS ((team), (name), ()) ORDER BY 3, 4, 1, 2
            +----+----+--------------+--------------+--------+
            |team|name|grouping(team)|grouping(name)|sum(age)|
            +----+----+--------------+--------------+--------+
            |NULL|NULL|0             |1             |41      |
            |A   |NULL|0             |1             |55      |
            |B   |NULL|0             |1             |NULL    |
            |NULL|NULL|1             |0             |41      |
            |NULL|Ann |1             |0             |30      |
            |NULL|Bob |1             |0             |NULL    |
            |NULL|Cid |1             |0             |25      |
            |NULL|NULL|1             |1             |96      |
            +----+----+--------------+--------------+--------+
            > SELECT team, id % 2 k, sum(age) FROM people GROUP BY CUBE(team, k) ORDER BY ALL
            +----+----+--------+
            |team|k   |sum(age)|
            +----+----+--------+
            |NULL|NULL|41      |
            |NULL|NULL|96      |
            |NULL|0   |41      |
            |NULL|0   |41      |
            |NULL|1   |55      |
            |A   |NULL|55      |
            |A   |1   |55      |
            |B   |NULL|NULL    |
            |B   |0   |NULL    |
            +----+----+--------+
            > SELECT * FROM (SELECT team, name, age FROM people) PIVOT (sum(age) AS s FOR team IN ('A' AS a, 'B')) ORDER BY name
            +----+----+----+
            |name|a   |B   |
            +----+----+----+
            |NULL|NULL|NULL|
            |Ann |30  |NULL|
            |Bob |NULL|NULL|
            |Cid |25  |NULL|
            +----+----+----+
            > SELECT id FROM people ORDER BY (SELECT max(code) FROM teams), id DESC
            +---+
            |id |
            +---+
            |4  |
            |3  |
            |2  |
            |1  |
            +---+
            > SELECT name FROM people ORDER BY row_number() OVER (ORDER BY id DESC)
            +----+
            |name|
            +----+
            |NULL|
            |Cid |
            |Bob |
            |Ann |
            +----+
            > SELECT id, sum(id) OVER w AS s FROM people WINDOW w AS (ORDER BY id) ORDER BY id
            +---+---+
            |id |s  |
            +---+---+
            |1  |1  |
            |2  |3  |
            |3  |6  |
            |4  |10 |
            +---+---+
            > SELECT sum(age) FILTER (WHERE team = 'A') FROM people
            +----------------------------------+
            |sum(age) FILTER (WHERE (team = A))|
            +----------------------------------+
            |55                                |
            +----------------------------------+
            > SELECT team, first(name) FROM people GROUP BY team HAVING count(*) > 1
            +----+-----------+
            |team|first(name)|
            +----+-----------+
            |A   |Ann        |
            +----+-----------+
            > SELECT max(id) FROM people HAVING max(id) > 10
            +-------+
            |max(id)|
            +-------+
            +-------+
            > SELECT * FROM people NATURAL JOIN (SELECT 1 AS id, 'x' AS extra)
            +---+----+---+----+-----+
            |id |name|age|team|extra|
            +---+----+---+----+-----+
            |1  |Ann |30 |A   |x    |
            +---+----+---+----+-----+
            > SELECT p.id, q.id FROM people p RIGHT JOIN (SELECT 1 AS id UNION ALL SELECT 9) q USING (id) ORDER BY q.id
            +----+---+
            |id  |id |
            +----+---+
            |1   |1  |
            |NULL|9  |
            +----+---+
            > SELECT /*+ BROADCAST(t) */ p.id FROM people p JOIN teams t ON p.team = t.code ORDER BY p.id
            +---+
            |id |
            +---+
            |1  |
            |2  |
            |3  |
            +---+
            > SELECT id, count(*) OVER (PARTITION BY team) n FROM people ORDER BY id
            +---+---+
            |id |n  |
            +---+---+
            |1  |2  |
            |2  |1  |
            |3  |2  |
            |4  |1  |
            +---+---+
            > SELECT CASE WHEN id > 2 THEN 'big' ELSE id END AS c FROM people ORDER BY id
            [CAST_INVALID_INPUT] The value 'big' of the type "STRING" cannot be cast to "BIGINT" because it is malformed. Correct the value as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead. SQLSTATE: 22018
            > SELECT id FROM people WHERE id IN (1, 2L, 3.0) ORDER BY id
            +---+
            |id |
            +---+
            |1  |
            |2  |
            |3  |
            +---+
            > SELECT id FROM people LIMIT 1 OFFSET 2
            +---+
            |id |
            +---+
            |3  |
            +---+
            > SELECT id FROM people LIMIT -1
            [INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE] The limit like expression "-1" is invalid. The limit expression must be equal to or greater than 0, but got -1. SQLSTATE: 42K0E
            > SELECT * FROM VALUES (1, 'a'), (2)
            [INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH] Invalid inline table. Inline table expected 2 columns but found 1 columns in row 1. SQLSTATE: 42000
            == SQL (line 1, position 15) ==
            SELECT * FROM VALUES (1, 'a'), (2)
                          ^^^^^^^^^^^^^^^^^^^^

            > SELECT count(*) FROM people TABLESAMPLE (100 PERCENT)
            +--------+
            |count(1)|
            +--------+
            |4       |
            +--------+
            > WITH t AS (SELECT 1 AS x) SELECT * FROM (WITH t AS (SELECT 2 AS x) SELECT * FROM t), t
            +---+---+
            |x  |x  |
            +---+---+
            |2  |1  |
            +---+---+
        "#]],
    )
    .await;
}
