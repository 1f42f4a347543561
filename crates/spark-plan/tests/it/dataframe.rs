//! Relations as `DataFrame` methods send them.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use spark_plan::{Session, tree_string};
use spark_sql_parser::ast::{
    Aggregate, Expr, Grouping, Join, JoinKind, Literal, Pivot, Relation, RelationKind as K,
    SetOperation, SetOperator, SortOrder,
};
use spark_sql_parser::types::DataType;

use crate::harness::{answer, session, setup};

fn table(name: &str, plan_id: i64) -> Relation {
    Relation {
        plan_id: Some(plan_id),
        kind: K::NamedTable { name: vec![name.to_owned()], options: BTreeMap::new() },
    }
}

fn with_id(plan_id: i64, kind: K) -> Relation {
    Relation { plan_id: Some(plan_id), kind }
}

/// `df["name"]`.
fn col(plan_id: i64, name: &str) -> Expr {
    Expr::Attribute { name: vec![name.to_owned()], plan_id: Some(plan_id) }
}

fn named(name: &str) -> Expr {
    Expr::column(name)
}

fn int(n: i32) -> Expr {
    Expr::Literal(Literal::Integer(n))
}

fn string(s: &str) -> Expr {
    Expr::Literal(Literal::String(s.to_owned()))
}

fn order(expr: Expr) -> SortOrder {
    SortOrder { expr, ascending: true, nulls_first: None }
}

fn sorted(input: Relation, name: &str) -> Relation {
    with_id(99, K::Sort { input: Box::new(input), order: vec![order(named(name))], global: true })
}

async fn check(relations: Vec<Relation>, expected: Expect) {
    let session = session();
    setup(&session).await;
    check_in(&session, relations, expected).await;
}

async fn check_in(session: &Session, relations: Vec<Relation>, expected: Expect) {
    let mut out = String::new();
    for relation in relations {
        out.push_str(&answer(session, &relation).await);
    }
    expected.assert_eq(&out);
}

#[tokio::test]
async fn columns_by_plan_id() {
    let people = || table("people", 1);
    let join = |condition: Expr| {
        with_id(
            3,
            K::Join(Box::new(Join {
                left: people(),
                right: with_id(
                    2,
                    K::Filter {
                        input: Box::new(people()),
                        condition: Expr::call(">", vec![col(1, "age"), int(26)]),
                    },
                ),
                kind: JoinKind::Inner,
                condition: Some(condition),
                using: Vec::new(),
                natural: false,
                lateral: false,
            })),
        )
    };
    let select = |input: Relation, exprs: Vec<Expr>| {
        with_id(4, K::Project { input: Box::new(input), exprs })
    };
    check(
        vec![
            // A filter by a column that the select dropped.
            with_id(
                5,
                K::Filter {
                    input: Box::new(select(people(), vec![named("name")])),
                    condition: Expr::call("==", vec![col(1, "id"), int(3)]),
                },
            ),
            // A DataFrame joined with one derived from it: the nearer node is meant.
            sorted(
                select(
                    join(Expr::call("==", vec![col(1, "id"), col(2, "id")])),
                    vec![col(1, "id"), col(2, "age")],
                ),
                "id",
            ),
            // A sort by a dropped column, below a limit.
            with_id(
                6,
                K::Sort {
                    input: Box::new(select(people(), vec![named("name")])),
                    order: vec![SortOrder {
                        expr: col(1, "age"),
                        ascending: false,
                        nulls_first: None,
                    }],
                    global: true,
                },
            ),
            select(people(), vec![col(1, "nope")]),
        ],
        expect![[r#"
            +----+
            |name|
            +----+
            |Cid |
            +----+
            +---+---+
            |id |age|
            +---+---+
            |1  |30 |
            |4  |41 |
            +---+---+
            +----+
            |name|
            +----+
            |NULL|
            |Ann |
            |Cid |
            |Bob |
            +----+
            [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `nope` cannot be resolved. Did you mean one of the following? [`name`, `age`, `id`, `team`]. SQLSTATE: 42703
        "#]],
    )
    .await;
}

#[tokio::test]
async fn column_operators() {
    let people = || Box::new(table("people", 1));
    let with = |columns: Vec<Expr>| with_id(2, K::WithColumns { input: people(), columns });
    check(
        vec![
            with(vec![
                Expr::call("+", vec![named("age"), int(1)]).alias("AGE"),
                Expr::call("upper", vec![named("name")]).alias("upper"),
            ]),
            with_id(
                2,
                K::WithColumnsRenamed {
                    input: people(),
                    renames: vec![("ID".into(), "key".into()), ("none".into(), "x".into())],
                },
            ),
            with_id(
                2,
                K::ToDf { input: people(), names: ["a", "b", "c", "d"].map(str::to_owned).into() },
            ),
            with_id(
                2,
                K::Drop {
                    input: people(),
                    columns: vec![col(1, "age"), named("nope")],
                    names: vec!["TEAM".into()],
                },
            ),
            with_id(
                2,
                K::FillNa {
                    input: people(),
                    columns: vec![],
                    values: vec![Literal::String("?".into())],
                },
            ),
            with_id(
                2,
                K::FillNa {
                    input: people(),
                    columns: vec!["age".into(), "team".into()],
                    values: vec![Literal::Long(0), Literal::String("Z".into())],
                },
            ),
            with_id(2, K::DropNa { input: people(), columns: vec![], min_non_nulls: None }),
            with_id(
                2,
                K::DropNa { input: people(), columns: vec!["age".into()], min_non_nulls: Some(1) },
            ),
            with_id(
                2,
                K::Replace {
                    input: people(),
                    columns: vec![],
                    replacements: vec![
                        (Literal::String("Ann".into()), Literal::String("Anna".into())),
                        (Literal::String("B".into()), Literal::Null(DataType::String)),
                    ],
                },
            ),
            sorted(
                with_id(
                    2,
                    K::Deduplicate {
                        input: people(),
                        columns: vec!["team".into()],
                        all_columns: false,
                    },
                ),
                "id",
            ),
            with_id(
                2,
                K::Unpivot {
                    input: people(),
                    ids: vec![named("id")],
                    values: Some(vec![named("name"), named("team")]),
                    variable_column: "what".into(),
                    value_column: "value".into(),
                },
            ),
        ],
        expect![[r#"
            +---+----+----+----+-----+
            |id |name|AGE |team|upper|
            +---+----+----+----+-----+
            |1  |Ann |31  |A   |ANN  |
            |2  |Bob |NULL|B   |BOB  |
            |3  |Cid |26  |A   |CID  |
            |4  |NULL|42  |NULL|NULL |
            +---+----+----+----+-----+
            +---+----+----+----+
            |key|name|age |team|
            +---+----+----+----+
            |1  |Ann |30  |A   |
            |2  |Bob |NULL|B   |
            |3  |Cid |25  |A   |
            |4  |NULL|41  |NULL|
            +---+----+----+----+
            +---+----+----+----+
            |a  |b   |c   |d   |
            +---+----+----+----+
            |1  |Ann |30  |A   |
            |2  |Bob |NULL|B   |
            |3  |Cid |25  |A   |
            |4  |NULL|41  |NULL|
            +---+----+----+----+
            +---+----+
            |id |name|
            +---+----+
            |1  |Ann |
            |2  |Bob |
            |3  |Cid |
            |4  |NULL|
            +---+----+
            +---+----+----+----+
            |id |name|age |team|
            +---+----+----+----+
            |1  |Ann |30  |A   |
            |2  |Bob |NULL|B   |
            |3  |Cid |25  |A   |
            |4  |?   |41  |?   |
            +---+----+----+----+
            +---+----+---+----+
            |id |name|age|team|
            +---+----+---+----+
            |1  |Ann |30 |A   |
            |2  |Bob |0  |B   |
            |3  |Cid |25 |A   |
            |4  |NULL|41 |Z   |
            +---+----+---+----+
            +---+----+---+----+
            |id |name|age|team|
            +---+----+---+----+
            |1  |Ann |30 |A   |
            |3  |Cid |25 |A   |
            +---+----+---+----+
            +---+----+---+----+
            |id |name|age|team|
            +---+----+---+----+
            |1  |Ann |30 |A   |
            |3  |Cid |25 |A   |
            |4  |NULL|41 |NULL|
            +---+----+---+----+
            +---+----+----+----+
            |id |name|age |team|
            +---+----+----+----+
            |1  |Anna|30  |A   |
            |2  |Bob |NULL|NULL|
            |3  |Cid |25  |A   |
            |4  |NULL|41  |NULL|
            +---+----+----+----+
            +---+----+----+----+
            |id |name|age |team|
            +---+----+----+----+
            |1  |Ann |30  |A   |
            |2  |Bob |NULL|B   |
            |4  |NULL|41  |NULL|
            +---+----+----+----+
            +---+----+-----+
            |id |what|value|
            +---+----+-----+
            |1  |name|Ann  |
            |2  |name|Bob  |
            |3  |name|Cid  |
            |4  |name|NULL |
            |1  |team|A    |
            |2  |team|B    |
            |3  |team|A    |
            |4  |team|NULL |
            +---+----+-----+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn groups_and_statistics() {
    let people = || table("people", 1);
    let grouped = |aggregates: Vec<Expr>, pivot: Option<Pivot>| {
        with_id(
            2,
            K::Aggregate(Box::new(Aggregate {
                input: people(),
                grouping: Grouping::Expressions(vec![col(1, "team")]),
                aggregates,
                select_list: false,
                having: None,
                pivot,
            })),
        )
    };
    let pivot = |values: Vec<(Expr, Option<String>)>| Pivot { column: named("name"), values };
    check(
        vec![
            sorted(
                grouped(
                    vec![
                        Expr::call("count", vec![int(1)]).alias("count"),
                        Expr::call("max", vec![named("age")]),
                    ],
                    None,
                ),
                "team",
            ),
            with_id(
                7,
                K::Sort {
                    input: Box::new(grouped(
                        vec![Expr::call("sum", vec![named("age")]).alias("s")],
                        None,
                    )),
                    order: vec![order(col(2, "s"))],
                    global: true,
                },
            ),
            sorted(
                grouped(
                    vec![Expr::call("sum", vec![named("age")])],
                    Some(pivot(vec![(string("Ann"), None), (string("Cid"), None)])),
                ),
                "team",
            ),
            sorted(
                grouped(
                    vec![
                        Expr::call("sum", vec![named("age")]).alias("s"),
                        Expr::call("count", vec![int(1)]).alias("n"),
                    ],
                    Some(pivot(vec![])),
                ),
                "team",
            ),
            with_id(2, K::Describe { input: Box::new(people()), columns: vec![] }),
            with_id(
                2,
                K::Summary {
                    input: Box::new(people()),
                    statistics: vec!["count".into(), "50%".into()],
                },
            ),
            sorted(
                with_id(
                    2,
                    K::Crosstab {
                        input: Box::new(people()),
                        left: "team".into(),
                        right: "name".into(),
                    },
                ),
                "team_name",
            ),
        ],
        expect![[r#"
            +----+-----+--------+
            |team|count|max(age)|
            +----+-----+--------+
            |NULL|1    |41      |
            |A   |2    |30      |
            |B   |1    |NULL    |
            +----+-----+--------+
            +----+----+
            |team|s   |
            +----+----+
            |B   |NULL|
            |NULL|41  |
            |A   |55  |
            +----+----+
            +----+----+----+
            |team|Ann |Cid |
            +----+----+----+
            |NULL|NULL|NULL|
            |A   |30  |25  |
            |B   |NULL|NULL|
            +----+----+----+
            +----+------+------+-----+-----+-----+-----+-----+-----+
            |team|null_s|null_n|Ann_s|Ann_n|Bob_s|Bob_n|Cid_s|Cid_n|
            +----+------+------+-----+-----+-----+-----+-----+-----+
            |NULL|41    |1     |NULL |NULL |NULL |NULL |NULL |NULL |
            |A   |NULL  |NULL  |30   |1    |NULL |NULL |25   |1    |
            |B   |NULL  |NULL  |NULL |NULL |NULL |1    |NULL |NULL |
            +----+------+------+-----+-----+-----+-----+-----+-----+
            +-------+------------------+----+----------------+----+
            |summary|id                |name|age             |team|
            +-------+------------------+----+----------------+----+
            |count  |4                 |3   |3               |3   |
            |mean   |2.5               |NULL|32.0            |NULL|
            |stddev |1.2909944487358056|NULL|8.18535277187245|NULL|
            |min    |1                 |Ann |25              |A   |
            |max    |4                 |Cid |41              |B   |
            +-------+------------------+----+----------------+----+
            +-------+---+----+---+----+
            |summary|id |name|age|team|
            +-------+---+----+---+----+
            |count  |4  |3   |3  |3   |
            |50%    |2  |NULL|30 |NULL|
            +-------+---+----+---+----+
            +---------+---+---+---+----+
            |team_name|Ann|Bob|Cid|null|
            +---------+---+---+---+----+
            |A        |1  |0  |1  |0   |
            |B        |0  |1  |0  |0   |
            |null     |0  |0  |0  |1   |
            +---------+---+---+---+----+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn rows_and_partitions() {
    let range = || with_id(1, K::Range { start: 0, end: 10, step: 1, num_partitions: Some(3) });
    check(
        vec![
            with_id(2, K::Tail { input: Box::new(range()), limit: 3 }),
            with_id(2, K::Limit { input: Box::new(range()), limit: int(4) }),
            with_id(
                3,
                K::Limit {
                    input: Box::new(with_id(
                        2,
                        K::Offset { input: Box::new(range()), offset: int(5) },
                    )),
                    limit: int(2),
                },
            ),
            sorted(
                with_id(
                    2,
                    K::Repartition { input: Box::new(range()), num_partitions: 4, shuffle: true },
                ),
                "id",
            ),
            sorted(
                with_id(
                    2,
                    K::Repartition { input: Box::new(range()), num_partitions: 2, shuffle: false },
                ),
                "id",
            ),
            sorted(
                with_id(
                    2,
                    K::RepartitionByExpression {
                        input: Box::new(range()),
                        exprs: vec![named("id")],
                        num_partitions: Some(3),
                    },
                ),
                "id",
            ),
            with_id(
                2,
                K::Sort {
                    input: Box::new(with_id(
                        3,
                        K::Range { start: 0, end: 4, step: 1, num_partitions: Some(1) },
                    )),
                    order: vec![SortOrder {
                        expr: named("id"),
                        ascending: false,
                        nulls_first: None,
                    }],
                    global: false,
                },
            ),
            with_id(
                2,
                K::ShowString {
                    input: Box::new(table("people", 9)),
                    num_rows: 2,
                    truncate: 20,
                    vertical: false,
                },
            ),
            with_id(
                2,
                K::ShowString {
                    input: Box::new(table("people", 9)),
                    num_rows: 1,
                    truncate: 0,
                    vertical: true,
                },
            ),
            with_id(
                2,
                K::SetOperation(Box::new(SetOperation {
                    left: table("teams", 3),
                    right: with_id(
                        5,
                        K::Project {
                            input: K::OneRow.boxed(),
                            exprs: vec![string("t").alias("TITLE"), int(1).alias("extra")],
                        },
                    ),
                    operator: SetOperator::Union,
                    all: true,
                    by_name: true,
                    allow_missing_columns: true,
                })),
            ),
        ],
        expect![[r#"
            +---+
            |id |
            +---+
            |7  |
            |8  |
            |9  |
            +---+
            +---+
            |id |
            +---+
            |0  |
            |1  |
            |2  |
            |3  |
            +---+
            +---+
            |id |
            +---+
            |5  |
            |6  |
            +---+
            +---+
            |id |
            +---+
            |0  |
            |1  |
            |2  |
            |3  |
            |4  |
            |5  |
            |6  |
            |7  |
            |8  |
            |9  |
            +---+
            +---+
            |id |
            +---+
            |0  |
            |1  |
            |2  |
            |3  |
            |4  |
            |5  |
            |6  |
            |7  |
            |8  |
            |9  |
            +---+
            +---+
            |id |
            +---+
            |0  |
            |1  |
            |2  |
            |3  |
            |4  |
            |5  |
            |6  |
            |7  |
            |8  |
            |9  |
            +---+
            +---+
            |id |
            +---+
            |3  |
            |2  |
            |1  |
            |0  |
            +---+
            +---+----+----+----+
            | id|name| age|team|
            +---+----+----+----+
            |  1| Ann|  30|   A|
            |  2| Bob|NULL|   B|
            +---+----+----+----+
            only showing top 2 rows-RECORD 0---
             id   | 1   
             name | Ann 
             age  | 30  
             team | A   
            only showing top 1 row+----+-----+-----+
            |code|title|extra|
            +----+-----+-----+
            |A   |Alpha|NULL |
            |B   |Beta |NULL |
            |C   |Gamma|NULL |
            |NULL|t    |1    |
            +----+-----+-----+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn prints_schemas() {
    let session = session();
    setup(&session).await;
    let plan = crate::harness::resolve_sql(
        &session,
        "SELECT id, array(name) AS names, map('k', struct(age, 1.5 AS d)) AS m FROM people",
    )
    .await;
    expect![[r#"
        root
         |-- id: integer (nullable = false)
         |-- names: array (nullable = false)
         |    |-- element: string (containsNull = true)
         |-- m: map (nullable = false)
         |    |-- key: string
         |    |-- value: struct (valueContainsNull = false)
         |    |    |-- age: integer (nullable = true)
         |    |    |-- d: decimal(2,1) (nullable = false)
    "#]]
    .assert_eq(&tree_string(&plan.schema(), None));
}

#[tokio::test]
async fn long_chains_resolve() {
    let session = session();
    setup(&session).await;
    let mut relation = table("people", 0);
    for step in 1..=60 {
        relation = with_id(
            step,
            K::WithColumns {
                input: Box::new(relation),
                columns: vec![Expr::call("+", vec![col(step - 1, "id"), int(1)]).alias("id")],
            },
        );
    }
    let relation = with_id(500, K::Limit { input: Box::new(relation), limit: int(1) });
    let answer = answer(&session, &relation).await;
    assert!(answer.contains("|61 |"), "{answer}");
}

#[tokio::test]
async fn sorts_survive_coalesce_and_exchange() {
    let range = with_id(1, K::Range { start: 0, end: 20, step: 1, num_partitions: Some(4) });
    let descending = with_id(
        2,
        K::Sort {
            input: Box::new(range),
            order: vec![SortOrder { expr: named("id"), ascending: false, nulls_first: None }],
            global: true,
        },
    );
    let one = with_id(
        3,
        K::Repartition { input: Box::new(descending), num_partitions: 1, shuffle: false },
    );
    let tail = with_id(4, K::Tail { input: Box::new(one.clone()), limit: 2 });
    let first = with_id(5, K::Limit { input: Box::new(one), limit: int(3) });
    check(
        vec![tail, first],
        expect![[r#"
            +---+
            |id |
            +---+
            |1  |
            |0  |
            +---+
            +---+
            |id |
            +---+
            |19 |
            |18 |
            |17 |
            +---+
        "#]],
    )
    .await;
}
