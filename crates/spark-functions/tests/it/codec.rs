//! Every function a recorded expression uses survives the trip to an executor.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, WindowFunctionDefinition};
use spark_functions::codec;

use crate::harness::{context, empty_schema};
use crate::{sql, table};

/// Encodes and decodes each function of ours in the expression; counts them.
fn round_trip(expr: &Expr) -> usize {
    let mut ours = 0;
    expr.apply(|node| {
        match node {
            Expr::ScalarFunction(call) => {
                if let Some(bytes) = codec::encode_udf(&call.func) {
                    let decoded = codec::decode_udf(call.func.name(), &bytes).unwrap();
                    assert_eq!(decoded.as_ref(), call.func.as_ref());
                    assert_eq!(codec::encode_udf(&decoded), Some(bytes));
                    ours += 1;
                } else {
                    assert!(codec::all_scalar().iter().any(|f| f.name() == call.func.name()));
                }
            }
            Expr::AggregateFunction(call) => ours += aggregate(&call.func),
            Expr::WindowFunction(call) => match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => ours += aggregate(function),
                WindowFunctionDefinition::WindowUDF(function) => {
                    let bytes = codec::encode_udwf(function).unwrap();
                    let decoded = codec::decode_udwf(function.name(), &bytes).unwrap();
                    assert_eq!(&decoded, function);
                    ours += 1;
                }
            },
            Expr::HigherOrderFunction(call) => {
                let bytes = codec::encode_higher_order(&call.func).unwrap();
                let decoded = codec::decode_higher_order(call.name(), &bytes).unwrap();
                assert_eq!(decoded.as_ref(), call.func.as_ref());
                ours += 1;
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    ours
}

fn aggregate(function: &Arc<datafusion::logical_expr::AggregateUDF>) -> usize {
    match codec::encode_udaf(function) {
        Some(bytes) => {
            let decoded = codec::decode_udaf(function.name(), &bytes).unwrap();
            assert_eq!(&decoded, function);
            1
        }
        None => {
            assert!(codec::all_aggregate().iter().any(|f| f.name() == function.name()));
            0
        }
    }
}

#[test]
fn every_function_travels() {
    let schema = empty_schema();
    let ctx = context(&schema);
    let scalar: usize = include_str!("../answers/scalar.sql")
        .lines()
        .filter_map(|text| sql::expression(text, &ctx).ok())
        .map(|expr| round_trip(&expr))
        .sum();
    assert!(scalar > 400, "only {scalar} functions of ours");
    let schema = table::schema();
    let ctx = context(&schema);
    let over_rows: usize =
        [include_str!("../answers/table.sql"), include_str!("../answers/window.sql")]
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|text| sql::expression(text, &ctx).ok())
            .map(|expr| round_trip(&expr))
            .sum();
    assert!(over_rows > 60, "only {over_rows} functions of ours");
}

#[test]
fn foreign_bytes_are_refused() {
    assert!(codec::decode_udf("+", b"").is_err());
    assert!(codec::decode_udf("+", b"FSF1\0garbage").is_err());
    assert!(codec::decode_udf("nosuch", b"FSF1").is_err());
    assert!(codec::decode_udwf("lag", b"x").is_err());
}
