//! Higher-order functions: `transform`, `filter`, `aggregate` and their like, over DataFusion's lambdas.

mod kernels;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType as Arrow, Field as ArrowField, FieldRef};
use datafusion::common::{Result as DfResult, plan_err};
use datafusion::logical_expr::expr::{HigherOrderFunction, Lambda, LambdaVariable};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable as _, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs,
    HigherOrderSignature, HigherOrderUDF, HigherOrderUDFImpl, LambdaParametersProgress,
    ValueOrLambda, Volatility,
};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::FunctionContext;
use crate::cast::implicit;
use crate::errors;
use crate::signature::Call;
use crate::types::to_arrow;
use crate::udf::Params;

/// Resolves a lambda's body given expressions that stand for its parameters.
pub type LambdaBody<'a> = &'a dyn Fn(&[Expr]) -> Result<Expr, SparkError>;

/// An argument of a higher-order function.
pub enum LambdaArgument<'a> {
    Value(Expr),
    /// A lambda: the number of its parameters and a way to resolve its body.
    Lambda {
        parameters: usize,
        body: LambdaBody<'a>,
    },
}

/// Whether the (lower-case) name takes lambdas.
#[must_use]
pub fn is_higher_order(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(crate) const NAMES: &[&str] = &[
    "transform",
    "filter",
    "exists",
    "any",
    "forall",
    "all",
    "aggregate",
    "reduce",
    "zip_with",
    "array_sort",
    "transform_keys",
    "transform_values",
    "map_filter",
    "map_zip_with",
];

pub(crate) type Evaluate = fn(&Params, &HigherOrderFunctionArgs) -> DfResult<ArrayRef>;

static KERNELS: LazyLock<BTreeMap<&'static str, Evaluate>> =
    LazyLock::new(|| kernels::KERNELS.iter().copied().collect());

/// A use of one of our higher-order functions, as DataFusion sees it.
pub(crate) struct SparkHigherOrder {
    name: &'static str,
    evaluate: Evaluate,
    pub(crate) params: Params,
    /// Parameters of each lambda.
    pub(crate) lambdas: Vec<Vec<FieldRef>>,
    signature: HigherOrderSignature,
}

impl SparkHigherOrder {
    pub(crate) fn find(name: &str, params: Params, lambdas: Vec<Vec<FieldRef>>) -> Option<Self> {
        let (name, evaluate) = KERNELS.get_key_value(name)?;
        let signature = HigherOrderSignature::variadic_any(Volatility::Immutable);
        Some(Self { name, evaluate: *evaluate, params, lambdas, signature })
    }
}

impl std::fmt::Debug for SparkHigherOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SparkHigherOrder")
            .field("name", &self.name)
            .field("params", &self.params)
            .finish()
    }
}

impl PartialEq for SparkHigherOrder {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.params == other.params && self.lambdas == other.lambdas
    }
}

impl Eq for SparkHigherOrder {}

impl Hash for SparkHigherOrder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.params.hash(state);
        self.lambdas.hash(state);
    }
}

impl HigherOrderUDFImpl for SparkHigherOrder {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn lambda_parameters(
        &self,
        _step: usize,
        _fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> DfResult<LambdaParametersProgress> {
        Ok(LambdaParametersProgress::Complete(self.lambdas.clone()))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> DfResult<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| match field {
            ValueOrLambda::Value(field) => field.is_nullable(),
            ValueOrLambda::Lambda(_) => false,
        });
        let always = matches!(self.name, "exists" | "forall" | "aggregate");
        Ok(Arc::new(ArrowField::new(self.name, self.params.result.clone(), nullable || always)))
    }

    fn clear_null_values(&self) -> bool {
        false
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> DfResult<ColumnarValue> {
        let array = (self.evaluate)(&self.params, &args)?;
        if array.data_type() != &self.params.result {
            return plan_err!(
                "{} answered {} where {} was promised",
                self.name,
                array.data_type(),
                self.params.result
            );
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// Parameters get names of their own, so that lambdas within lambdas never hide one another.
fn variable(data_type: &DataType, nullable: bool) -> (String, FieldRef, Expr) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("lambda#{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let field = Arc::new(ArrowField::new(&name, to_arrow(data_type), nullable));
    let expr = Expr::LambdaVariable(LambdaVariable::new(name.clone(), Some(Arc::clone(&field))));
    (name, field, expr)
}

/// A lambda resolved against the types of its parameters.
struct Resolved {
    names: Vec<String>,
    fields: Vec<FieldRef>,
    body: Expr,
    data_type: DataType,
    nullable: bool,
}

struct Builder<'a, 'b> {
    name: &'a str,
    args: &'a [LambdaArgument<'b>],
    ctx: &'a FunctionContext<'a>,
}

impl Builder<'_, '_> {
    fn value(&self, index: usize) -> Result<(Expr, DataType), SparkError> {
        match self.args.get(index) {
            Some(LambdaArgument::Value(expr)) => {
                Ok((expr.clone(), crate::data_type_of(expr, self.ctx)?))
            }
            _ => Err(self.misplaced()),
        }
    }

    fn misplaced(&self) -> SparkError {
        SparkError::new(
            ErrorKind::Analysis,
            "INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION",
            "42K0D",
            "Invalid lambda function call. A lambda function should only be used in a higher order function. However, its class is org.apache.spark.sql.catalyst.expressions.LambdaFunction, which is not a higher order function.",
        )
    }

    fn wrong_type(&self, index: usize, required: &str) -> SparkError {
        let values = match self.value(index) {
            Ok((expr, _)) => vec![expr],
            Err(error) => return error,
        };
        match Call::new(self.name, values, self.ctx) {
            Ok(call) => errors::unexpected_input_type(
                &call.sql(),
                index,
                required,
                &crate::sql_text(&call.args[0]),
                &call.types[0],
            ),
            Err(error) => error,
        }
    }

    fn array(&self, index: usize) -> Result<(Expr, DataType, bool), SparkError> {
        match self.value(index)? {
            (expr, DataType::Array { element, contains_null }) => {
                Ok((expr, *element, contains_null))
            }
            _ => Err(self.wrong_type(index, "ARRAY")),
        }
    }

    fn map(&self, index: usize) -> Result<(Expr, DataType, DataType, bool), SparkError> {
        match self.value(index)? {
            (expr, DataType::Map { key, value, value_contains_null }) => {
                Ok((expr, *key, *value, value_contains_null))
            }
            _ => Err(self.wrong_type(index, "MAP")),
        }
    }

    fn parameters(&self, index: usize) -> Result<usize, SparkError> {
        match self.args.get(index) {
            Some(LambdaArgument::Lambda { parameters, .. }) => Ok(*parameters),
            _ => Err(self.misplaced()),
        }
    }

    fn lambda(
        &self,
        index: usize,
        parameters: &[(DataType, bool)],
    ) -> Result<Resolved, SparkError> {
        let Some(LambdaArgument::Lambda { parameters: count, body }) = self.args.get(index) else {
            return Err(self.misplaced());
        };
        if *count != parameters.len() {
            return Err(SparkError::new(
                ErrorKind::Analysis,
                "INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH",
                "42K0D",
                format!(
                    "Invalid lambda function call. A higher order function expects {count} arguments, but got {}.",
                    parameters.len()
                ),
            ));
        }
        let (mut names, mut fields, mut variables) = (vec![], vec![], vec![]);
        for (data_type, nullable) in parameters {
            let (name, field, expr) = variable(data_type, *nullable);
            names.push(name);
            fields.push(field);
            variables.push(expr);
        }
        let body = body(&variables)?;
        let data_type = crate::data_type_of(&body, self.ctx)?;
        let nullable = body.nullable(self.ctx.schema).unwrap_or(true);
        Ok(Resolved { names, fields, body, data_type, nullable })
    }

    fn predicate(
        &self,
        index: usize,
        parameters: &[(DataType, bool)],
    ) -> Result<Resolved, SparkError> {
        let mut resolved = self.lambda(index, parameters)?;
        if !matches!(resolved.data_type, DataType::Boolean | DataType::Null) {
            return Err(errors::mismatch(
                "UNEXPECTED_INPUT_TYPE",
                self.name,
                &format!(
                    "The second parameter requires the \"BOOLEAN\" type, however \"lambdafunction\" has the type {}.",
                    errors::quoted_type(&resolved.data_type)
                ),
            ));
        }
        resolved.body = implicit(resolved.body, &DataType::Boolean, self.ctx)?;
        Ok(resolved)
    }

    fn finish(
        &self,
        kernel: &str,
        values: Vec<Expr>,
        lambdas: Vec<Resolved>,
        out: &DataType,
    ) -> Result<Expr, SparkError> {
        let params = Params::new(to_arrow(out)).mode(self.ctx.mode());
        let fields = lambdas.iter().map(|lambda| lambda.fields.clone()).collect();
        let function = SparkHigherOrder::find(kernel, params, fields).ok_or_else(|| {
            errors::internal(format!("the higher-order function {kernel} has no implementation"))
        })?;
        let mut args = values;
        args.extend(lambdas.into_iter().map(|l| Expr::Lambda(Lambda::new(l.names, l.body))));
        Ok(Expr::HigherOrderFunction(HigherOrderFunction::new(
            Arc::new(HigherOrderUDF::new_from_impl(function)),
            args,
        )))
    }
}

fn array_of(element: DataType, contains_null: bool) -> DataType {
    DataType::Array { element: Box::new(element), contains_null }
}

/// A higher-order function over resolved values and lambdas still to be resolved.
///
/// # Errors
/// As [`crate::scalar`]; and INVALID_LAMBDA_FUNCTION_CALL for lambdas of the wrong shape.
pub fn higher_order(
    name: &str,
    args: &[LambdaArgument<'_>],
    ctx: &FunctionContext,
) -> Result<Expr, SparkError> {
    let build = Builder { name, args, ctx };
    let indexed = |element: &DataType, nulls: bool, count: usize| {
        let mut parameters = vec![(element.clone(), nulls)];
        if count == 2 {
            parameters.push((DataType::Integer, false));
        }
        parameters
    };
    match name {
        "transform" => {
            let (array, element, nulls) = build.array(0)?;
            let parameters = indexed(&element, nulls, build.parameters(1)?);
            let lambda = build.lambda(1, &parameters)?;
            let out = array_of(lambda.data_type.clone(), lambda.nullable);
            build.finish("transform", vec![array], vec![lambda], &out)
        }
        "filter" => {
            let (array, element, nulls) = build.array(0)?;
            let parameters = indexed(&element, nulls, build.parameters(1)?);
            let lambda = build.predicate(1, &parameters)?;
            build.finish("filter", vec![array], vec![lambda], &array_of(element, nulls))
        }
        "exists" | "any" | "forall" | "all" => {
            let (array, element, nulls) = build.array(0)?;
            let lambda = build.predicate(1, &[(element, nulls)])?;
            let kernel = if matches!(name, "exists" | "any") { "exists" } else { "forall" };
            build.finish(kernel, vec![array], vec![lambda], &DataType::Boolean)
        }
        "aggregate" | "reduce" => {
            let (array, element, nulls) = build.array(0)?;
            let (zero, accumulator) = build.value(1)?;
            let mut merge = build.lambda(2, &[(accumulator.clone(), true), (element, nulls)])?;
            merge.body = implicit(merge.body, &accumulator, ctx)?;
            let mut lambdas = vec![merge];
            let mut out = accumulator.clone();
            if args.len() > 3 {
                let finish = build.lambda(3, &[(accumulator, true)])?;
                out = finish.data_type.clone();
                lambdas.push(finish);
            }
            build.finish("aggregate", vec![array, zero], lambdas, &out)
        }
        "zip_with" => {
            let ((left, a, _), (right, b, _)) = (build.array(0)?, build.array(1)?);
            let lambda = build.lambda(2, &[(a, true), (b, true)])?;
            let out = array_of(lambda.data_type.clone(), lambda.nullable);
            build.finish("zip_with", vec![left, right], vec![lambda], &out)
        }
        "array_sort" => {
            let (array, element, nulls) = build.array(0)?;
            let mut lambda =
                build.lambda(1, &[(element.clone(), nulls), (element.clone(), nulls)])?;
            lambda.body = implicit(lambda.body, &DataType::Integer, ctx)?;
            build.finish("array_sort", vec![array], vec![lambda], &array_of(element, nulls))
        }
        "transform_keys" | "transform_values" | "map_filter" => {
            let (map, key, value, nulls) = build.map(0)?;
            let parameters = [(key.clone(), false), (value.clone(), nulls)];
            let map_of = |key, value, nulls| DataType::Map {
                key: Box::new(key),
                value: Box::new(value),
                value_contains_null: nulls,
            };
            if name == "map_filter" {
                let lambda = build.predicate(1, &parameters)?;
                return build.finish(name, vec![map], vec![lambda], &map_of(key, value, nulls));
            }
            let lambda = build.lambda(1, &parameters)?;
            let made = lambda.data_type.clone();
            let out = if name == "transform_keys" {
                map_of(made, value, nulls)
            } else {
                map_of(key, made, lambda.nullable)
            };
            build.finish(name, vec![map], vec![lambda], &out)
        }
        "map_zip_with" => {
            let ((left, k1, a, _), (right, k2, b, _)) = (build.map(0)?, build.map(1)?);
            let Some(key) = crate::widen(&[k1, k2]) else {
                return Err(build.wrong_type(1, "MAP"));
            };
            let lambda =
                build.lambda(2, &[(key.clone(), false), (a.clone(), true), (b.clone(), true)])?;
            let as_map = |value: DataType| DataType::Map {
                key: Box::new(key.clone()),
                value: Box::new(value),
                value_contains_null: true,
            };
            let left = implicit(left, &as_map(a), ctx)?;
            let right = implicit(right, &as_map(b), ctx)?;
            let out = as_map(lambda.data_type.clone());
            build.finish(name, vec![left, right], vec![lambda], &out)
        }
        _ => Err(errors::unresolved_routine(name)),
    }
}

/// The lambdas' parameters as one struct per lambda, for the codec.
pub(crate) fn lambdas_type(lambdas: &[Vec<FieldRef>]) -> Arrow {
    let all = lambdas.iter().enumerate().map(|(index, fields)| {
        let fields = fields.clone().into();
        ArrowField::new(format!("lambda{index}"), Arrow::Struct(fields), false)
    });
    Arrow::Struct(all.collect())
}

/// The inverse of [`lambdas_type`].
pub(crate) fn lambdas_of(data_type: &Arrow) -> Option<Vec<Vec<FieldRef>>> {
    let Arrow::Struct(lambdas) = data_type else { return None };
    lambdas
        .iter()
        .map(|lambda| match lambda.data_type() {
            Arrow::Struct(fields) => Some(fields.iter().cloned().collect()),
            _ => None,
        })
        .collect()
}
