//! Queries that put several clauses together.

use expect_test::expect;

use crate::harness::check;

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
