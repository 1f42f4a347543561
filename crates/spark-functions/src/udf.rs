//! The one shape of all our scalar functions: a definition looked up by name, plus the parameters of this use of it.
//!
//! Whatever changes an answer (ANSI mode, session zone, result type) is a parameter of the function itself and not of
//! a session, so a plan means the same on every executor and the codec needs no case per function.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType as Arrow, Field, FieldRef};
use datafusion::common::{ExprSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use spark_sql_parser::error::SparkError;

use crate::errors::{external, internal};
use crate::math::Random;
use crate::task::with_state;

/// What a value that cannot be computed turns into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// An error.
    Ansi,
    /// NULL, and overflow is an error's NULL too.
    Try,
    /// What Spark did before ANSI: NULL or wrapping.
    Legacy,
}

/// When a result may be NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// If an argument may be; or, outside ANSI mode, if the function can fail.
    Strict,
    Always,
    Never,
}

/// One function of ours.
pub(crate) struct Definition {
    pub name: &'static str,
    pub nulls: Nulls,
    /// Whether ANSI mode can raise an error.
    pub fallible: bool,
    pub volatility: Volatility,
    pub eval: fn(&Args) -> Result<ArrayRef>,
}

impl Definition {
    /// A function that is null if an argument is, and never fails.
    pub(crate) const fn strict(name: &'static str, eval: fn(&Args) -> Result<ArrayRef>) -> Self {
        Self {
            name,
            nulls: Nulls::Strict,
            fallible: false,
            volatility: Volatility::Immutable,
            eval,
        }
    }

    /// As `strict`, but values may be refused.
    pub(crate) const fn fallible(name: &'static str, eval: fn(&Args) -> Result<ArrayRef>) -> Self {
        Self { name, nulls: Nulls::Strict, fallible: true, volatility: Volatility::Immutable, eval }
    }

    /// A function that may answer NULL for arguments that are not.
    pub(crate) const fn nullable(name: &'static str, eval: fn(&Args) -> Result<ArrayRef>) -> Self {
        Self {
            name,
            nulls: Nulls::Always,
            fallible: false,
            volatility: Volatility::Immutable,
            eval,
        }
    }

    /// A function that never answers NULL.
    pub(crate) const fn never_null(
        name: &'static str,
        eval: fn(&Args) -> Result<ArrayRef>,
    ) -> Self {
        Self { name, nulls: Nulls::Never, fallible: false, volatility: Volatility::Immutable, eval }
    }

    pub(crate) const fn failing(mut self) -> Self {
        self.fallible = true;
        self
    }

    pub(crate) const fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }
}

/// What is fixed for one use of a function when a query is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Params {
    pub mode: Mode,
    /// Session time zone; empty where it does not matter, so that equal calls stay equal.
    pub zone: String,
    pub result: Arrow,
    /// Anything else, as text the function understands.
    pub text: String,
}

impl Params {
    pub(crate) fn new(result: Arrow) -> Self {
        Self { mode: Mode::Ansi, zone: String::new(), result, text: String::new() }
    }

    pub(crate) fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn zone(mut self, zone: &str) -> Self {
        zone.clone_into(&mut self.zone);
        self
    }

    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

/// A use of one of our functions, as DataFusion sees it.
pub(crate) struct SparkScalar {
    pub(crate) definition: &'static Definition,
    pub(crate) params: Params,
    signature: Signature,
    /// Tells uses apart that look the same, so that each counts its own rows.
    id: u64,
}

impl std::fmt::Debug for SparkScalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SparkScalar")
            .field("name", &self.definition.name)
            .field("params", &self.params)
            .finish()
    }
}

impl PartialEq for SparkScalar {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && self.params == other.params
    }
}

impl Eq for SparkScalar {}

impl Hash for SparkScalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
        self.params.hash(state);
    }
}

impl SparkScalar {
    pub(crate) fn new(definition: &'static Definition, params: Params) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let signature = Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::VariadicAny,
            ],
            definition.volatility,
        );
        Self { definition, params, signature, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    fn is_infix(&self) -> bool {
        !self.definition.name.starts_with(|c: char| c.is_alphanumeric() || c == '_')
            || self.definition.name == "div"
    }

    fn render(&self, args: &[String]) -> String {
        match (self.definition.name, args) {
            ("cast", [value]) => {
                let keyword = if self.params.mode == Mode::Try { "TRY_CAST" } else { "CAST" };
                let target = crate::types::sql_name(&crate::types::from_arrow(&self.params.result));
                format!("{keyword}({value} AS {target})")
            }
            (name, [left, right]) if self.is_infix() => format!("({left} {name} {right})"),
            (name, args) => format!("{name}({})", args.join(", ")),
        }
    }
}

impl ScalarUDFImpl for SparkScalar {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        Ok(self.render(&args))
    }

    /// Unlike the display name, tells apart uses that differ in parameters only.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        let params = &self.params;
        let mode = match params.mode {
            Mode::Ansi => "",
            Mode::Try => " try",
            Mode::Legacy => " legacy",
        };
        let mut text = self.render(&args);
        if !mode.is_empty() || !params.zone.is_empty() || !params.text.is_empty() {
            text.push_str(&format!(" #[{}{}{mode}]", params.zone, params.text));
        }
        Ok(text)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[Arrow]) -> Result<Arrow> {
        Ok(self.params.result.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = match self.definition.nulls {
            Nulls::Always => true,
            Nulls::Never => false,
            Nulls::Strict => {
                (self.definition.fallible && self.params.mode != Mode::Ansi)
                    || args.arg_fields.iter().any(|field| field.is_nullable())
            }
        };
        Ok(Arc::new(Field::new(self.definition.name, self.params.result.clone(), nullable)))
    }

    fn is_nullable(&self, args: &[Expr], schema: &dyn ExprSchema) -> bool {
        use datafusion::logical_expr::ExprSchemable;
        match self.definition.nulls {
            Nulls::Always => true,
            Nulls::Never => false,
            Nulls::Strict => {
                (self.definition.fallible && self.params.mode != Mode::Ansi)
                    || args.iter().any(|arg| arg.nullable(schema).unwrap_or(true))
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = self.definition.volatility != Volatility::Volatile
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let values = args.args.into_iter().map(plain_text).collect::<Result<Vec<_>>>()?;
        let call = Args { values: &values, rows, params: &self.params, id: self.id };
        let result = (self.definition.eval)(&call)?;
        if result.data_type() != &self.params.result {
            return internal_err!(
                "{} answered {} where {} was promised",
                self.definition.name,
                result.data_type(),
                self.params.result
            );
        }
        if result.len() != rows {
            return internal_err!(
                "{} answered {} values for {rows} rows",
                self.definition.name,
                result.len()
            );
        }
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// Brings the other forms of text and bytes to the one the functions read.
fn plain_text(value: ColumnarValue) -> Result<ColumnarValue> {
    let target = match value.data_type() {
        Arrow::Utf8View | Arrow::LargeUtf8 => Arrow::Utf8,
        Arrow::BinaryView | Arrow::LargeBinary | Arrow::FixedSizeBinary(_) => Arrow::Binary,
        Arrow::Dictionary(_, inner) => match inner.as_ref() {
            Arrow::Utf8View | Arrow::LargeUtf8 => Arrow::Utf8,
            other => other.clone(),
        },
        _ => return Ok(value),
    };
    value.cast_to(&target, None)
}

/// The evaluated arguments of one call over one batch.
pub(crate) struct Args<'a> {
    pub values: &'a [ColumnarValue],
    pub rows: usize,
    pub params: &'a Params,
    id: u64,
}

impl Args<'_> {
    /// The generator seeded as the call says for the task's partition.
    pub(crate) fn with_random<T>(&self, draw: impl FnOnce(&mut Random) -> Result<T>) -> Result<T> {
        let seed: i64 = self.params.text.parse().unwrap_or(0);
        with_state(self.id, |partition, state| {
            let seed = seed.wrapping_add(i64::try_from(partition).unwrap_or(0));
            draw(state.random.get_or_insert_with(|| Random::new(seed)))
        })
    }

    /// The task's partition, and the number within the task of this batch's first row.
    pub(crate) fn place(&self) -> (i64, u64) {
        with_state(self.id, |partition, state| {
            let first = state.rows_seen;
            state.rows_seen += self.rows as u64;
            (i64::try_from(partition).unwrap_or(0), first)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn ansi(&self) -> bool {
        self.params.mode == Mode::Ansi
    }

    /// The argument as a column of `rows` values.
    pub(crate) fn array(&self, index: usize) -> Result<ArrayRef> {
        match self.values.get(index) {
            Some(ColumnarValue::Array(array)) => Ok(Arc::clone(array)),
            Some(ColumnarValue::Scalar(scalar)) => scalar.to_array_of_size(self.rows),
            None => internal_err!("argument {index} is missing"),
        }
    }

    pub(crate) fn arrow_type(&self, index: usize) -> Arrow {
        self.values.get(index).map_or(Arrow::Null, ColumnarValue::data_type)
    }

    pub(crate) fn text(&self, index: usize) -> Result<TextColumn> {
        match self.values.get(index) {
            Some(ColumnarValue::Scalar(
                ScalarValue::Utf8(text)
                | ScalarValue::Utf8View(text)
                | ScalarValue::LargeUtf8(text),
            )) => Ok(TextColumn::Same(text.clone())),
            Some(ColumnarValue::Scalar(ScalarValue::Null)) => Ok(TextColumn::Same(None)),
            Some(ColumnarValue::Array(array)) => match array.as_string_opt::<i32>() {
                Some(array) => Ok(TextColumn::Each(array.clone())),
                None => internal_err!("argument {index} is {}, not a string", array.data_type()),
            },
            other => internal_err!("argument {index} is {other:?}, not a string"),
        }
    }

    pub(crate) fn numbers<T: ArrowPrimitiveType>(&self, index: usize) -> Result<Numbers<T>> {
        match self.values.get(index) {
            Some(ColumnarValue::Array(array)) => match array.as_primitive_opt::<T>() {
                Some(array) => Ok(Numbers::Each(array.clone())),
                None => {
                    internal_err!("argument {index} is {}, not {}", array.data_type(), T::DATA_TYPE)
                }
            },
            Some(ColumnarValue::Scalar(scalar)) => {
                let array = scalar.to_array_of_size(1)?;
                match array.as_primitive_opt::<T>() {
                    Some(one) => Ok(Numbers::Same((!one.is_null(0)).then(|| one.value(0)))),
                    None => internal_err!(
                        "argument {index} is {}, not {}",
                        array.data_type(),
                        T::DATA_TYPE
                    ),
                }
            }
            None => internal_err!("argument {index} is missing"),
        }
    }
}

/// A string argument: one text for all rows or one per row.
pub(crate) enum TextColumn {
    Same(Option<String>),
    Each(StringArray),
}

impl TextColumn {
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Same(text) => text.as_deref(),
            Self::Each(array) => (!array.is_null(row)).then(|| array.value(row)),
        }
    }
}

/// A primitive argument: one value for all rows or one per row.
pub(crate) enum Numbers<T: ArrowPrimitiveType> {
    Same(Option<T::Native>),
    Each(PrimitiveArray<T>),
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        match self {
            Self::Same(value) => *value,
            Self::Each(array) => (!array.is_null(row)).then(|| array.value(row)),
        }
    }
}

static DEFINITIONS: LazyLock<BTreeMap<&'static str, &'static Definition>> = LazyLock::new(|| {
    crate::definition_tables()
        .iter()
        .flat_map(|table| table.iter())
        .map(|definition| (definition.name, definition))
        .collect()
});

/// Finds one of our functions.
pub(crate) fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.get(name).copied()
}

/// A call of one of our own functions.
pub(crate) fn ours(name: &str, args: Vec<Expr>, params: Params) -> Result<Expr, SparkError> {
    let definition = definition(name)
        .ok_or_else(|| internal(format!("the function {name} has no implementation")))?;
    let function = ScalarUDF::new_from_impl(SparkScalar::new(definition, params));
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), args)))
}

/// Whether evaluating the expression can raise an error for some rows.
pub(crate) fn can_fail(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|node| {
        Ok(match node {
            Expr::ScalarFunction(call) => {
                call.func.inner().downcast_ref::<SparkScalar>().is_some_and(|function| {
                    function.definition.fallible
                        && function.params.mode == Mode::Ansi
                        && function.params.text != SAFE
                        && !call.args.iter().all(|arg| matches!(arg, Expr::Literal(..)))
                })
            }
            _ => false,
        })
    })
    .unwrap_or(true)
}

/// `Params::text` of a call that was shown not to fail at resolution, although its function can.
pub(crate) const SAFE: &str = "safe";

/// Helper for kernels: an `External` error.
pub(crate) fn fail<T>(error: SparkError) -> Result<T> {
    Err(external(error))
}
