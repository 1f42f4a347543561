//! What functions take and give, as a table; and the implicit casts that follow from it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::coercion::implicitly_castable;
use crate::errors;
use crate::types::{is_integral, is_numeric, is_string, sql_name, to_arrow};
use crate::udf::{Mode, Params, ours};
use crate::{FunctionContext, cast};

/// Builds a call if the name is its own.
pub(crate) type Builder = fn(&Call) -> Result<Option<Expr>, SparkError>;

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    Any,
    Bool,
    Int,
    Long,
    Double,
    Str,
    Bin,
    Date,
    /// TIMESTAMP; dates and strings are cast.
    Ts,
    /// Either timestamp as it is; dates and strings become TIMESTAMP.
    AnyTs,
    /// Text or bytes as they are, anything else as text.
    StrOrBin,
    /// Whole numbers as they are.
    Integral,
    /// Any number as it is; strings become doubles.
    Num,
    Array,
    Map,
    /// Arrays or maps.
    Collection,
}

/// What a function gives.
#[derive(Clone, Copy)]
pub(crate) enum Out {
    Bool,
    Int,
    Long,
    Double,
    Str,
    Bin,
    Date,
    Ts,
    /// The type of an argument after its implicit cast.
    Same(usize),
    Of(fn(&[DataType]) -> DataType),
}

/// One row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    pub name: &'static str,
    /// Name of the [`crate::udf::Definition`].
    pub implementation: &'static str,
    pub params: &'static [Ty],
    /// How many of them must be given.
    pub required: usize,
    /// The last parameter may repeat.
    pub variadic: bool,
    pub out: Out,
    /// The answer depends on the session's zone.
    pub zoned: bool,
    /// The implementation's mode whatever the session says.
    pub mode: Option<Mode>,
    pub text: &'static str,
}

/// A function of fixed arity.
pub(crate) const fn f(name: &'static str, params: &'static [Ty], out: Out) -> Function {
    Function {
        name,
        implementation: name,
        params,
        required: params.len(),
        variadic: false,
        out,
        zoned: false,
        mode: None,
        text: "",
    }
}

impl Function {
    /// Another name for an implementation.
    pub(crate) const fn of(mut self, implementation: &'static str) -> Self {
        self.implementation = implementation;
        self
    }

    /// The last `count` parameters may be left out.
    pub(crate) const fn optional(mut self, count: usize) -> Self {
        self.required = self.params.len() - count;
        self
    }

    /// The last parameter may repeat; `required` counts the least number of arguments.
    pub(crate) const fn repeated(mut self, required: usize) -> Self {
        self.variadic = true;
        self.required = required;
        self
    }

    pub(crate) const fn zoned(mut self) -> Self {
        self.zoned = true;
        self
    }

    pub(crate) const fn tries(mut self) -> Self {
        self.mode = Some(Mode::Try);
        self
    }
}

static FUNCTIONS: LazyLock<BTreeMap<&'static str, &'static Function>> = LazyLock::new(|| {
    crate::function_tables()
        .iter()
        .flat_map(|table| table.iter())
        .map(|function| (function.name, function))
        .collect()
});

pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.get(name).copied()
}

/// All names of the table.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.keys().copied()
}

/// A call being resolved.
pub(crate) struct Call<'a> {
    pub name: &'a str,
    pub args: Vec<Expr>,
    pub types: Vec<DataType>,
    pub ctx: &'a FunctionContext<'a>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        name: &'a str,
        args: Vec<Expr>,
        ctx: &'a FunctionContext<'a>,
    ) -> Result<Self, SparkError> {
        let types =
            args.iter().map(|arg| crate::data_type_of(arg, ctx)).collect::<Result<_, _>>()?;
        Ok(Self { name, args, types, ctx })
    }

    pub(crate) fn len(&self) -> usize {
        self.args.len()
    }

    /// The call as error messages show it.
    pub(crate) fn sql(&self) -> String {
        let args: Vec<String> = self.args.iter().map(crate::sql_text).collect();
        match (self.name, args.as_slice()) {
            (name, [left, right]) if !name.starts_with(|c: char| c.is_alphabetic()) => {
                format!("({left} {name} {right})")
            }
            (name, args) => format!("{name}({})", args.join(", ")),
        }
    }

    /// Refuses a wrong number of arguments.
    pub(crate) fn arity(&self, least: usize, most: usize) -> Result<(), SparkError> {
        if (least..=most).contains(&self.args.len()) {
            return Ok(());
        }
        let expected = match (least, most) {
            (a, b) if a == b => a.to_string(),
            (a, usize::MAX) => format!("> {}", a.saturating_sub(1)),
            (a, b) => {
                let numbers: Vec<String> = (a..=b).map(|n| n.to_string()).collect();
                format!("[{}]", numbers.join(", "))
            }
        };
        Err(errors::wrong_num_args(self.name, &expected, self.args.len()))
    }

    pub(crate) fn wrong_type(&self, index: usize, required: &str) -> SparkError {
        errors::unexpected_input_type(
            &self.sql(),
            index,
            required,
            &crate::sql_text(&self.args[index]),
            &self.types[index],
        )
    }

    /// The argument cast to a type, if Spark casts it there by itself.
    pub(crate) fn coerced(&self, index: usize, to: &DataType) -> Result<Expr, SparkError> {
        if !self.castable(index, to) {
            return Err(self.wrong_type(index, &sql_name(to)));
        }
        cast::implicit(self.args[index].clone(), to, self.ctx)
    }

    fn castable(&self, index: usize, to: &DataType) -> bool {
        let from = &self.types[index];
        // Whole literals that fit count as narrower ones, as Spark's literals are foldable.
        let narrow = matches!(
            (&self.args[index], to),
            (Expr::Literal(ScalarValue::Int64(Some(value)), _), DataType::Integer)
                if i32::try_from(*value).is_ok()
        );
        narrow
            || implicitly_castable(from, to)
            || (!self.ctx.ansi && is_numeric(from) && is_numeric(to))
    }

    /// The argument as its parameter wants it, with the type it then has.
    pub(crate) fn fitted(&self, index: usize, wanted: Ty) -> Result<(Expr, DataType), SparkError> {
        let given = &self.types[index];
        let keep = || (self.args[index].clone(), given.clone());
        let to = match wanted {
            Ty::Any => return Ok(keep()),
            Ty::Bool => DataType::Boolean,
            Ty::Int => DataType::Integer,
            Ty::Long => DataType::Long,
            Ty::Double => DataType::Double,
            Ty::Str => DataType::String,
            Ty::Bin => DataType::Binary,
            Ty::Date => DataType::Date,
            Ty::Ts => DataType::Timestamp,
            Ty::AnyTs => match given {
                DataType::TimestampNtz => return Ok(keep()),
                _ => DataType::Timestamp,
            },
            Ty::StrOrBin => match given {
                DataType::Binary => return Ok(keep()),
                _ => DataType::String,
            },
            Ty::Integral => match given {
                given if is_integral(given) => return Ok(keep()),
                DataType::Null => DataType::Integer,
                given if is_string(given) => DataType::Long,
                _ => return Err(self.wrong_type(index, "INTEGRAL")),
            },
            Ty::Num => match given {
                given if is_numeric(given) => return Ok(keep()),
                DataType::Null => DataType::Double,
                given if is_string(given) => DataType::Double,
                _ => return Err(self.wrong_type(index, "NUMERIC")),
            },
            Ty::Array => match given {
                DataType::Array { .. } => return Ok(keep()),
                DataType::Null => null_array(),
                _ => return Err(self.wrong_type(index, "ARRAY")),
            },
            Ty::Map => match given {
                DataType::Map { .. } => return Ok(keep()),
                _ => return Err(self.wrong_type(index, "MAP")),
            },
            Ty::Collection => match given {
                DataType::Array { .. } | DataType::Map { .. } => return Ok(keep()),
                DataType::Null => null_array(),
                _ => {
                    return Err(self.wrong_type(index, "\"ARRAY\" or \"MAP\""));
                }
            },
        };
        Ok((self.coerced(index, &to)?, to))
    }

    /// Applies a row of the table.
    pub(crate) fn build(&self, function: &Function) -> Result<Expr, SparkError> {
        let most = if function.variadic { usize::MAX } else { function.params.len() };
        self.arity(function.required, most)?;
        let mut args = Vec::with_capacity(self.len());
        let mut types = Vec::with_capacity(self.len());
        for index in 0..self.len() {
            let wanted = function.params.get(index).or(function.params.last());
            let (arg, data_type) = self.fitted(index, wanted.copied().unwrap_or(Ty::Any))?;
            args.push(arg);
            types.push(data_type);
        }
        let out = match function.out {
            Out::Bool => DataType::Boolean,
            Out::Int => DataType::Integer,
            Out::Long => DataType::Long,
            Out::Double => DataType::Double,
            Out::Str => DataType::String,
            Out::Bin => DataType::Binary,
            Out::Date => DataType::Date,
            Out::Ts => DataType::Timestamp,
            Out::Same(index) => types.get(index).cloned().unwrap_or(DataType::Null),
            Out::Of(rule) => rule(&types),
        };
        let params = Params::new(to_arrow(&out))
            .mode(self.mode_of(function))
            .zone(if function.zoned { self.ctx.time_zone } else { "" })
            .text(function.text);
        ours(function.implementation, args, params)
    }

    /// The session's mode, for functions that care; the rest stay equal in all sessions.
    fn mode_of(&self, function: &Function) -> Mode {
        if let Some(mode) = function.mode {
            return mode;
        }
        let fallible = crate::udf::definition(function.implementation)
            .is_some_and(|definition| definition.fallible);
        if fallible { self.ctx.mode() } else { Mode::Ansi }
    }

    /// A call of one of our functions with arguments as they are.
    pub(crate) fn ours(
        &self,
        implementation: &str,
        args: Vec<Expr>,
        out: &DataType,
    ) -> Result<Expr, SparkError> {
        ours(implementation, args, Params::new(to_arrow(out)).mode(self.ctx.mode()))
    }

    /// An argument that must be a literal.
    pub(crate) fn literal(&self, index: usize) -> Option<&ScalarValue> {
        fn find(expr: &Expr) -> Option<&ScalarValue> {
            match expr {
                Expr::Literal(value, _) => Some(value),
                Expr::Alias(alias) => find(&alias.expr),
                _ => None,
            }
        }
        self.args.get(index).and_then(find)
    }

    pub(crate) fn literal_text(&self, index: usize) -> Option<&str> {
        match self.literal(index)? {
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn literal_int(&self, index: usize) -> Option<i64> {
        match self.literal(index)? {
            ScalarValue::Int8(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int16(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int32(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int64(Some(value)) => Some(*value),
            _ => None,
        }
    }
}

fn null_array() -> DataType {
    DataType::Array { element: Box::new(DataType::Null), contains_null: true }
}
