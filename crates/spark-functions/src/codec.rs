//! Our functions as bytes, for plans that travel to executors.
//!
//! The bytes hold everything a use of a function was given at resolution, so executors need no session settings.

use std::sync::Arc;

use arrow::datatypes::{DataType as Arrow, Field, Schema};
use arrow::ipc::convert::{IpcSchemaEncoder, fb_to_schema};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

use crate::aggregate::{self, SparkAggregate};
use crate::lambda::{self, SparkHigherOrder};
use crate::udf::{Mode, Params, SparkScalar, definition};
use crate::window::SparkWindow;

/// Distinguishes our bytes, and their layout, from anybody else's.
const MAGIC: &[u8; 4] = b"FSF1";

/// The bytes of one of our scalar functions; `None` for a function of DataFusion's own.
#[must_use]
pub fn encode_udf(function: &ScalarUDF) -> Option<Vec<u8>> {
    let ours = function.inner().downcast_ref::<SparkScalar>()?;
    Some(encode_params(&ours.params))
}

/// The function that [`encode_udf`] gave these bytes for.
///
/// # Errors
/// For bytes of another origin or version, or a name this build does not know.
pub fn decode_udf(name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
    let definition = definition(name)
        .ok_or_else(|| internal_datafusion_err!("no function {name} in this executor"))?;
    let params = decode_params(bytes)?;
    Ok(Arc::new(ScalarUDF::new_from_impl(SparkScalar::new(definition, params))))
}

/// The bytes of one of our aggregate functions; `None` for a function of DataFusion's own.
#[must_use]
pub fn encode_udaf(function: &AggregateUDF) -> Option<Vec<u8>> {
    let ours = function.inner().downcast_ref::<SparkAggregate>()?;
    Some(encode_params(&ours.params))
}

/// The function that [`encode_udaf`] gave these bytes for.
///
/// # Errors
/// As [`decode_udf`].
pub fn decode_udaf(name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
    let definition = aggregate::definition(name)
        .ok_or_else(|| internal_datafusion_err!("no aggregate {name} in this executor"))?;
    let params = decode_params(bytes)?;
    Ok(Arc::new(AggregateUDF::new_from_impl(SparkAggregate::new(definition, params))))
}

/// The bytes of one of our window functions; `None` for a function of DataFusion's own.
#[must_use]
pub fn encode_udwf(function: &WindowUDF) -> Option<Vec<u8>> {
    let ours = function.inner().downcast_ref::<SparkWindow>()?;
    let mut bytes = MAGIC.to_vec();
    bytes.push(u8::from(ours.ignore_nulls));
    Some(bytes)
}

/// The function that [`encode_udwf`] gave these bytes for.
///
/// # Errors
/// As [`decode_udf`].
pub fn decode_udwf(name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
    let ignore_nulls = match bytes.strip_prefix(MAGIC.as_slice()) {
        Some([flag]) => *flag == 1,
        _ => {
            return Err(internal_datafusion_err!("the window function {name} is foreign"));
        }
    };
    SparkWindow::named(name, ignore_nulls)
        .ok_or_else(|| internal_datafusion_err!("no window function {name} in this executor"))
}

/// The bytes of one of our higher-order functions; `None` for a function of DataFusion's own.
#[must_use]
pub fn encode_higher_order(function: &HigherOrderUDF) -> Option<Vec<u8>> {
    let function: &dyn std::any::Any = function.inner().as_ref();
    let ours = function.downcast_ref::<SparkHigherOrder>()?;
    let lambdas = encode_params(&Params::new(lambda::lambdas_type(&ours.lambdas)));
    let mut bytes = u32::try_from(lambdas.len()).ok()?.to_le_bytes().to_vec();
    bytes.extend(lambdas);
    bytes.extend(encode_params(&ours.params));
    Some(bytes)
}

/// The function that [`encode_higher_order`] gave these bytes for.
///
/// # Errors
/// As [`decode_udf`].
pub fn decode_higher_order(name: &str, bytes: &[u8]) -> Result<Arc<HigherOrderUDF>> {
    let damaged = || internal_datafusion_err!("the lambdas of {name} are damaged or foreign");
    let (length, rest) = bytes.split_at_checked(4).ok_or_else(damaged)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged())?) as usize;
    let (lambdas, params) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let lambdas = lambda::lambdas_of(&decode_params(lambdas)?.result).ok_or_else(damaged)?;
    let function = SparkHigherOrder::find(name, decode_params(params)?, lambdas)
        .ok_or_else(|| internal_datafusion_err!("no function {name} in this executor"))?;
    Ok(Arc::new(HigherOrderUDF::new_from_impl(function)))
}

/// DataFusion's scalar functions that plans may name; ours travel as bytes.
#[must_use]
pub fn all_scalar() -> Vec<Arc<ScalarUDF>> {
    let mut functions = datafusion::functions::all_default_functions();
    functions.extend(datafusion::functions_nested::all_default_nested_functions());
    functions
}

/// DataFusion's aggregate functions that plans may name.
#[must_use]
pub fn all_aggregate() -> Vec<Arc<AggregateUDF>> {
    datafusion::functions_aggregate::all_default_aggregate_functions()
}

/// DataFusion's window functions that plans may name.
#[must_use]
pub fn all_window() -> Vec<Arc<WindowUDF>> {
    datafusion::functions_window::all_default_window_functions()
}

fn mode_byte(mode: Mode) -> u8 {
    match mode {
        Mode::Ansi => 0,
        Mode::Try => 1,
        Mode::Legacy => 2,
    }
}

pub(crate) fn encode_params(params: &Params) -> Vec<u8> {
    let schema = Schema::new(vec![Field::new("result", params.result.clone(), true)]);
    let encoded = IpcSchemaEncoder::new().schema_to_fb(&schema);
    let mut bytes = MAGIC.to_vec();
    bytes.push(mode_byte(params.mode));
    for part in [params.zone.as_bytes(), params.text.as_bytes(), encoded.finished_data()] {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

pub(crate) fn decode_params(bytes: &[u8]) -> Result<Params> {
    let damaged = || internal_datafusion_err!("a function's parameters are damaged or foreign");
    let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or_else(damaged)?;
    let (mode, mut rest) = rest.split_first().ok_or_else(damaged)?;
    let mode = match mode {
        0 => Mode::Ansi,
        1 => Mode::Try,
        2 => Mode::Legacy,
        _ => return Err(damaged()),
    };
    let mut part = || -> Result<Vec<u8>> {
        let (length, after) = rest.split_at_checked(4).ok_or_else(damaged)?;
        let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged())?) as usize;
        let (part, after) = after.split_at_checked(length).ok_or_else(damaged)?;
        rest = after;
        Ok(part.to_vec())
    };
    let zone = String::from_utf8(part()?).map_err(|_| damaged())?;
    let text = String::from_utf8(part()?).map_err(|_| damaged())?;
    let encoded = part()?;
    let schema = arrow::ipc::root_as_schema(&encoded).map_err(|_| damaged())?;
    let result: Arrow =
        fb_to_schema(schema).fields().first().ok_or_else(damaged)?.data_type().clone();
    Ok(Params { mode, zone, result, text })
}
