//! Random numbers from Spark's own generator, so that seeds give Spark's values.

use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType as Arrow, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::kernels::{numbers, texts};
use crate::signature::{Call, Function};
use crate::types::to_arrow;
use crate::udf::{Args, Definition, Params, ours};

pub(super) const FUNCTIONS: &[Function] = &[];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::never_null("rand", |args| generate(args, Random::next_double)).volatile(),
    Definition::never_null("randn", |args| generate(args, Random::next_gaussian)).volatile(),
    Definition::never_null("uuid", uuid).volatile(),
    Definition::never_null("randstr", randstr).volatile(),
];

/// Seeds differ from query to query unless given.
fn fresh_seed() -> i64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let clock = chrono::Utc::now().timestamp_nanos_opt().unwrap_or(0);
    clock ^ (NEXT.fetch_add(1, Ordering::Relaxed) << 40) as i64
}

fn seed_of(call: &Call, index: usize) -> std::result::Result<i64, SparkError> {
    match call.literal(index) {
        None if call.len() <= index => Ok(fresh_seed()),
        Some(value) if value.is_null() => Ok(0),
        Some(_) => {
            call.literal_int(index).ok_or_else(|| call.wrong_type(index, "\"INT\" or \"BIGINT\""))
        }
        None => Err(crate::errors::mismatch(
            "NON_FOLDABLE_INPUT",
            &call.sql(),
            &format!(
                "the input `seed` should be a foldable \"INT\" or \"BIGINT\" expression; however, got \"{}\".",
                crate::sql_text(&call.args[index])
            ),
        )),
    }
}

pub(super) fn build(call: &Call) -> std::result::Result<Option<Expr>, SparkError> {
    match call.name {
        "rand" | "random" | "randn" => {
            call.arity(0, 1)?;
            let name = if call.name == "randn" { "randn" } else { "rand" };
            let params = Params::new(Arrow::Float64).text(seed_of(call, 0)?.to_string());
            ours(name, vec![], params).map(Some)
        }
        "uniform" => {
            call.arity(2, 3)?;
            let seed = seed_of(call, 2)?;
            let params = Params::new(Arrow::Float64).text(seed.to_string());
            let random = ours("rand", vec![], params)?;
            let whole = call.types[..2].iter().all(crate::types::is_integral);
            let out = if whole {
                crate::widen(&call.types[..2]).unwrap_or(DataType::Integer)
            } else {
                DataType::Double
            };
            let low = crate::cast::implicit(call.args[0].clone(), &DataType::Double, call.ctx)?;
            let high = crate::cast::implicit(call.args[1].clone(), &DataType::Double, call.ctx)?;
            let value = low.clone() + (high - low) * random;
            crate::cast::implicit(value, &out, call.ctx).map(Some)
        }
        "randstr" => {
            call.arity(1, 2)?;
            let seed = seed_of(call, 1)?;
            let length = call.coerced(0, &DataType::Integer)?;
            let params = Params::new(to_arrow(&DataType::String)).text(seed.to_string());
            ours("randstr", vec![length], params).map(Some)
        }
        _ => Ok(None),
    }
}

/// `org.apache.spark.util.random.XORShiftRandom`, with `java.util.Random`'s derived draws.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Random {
    seed: i64,
    gaussian: Option<f64>,
}

impl Random {
    pub(crate) fn new(seed: i64) -> Self {
        let bytes = seed.to_be_bytes();
        let low = murmur3(&bytes, 0x3c07_4a61);
        let high = murmur3(&bytes, low);
        let seed = i64::from(high as i32) << 32 | i64::from(low);
        Self { seed, gaussian: None }
    }

    fn next(&mut self, bits: u32) -> i32 {
        let mut next = self.seed ^ (self.seed << 21);
        next ^= ((next as u64) >> 35) as i64;
        next ^= next << 4;
        self.seed = next;
        (next & ((1_i64 << bits) - 1)) as i32
    }

    pub(crate) fn next_double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 * 2_f64.powi(-53)
    }

    pub(crate) fn next_gaussian(&mut self) -> f64 {
        if let Some(kept) = self.gaussian.take() {
            return kept;
        }
        loop {
            let v1 = 2.0 * self.next_double() - 1.0;
            let v2 = 2.0 * self.next_double() - 1.0;
            let s = v1 * v1 + v2 * v2;
            if s < 1.0 && s != 0.0 {
                let factor = (-2.0 * libm::log(s) / s).sqrt();
                self.gaussian = Some(v2 * factor);
                return v1 * factor;
            }
        }
    }
}

/// `scala.util.hashing.MurmurHash3.bytesHash`.
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let mut hash = seed;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        let k = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        hash = (hash ^ k).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    hash ^= u32::try_from(bytes.len()).unwrap_or(0);
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

fn generate(args: &Args, draw: impl Fn(&mut Random) -> f64) -> Result<ArrayRef> {
    args.with_random(|random| numbers::<Float64Type>(args.rows, |_| Ok(Some(draw(random)))))
}

fn uuid(args: &Args) -> Result<ArrayRef> {
    args.with_random(|random| {
        texts(args.rows, |_| {
            let mut draw = || (random.next_double() * 4_294_967_296.0) as u128;
            let bits = draw() << 96 | draw() << 64 | draw() << 32 | draw();
            let bits = bits & !(0xF_u128 << 76) | 4_u128 << 76;
            let bits = bits & !(0x3_u128 << 62) | 2_u128 << 62;
            let hex = format!("{bits:032x}");
            Ok(Some(format!(
                "{}-{}-{}-{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..]
            )))
        })
    })
}

fn randstr(args: &Args) -> Result<ArrayRef> {
    const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let length = args.numbers::<arrow::datatypes::Int32Type>(0)?;
    args.with_random(|random| {
        texts(args.rows, |row| {
            let length = usize::try_from(length.get(row).unwrap_or(0)).unwrap_or(0);
            let pick = |random: &mut Random| {
                char::from(LETTERS[(random.next_double() * 62.0) as usize % 62])
            };
            Ok(Some((0..length).map(|_| pick(random)).collect::<String>()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_give_spark_s_values() {
        // select rand(42), randn(42) from range(1) on one partition.
        let mut random = Random::new(42);
        assert_eq!(random.next_double(), 0.619_189_370_225_301);
    }
}
