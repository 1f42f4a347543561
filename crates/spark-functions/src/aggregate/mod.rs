//! Aggregate functions: DataFusion's where they answer as Spark does, ours elsewhere.

mod distinct;
mod gather;
mod longs;
mod moments;
mod sums;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType as Arrow, Field, FieldRef};
use datafusion::common::{Result as DfResult, ScalarValue, not_impl_err};
use datafusion::functions_aggregate as native;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Case, Cast, Expr, GroupsAccumulator, ReversedUDAF,
    Signature, SortExpr, Volatility,
};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::FunctionContext;
use crate::cast::implicit;
use crate::coercion::bounded;
use crate::errors;
use crate::signature::Call;
use crate::types::{is_integral, is_numeric, is_string, to_arrow};
use crate::udf::{Mode, Params};

/// One aggregate function call of the plan language, its arguments resolved.
#[derive(Debug, Clone, Default)]
pub struct AggregateCall {
    /// Lower case.
    pub name: String,
    /// `count(*)` has none.
    pub args: Vec<Expr>,
    pub distinct: bool,
    pub filter: Option<Expr>,
    pub ignore_nulls: Option<bool>,
    /// WITHIN GROUP (ORDER BY …).
    pub order_by: Vec<SortExpr>,
}

/// Makes an accumulator for arguments of some types.
type Create<T> = fn(&Params, &[FieldRef]) -> DfResult<Box<T>>;

/// An aggregate function of ours.
pub(crate) struct AggregateDefinition {
    pub name: &'static str,
    pub nullable: bool,
    /// Types of the values that travel between partial and final aggregation.
    pub state: fn(&Params, &[FieldRef]) -> Vec<Arrow>,
    pub accumulator: Create<dyn Accumulator>,
    pub groups: Option<Create<dyn GroupsAccumulator>>,
}

fn tables() -> [&'static [AggregateDefinition]; 3] {
    [sums::DEFINITIONS, gather::DEFINITIONS, moments::DEFINITIONS]
}

static DEFINITIONS: LazyLock<BTreeMap<&'static str, &'static AggregateDefinition>> =
    LazyLock::new(|| {
        tables().into_iter().flatten().map(|definition| (definition.name, definition)).collect()
    });

pub(crate) fn definition(name: &str) -> Option<&'static AggregateDefinition> {
    DEFINITIONS.get(name).copied()
}

/// A use of one of our aggregate functions, as DataFusion sees it.
pub(crate) struct SparkAggregate {
    pub(crate) definition: &'static AggregateDefinition,
    pub(crate) params: Params,
    signature: Signature,
}

impl std::fmt::Debug for SparkAggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SparkAggregate")
            .field("name", &self.definition.name)
            .field("params", &self.params)
            .finish()
    }
}

impl PartialEq for SparkAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && self.params == other.params
    }
}

impl Eq for SparkAggregate {}

impl Hash for SparkAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
        self.params.hash(state);
    }
}

impl SparkAggregate {
    pub(crate) fn new(definition: &'static AggregateDefinition, params: Params) -> Self {
        Self { definition, params, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for SparkAggregate {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[Arrow]) -> DfResult<Arrow> {
        Ok(self.params.result.clone())
    }

    fn is_nullable(&self) -> bool {
        self.definition.nullable
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        let inner = (self.definition.accumulator)(&self.params, args.expr_fields)?;
        if args.is_distinct {
            return Ok(Box::new(distinct::Distinct::new(args.expr_fields, inner)));
        }
        Ok(inner)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        let types = match args.is_distinct {
            true => distinct::state(args.input_fields),
            false => (self.definition.state)(&self.params, args.input_fields),
        };
        Ok(types
            .into_iter()
            .enumerate()
            .map(|(index, data_type)| {
                let name = format_state_name(args.name, &format!("state{index}"));
                Arc::new(Field::new(name, data_type, true))
            })
            .collect())
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct && self.definition.groups.is_some()
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> DfResult<Box<dyn GroupsAccumulator>> {
        match self.definition.groups {
            Some(create) => create(&self.params, args.expr_fields),
            None => not_impl_err!("{} by groups", self.definition.name),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        let create = self.definition.accumulator;
        let inner = create(&self.params, args.expr_fields)?;
        if inner.supports_retract_batch() {
            return Ok(inner);
        }
        let (params, fields) = (self.params.clone(), args.expr_fields.to_vec());
        let create = Box::new(move || create(&params, &fields));
        Ok(Box::new(moments::Replay { create, rows: std::collections::VecDeque::new() }))
    }

    fn default_value(&self, data_type: &Arrow) -> DfResult<ScalarValue> {
        match (self.definition.nullable, data_type) {
            (false, Arrow::List(_)) => ScalarValue::new_default(data_type),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }
}

/// Names [`aggregate`] knows.
pub(crate) const NAMES: &[&str] = &[
    "count",
    "sum",
    "try_sum",
    "avg",
    "mean",
    "try_avg",
    "min",
    "max",
    "first",
    "first_value",
    "last",
    "last_value",
    "any_value",
    "stddev",
    "std",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "corr",
    "covar_pop",
    "covar_samp",
    "bool_and",
    "every",
    "bool_or",
    "some",
    "any",
    "count_if",
    "bit_and",
    "bit_or",
    "bit_xor",
    "regr_count",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
    "regr_slope",
    "regr_intercept",
    "regr_r2",
    "collect_list",
    "array_agg",
    "collect_set",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "percentile_approx",
    "approx_percentile",
    "median",
    "mode",
    "listagg",
    "string_agg",
    "skewness",
    "kurtosis",
    "max_by",
    "min_by",
    "approx_count_distinct",
];

/// Whether the (lower-case) name is an aggregate function.
#[must_use]
pub fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

fn native_call(call: &AggregateCall, function: Arc<AggregateUDF>, args: Vec<Expr>) -> Expr {
    let nulls = match call.ignore_nulls {
        Some(true) => Some(NullTreatment::IgnoreNulls),
        _ => None,
    };
    Expr::AggregateFunction(AggregateFunction::new_udf(
        function,
        args,
        call.distinct,
        call.filter.clone().map(Box::new),
        vec![],
        nulls,
    ))
}

fn our_call(
    call: &AggregateCall,
    name: &str,
    args: Vec<Expr>,
    params: Params,
) -> Result<Expr, SparkError> {
    let definition = definition(name)
        .ok_or_else(|| errors::internal(format!("the aggregate {name} has no implementation")))?;
    let function = AggregateUDF::new_from_impl(SparkAggregate::new(definition, params));
    let without_nulls = AggregateCall { ignore_nulls: None, ..call.clone() };
    Ok(native_call(&without_nulls, Arc::new(function), args))
}

/// A cast that every value survives, done by DataFusion itself.
fn plain_cast(expr: Expr, to: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to_arrow(to)))
}

/// An aggregate function with Spark's argument casts and result type. The result may wrap the aggregate in a cast.
///
/// # Errors
/// As [`crate::scalar`].
pub fn aggregate(call: AggregateCall, ctx: &FunctionContext) -> Result<Expr, SparkError> {
    let typed = Call::new(&call.name, call.args.clone(), ctx)?;
    let one = |least: usize| typed.arity(least, least);
    let arg = |index: usize| typed.args[index].clone();
    let double = |index: usize| typed.fitted(index, crate::signature::Ty::Double).map(|x| x.0);
    let expr = match call.name.as_str() {
        "count" => count(&call, &typed)?,
        "count_if" => {
            one(1)?;
            let condition = typed.coerced(0, &DataType::Boolean)?;
            let marked = Case::new(
                None,
                vec![(
                    Box::new(condition),
                    Box::new(Expr::Literal(ScalarValue::Int32(Some(1)), None)),
                )],
                None,
            );
            native_call(&call, native::count::count_udaf(), vec![Expr::Case(marked)])
        }
        "sum" | "try_sum" => {
            one(1)?;
            sum(&call, &typed)?
        }
        "avg" | "mean" | "try_avg" => {
            one(1)?;
            average(&call, &typed)?
        }
        "min" | "max" => {
            one(1)?;
            let value = orderable(&typed)?;
            let function = if call.name == "min" {
                native::min_max::min_udaf()
            } else {
                native::min_max::max_udaf()
            };
            native_call(&call, function, vec![value])
        }
        "first" | "first_value" | "any_value" | "last" | "last_value" => {
            typed.arity(1, 2)?;
            let ignore = call.ignore_nulls.unwrap_or(false) || literal_true(&typed, 1)?;
            let call = AggregateCall { ignore_nulls: Some(ignore), ..call.clone() };
            let function = if call.name.starts_with("last") {
                native::first_last::last_value_udaf()
            } else {
                native::first_last::first_value_udaf()
            };
            native_call(&call, function, vec![arg(0)])
        }
        "stddev" | "std" | "stddev_samp" => {
            one(1)?;
            native_call(&call, native::stddev::stddev_udaf(), vec![double(0)?])
        }
        "stddev_pop" => {
            one(1)?;
            native_call(&call, native::stddev::stddev_pop_udaf(), vec![double(0)?])
        }
        "variance" | "var_samp" => {
            one(1)?;
            native_call(&call, native::variance::var_samp_udaf(), vec![double(0)?])
        }
        "var_pop" => {
            one(1)?;
            native_call(&call, native::variance::var_pop_udaf(), vec![double(0)?])
        }
        "corr" | "covar_pop" | "covar_samp" | "regr_count" | "regr_avgx" | "regr_avgy"
        | "regr_sxx" | "regr_syy" | "regr_sxy" | "regr_slope" | "regr_intercept" | "regr_r2" => {
            one(2)?;
            let function = match call.name.as_str() {
                "corr" => native::correlation::corr_udaf(),
                "covar_pop" => native::covariance::covar_pop_udaf(),
                "covar_samp" => native::covariance::covar_samp_udaf(),
                "regr_count" => native::regr::regr_count_udaf(),
                "regr_avgx" => native::regr::regr_avgx_udaf(),
                "regr_avgy" => native::regr::regr_avgy_udaf(),
                "regr_sxx" => native::regr::regr_sxx_udaf(),
                "regr_syy" => native::regr::regr_syy_udaf(),
                "regr_sxy" => native::regr::regr_sxy_udaf(),
                "regr_slope" => native::regr::regr_slope_udaf(),
                "regr_intercept" => native::regr::regr_intercept_udaf(),
                _ => native::regr::regr_r2_udaf(),
            };
            let expr = native_call(&call, function, vec![double(0)?, double(1)?]);
            if call.name == "regr_count" { plain_cast(expr, &DataType::Long) } else { expr }
        }
        "bool_and" | "every" | "bool_or" | "some" | "any" => {
            one(1)?;
            let function = if matches!(call.name.as_str(), "bool_and" | "every") {
                native::bool_and_or::bool_and_udaf()
            } else {
                native::bool_and_or::bool_or_udaf()
            };
            if !matches!(typed.types[0], DataType::Boolean | DataType::Null) {
                return Err(typed.wrong_type(0, "BOOLEAN"));
            }
            native_call(&call, function, vec![typed.coerced(0, &DataType::Boolean)?])
        }
        "bit_and" | "bit_or" | "bit_xor" => {
            one(1)?;
            let value = typed.fitted(0, crate::signature::Ty::Integral)?.0;
            let function = match call.name.as_str() {
                "bit_and" => native::bit_and_or_xor::bit_and_udaf(),
                "bit_or" => native::bit_and_or_xor::bit_or_udaf(),
                _ => native::bit_and_or_xor::bit_xor_udaf(),
            };
            native_call(&call, function, vec![value])
        }
        "collect_list" | "array_agg" | "collect_set" => {
            one(1)?;
            let out =
                DataType::Array { element: Box::new(typed.types[0].clone()), contains_null: false };
            let name = if call.name == "collect_set" { "collect_set" } else { "collect_list" };
            our_call(&call, name, vec![arg(0)], Params::new(to_arrow(&out)))?
        }
        "skewness" | "kurtosis" => {
            one(1)?;
            let params = Params::new(Arrow::Float64);
            our_call(&call, &call.name, vec![double(0)?], params)?
        }
        "max_by" | "min_by" => {
            one(2)?;
            let params = Params::new(to_arrow(&typed.types[0]));
            our_call(&call, &call.name, vec![arg(0), arg(1)], params)?
        }
        "approx_count_distinct" => {
            typed.arity(1, 2)?;
            let function = native::approx_distinct::approx_distinct_udaf();
            let value = crate::operators::normalize_key(arg(0), ctx)?;
            plain_cast(native_call(&call, function, vec![value]), &DataType::Long)
        }
        "mode" => {
            typed.arity(0, 2)?;
            let value = match (typed.len(), call.order_by.first()) {
                (0, Some(order)) => order.expr.clone(),
                (0, None) => return Err(errors::wrong_num_args("mode", "> 0", 0)),
                _ => arg(0),
            };
            let params = Params::new(ctx.arrow_type(&value)?);
            our_call(&call, "mode", vec![value], params)?
        }
        "listagg" | "string_agg" => listagg(&call, &typed)?,
        "median" | "percentile" | "percentile_cont" | "percentile_disc" | "percentile_approx"
        | "approx_percentile" => percentile(&call, &typed)?,
        name => return Err(errors::unresolved_routine(name)),
    };
    crate::canonical(expr, ctx)
}

fn literal_true(call: &Call, index: usize) -> Result<bool, SparkError> {
    if call.len() <= index {
        return Ok(false);
    }
    match call.literal(index) {
        Some(ScalarValue::Boolean(Some(value))) => Ok(*value),
        _ => Err(call.wrong_type(index, "BOOLEAN")),
    }
}

/// COUNT(*) and COUNT over several columns, which counts rows where none is NULL.
fn count(call: &AggregateCall, typed: &Call) -> Result<Expr, SparkError> {
    let function = native::count::count_udaf();
    let one = || Expr::Literal(ScalarValue::Int64(Some(1)), None);
    let mut args = typed
        .args
        .iter()
        .map(|arg| {
            if call.distinct {
                crate::operators::normalize_key(arg.clone(), typed.ctx)
            } else {
                Ok(arg.clone())
            }
        })
        .collect::<Result<Vec<_>, SparkError>>()?;
    if args.is_empty() {
        return Ok(native_call(call, function, vec![one()]));
    }
    if args.len() == 1 {
        return Ok(native_call(call, function, args));
    }
    let present = args
        .iter()
        .map(|arg| Expr::IsNotNull(Box::new(arg.clone())))
        .reduce(Expr::and)
        .unwrap_or_else(one);
    let value = if call.distinct {
        let named = args
            .drain(..)
            .enumerate()
            .flat_map(|(index, arg)| {
                [Expr::Literal(ScalarValue::Utf8(Some(format!("c{index}"))), None), arg]
            })
            .collect();
        datafusion::functions::core::expr_fn::named_struct(named)
    } else {
        one()
    };
    let tuple = Case::new(None, vec![(Box::new(present), Box::new(value))], None);
    Ok(native_call(call, function, vec![Expr::Case(tuple)]))
}

fn aggregate_mode(name: &str, ctx: &FunctionContext) -> Mode {
    if name.starts_with("try_") { Mode::Try } else { ctx.mode() }
}

fn numeric_argument(typed: &Call) -> Result<(Expr, DataType), SparkError> {
    let given = &typed.types[0];
    if is_string(given) || *given == DataType::Null {
        return Ok((typed.coerced(0, &DataType::Double)?, DataType::Double));
    }
    let interval =
        matches!(given, DataType::YearMonthInterval { .. } | DataType::DayTimeInterval { .. });
    if is_numeric(given) || interval {
        return Ok((typed.args[0].clone(), given.clone()));
    }
    Err(typed.wrong_type(0, "\"NUMERIC\" or \"ANSI INTERVAL\""))
}

fn sum(call: &AggregateCall, typed: &Call) -> Result<Expr, SparkError> {
    let (value, given) = numeric_argument(typed)?;
    let mode = aggregate_mode(&call.name, typed.ctx);
    let native_sum = |value| Ok(native_call(call, native::sum::sum_udaf(), vec![value]));
    match given {
        DataType::Byte | DataType::Short | DataType::Integer => {
            // Fewer than 2^32 of them cannot overflow 64 bits.
            native_sum(plain_cast(value, &DataType::Long))
        }
        DataType::Float => native_sum(plain_cast(value, &DataType::Double)),
        DataType::Double => native_sum(value),
        DataType::Decimal { precision, .. } if precision <= 28 => native_sum(value),
        DataType::Decimal { precision, scale } => {
            let out = bounded(i32::from(precision) + 10, i32::from(scale));
            let params = Params::new(to_arrow(&out)).mode(mode);
            our_call(call, "sum", vec![value], params)
        }
        other => {
            let params = Params::new(to_arrow(&other)).mode(mode);
            our_call(call, "sum", vec![value], params)
        }
    }
}

fn average(call: &AggregateCall, typed: &Call) -> Result<Expr, SparkError> {
    let (value, given) = numeric_argument(typed)?;
    let mode = aggregate_mode(&call.name, typed.ctx);
    match given {
        DataType::Decimal { precision, scale } => {
            let out = bounded(i32::from(precision) + 4, i32::from(scale) + 4);
            let params = Params::new(to_arrow(&out)).mode(mode);
            our_call(call, "avg", vec![value], params)
        }
        given if is_integral(&given) || matches!(given, DataType::Float | DataType::Double) => {
            let value = implicit(value, &DataType::Double, typed.ctx)?;
            Ok(native_call(call, native::average::avg_udaf(), vec![value]))
        }
        other => {
            let params = Params::new(to_arrow(&other)).mode(mode);
            our_call(call, "avg", vec![value], params)
        }
    }
}

fn listagg(call: &AggregateCall, typed: &Call) -> Result<Expr, SparkError> {
    typed.arity(1, 2)?;
    let mut args = vec![typed.coerced(0, &DataType::String)?];
    if typed.len() == 2 {
        args.push(typed.coerced(1, &DataType::String)?);
    }
    let expr = our_call(call, "listagg", args, Params::new(Arrow::Utf8))?;
    Ok(match expr {
        Expr::AggregateFunction(mut function) => {
            function.params.order_by.clone_from(&call.order_by);
            Expr::AggregateFunction(function)
        }
        other => other,
    })
}

/// The percentile family; WITHIN GROUP gives the values, the argument the percentage.
fn percentile(call: &AggregateCall, typed: &Call) -> Result<Expr, SparkError> {
    let ctx = typed.ctx;
    let half = || Expr::Literal(ScalarValue::Float64(Some(0.5)), None);
    let ordered = call.order_by.first();
    let (value, wanted) = match (call.name.as_str(), ordered) {
        ("median", _) => {
            typed.arity(1, 1)?;
            (typed.args[0].clone(), half())
        }
        ("percentile_cont" | "percentile_disc", Some(order)) => {
            typed.arity(1, 1)?;
            (order.expr.clone(), typed.args[0].clone())
        }
        _ => {
            typed.arity(2, 3)?;
            (typed.args[0].clone(), typed.args[1].clone())
        }
    };
    let several = matches!(crate::data_type_of(&wanted, ctx)?, DataType::Array { .. });
    let double_list =
        || DataType::Array { element: Box::new(DataType::Double), contains_null: false };
    let wanted = match several {
        true => implicit(wanted, &double_list(), ctx)?,
        false => implicit(wanted, &DataType::Double, ctx)?,
    };
    let of = |item: DataType| match several {
        true => DataType::Array { element: Box::new(item), contains_null: false },
        false => item,
    };
    let given = crate::data_type_of(&value, ctx)?;
    let descending = ordered.is_some_and(|order| !order.asc);
    let wanted = if descending && !several {
        Expr::Literal(ScalarValue::Float64(Some(1.0)), None) - wanted
    } else {
        wanted
    };
    match call.name.as_str() {
        "percentile_approx" | "approx_percentile" => {
            let params = Params::new(to_arrow(&of(given)));
            our_call(call, "percentile_approx", vec![value, wanted], params)
        }
        "percentile_disc" => {
            let value = implicit(value, &DataType::Double, ctx)?;
            let params = Params::new(to_arrow(&of(DataType::Double)));
            our_call(call, "percentile_disc", vec![value, wanted], params)
        }
        _ => {
            let mut args = vec![implicit(value, &DataType::Double, ctx)?, wanted];
            if call.name == "percentile" && typed.len() == 3 {
                args.push(typed.coerced(2, &DataType::Long)?);
            }
            let params = Params::new(to_arrow(&of(DataType::Double)));
            our_call(call, "percentile", args, params)
        }
    }
}

/// The argument of MIN and MAX: anything that has an order.
fn orderable(typed: &Call) -> Result<Expr, SparkError> {
    match &typed.types[0] {
        data_type @ (DataType::Map { .. } | DataType::Variant | DataType::CalendarInterval) => {
            let function = format!("`{}`", typed.name);
            let name = errors::quoted_type(data_type);
            Err(errors::mismatch(
                "INVALID_ORDERING_TYPE",
                &typed.sql(),
                &format!("The {function} does not support ordering on type {name}."),
            )
            .with("functionName", function)
            .with("dataType", name))
        }
        _ => Ok(typed.args[0].clone()),
    }
}
