//! Which common type Spark 4 gives operands of different types: `AnsiTypeCoercion` and `DecimalPrecision`.

use spark_sql_parser::types::{DataType, Field, Schema};

use crate::types::{is_integral, is_numeric, is_string};

/// Largest precision of a decimal.
pub const MAX_PRECISION: u8 = 38;
/// Fraction digits a division or multiplication keeps, if it has them, when its precision must be cut.
const MIN_ADJUSTED_SCALE: i32 = 6;

/// Cuts precision to 38 as `DecimalType.adjustPrecisionScale` does: whole digits first, at least 6 fraction digits.
#[must_use]
pub fn adjusted(precision: i32, scale: i32) -> DataType {
    let limit = i32::from(MAX_PRECISION);
    if precision <= limit {
        return decimal(precision, scale);
    }
    let digits = precision - scale;
    let scale = (limit - digits).max(scale.min(MIN_ADJUSTED_SCALE));
    decimal(limit, scale)
}

/// Caps both numbers at 38, as `DecimalType.bounded` does.
#[must_use]
pub fn bounded(precision: i32, scale: i32) -> DataType {
    let limit = i32::from(MAX_PRECISION);
    decimal(precision.min(limit), scale.min(limit))
}

fn decimal(precision: i32, scale: i32) -> DataType {
    DataType::Decimal {
        precision: u8::try_from(precision.clamp(1, 38)).unwrap_or(MAX_PRECISION),
        scale: i8::try_from(scale.clamp(-38, 38)).unwrap_or(0),
    }
}

/// Arithmetic operators with rules of their own for decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    IntegralDivide,
}

/// Result type of a decimal operation.
#[must_use]
pub fn decimal_result(operator: Operator, left: (u8, i8), right: (u8, i8)) -> DataType {
    let (p1, s1) = (i32::from(left.0), i32::from(left.1));
    let (p2, s2) = (i32::from(right.0), i32::from(right.1));
    match operator {
        Operator::Add | Operator::Subtract => {
            let scale = s1.max(s2);
            adjusted((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Operator::Multiply => adjusted(p1 + p2 + 1, s1 + s2),
        Operator::Divide => {
            let scale = MIN_ADJUSTED_SCALE.max(s1 + p2 + 1);
            adjusted(p1 - s1 + s2 + scale, scale)
        }
        Operator::Remainder => {
            let scale = s1.max(s2);
            adjusted((p1 - s1).min(p2 - s2) + scale, scale)
        }
        Operator::IntegralDivide => bounded((p1 - s1 + s2).max(1), 0),
    }
}

/// `DecimalType.forType`: the decimal that holds every value of a number type.
#[must_use]
pub fn decimal_for(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Byte => (3, 0),
        DataType::Short => (5, 0),
        DataType::Integer => (10, 0),
        DataType::Long => (20, 0),
        DataType::Float => (14, 7),
        DataType::Double => (30, 15),
        DataType::Decimal { precision, scale } => (*precision, *scale),
        _ => return None,
    })
}

/// The decimal that just holds one whole number: 1 is `decimal(1,0)`, 100 is `decimal(3,0)`.
#[must_use]
pub fn decimal_for_integer(value: i64) -> (u8, i8) {
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    (u8::try_from(digits).unwrap_or(19), 0)
}

/// Smallest decimal with room for both, which gives up fraction digits before whole ones where 38 are not enough:
/// `DecimalPrecisionTypeCoercion.widerDecimalType` with `DecimalType.boundedPreferIntegralDigits`.
#[must_use]
pub fn wider_decimal(left: (u8, i8), right: (u8, i8)) -> DataType {
    let scale = i32::from(left.1.max(right.1));
    let range =
        (i32::from(left.0) - i32::from(left.1)).max(i32::from(right.0) - i32::from(right.1));
    let limit = i32::from(MAX_PRECISION);
    if range + scale <= limit {
        return decimal(range + scale, scale);
    }
    decimal(limit, (limit - range).max(0))
}

fn rank(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Byte => 0,
        DataType::Short => 1,
        DataType::Integer => 2,
        DataType::Long => 3,
        DataType::Float => 4,
        DataType::Double => 5,
        _ => return None,
    })
}

/// `AnsiTypeCoercion.findTightestCommonType` with decimals widened as `findWiderTypeForTwo` does.
///
/// Strings give way to the other side (Spark promotes them to bigint, double or the date-time type); the caller casts.
#[must_use]
pub fn wider_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as T;
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (T::Null, other) | (other, T::Null) => Some(other.clone()),
        (l, r) if is_string(l) && is_string(r) => Some(T::String),
        (l, r) if is_string(l) => string_promotion(r),
        (l, r) if is_string(r) => string_promotion(l),
        (T::Decimal { precision: p1, scale: s1 }, T::Decimal { precision: p2, scale: s2 }) => {
            Some(wider_decimal((*p1, *s1), (*p2, *s2)))
        }
        (T::Decimal { .. }, T::Float | T::Double) | (T::Float | T::Double, T::Decimal { .. }) => {
            Some(T::Double)
        }
        (T::Decimal { precision, scale }, other) | (other, T::Decimal { precision, scale })
            if is_integral(other) =>
        {
            Some(wider_decimal((*precision, *scale), decimal_for(other)?))
        }
        (l, r) if is_numeric(l) && is_numeric(r) => {
            let (a, b) = (rank(l)?, rank(r)?);
            // ANSI: int or bigint together with float is double, since float cannot hold them.
            let wide = if a > b { l } else { r };
            let narrow = if a > b { r } else { l };
            if *wide == T::Float && matches!(narrow, T::Integer | T::Long) {
                return Some(T::Double);
            }
            Some(wide.clone())
        }
        (T::Date, T::Timestamp) | (T::Timestamp, T::Date) => Some(T::Timestamp),
        (T::Date, T::TimestampNtz) | (T::TimestampNtz, T::Date) => Some(T::TimestampNtz),
        (T::Timestamp, T::TimestampNtz) | (T::TimestampNtz, T::Timestamp) => Some(T::Timestamp),
        (
            T::YearMonthInterval { start: s1, end: e1 },
            T::YearMonthInterval { start: s2, end: e2 },
        ) => Some(T::YearMonthInterval { start: *s1.min(s2), end: *e1.max(e2) }),
        (T::DayTimeInterval { start: s1, end: e1 }, T::DayTimeInterval { start: s2, end: e2 }) => {
            Some(T::DayTimeInterval { start: *s1.min(s2), end: *e1.max(e2) })
        }
        (T::Array { element: a, contains_null: n }, T::Array { element: b, contains_null: m }) => {
            Some(T::Array { element: Box::new(wider_type(a, b)?), contains_null: *n || *m })
        }
        (
            T::Map { key: k1, value: v1, value_contains_null: n },
            T::Map { key: k2, value: v2, value_contains_null: m },
        ) => Some(T::Map {
            key: Box::new(wider_type(k1, k2)?),
            value: Box::new(wider_type(v1, v2)?),
            value_contains_null: *n || *m,
        }),
        (T::Struct(a), T::Struct(b)) if a.fields.len() == b.fields.len() => {
            let fields = a.fields.iter().zip(&b.fields).map(|(x, y)| {
                (x.name.eq_ignore_ascii_case(&y.name)).then_some(())?;
                Some(Field {
                    name: x.name.clone(),
                    data_type: wider_type(&x.data_type, &y.data_type)?,
                    nullable: x.nullable || y.nullable,
                    metadata: None,
                })
            });
            Some(T::Struct(Schema { fields: fields.collect::<Option<_>>()? }))
        }
        _ => None,
    }
}

/// What a string becomes beside a value of another type under ANSI.
fn string_promotion(other: &DataType) -> Option<DataType> {
    match other {
        DataType::Byte | DataType::Short | DataType::Integer | DataType::Long => {
            Some(DataType::Long)
        }
        DataType::Float | DataType::Double | DataType::Decimal { .. } => Some(DataType::Double),
        DataType::Boolean
        | DataType::Binary
        | DataType::Date
        | DataType::Timestamp
        | DataType::TimestampNtz => Some(other.clone()),
        _ => None,
    }
}

/// The common type of several expressions: `findWiderTypeForTwo` folded from the left.
#[must_use]
pub fn widen(types: &[DataType]) -> Option<DataType> {
    // Strings last, so that (string, int, date) does not depend on the order.
    let (texts, others): (Vec<_>, Vec<_>) = types.iter().partition(|t| is_string(t));
    let mut common: Option<DataType> = None;
    for next in others.into_iter().chain(texts) {
        common = Some(match common {
            None => next.clone(),
            Some(so_far) => wider_type(&so_far, next)?,
        });
    }
    common
}

/// Whether ANSI's implicit casts allow a value of one type where another is expected.
#[must_use]
pub fn implicitly_castable(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (a, b) if a == b => true,
        (T::Null, _) => true,
        (a, b) if is_string(a) && is_string(b) => true,
        // A string where something else is expected: only atomic types.
        (a, T::Array { .. } | T::Map { .. } | T::Struct(_)) if is_string(a) => false,
        (a, _) if is_string(a) => true,
        // Anything atomic where a string is expected.
        (a, b) if is_string(b) => {
            !matches!(a, T::Array { .. } | T::Map { .. } | T::Struct(_) | T::Variant)
        }
        (a, T::Decimal { .. }) if is_integral(a) => true,
        (T::Decimal { .. }, T::Decimal { .. } | T::Float | T::Double) => true,
        (a, b) if is_numeric(a) && is_numeric(b) => match (rank(a), rank(b)) {
            (Some(x), Some(y)) => x <= y,
            _ => false,
        },
        (T::Date, T::Timestamp | T::TimestampNtz)
        | (T::Timestamp, T::TimestampNtz | T::Date)
        | (T::TimestampNtz, T::Timestamp | T::Date) => true,
        (T::YearMonthInterval { .. }, T::YearMonthInterval { .. })
        | (T::DayTimeInterval { .. }, T::DayTimeInterval { .. }) => true,
        (T::Array { element: a, .. }, T::Array { element: b, .. }) => implicitly_castable(a, b),
        (T::Map { key: k1, value: v1, .. }, T::Map { key: k2, value: v2, .. }) => {
            implicitly_castable(k1, k2) && implicitly_castable(v1, v2)
        }
        (T::Struct(a), T::Struct(b)) => {
            a.fields.len() == b.fields.len()
                && a.fields
                    .iter()
                    .zip(&b.fields)
                    .all(|(x, y)| implicitly_castable(&x.data_type, &y.data_type))
        }
        _ => false,
    }
}
