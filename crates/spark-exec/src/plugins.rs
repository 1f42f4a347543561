//! The codecs of the crates whose functions and nodes travel inside plans.

use std::sync::Arc;

use datafusion::common::not_impl_err;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::physical_plan::ExecutionPlan;

pub(crate) fn encode_udf(_udf: &ScalarUDF) -> Option<Vec<u8>> {
    None
}

pub(crate) fn decode_udf(name: &str, _payload: &[u8]) -> Result<Arc<ScalarUDF>> {
    not_impl_err!("{name}")
}

pub(crate) fn encode_udaf(_udf: &AggregateUDF) -> Option<Vec<u8>> {
    None
}

pub(crate) fn decode_udaf(name: &str, _payload: &[u8]) -> Result<Arc<AggregateUDF>> {
    not_impl_err!("{name}")
}

pub(crate) fn encode_udwf(_udf: &WindowUDF) -> Option<Vec<u8>> {
    None
}

pub(crate) fn decode_udwf(name: &str, _payload: &[u8]) -> Result<Arc<WindowUDF>> {
    not_impl_err!("{name}")
}

pub(crate) fn encode_source(_plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<u8>> {
    None
}

pub(crate) fn decode_source(
    _payload: &[u8],
    _inputs: &[Arc<dyn ExecutionPlan>],
    _context: &TaskContext,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    Ok(None)
}
