//! Queries parse to the shapes the resolver expects.

use spark_sql_parser::ast::{
    Expr, Grouping, JoinKind, Relation, RelationKind, SetOperator, Statement,
};
use spark_sql_parser::{ParserOptions, parse_statement};

pub(crate) fn query(sql: &str) -> Relation {
    match parse_statement(sql, &ParserOptions::default()) {
        Ok(Statement::Query(relation)) => relation,
        Ok(other) => panic!("not a query: {other:?}"),
        Err(error) => panic!("{sql}\n{error}"),
    }
}

#[test]
fn tpch_parses() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/tpch");
    let mut count = 0;
    for number in 1..=22 {
        let text = std::fs::read_to_string(format!("{folder}/q{number:02}.sql")).unwrap();
        query(&text);
        count += 1;
    }
    assert_eq!(count, 22);
}

/// Each uses a construct of some TPC-DS query or of Spark's documentation.
#[test]
fn constructs_parse() {
    for sql in [
        "select a, b c, d as e from t",
        "select distinct a from t",
        "select all a from t",
        "select count(distinct a, b), sum(all c) from t",
        "select t.*, * except (a, b) from t",
        "select * from a join b on a.x = b.x left join c using (x, y) cross join d natural full outer join e",
        "select * from a left semi join b on a.x = b.x left anti join c on a.x = c.x",
        "select * from a, b, lateral (select * from c where c.x = a.x) s",
        "select * from (a join b on a.x = b.x) join (select 1 x) c on a.x = c.x",
        "select * from ((select 1) union all (select 2)) t",
        "select * from (select 1 x) a, (values (1, 'a'), (2, 'b')) as b(x, y)",
        "values (1, 2), (3, 4) order by 1 limit 1",
        "table t",
        "from t select a where b > 1 group by a",
        "from range(10) select id",
        "select * from range(1, 10, 2, 4) r",
        "select * from t tablesample (10 percent) repeatable (7) s",
        "select * from t tablesample (5 rows)",
        "select * from t tablesample (bucket 1 out of 4) limit 5",
        "select * from parquet.`/tmp/x y` where a = 1",
        "select * from t lateral view explode(m) e as k, v lateral view outer posexplode(a) p as i, x",
        "select * from t lateral view explode(array(1, 2)) e",
        "select * from (select * from s) pivot (sum(x) as s, max(y) for c in ('a' as a, 'b'))",
        "select * from s pivot (sum(x) for (c, d) in (('a', 1) as one, ('b', 2)))",
        "select * from s unpivot include nulls (v for n in (a as x, b))",
        "select a, grouping(a) from t group by rollup (a, b)",
        "select a from t group by a, b with cube having count(*) > 1 order by a desc nulls last, 2 limit 10 offset 5",
        "select a from t group by grouping sets ((a, b), (a), ())",
        "select a from t group by a, rollup (b, c), cube (d)",
        "select a from t group by a, b grouping sets ((a), (b))",
        "select a from t group by all",
        "select a from t qualify row_number() over (partition by a order by b) = 1",
        "select sum(a) over w, avg(a) over (w), rank() over (order by b) from t window w as (partition by c)",
        "select sum(a) over (partition by b order by c rows between 1 preceding and 2 following) from t",
        "select sum(a) over (order by c range between interval 1 day preceding and current row) from t",
        "select sum(a) over (order by c rows unbounded preceding) from t",
        "select first(a) ignore nulls over (order by b), last(a ignore nulls) from t",
        "select sum(a) filter (where b > 1), percentile_cont(0.5) within group (order by c desc) from t",
        "with a as (select 1 x), b(y) as (select x from a) select * from a, b",
        "with recursive r(n) as (values (1) union all select n + 1 from r where n < 10) select * from r",
        "select * from (with a as (select 1 x) select * from a)",
        "select 1 union select 2 intersect select 3 except all select 4 minus select 5",
        "(select 1) union all (select 2 order by 1 limit 1) order by 1",
        "select a from t cluster by a",
        "select a from t distribute by a, b sort by a desc",
        "select /*+ broadcast(a), repartition(3) coalesce(2) */ * from a join b",
        "select case when a then 1 else 2 end, case a when 1 then 'x' when 2 then 'y' end from t",
        "select cast(a as decimal(10, 2)), try_cast(b as interval day to second), c::string::date from t",
        "select a between 1 and 2 and b not between 3 and 4 or not c in (1, 2) from t",
        "select * from t where (a, b) in (select x, y from u) and c not in (select z from v)",
        "select * from t where exists (select 1 from u) and not exists (select 1 from v)",
        "select (select max(a) from u) + 1, ((select 1)), ((select 1) + 1), ((select 1) union (select 2)) from t",
        "select a like 'x%' escape '!', b not rlike 'y', c ilike any ('a', 'b'), d like all ('c') from t",
        "select a is null, b is not null, c is not true, d is unknown, e is distinct from f from t",
        "select transform(a, x -> x + 1), aggregate(b, 0, (acc, x) -> acc + x, acc -> acc) from t",
        "select a.b.c, m['k'], arr[0].f, f(x).y[1], struct(a as x, b).x, (a, b) from t",
        "select date '2020-01-01', timestamp '2020-01-01 10:00:00', timestamp_ntz '2020-01-01', x'1F', 1L, 2S, 3Y, 1.5D, 2BD, 1e3 from t",
        "select interval 1 year 2 months, interval '1-2' year to month, interval '3' day, interval 3 months, interval '1 2:3:4.5' day to second, interval -1 day",
        "select extract(year from d), trim(both 'x' from s), trim(leading from s), trim(s), substring(s from 2 for 3), position('a' in s), overlay(s placing 'x' from 3 for 2)",
        "select dateadd(day, 1, d), timestampdiff(month, a, b), date_add(d, 1), datediff(a, b)",
        "select current_date, current_timestamp(), current_user, left(s, 1), right(s, 2), if(a, b, c), first(a), any_value(b)",
        "select mask(s, upperChar => 'Q'), f(a => 1)",
        "select :name, ?, ? from t where x = :other",
        "select a as select_, b as `from`, c `x y` from t as `where`",
        "select date, timestamp, year, month, day, first, last, left, values, interval, filter from t order by date",
        "select - a, + b, ~ c, -1, - -1, a - -1, a-1, !b, not not c",
        "select a << 1, b >> 2, c >>> 3, a & b | c ^ d, a div b % c, a || b || 'c'",
        "select identifier('a.b').c, identifier('f')(x) from identifier('db.t')",
        "select 'a' 'b', r'\\n', \"double\", 'it''s'",
        "select count(*), count(t.a), count(distinct *) from t;;",
        "select s.a, ws.b from store_sales s full outer join web_sales ws on (s.x = ws.x and s.y = ws.y) where coalesce(s.x, ws.x) > 0",
        "select rank() over (partition by grouping(a) + grouping(b), case when grouping(b) = 0 then a end order by sum(c) asc) from t group by rollup (a, b)",
        "select * from a where d between cast('1999-02-22' as date) and (cast('1999-02-22' as date) + interval 30 days)",
        "select substr(w, 1, 20), sum(case when (x - y <= 30) then 1 else 0 end) as `30 days` from t group by substr(w, 1, 20)",
        "select stack(2, 'a', 1, 'b', 2) as (k, v) from t",
        "select explode(m) as (k, v), posexplode(a) (p, c) from t",
        "select a from t limit all",
        "select a, from_ from t where a = 1 -- the end",
        "select * from `a.b`.`c``d`",
        "select map(1, 'a')[1], array(1, 2)[0], named_struct('a', 1).a",
        "select string(a), int('1'), date('2020-01-01')",
    ] {
        query(sql);
    }
}

#[test]
fn intersect_binds_tighter_than_union() {
    let relation = query("select 1 union all select 2 intersect select 3");
    let RelationKind::SetOperation(union) = relation.kind else { panic!() };
    assert_eq!((union.operator, union.all), (SetOperator::Union, true));
    let RelationKind::SetOperation(intersect) = union.right.kind else { panic!() };
    assert_eq!((intersect.operator, intersect.all), (SetOperator::Intersect, false));
}

#[test]
fn limit_is_outside_offset() {
    let relation = query("select a from t order by a limit 10 offset 5");
    let RelationKind::Limit { input, .. } = relation.kind else { panic!() };
    let RelationKind::Offset { input, .. } = input.kind else { panic!() };
    assert!(matches!(input.kind, RelationKind::Sort { global: true, .. }));
}

#[test]
fn grouping_forms() {
    let grouping = |sql: &str| match query(sql).kind {
        RelationKind::Aggregate(aggregate) => aggregate.grouping,
        other => panic!("{other:?}"),
    };
    let column = Expr::column;
    assert_eq!(grouping("select 1 from t group by all"), Grouping::All);
    assert_eq!(
        grouping("select 1 from t group by rollup(a, b)"),
        Grouping::Rollup(vec![column("a"), column("b")])
    );
    assert_eq!(
        grouping("select 1 from t group by a, b with cube"),
        Grouping::Cube(vec![column("a"), column("b")])
    );
    assert_eq!(
        grouping("select 1 from t group by a, rollup(b, c)"),
        Grouping::Sets {
            expressions: vec![column("a"), column("b"), column("c")],
            sets: vec![
                vec![column("a"), column("b"), column("c")],
                vec![column("a"), column("b")],
                vec![column("a")],
            ],
        }
    );
    assert_eq!(
        grouping("select max(a) from t having max(a) > 1"),
        Grouping::Expressions(Vec::new())
    );
}

#[test]
fn comma_joins_are_inner_and_left_deep() {
    let RelationKind::Project { input, .. } = query("select * from a, b join c on x, d").kind
    else {
        panic!()
    };
    let RelationKind::Join(outer) = input.kind else { panic!() };
    assert_eq!((outer.kind, outer.condition.is_none()), (JoinKind::Inner, true));
    assert!(matches!(outer.right.kind, RelationKind::NamedTable { .. }));
    let RelationKind::Join(inner) = outer.left.kind else { panic!() };
    assert!(matches!(inner.right.kind, RelationKind::Join(_)));
}
