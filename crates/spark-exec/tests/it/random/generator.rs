//! Random tables and random queries over them.
//!
//! Every query has one answer: floating point sums, which depend on order, do not occur, rows are
//! numbered by a unique column only, and a LIMIT stands over an order of all its columns.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;

/// SplitMix64: the same numbers for the same seed everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number before `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// The tables every query is over.
pub(crate) const TABLES: [&str; 4] = ["t0", "t1", "t2", "t3"];

/// The partitions of a table: nulls, one key that many rows have, partitions without rows.
pub(crate) fn table(random: &mut Random) -> Vec<Vec<RecordBatch>> {
    let partitions = 1 + random.below(5);
    let rows = *random.pick(&[0, 3, 40, 400, 1500]);
    let keys = *random.pick(&[2, 20, 300]);
    let skewed = random.one_in(2);
    let mut id = 0;
    (0..partitions)
        .map(|_| {
            if random.one_in(4) {
                return Vec::new();
            }
            let count = random.below(2 * rows / partitions + 1);
            let batch = batch(random, id, count, keys, skewed);
            id += count as i64;
            vec![batch]
        })
        .collect()
}

fn batch(random: &mut Random, first: i64, rows: usize, keys: usize, skewed: bool) -> RecordBatch {
    let id = Int64Array::from_iter_values(first..first + rows as i64);
    let mut number =
        |nulls: usize, below: usize| (!random.one_in(nulls)).then(|| random.below(below) as i32);
    let k: Int32Array = (0..rows)
        .map(|row| if skewed && row % 3 != 0 { Some(1) } else { number(9, keys) })
        .collect();
    let w: Int32Array = (0..rows).map(|_| number(6, 1000)).collect();
    let v: Int64Array = (0..rows).map(|_| number(12, 100_000).map(i64::from)).collect();
    let g: StringArray = (0..rows)
        .map(|_| number(8, 12).map(|n| format!("{}g{n}", if n == 3 { " " } else { "" })))
        .collect();
    let f: BooleanArray = (0..rows).map(|_| number(5, 2).map(|n| n == 1)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(id) as ArrayRef, false),
        ("k", Arc::new(k), true),
        ("w", Arc::new(w), true),
        ("v", Arc::new(v), true),
        ("g", Arc::new(g), true),
        ("f", Arc::new(f), true),
    ])
    .unwrap()
}

/// A query, and whether its rows come in an order.
pub(crate) struct Query {
    pub(crate) sql: String,
    pub(crate) ordered: bool,
}

pub(crate) fn query(random: &mut Random) -> Query {
    let (sql, columns) = select(random, 2);
    if random.one_in(3) {
        let order = (1..=columns)
            .map(|column| {
                let direction = random.pick(&["", " DESC", " ASC NULLS LAST", " DESC NULLS FIRST"]);
                format!("{column}{direction}")
            })
            .collect::<Vec<_>>()
            .join(", ");
        let limit = match random.below(3) {
            0 => format!(" LIMIT {}", random.below(60)),
            1 => format!(" LIMIT {} OFFSET {}", random.below(60), random.below(20)),
            _ => String::new(),
        };
        return Query {
            sql: format!("SELECT * FROM ({sql}) ORDER BY {order}{limit}"),
            ordered: true,
        };
    }
    Query { sql, ordered: false }
}

/// A query and the number of its columns.
fn select(random: &mut Random, depth: usize) -> (String, usize) {
    match random.below(if depth == 0 { 4 } else { 9 }) {
        0 | 1 => plain(random, depth),
        2 | 3 => aggregate(random, depth),
        4 | 5 => join(random, depth),
        6 => window(random),
        7 => set_operation(random, depth),
        _ => distinct(random, depth),
    }
}

/// A relation with the columns of a table; `id` is unique in it.
fn source(random: &mut Random, depth: usize) -> String {
    let table = random.pick(&TABLES);
    match random.below(6) {
        0 if depth > 0 => {
            let condition = boolean(random, "", depth - 1);
            format!("(SELECT * FROM {table} WHERE {condition})")
        }
        1 => format!(
            "(SELECT /*+ REPARTITION({}, {}) */ * FROM {table})",
            1 + random.below(5),
            random.pick(&["k", "g", "id"])
        ),
        _ => (*table).to_owned(),
    }
}

fn plain(random: &mut Random, depth: usize) -> (String, usize) {
    let columns = 1 + random.below(4);
    let list = (0..columns).map(|_| any(random, "")).collect::<Vec<_>>().join(", ");
    let from = source(random, depth);
    let condition = filter(random, "", depth);
    (format!("SELECT {list} FROM {from} AS s{condition}"), columns)
}

fn filter(random: &mut Random, prefix: &str, depth: usize) -> String {
    if random.one_in(3) {
        return String::new();
    }
    format!(" WHERE {}", boolean(random, prefix, depth))
}

fn distinct(random: &mut Random, depth: usize) -> (String, usize) {
    let (inner, columns) = select(random, depth - 1);
    (format!("SELECT DISTINCT * FROM ({inner}) AS d"), columns)
}

fn set_operation(random: &mut Random, depth: usize) -> (String, usize) {
    let word = *random.pick(&[
        "UNION ALL",
        "UNION ALL",
        "UNION",
        "INTERSECT",
        "EXCEPT",
        "INTERSECT ALL",
        "EXCEPT ALL",
    ]);
    let side = |random: &mut Random| {
        let columns = [integer(random, "", 1), string(random, "")].join(", ");
        let from = source(random, depth);
        let condition = filter(random, "", depth - 1);
        format!("SELECT {columns} FROM {from} AS s{condition}")
    };
    (format!("({}) {word} ({})", side(random), side(random)), 2)
}

fn group_key(random: &mut Random, prefix: &str) -> String {
    match random.below(6) {
        0 => format!("{prefix}k % 7"),
        1 => format!("{prefix}f"),
        2 => format!("upper({prefix}g)"),
        3 => format!("{prefix}g"),
        _ => format!("{prefix}k"),
    }
}

fn measure(random: &mut Random, prefix: &str) -> String {
    let number = integer(random, prefix, 1);
    match random.below(9) {
        0 => "count(*)".to_owned(),
        1 => format!("count({})", any(random, prefix)),
        2 => format!("count(DISTINCT {})", random.pick(&[format!("{prefix}k"), number.clone()])),
        3 => format!("min({number})"),
        4 => format!("max({})", string(random, prefix)),
        5 => format!("avg({prefix}w)"),
        6 => format!("sum({number}) FILTER (WHERE {prefix}f)"),
        7 => format!("bool_or({prefix}f)"),
        _ => format!("sum({number})"),
    }
}

fn aggregate(random: &mut Random, depth: usize) -> (String, usize) {
    let from = source(random, depth);
    let condition = filter(random, "", depth);
    grouped(random, &format!("{from} AS s{condition}"), "")
}

fn grouped(random: &mut Random, from: &str, prefix: &str) -> (String, usize) {
    let keys: Vec<String> = (0..random.below(3)).map(|_| group_key(random, prefix)).collect();
    let measures: Vec<String> = (0..1 + random.below(3)).map(|_| measure(random, prefix)).collect();
    let columns = keys.len() + measures.len();
    let list = keys.iter().chain(&measures).cloned().collect::<Vec<_>>().join(", ");
    let mut sql = format!("SELECT {list} FROM {from}");
    if !keys.is_empty() {
        let way = match random.below(6) {
            0 => format!("ROLLUP ({})", keys.join(", ")),
            1 => format!("CUBE ({})", keys.join(", ")),
            _ => keys.join(", "),
        };
        let _ = write!(sql, " GROUP BY {way}");
        if random.one_in(3) {
            let _ = write!(sql, " HAVING count(*) > {}", random.below(6));
        }
    }
    (sql, columns)
}

fn join(random: &mut Random, depth: usize) -> (String, usize) {
    let kind = *random.pick(&[
        "JOIN",
        "JOIN",
        "LEFT JOIN",
        "RIGHT JOIN",
        "FULL JOIN",
        "LEFT SEMI JOIN",
        "LEFT ANTI JOIN",
    ]);
    let one_side = kind.contains("SEMI") || kind.contains("ANTI");
    let (left, right) = (source(random, depth), source(random, depth - 1));
    let mut on = match random.below(5) {
        0 => "a.id = b.id".to_owned(),
        1 => "a.k = b.k AND a.g = b.g".to_owned(),
        2 => "a.k <=> b.w".to_owned(),
        3 => "a.w = b.w AND a.id < b.id + 50".to_owned(),
        _ => "a.w = b.w".to_owned(),
    };
    if random.one_in(4) {
        let _ = write!(on, " AND a.v > b.v");
    }
    let hint = match random.below(5) {
        0 => "/*+ BROADCAST(b) */ ",
        1 => "/*+ BROADCAST(a) */ ",
        _ => "",
    };
    let from = format!("{left} AS a {kind} {right} AS b ON {on}");
    if random.one_in(3) {
        return grouped(random, &from, "a.");
    }
    let columns = 2 + random.below(2);
    let list = (0..columns)
        .map(|column| {
            let prefix = if one_side || column % 2 == 0 { "a." } else { "b." };
            any(random, prefix)
        })
        .collect::<Vec<_>>()
        .join(", ");
    (format!("SELECT {hint}{list} FROM {from}"), columns)
}

fn window(random: &mut Random) -> (String, usize) {
    let table = random.pick(&TABLES);
    let partition = match random.below(4) {
        0 => String::new(),
        1 => "PARTITION BY g ".to_owned(),
        2 => "PARTITION BY k, f ".to_owned(),
        _ => "PARTITION BY k ".to_owned(),
    };
    let direction = random.pick(&["", " DESC"]);
    let function = match random.below(7) {
        0 => "row_number()",
        1 => "rank()",
        2 => "sum(v)",
        3 => "lag(w, 2)",
        4 => "first_value(g)",
        5 => "count(k)",
        _ => "max(v)",
    };
    let frame = match (function, random.below(3)) {
        ("sum(v)" | "count(k)" | "max(v)", 0) => " ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING",
        ("sum(v)" | "count(k)" | "max(v)", 1) => " ROWS UNBOUNDED PRECEDING",
        _ => "",
    };
    let over = format!("{partition}ORDER BY id{direction}{frame}");
    (format!("SELECT id, k, {function} OVER ({over}) AS x FROM {table}"), 3)
}

fn any(random: &mut Random, prefix: &str) -> String {
    match random.below(6) {
        0 | 1 => string(random, prefix),
        2 => format!("{prefix}f"),
        _ => integer(random, prefix, 2),
    }
}

fn integer(random: &mut Random, prefix: &str, depth: usize) -> String {
    let column = format!("{prefix}{}", random.pick(&["id", "k", "w", "v"]));
    if depth == 0 {
        return column;
    }
    match random.below(9) {
        0 => format!("{}", random.below(50)),
        1 => format!("({column} + {})", integer(random, prefix, depth - 1)),
        2 => format!("({column} - {})", integer(random, prefix, depth - 1)),
        3 => format!("coalesce({column}, {})", random.below(9)),
        4 => format!(
            "CASE WHEN {} THEN {column} ELSE {} END",
            boolean(random, prefix, 0),
            random.below(9)
        ),
        5 => format!("length({})", string(random, prefix)),
        // Division by zero is an error, which all ways must report.
        6 if random.one_in(8) => format!("({column} % {prefix}k)"),
        _ => column,
    }
}

fn string(random: &mut Random, prefix: &str) -> String {
    let column = format!("{prefix}g");
    match random.below(6) {
        0 => format!("concat({column}, '-', {prefix}k)"),
        1 => format!("upper({column})"),
        2 => format!("substring({column}, 2, 2)"),
        3 => format!("coalesce({column}, 'none')"),
        _ => column,
    }
}

fn boolean(random: &mut Random, prefix: &str, depth: usize) -> String {
    if depth > 0 && random.one_in(3) {
        return subquery(random, prefix);
    }
    match random.below(9) {
        0 => format!("{prefix}f"),
        1 => format!("{prefix}k IS NULL"),
        2 => format!("{prefix}g LIKE '%{}'", random.below(10)),
        3 => format!("{prefix}k IN (1, 2, {})", random.below(20)),
        4 => format!("NOT ({prefix}w > {})", random.below(1000)),
        5 => format!("({prefix}f OR {prefix}k > {})", random.below(20)),
        6 => format!("{prefix}g <=> 'g{}'", random.below(12)),
        7 => format!("{prefix}id BETWEEN {} AND {}", random.below(100), random.below(1500)),
        _ => format!("{prefix}v < {}", random.below(100_000)),
    }
}

fn subquery(random: &mut Random, prefix: &str) -> String {
    let table = random.pick(&TABLES);
    let condition = boolean(random, "q.", 0);
    match random.below(5) {
        0 => format!("{prefix}k IN (SELECT q.k FROM {table} AS q WHERE {condition})"),
        1 => format!(
            "{prefix}k NOT IN (SELECT q.k FROM {table} AS q WHERE q.k IS NOT NULL AND {condition})"
        ),
        2 => format!("{prefix}w > (SELECT avg(q.w) FROM {table} AS q WHERE {condition})"),
        3 => format!("{prefix}w NOT IN (SELECT q.k FROM {table} AS q WHERE {condition})"),
        _ => format!("{prefix}w IN (SELECT q.w FROM {table} AS q WHERE q.f)"),
    }
}
