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
        expect![[""]],
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
            "SELECT code, a.code, b.code FROM teams a FULL JOIN (SELECT 'Z' code UNION ALL SELECT 'A') b USING (code) ORDER BY code",
        ],
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
    )
    .await;
}
