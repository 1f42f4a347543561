//! Functions about the query, its values' types, and errors on purpose.

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{DataType as Arrow, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Case, Expr};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::errors;
use crate::kernels::numbers;
use crate::signature::{Call, Function, Out, Ty, f};
use crate::types::{simple_name, to_arrow};
use crate::udf::{Args, Definition, Params, fail, ours};

/// Version that `version()` reports: the Spark release whose behaviour is matched.
pub const SPARK_VERSION: &str = "4.2.0";

pub(crate) const FUNCTIONS: &[Function] =
    &[f("raise_error", &[Ty::Str], Out::Of(|_| DataType::Null))];

pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition::nullable("raise_error", raise_error).failing().volatile(),
    Definition::never_null("monotonically_increasing_id", |args| {
        let (partition, first) = args.place();
        numbers::<Int64Type>(args.rows, |row| {
            Ok(Some((partition << 33) + (first + row as u64) as i64))
        })
    })
    .volatile(),
    Definition::never_null("spark_partition_id", |args| {
        let partition = i32::try_from(args.place().0).unwrap_or(0);
        numbers::<Int32Type>(args.rows, |_| Ok(Some(partition)))
    })
    .volatile(),
    Definition::never_null("input_file_name", |args| {
        crate::kernels::texts(args.rows, |_| Ok(Some("")))
    })
    .volatile(),
];

pub(crate) fn build(call: &Call) -> std::result::Result<Option<Expr>, SparkError> {
    let text = |value: &str| Expr::Literal(ScalarValue::Utf8(Some(value.to_owned())), None);
    let ctx = call.ctx;
    let expr = match call.name {
        "typeof" => {
            call.arity(1, 1)?;
            text(&simple_name(&call.types[0]))
        }
        "collate" if !call.literal_text(1).is_some_and(is_binary_collation) => {
            call.arity(2, 2)?;
            return Err(unsupported_collation(call.literal_text(1)));
        }
        "version" => text(&format!("{SPARK_VERSION} ferrospark")),
        "current_user" | "user" | "session_user" => text(ctx.user),
        "current_catalog" => text(ctx.catalog),
        "current_database" | "current_schema" => text(ctx.database),
        "monotonically_increasing_id" => {
            ours("monotonically_increasing_id", vec![], Params::new(Arrow::Int64))?
        }
        "spark_partition_id" => ours("spark_partition_id", vec![], Params::new(Arrow::Int32))?,
        "input_file_name" => ours("input_file_name", vec![], Params::new(Arrow::Utf8))?,
        "uuid" => {
            call.arity(0, 1)?;
            let seed = match call.literal_int(0) {
                Some(seed) => seed,
                None => chrono::Utc::now().timestamp_nanos_opt().unwrap_or(0),
            };
            ours("uuid", vec![], Params::new(Arrow::Utf8).text(seed.to_string()))?
        }
        "assert_true" => {
            call.arity(1, 2)?;
            let condition = call.coerced(0, &DataType::Boolean)?;
            let message = match call.len() {
                2 => call.coerced(1, &DataType::String)?,
                _ => text(&format!("'{}' is not true!", crate::sql_text(&call.args[0]))),
            };
            let raise = ours("raise_error", vec![message], Params::new(Arrow::Null))?;
            let null = Expr::Literal(ScalarValue::Null, None);
            Expr::Case(Case::new(
                None,
                vec![(Box::new(condition), Box::new(null))],
                Some(Box::new(raise)),
            ))
        }
        // Type names are functions too: int('1').
        name => {
            let to = match name {
                "boolean" => DataType::Boolean,
                "tinyint" => DataType::Byte,
                "smallint" => DataType::Short,
                "int" => DataType::Integer,
                "bigint" => DataType::Long,
                "float" => DataType::Float,
                "double" => DataType::Double,
                "decimal" => DataType::Decimal { precision: 10, scale: 0 },
                "string" => DataType::String,
                "binary" => DataType::Binary,
                _ => return Ok(None),
            };
            call.arity(1, 1)?;
            let mode = spark_sql_parser::ast::CastMode::Session;
            crate::cast(call.args[0].clone(), &to, mode, ctx)?
        }
    };
    Ok(Some(expr))
}

fn raise_error(args: &Args) -> Result<ArrayRef> {
    let message = args.text(0)?;
    if args.rows > 0 {
        return fail(errors::raised(message.get(0).unwrap_or("null")));
    }
    Ok(arrow::array::new_null_array(&args.params.result, 0))
}

/// `child[key]` and `child.key`: an element of an array, a value of a map, a field of a struct or of each struct of an
/// array.
///
/// # Errors
/// INVALID_EXTRACT_BASE_FIELD_TYPE for a child without parts, FIELD_NOT_FOUND for a field it has not.
pub fn extract_value(
    child: Expr,
    key: Expr,
    ctx: &crate::FunctionContext,
) -> std::result::Result<Expr, SparkError> {
    let call = Call::new("getitem", vec![child.clone(), key.clone()], ctx)?;
    match &call.types[0] {
        DataType::Struct(schema) => {
            let Some(name) = call.literal_text(1) else {
                return Err(bad_extraction(&call));
            };
            let field = field_of(schema, name)?;
            struct_field(child, &field.name, ctx)
        }
        DataType::Array { element, contains_null } => match element.as_ref() {
            DataType::Struct(schema) if call.literal_text(1).is_some() => {
                let name = call.literal_text(1).unwrap_or_default();
                let field = field_of(schema, name)?;
                let out = DataType::Array {
                    element: Box::new(field.data_type.clone()),
                    contains_null: *contains_null || field.nullable,
                };
                let params = Params::new(to_arrow(&out)).text(field.name.clone());
                ours("array_struct_field", vec![child], params)
            }
            element => {
                if !crate::types::is_integral(&call.types[1]) {
                    return Err(bad_extraction(&call));
                }
                let index = crate::cast::implicit(key, &DataType::Long, ctx)?;
                let params = Params::new(to_arrow(element)).mode(ctx.mode());
                ours("array_item", vec![child, index], params)
            }
        },
        DataType::Map { key: key_type, value, .. } => {
            let key = call.coerced(1, key_type)?;
            ours("map_item", vec![child, key], Params::new(to_arrow(value)))
        }
        _ => Err(bad_extraction(&call)),
    }
}

/// Comparison of bytes, which is the only one there is.
fn is_binary_collation(name: &str) -> bool {
    name.eq_ignore_ascii_case("UTF8_BINARY")
}

fn unsupported_collation(name: Option<&str>) -> SparkError {
    let name = name.unwrap_or("of an expression");
    SparkError::new(
        ErrorKind::Analysis,
        "UNSUPPORTED_FEATURE.COLLATION",
        "0A000",
        format!("The feature is not supported: the collation {name}; only UTF8_BINARY is there."),
    )
    .with("collation", name)
}

/// A struct's field by its exact name.
pub(crate) fn struct_field(
    child: Expr,
    name: &str,
    ctx: &crate::FunctionContext,
) -> std::result::Result<Expr, SparkError> {
    let _ = ctx;
    Ok(datafusion::functions::core::expr_fn::get_field(child, name))
}

fn field_of<'a>(
    schema: &'a spark_sql_parser::types::Schema,
    name: &str,
) -> std::result::Result<&'a spark_sql_parser::types::Field, SparkError> {
    let found = schema.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let fields: Vec<String> =
            schema.fields.iter().map(|field| format!("`{}`", field.name)).collect();
        let (name, fields) = (format!("`{name}`"), fields.join(", "));
        SparkError::new(
            ErrorKind::Analysis,
            "FIELD_NOT_FOUND",
            "42704",
            format!("No such struct field {name} in {fields}."),
        )
        .with("fieldName", name)
        .with("fields", fields)
    })
}

fn bad_extraction(call: &Call) -> SparkError {
    let base = crate::sql_text(&call.args[0]);
    let other = errors::quoted_type(&call.types[0]);
    SparkError::new(
        ErrorKind::Analysis,
        "INVALID_EXTRACT_BASE_FIELD_TYPE",
        "42000",
        format!(
            "Can't extract a value from \"{base}\". Need a complex type [STRUCT, ARRAY, MAP] but got {other}."
        ),
    )
    .with("base", format!("\"{base}\""))
    .with("other", other)
}

pub(crate) const ITEM_DEFINITIONS: &[Definition] =
    &[Definition::strict("array_struct_field", array_struct_field)];

/// One field of each struct of an array; the field's name is the call's text.
fn array_struct_field(args: &Args) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let list = array.as_list::<i32>();
    let structs = list.values().as_struct();
    let Some(column) = structs.column_by_name(&args.params.text) else {
        return fail(errors::internal(format!("no field {} in the structs", args.params.text)));
    };
    let Arrow::List(field) = &args.params.result else {
        return fail(errors::internal("fields of an array's structs are no list"));
    };
    // A NULL struct has NULL fields, which the column itself need not know.
    let column = match structs.nulls() {
        None => std::sync::Arc::clone(column),
        Some(nulls) => {
            let absent = arrow::array::BooleanArray::new(!nulls.inner(), None);
            arrow::compute::nullif(column.as_ref(), &absent)?
        }
    };
    Ok(std::sync::Arc::new(arrow::array::ListArray::try_new(
        std::sync::Arc::clone(field),
        list.offsets().clone(),
        column,
        list.nulls().cloned(),
    )?))
}
