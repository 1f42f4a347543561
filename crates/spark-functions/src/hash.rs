//! Hashes, digests and encodings.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::{
    DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimestampMicrosecondType,
};
use base64::Engine as _;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::Expr;
use sha2::Digest as _;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::DataType;

use crate::kernels::{bytes, numbers, texts};
use crate::signature::{Call, Function, Out, Ty, f};
use crate::types::is_numeric;
use crate::udf::{Args, Definition, fail};

pub(crate) const FUNCTIONS: &[Function] = &[
    f("hash", &[Ty::Any], Out::Int).repeated(1),
    f("xxhash64", &[Ty::Any], Out::Long).repeated(1),
    f("md5", &[Ty::Bin], Out::Str),
    f("sha", &[Ty::Bin], Out::Str).of("sha1"),
    f("sha1", &[Ty::Bin], Out::Str),
    f("sha2", &[Ty::Bin, Ty::Int], Out::Str),
    f("crc32", &[Ty::Bin], Out::Long),
    f("base64", &[Ty::Bin], Out::Str),
    f("unbase64", &[Ty::Str], Out::Bin),
    f("unhex", &[Ty::Str], Out::Bin),
    f("encode", &[Ty::Str, Ty::Str], Out::Bin),
    f("url_encode", &[Ty::Str], Out::Str),
    f("url_decode", &[Ty::Str], Out::Str),
    f("try_url_decode", &[Ty::Str], Out::Str).of("url_decode").tries(),
    f("to_binary", &[Ty::Str, Ty::Str], Out::Bin).optional(1),
    f("try_to_binary", &[Ty::Str, Ty::Str], Out::Bin).optional(1).of("to_binary").tries(),
];

pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition::never_null("hash", murmur3),
    Definition::never_null("xxhash64", xxhash64),
    Definition::strict("md5", |args| digest(args, |b| hex(&md5::Md5::digest(b)))),
    Definition::strict("sha1", |args| digest(args, |b| hex(&sha1::Sha1::digest(b)))),
    Definition::nullable("sha2", sha2),
    Definition::strict("crc32", |args| {
        let input = binary(args, 0)?;
        numbers::<Int64Type>(args.rows, |row| {
            Ok((!input.is_null(row)).then(|| i64::from(crc32fast::hash(input.value(row)))))
        })
    }),
    Definition::strict("base64", |args| {
        digest(args, |b| base64::engine::general_purpose::STANDARD.encode(b))
    }),
    Definition::strict("unbase64", unbase64).failing(),
    Definition::strict("hex_text", |args| digest(args, |b| hex(b).to_uppercase())),
    Definition::strict("hex_long", |args| {
        let value = args.numbers::<Int64Type>(0)?;
        texts(args.rows, |row| Ok(value.get(row).map(|value| format!("{value:X}"))))
    }),
    Definition::nullable("unhex", |args| {
        let text = args.text(0)?;
        bytes(args.rows, |row| Ok(text.get(row).and_then(unhex)))
    }),
    Definition::strict("encode", encode).failing(),
    Definition::strict("decode_charset", decode).failing(),
    Definition::strict("url_encode", |args| {
        crate::strings::map_text(args, |text| {
            let mut out = String::with_capacity(text.len());
            for byte in text.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                        out.push(char::from(byte));
                    }
                    b' ' => out.push('+'),
                    other => out.push_str(&format!("%{other:02X}")),
                }
            }
            out
        })
    }),
    Definition::strict("url_decode", url_decode).failing(),
    Definition::nullable("to_binary", to_binary).failing(),
];

/// HEX, and DECODE in its two meanings.
pub(crate) fn build(call: &Call) -> std::result::Result<Option<Expr>, SparkError> {
    match call.name {
        "hash" | "xxhash64" if call.types.iter().any(holds_map) => {
            let function = format!("`{}`", call.name);
            Err(crate::errors::mismatch(
                "HASH_MAP_TYPE",
                &call.sql(),
                &format!(
                    "Input to the function {function} cannot contain elements of the \"MAP\" type. In Spark, same maps may have different hashcode, thus hash expressions are prohibited on \"MAP\" elements. To restore previous behavior set \"spark.sql.legacy.allowHashOnMapType\" to \"true\"."
                ),
            )
            .with("functionName", function))
        }
        "hex" => {
            call.arity(1, 1)?;
            if is_numeric(&call.types[0]) {
                let value = crate::cast::implicit(call.args[0].clone(), &DataType::Long, call.ctx)?;
                return call.ours("hex_long", vec![value], &DataType::String).map(Some);
            }
            let (value, _) = call.fitted(0, Ty::StrOrBin)?;
            let value = crate::cast::implicit(value, &DataType::Binary, call.ctx)?;
            call.ours("hex_text", vec![value], &DataType::String).map(Some)
        }
        "decode" if call.len() == 2 => {
            let value = crate::cast::implicit(call.args[0].clone(), &DataType::Binary, call.ctx)?;
            let args = vec![value, call.coerced(1, &DataType::String)?];
            call.ours("decode_charset", args, &DataType::String).map(Some)
        }
        "decode" => {
            // decode(value, search, result, …, default).
            call.arity(3, usize::MAX)?;
            let value = call.args[0].clone();
            let rest = &call.args[1..];
            let otherwise = (rest.len() % 2 == 1).then(|| rest[rest.len() - 1].clone());
            let branches = rest
                .chunks_exact(2)
                .map(|pair| {
                    let equal =
                        crate::scalar("<=>", vec![value.clone(), pair[0].clone()], call.ctx)?;
                    Ok((equal, pair[1].clone()))
                })
                .collect::<std::result::Result<_, SparkError>>()?;
            crate::case(None, branches, otherwise, call.ctx).map(Some)
        }
        _ => Ok(None),
    }
}

fn holds_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map { .. } => true,
        DataType::Array { element, .. } => holds_map(element),
        DataType::Struct(schema) => schema.fields.iter().any(|field| holds_map(&field.data_type)),
        _ => false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let padded = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
    let digits: Option<Vec<u8>> =
        padded.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn binary(args: &Args, index: usize) -> Result<BinaryArray> {
    let array = arrow::compute::cast(&args.array(index)?, &Arrow::Binary)?;
    Ok(array.as_binary::<i32>().clone())
}

fn digest(args: &Args, apply: impl Fn(&[u8]) -> String) -> Result<ArrayRef> {
    let input = binary(args, 0)?;
    texts(args.rows, |row| Ok((!input.is_null(row)).then(|| apply(input.value(row)))))
}

fn sha2(args: &Args) -> Result<ArrayRef> {
    let (input, length) = (binary(args, 0)?, args.numbers::<Int32Type>(1)?);
    texts(args.rows, |row| {
        let (false, Some(length)) = (input.is_null(row), length.get(row)) else {
            return Ok(None);
        };
        let value = input.value(row);
        Ok(match length {
            0 | 256 => Some(hex(&sha2::Sha256::digest(value))),
            224 => Some(hex(&sha2::Sha224::digest(value))),
            384 => Some(hex(&sha2::Sha384::digest(value))),
            512 => Some(hex(&sha2::Sha512::digest(value))),
            _ => None,
        })
    })
}

fn malformed(text: &str, format: &str, function: &str) -> SparkError {
    let text = format!("'{text}'");
    SparkError::new(
        ErrorKind::IllegalArgument,
        "CONVERSION_INVALID_INPUT",
        "22018",
        format!(
            "The value {text} ({format}) cannot be converted to \"BINARY\" because it is malformed. Correct the value as per the syntax, or change its format. Use `{function}` to tolerate malformed input and return NULL instead."
        ),
    )
    .with("str", text)
    .with("fmt", format)
    .with("targetType", "\"BINARY\"")
    .with("suggestion", format!("`{function}`"))
}

/// As Java's MIME decoder: characters outside the alphabet are skipped.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let plain: String =
        text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/')).collect();
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(plain).ok()
}

fn unbase64(args: &Args) -> Result<ArrayRef> {
    let text = args.text(0)?;
    bytes(args.rows, |row| match text.get(row) {
        None => Ok(None),
        Some(text) => match from_base64(text) {
            None if args.ansi() => fail(malformed(text, "'BASE64'", "try_to_binary")),
            value => Ok(value),
        },
    })
}

fn to_binary(args: &Args) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let format = match args.len() {
        2 => args.text(1)?,
        _ => crate::udf::TextColumn::Same(Some("hex".to_owned())),
    };
    bytes(args.rows, |row| {
        let (Some(text), Some(format)) = (text.get(row), format.get(row)) else {
            return Ok(None);
        };
        let value = match format.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Some(text.as_bytes().to_vec()),
            "base64" => from_base64(text),
            _ => unhex(text),
        };
        if value.is_none() && args.ansi() {
            let format = format!("'{}'", format.to_ascii_uppercase());
            return fail(malformed(text, &format, "try_to_binary"));
        }
        Ok(value)
    })
}

fn charset_error(name: &str, function: &str) -> SparkError {
    SparkError::new(
        ErrorKind::IllegalArgument,
        "INVALID_PARAMETER_VALUE.CHARSET",
        "22023",
        format!(
            "The value of parameter(s) `charset` in `{function}` is invalid: expects one of the iso-8859-1, us-ascii, utf-16, utf-16be, utf-16le, utf-32, utf-8, but got {name}."
        ),
    )
}

fn encode(args: &Args) -> Result<ArrayRef> {
    let (text, charset) = (args.text(0)?, args.text(1)?);
    bytes(args.rows, |row| {
        let (Some(text), Some(charset)) = (text.get(row), charset.get(row)) else {
            return Ok(None);
        };
        let units = |big: bool| -> Vec<u8> {
            text.encode_utf16()
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect()
        };
        Ok(Some(match charset.to_ascii_lowercase().as_str() {
            "utf-8" => text.as_bytes().to_vec(),
            "us-ascii" => text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect(),
            "iso-8859-1" => text.chars().map(|c| u8::try_from(c as u32).unwrap_or(b'?')).collect(),
            "utf-16be" => units(true),
            "utf-16le" => units(false),
            "utf-16" => [vec![0xFE, 0xFF], units(true)].concat(),
            "utf-32" => text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect(),
            _ => return fail(charset_error(charset, "encode")),
        }))
    })
}

fn decode(args: &Args) -> Result<ArrayRef> {
    let (input, charset) = (binary(args, 0)?, args.text(1)?);
    texts(args.rows, |row| {
        let (false, Some(charset)) = (input.is_null(row), charset.get(row)) else {
            return Ok(None);
        };
        let value = input.value(row);
        let utf16 = |value: &[u8], big: bool| {
            let units: Vec<u16> = value
                .chunks_exact(2)
                .map(|pair| {
                    let pair = [pair[0], pair[1]];
                    if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
                })
                .collect();
            String::from_utf16_lossy(&units)
        };
        Ok(Some(match charset.to_ascii_lowercase().as_str() {
            "utf-8" => String::from_utf8_lossy(value).into_owned(),
            "us-ascii" => value
                .iter()
                .map(|b| if b.is_ascii() { char::from(*b) } else { char::REPLACEMENT_CHARACTER })
                .collect(),
            "iso-8859-1" => value.iter().map(|b| char::from(*b)).collect(),
            "utf-16be" => utf16(value, true),
            "utf-16le" => utf16(value, false),
            "utf-16" => match value {
                [0xFF, 0xFE, rest @ ..] => utf16(rest, false),
                [0xFE, 0xFF, rest @ ..] => utf16(rest, true),
                all => utf16(all, true),
            },
            "utf-32" => value
                .chunks_exact(4)
                .map(|c| char::from_u32(u32::from_be_bytes([c[0], c[1], c[2], c[3]])))
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
            _ => return fail(charset_error(charset, "decode")),
        }))
    })
}

fn url_decode(args: &Args) -> Result<ArrayRef> {
    let text = args.text(0)?;
    texts(args.rows, |row| {
        let Some(text) = text.get(row) else { return Ok(None) };
        let mut out = vec![];
        let mut rest = text.bytes();
        let mut good = true;
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let pair = [rest.next(), rest.next()];
                    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                    match (digit(pair[0]), digit(pair[1])) {
                        (Some(high), Some(low)) => out.push((high << 4 | low) as u8),
                        _ => good = false,
                    }
                }
                other => out.push(other),
            }
        }
        match String::from_utf8(out) {
            Ok(decoded) if good => Ok(Some(decoded)),
            _ if args.ansi() => fail(
                SparkError::new(
                    ErrorKind::IllegalArgument,
                    "CANNOT_DECODE_URL",
                    "22546",
                    format!(
                        "The provided URL cannot be decoded: {text}. Please ensure that the URL is properly formatted and try again."
                    ),
                )
                .with("url", text),
            ),
            _ => Ok(None),
        }
    })
}

/// The two hashes differ in these steps; how values are taken apart is common.
trait Hasher: Copy {
    fn int(self, value: i32) -> Self;
    fn long(self, value: i64) -> Self;
    fn bytes(self, value: &[u8]) -> Self;
}

#[derive(Clone, Copy)]
struct Murmur(u32);

impl Murmur {
    fn mix_k(k: u32) -> u32 {
        k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
    }

    fn mix(self, k: u32) -> Self {
        Self((self.0 ^ Self::mix_k(k)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64))
    }

    fn finish(self, length: u32) -> Self {
        let mut hash = self.0 ^ length;
        hash ^= hash >> 16;
        hash = hash.wrapping_mul(0x85eb_ca6b);
        hash ^= hash >> 13;
        hash = hash.wrapping_mul(0xc2b2_ae35);
        Self(hash ^ (hash >> 16))
    }
}

impl Hasher for Murmur {
    fn int(self, value: i32) -> Self {
        self.mix(value as u32).finish(4)
    }

    fn long(self, value: i64) -> Self {
        self.mix(value as u32).mix((value as u64 >> 32) as u32).finish(8)
    }

    /// Spark's variant: the bytes after the last whole word are mixed one by one.
    fn bytes(self, value: &[u8]) -> Self {
        let mut words = value.chunks_exact(4);
        let mut state = self;
        for word in &mut words {
            state = state.mix(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        }
        for byte in words.remainder() {
            state = state.mix(*byte as i8 as u32);
        }
        state.finish(u32::try_from(value.len()).unwrap_or(u32::MAX))
    }
}

#[derive(Clone, Copy)]
struct Xx(u64);

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

impl Xx {
    fn avalanche(mut hash: u64) -> Self {
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(P2);
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(P3);
        Self(hash ^ (hash >> 32))
    }

    fn word(hash: u64, word: u64) -> u64 {
        let mixed = word.wrapping_mul(P2).rotate_left(31).wrapping_mul(P1);
        (hash ^ mixed).rotate_left(27).wrapping_mul(P1).wrapping_add(P4)
    }

    fn half(hash: u64, word: u32) -> u64 {
        (hash ^ u64::from(word).wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3)
    }
}

impl Hasher for Xx {
    fn int(self, value: i32) -> Self {
        Self::avalanche(Self::half(self.0.wrapping_add(P5).wrapping_add(4), value as u32))
    }

    fn long(self, value: i64) -> Self {
        Self::avalanche(Self::word(self.0.wrapping_add(P5).wrapping_add(8), value as u64))
    }

    fn bytes(self, value: &[u8]) -> Self {
        let read = |b: &[u8]| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        let mut rest = value;
        let mut hash = if value.len() >= 32 {
            let mut v = [
                self.0.wrapping_add(P1).wrapping_add(P2),
                self.0.wrapping_add(P2),
                self.0,
                self.0.wrapping_sub(P1),
            ];
            while rest.len() >= 32 {
                for (lane, v) in v.iter_mut().enumerate() {
                    let word = read(&rest[lane * 8..]);
                    *v = v.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1);
                }
                rest = &rest[32..];
            }
            let mut hash = v[0]
                .rotate_left(1)
                .wrapping_add(v[1].rotate_left(7))
                .wrapping_add(v[2].rotate_left(12))
                .wrapping_add(v[3].rotate_left(18));
            for lane in v {
                let mixed = lane.wrapping_mul(P2).rotate_left(31).wrapping_mul(P1);
                hash = (hash ^ mixed).wrapping_mul(P1).wrapping_add(P4);
            }
            hash
        } else {
            self.0.wrapping_add(P5)
        };
        hash = hash.wrapping_add(value.len() as u64);
        while rest.len() >= 8 {
            hash = Self::word(hash, read(rest));
            rest = &rest[8..];
        }
        if rest.len() >= 4 {
            hash = Self::half(hash, u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]));
            rest = &rest[4..];
        }
        for byte in rest {
            hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
        }
        Self::avalanche(hash)
    }
}

/// `BigInteger.toByteArray`.
fn big_endian(value: i128) -> Vec<u8> {
    let all = value.to_be_bytes();
    let fill = if value < 0 { 0xFF } else { 0 };
    let mut start = 0;
    while start < 15 && all[start] == fill && (all[start + 1] & 0x80 == fill & 0x80) {
        start += 1;
    }
    all[start..].to_vec()
}

fn fold<H: Hasher>(state: H, array: &dyn Array, row: usize) -> Result<H> {
    if array.is_null(row) {
        return Ok(state);
    }
    macro_rules! value {
        ($t:ty) => {
            array.as_primitive::<$t>().value(row)
        };
    }
    Ok(match array.data_type() {
        Arrow::Null => state,
        Arrow::Boolean => state.int(i32::from(array.as_boolean().value(row))),
        Arrow::Int8 => state.int(value!(Int8Type).into()),
        Arrow::Int16 => state.int(value!(Int16Type).into()),
        Arrow::Int32 => state.int(value!(Int32Type)),
        Arrow::Date32 => state.int(value!(Date32Type)),
        Arrow::Interval(IntervalUnit::YearMonth) => state.int(value!(IntervalYearMonthType)),
        Arrow::Int64 => state.long(value!(Int64Type)),
        Arrow::Timestamp(..) => state.long(value!(TimestampMicrosecondType)),
        Arrow::Duration(_) => state.long(value!(DurationMicrosecondType)),
        Arrow::Interval(_) => {
            let value = value!(IntervalMonthDayNanoType);
            state.long(value.nanoseconds / 1000).int(value.days).int(value.months)
        }
        Arrow::Float32 => {
            let value = value!(Float32Type);
            let value = if value.is_nan() { f32::NAN } else { value + 0.0 };
            state.int(value.to_bits() as i32)
        }
        Arrow::Float64 => {
            let value = value!(Float64Type);
            let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
            state.long(value.to_bits() as i64)
        }
        Arrow::Decimal128(precision, _) if *precision <= 18 => {
            state.long(value!(Decimal128Type) as i64)
        }
        Arrow::Decimal128(..) => state.bytes(&big_endian(value!(Decimal128Type))),
        Arrow::Utf8 => state.bytes(array.as_string::<i32>().value(row).as_bytes()),
        Arrow::Utf8View => state.bytes(array.as_string_view().value(row).as_bytes()),
        Arrow::Binary => state.bytes(array.as_binary::<i32>().value(row)),
        Arrow::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).try_fold(state, |state, item| fold(state, items.as_ref(), item))?
        }
        Arrow::Map(..) => {
            let entries = array.as_map().value(row);
            (0..entries.len()).try_fold(state, |state, item| {
                let state = fold(state, entries.column(0).as_ref(), item)?;
                fold(state, entries.column(1).as_ref(), item)
            })?
        }
        Arrow::Struct(_) => array
            .as_struct()
            .columns()
            .iter()
            .try_fold(state, |state, column| fold(state, column.as_ref(), row))?,
        other => return exec_err!("no hash of {other}"),
    })
}

fn columns(args: &Args) -> Result<Vec<ArrayRef>> {
    (0..args.len()).map(|index| args.array(index)).collect()
}

fn murmur3(args: &Args) -> Result<ArrayRef> {
    let columns = columns(args)?;
    numbers::<Int32Type>(args.rows, |row| {
        let hash = columns
            .iter()
            .try_fold(Murmur(42), |state, column| fold(state, column.as_ref(), row))?;
        Ok(Some(hash.0 as i32))
    })
}

fn xxhash64(args: &Args) -> Result<ArrayRef> {
    let columns = columns(args)?;
    numbers::<Int64Type>(args.rows, |row| {
        let hash =
            columns.iter().try_fold(Xx(42), |state, column| fold(state, column.as_ref(), row))?;
        Ok(Some(hash.0 as i64))
    })
}

/// Spark's hash (Murmur3, seed 42) of each row of some columns: what hash partitioning and bucketing go by.
///
/// # Errors
/// If a column's type cannot be hashed.
pub fn hash_rows(columns: &[ArrayRef], rows: usize) -> Result<Vec<i32>> {
    (0..rows)
        .map(|row| {
            let hash = columns
                .iter()
                .try_fold(Murmur(42), |state, column| fold(state, column.as_ref(), row))?;
            Ok(hash.0 as i32)
        })
        .collect()
}
