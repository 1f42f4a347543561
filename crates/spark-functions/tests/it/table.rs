//! The rows of `tests/answers/rows.sql` as three partitions of a table, and expressions over them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Field, Schema};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col};
use datafusion::prelude::{SessionConfig, SessionContext};
use spark_functions::{cast, data_type_of, errors, scalar_value, types};
use spark_sql_parser::ast::{CastMode, Literal};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::harness::context;
use crate::sql;

fn column(values: Vec<Literal>, data_type: &DataType) -> ArrayRef {
    let scalars = values.into_iter().map(|value| match value {
        Literal::Null(_) => scalar_value(&Literal::Null(data_type.clone())).unwrap(),
        value => scalar_value(&value).unwrap(),
    });
    datafusion::common::ScalarValue::iter_to_array(scalars).unwrap()
}

fn rows() -> RecordBatch {
    use Literal as L;
    let null = || L::Null(DataType::Null);
    let ints = |values: [i32; 5]| values.map(L::Integer).to_vec();
    let decimal = |precision| DataType::Decimal { precision, scale: 2 };
    let money = |precision: u8| {
        let mut values: Vec<Literal> =
            [110, 220, 335, 445].map(|value| L::Decimal { value, precision, scale: 2 }).to_vec();
        values.push(null());
        values
    };
    let day = 86_400_000_000_i64;
    // Midnight of 2020-01-01 in Los Angeles.
    let start = 1_577_865_600_000_000_i64;
    let nan = f64::NAN;
    let columns: Vec<(&str, Vec<Literal>, DataType)> = vec![
        ("id", ints([1, 2, 3, 4, 5]), DataType::Integer),
        ("g", ints([1, 1, 2, 2, 2]), DataType::Integer),
        ("i", ints([1, 2, 3, 4, 5]), DataType::Integer),
        (
            "n",
            vec![null(), L::Integer(20), null(), L::Integer(40), L::Integer(50)],
            DataType::Integer,
        ),
        (
            "s",
            vec![
                L::String("a".into()),
                L::String("b".into()),
                null(),
                L::String("d".into()),
                L::String("e".into()),
            ],
            DataType::String,
        ),
        (
            "flag",
            vec![L::Boolean(true), L::Boolean(true), L::Boolean(false), null(), L::Boolean(true)],
            DataType::Boolean,
        ),
        ("f", [0.0, -0.0, nan, nan, 1.0].map(L::Double).to_vec(), DataType::Double),
        ("f2", [1.5, 2.5, 4.0, 8.25, 9.5].map(L::Double).to_vec(), DataType::Double),
        ("d", money(3), decimal(3)),
        ("dt", [18262, 18263, 18264, 18266, 18267].map(L::Date).to_vec(), DataType::Date),
        (
            "ts",
            [0, day + 36_000_000_000, 2 * day, 3 * day, 4 * day]
                .map(|offset| L::Timestamp(start + offset))
                .to_vec(),
            DataType::Timestamp,
        ),
        (
            "ym",
            vec![
                L::YearMonthInterval(1),
                L::YearMonthInterval(2),
                L::YearMonthInterval(5),
                null(),
                L::YearMonthInterval(7),
            ],
            DataType::YearMonthInterval { start: 1, end: 1 },
        ),
        (
            "dt2",
            vec![
                L::DayTimeInterval(day),
                L::DayTimeInterval(2 * day),
                L::DayTimeInterval(3 * day),
                L::DayTimeInterval(5 * day),
                null(),
            ],
            DataType::DayTimeInterval { start: 0, end: 0 },
        ),
        ("b", [1, 2, 3, 4, 5].map(L::Byte).to_vec(), DataType::Byte),
        ("big", money(38), decimal(38)),
        ("l", [i64::MAX, 2, 3, 4, 5].map(L::Long).to_vec(), DataType::Long),
        ("l2", [1000, 2000, 3000, 4000, 5000].map(L::Long).to_vec(), DataType::Long),
        ("sum_me", ints([1; 5]), DataType::Integer),
    ];
    let mut fields = vec![];
    let mut arrays = vec![];
    for (name, values, data_type) in columns {
        let array = column(values, &data_type);
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

pub(crate) fn schema() -> DFSchema {
    DFSchema::try_from(rows().schema().as_ref().clone()).unwrap()
}

/// The table cut in three, so that aggregates have partial and final halves.
fn table() -> (SessionContext, DFSchema) {
    let batch = rows();
    let parts = [(0, 2), (2, 1), (3, 2)].map(|(at, length)| vec![batch.slice(at, length)]);
    let provider = MemTable::try_new(batch.schema(), parts.to_vec()).unwrap();
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    session.register_table("t", Arc::new(provider)).unwrap();
    (session, DFSchema::try_from(batch.schema().as_ref().clone()).unwrap())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

fn texts(batches: &[RecordBatch]) -> String {
    let mut all = vec![];
    for batch in batches {
        let texts = batch.column(0).as_string::<i32>();
        for row in 0..batch.num_rows() {
            all.push(if texts.is_null(row) { "NULL" } else { texts.value(row) }.to_owned());
        }
    }
    all.join("; ")
}

/// Splits an expression into its aggregate (or window) calls and what is computed from their results.
fn split(expr: Expr, wanted: fn(&Expr) -> bool) -> (Vec<Expr>, Expr) {
    let mut calls: Vec<Expr> = vec![];
    let outer = expr
        .transform_up(|node| {
            if !wanted(&node) {
                return Ok(Transformed::no(node));
            }
            let name = format!("call{}", calls.len());
            calls.push(node.alias(&name));
            Ok(Transformed::yes(col(name)))
        })
        .unwrap()
        .data;
    (calls, outer)
}

fn evaluate(text: &str, window: bool) -> Result<(String, String), SparkError> {
    let (session, schema) = table();
    let ctx = context(&schema);
    let expr = sql::expression(text, &ctx)?;
    let name = types::simple_name(&data_type_of(&expr, &ctx)?);
    let wrong = |error| errors::from_datafusion(&error);
    let (calls, outer) =
        split(expr, |node| matches!(node, Expr::AggregateFunction(_) | Expr::WindowFunction(_)));
    let batches = run(async {
        let scan = session.table("t").await?.into_unoptimized_plan();
        let scan = LogicalPlanBuilder::from(scan)
            .project(schema.fields().iter().map(|field| {
                Expr::Column(datafusion::common::Column::new(Some("t"), field.name()))
                    .alias(field.name())
            }))?
            .build()?;
        let plan = LogicalPlanBuilder::from(scan);
        let plan = if window {
            let mut bare = vec![];
            let mut names = vec![];
            for call in calls {
                if let Expr::Alias(alias) = call {
                    names.push((alias.expr.schema_name().to_string(), alias.name.clone()));
                    bare.push(*alias.expr);
                }
            }
            let plan = plan.window(bare)?;
            let mut columns: Vec<Expr> =
                schema.fields().iter().map(|field| col(field.name())).collect();
            columns.extend(names.into_iter().map(|(from, to)| {
                Expr::Column(datafusion::common::Column::new_unqualified(from)).alias(to)
            }));
            plan.project(columns)?
        } else {
            plan.aggregate(Vec::<Expr>::new(), calls)?
        };
        let inner = plan.build()?;
        let inner_ctx = context(inner.schema());
        let shown = cast(outer, &DataType::String, CastMode::Ansi, &inner_ctx)
            .map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))?;
        let mut plan = LogicalPlanBuilder::from(inner);
        if window {
            plan = plan.sort([col("id").sort(true, true)])?;
        }
        let plan = plan.project([shown.alias("v")])?.build()?;
        session.execute_logical_plan(plan).await?.collect().await
    })
    .map_err(wrong)?;
    Ok((texts(&batches), name))
}

pub(crate) fn aggregated(text: &str) -> Result<(String, String), SparkError> {
    evaluate(text, false)
}

pub(crate) fn windowed(text: &str) -> Result<(String, String), SparkError> {
    evaluate(text, true)
}
