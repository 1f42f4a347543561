//! Window functions, generators, arrays, maps and structs.

use expect_test::expect;

use crate::harness::check;

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
            "SELECT team, sum(age) s, sum(sum(age)) OVER () all FROM people GROUP BY team ORDER BY team",
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
            > SELECT team, sum(age) s, sum(sum(age)) OVER () all FROM people GROUP BY team ORDER BY team
            +----+----+---+
            |team|s   |all|
            +----+----+---+
            |NULL|41  |96 |
            |A   |55  |96 |
            |B   |NULL|96 |
            +----+----+---+
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
