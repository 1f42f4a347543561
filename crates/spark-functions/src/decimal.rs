//! Whole-number arithmetic under decimals: powers of ten, HALF_UP rounding, text.

use arrow::datatypes::{ArrowNativeTypeOp, i256};

/// 10 to the power; beyond 38 the largest one.
pub(crate) fn pow10(exponent: u32) -> i128 {
    10_i128.pow(exponent.min(38))
}

fn pow10_wide(exponent: u32) -> i256 {
    i256::from_i128(10).pow_wrapping(exponent.min(76))
}

/// Whether an unscaled value has at most `precision` digits.
pub(crate) fn fits(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < pow10(u32::from(precision)).unsigned_abs()
}

/// Drops digits from the right, rounding half away from zero.
pub(crate) fn round(value: i128, drop: u32) -> i128 {
    if drop == 0 {
        return value;
    }
    if drop > 38 {
        return 0;
    }
    let divisor = pow10(drop);
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2) {
        quotient + value.signum()
    } else {
        quotient
    }
}

/// As [`round`], half to even.
pub(crate) fn round_half_even(value: i128, drop: u32) -> i128 {
    if drop == 0 {
        return value;
    }
    if drop > 38 {
        return 0;
    }
    let divisor = pow10(drop);
    let (quotient, rest) = (value / divisor, value % divisor);
    let half = divisor.unsigned_abs() / 2;
    match rest.unsigned_abs().cmp(&half) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + value.signum(),
        std::cmp::Ordering::Equal => quotient + value.signum() * (quotient & 1),
    }
}

pub(crate) fn round_wide(value: i256, drop: u32) -> i256 {
    if drop == 0 {
        return value;
    }
    let divisor = pow10_wide(drop);
    let quotient = value.wrapping_div(divisor);
    let rest = value.wrapping_rem(divisor).wrapping_abs();
    if rest.wrapping_add(rest) >= divisor {
        let one = if value < i256::ZERO { i256::MINUS_ONE } else { i256::ONE };
        quotient.wrapping_add(one)
    } else {
        quotient
    }
}

/// Moves an unscaled value from one scale to another, HALF_UP; `None` if it leaves 128 bits.
pub(crate) fn rescale(value: i128, from: i32, to: i32) -> Option<i128> {
    if to >= from {
        let up = u32::try_from(to - from).ok()?;
        if value == 0 {
            return Some(0);
        }
        if up > 38 {
            return None;
        }
        value.checked_mul(pow10(up))
    } else {
        Some(round(value, u32::try_from(from - to).ok()?))
    }
}

/// `l * 10^shift / r`, HALF_UP; `None` for a zero divisor or a quotient beyond 128 bits.
pub(crate) fn divide(l: i128, r: i128, shift: i32) -> Option<i128> {
    if r == 0 {
        return None;
    }
    if let Ok(up) = u32::try_from(shift) {
        if up <= 38
            && let Some(numerator) = l.checked_mul(pow10(up))
        {
            return Some(half_up(numerator, r));
        }
        return divide_wide(l, r, up);
    }
    let down = shift.unsigned_abs();
    match r.checked_mul(pow10(down)) {
        Some(divisor) if down <= 38 => Some(half_up(l, divisor)),
        _ => Some(0),
    }
}

fn half_up(numerator: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (numerator / divisor, numerator % divisor);
    // Doubling the rest may not overflow: compare with what is left to the divisor.
    if rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() && rest != 0 {
        quotient + if (numerator < 0) == (divisor < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// Long division, some digits at a time, so that the numerator never outgrows 256 bits.
fn divide_wide(l: i128, r: i128, mut up: u32) -> Option<i128> {
    let divisor = i256::from_i128(r).wrapping_abs();
    let numerator = i256::from_i128(l).wrapping_abs();
    let mut quotient = numerator.wrapping_div(divisor);
    let mut rest = numerator.wrapping_rem(divisor);
    while up > 0 {
        let step = up.min(30);
        let factor = pow10_wide(step);
        rest = rest.checked_mul(factor)?;
        quotient = quotient.checked_mul(factor)?.checked_add(rest.wrapping_div(divisor))?;
        rest = rest.wrapping_rem(divisor);
        up -= step;
    }
    if rest.wrapping_add(rest) >= divisor {
        quotient = quotient.wrapping_add(i256::ONE);
    }
    let quotient = quotient.to_i128()?;
    Some(if (l < 0) == (r < 0) { quotient } else { -quotient })
}

/// `l * 10^shift / r` towards zero.
pub(crate) fn truncating_divide(l: i128, r: i128, shift: i32) -> Option<i128> {
    if r == 0 {
        return None;
    }
    let factor = pow10_wide(shift.unsigned_abs());
    let (mut numerator, mut divisor) = (i256::from_i128(l), i256::from_i128(r));
    if shift >= 0 {
        numerator = numerator.checked_mul(factor)?;
    } else {
        divisor = divisor.checked_mul(factor)?;
    }
    numerator.checked_div(divisor)?.to_i128()
}

/// `BigDecimal.toPlainString`.
pub(crate) fn text(value: i128, scale: i32) -> String {
    plain(value < 0, &value.unsigned_abs().to_string(), scale)
}

pub(crate) fn text_wide(value: i256, scale: i32) -> String {
    let negative = value < i256::ZERO;
    plain(negative, &value.wrapping_abs().to_string(), scale)
}

fn plain(negative: bool, digits: &str, scale: i32) -> String {
    let sign = if negative { "-" } else { "" };
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) if digits.len() > scale => {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        Ok(scale) => format!("{sign}0.{digits:0>scale$}"),
        Err(_) if digits == "0" => "0".to_owned(),
        Err(_) => format!("{sign}{digits}{}", "0".repeat(scale.unsigned_abs() as usize)),
    }
}

/// An exact decimal read from text: unscaled value and scale; `None` if it is no number.
///
/// Digits beyond what 128 bits hold are rounded away at the right; numbers too large give `Err`.
pub(crate) fn parse(text: &str, to_scale: i32) -> Option<Result<i128, ()>> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], rest[at + 1..].parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|c| c.is_ascii_digit()) {
        return None;
    }
    // Place of the last digit kept: 10^-to_scale.
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|c| c - b'0').collect();
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent);
    let keep = point + i64::from(to_scale);
    let mut value: i128 = 0;
    let Ok(keep) = usize::try_from(keep) else { return Some(Ok(0)) };
    if keep > digits.len() + 80 && digits.iter().any(|digit| *digit != 0) {
        return Some(Err(()));
    }
    for index in 0..keep.min(digits.len() + 80) {
        let digit = digits.get(index).copied().unwrap_or(0);
        value = match value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit))) {
            Some(value) => value,
            None => return Some(Err(())),
        };
    }
    if digits.get(keep).is_some_and(|digit| *digit >= 5) {
        value += 1;
    }
    Some(Ok(if negative { -value } else { value }))
}
