//! Numbers and booleans as `java.lang` parses and prints them.

/// `Integer.parseInt`, `Long.parseLong` and their kin: sign and digits, nothing else.
pub(crate) fn integer<T: TryFrom<i64>>(text: &str) -> Option<T> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Counts downwards, so that the smallest value fits.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    let value = if negative { value } else { value.checked_neg()? };
    T::try_from(value).ok()
}

/// `Double.parseDouble`: surrounding blanks and a type suffix are allowed.
pub(crate) fn double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let last = *text.as_bytes().last()?;
    if last.is_ascii_digit() || last == b'.' {
        let first = text.as_bytes()[0];
        return (first.is_ascii_digit() || matches!(first, b'.' | b'-' | b'+'))
            .then(|| plain_double(text))
            .flatten();
    }
    let (sign, body) = match text.as_bytes()[0] {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match body {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(sign * f64::INFINITY),
        _ => {
            let number = body.strip_suffix(['d', 'D', 'f', 'F'])?;
            let ends_well = number.ends_with(|c: char| c.is_ascii_digit() || c == '.');
            let starts_well = number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            (ends_well && starts_well).then(|| plain_double(number)).flatten().map(|v| sign * v)
        }
    }
}

fn plain_double(text: &str) -> Option<f64> {
    // Rust's grammar is Java's here: digits, dot, exponent; both refuse a lone dot.
    text.parse().ok()
}

/// `Float.parseFloat`: rounded once, from the text.
pub(crate) fn float(text: &str) -> Option<f32> {
    let trimmed = text.trim_matches(|c: char| c <= ' ').trim_end_matches(['d', 'D', 'f', 'F']);
    match trimmed.parse::<f32>() {
        Ok(value) if double(text).is_some() => Some(value),
        _ => double(text).map(|value| value as f32),
    }
}

/// Scala's `toBoolean`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A `java.math.BigDecimal` whose digits fit 38 places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BigDecimal {
    pub(crate) unscaled: i128,
    pub(crate) scale: i32,
}

impl BigDecimal {
    /// `new BigDecimal(text)`; `None` for no number or more than 38 digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], integer::<i32>(&text[at + 1..])?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (mut unscaled, mut scale, mut dot, mut any) = (0_i128, 0_i32, false, false);
        for byte in digits.bytes() {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                    scale += i32::from(dot);
                }
                b'.' if !dot => dot = true,
                _ => return None,
            }
        }
        if !any || unscaled > MAX_DECIMAL {
            return None;
        }
        let unscaled = if negative { -unscaled } else { unscaled };
        Some(Self { unscaled, scale: scale.checked_sub(exponent)? })
    }

    /// `precision()`: digits of the unscaled value, at least one.
    pub(crate) fn precision(&self) -> u8 {
        let mut rest = self.unscaled.unsigned_abs();
        let mut digits = 1;
        while rest >= 10 {
            rest /= 10;
            digits += 1;
        }
        digits
    }

    /// The unscaled value at another scale, rounded half up; `None` if it needs more places.
    pub(crate) fn rescale(&self, precision: u8, scale: i8) -> Option<i128> {
        let shift = i32::from(scale) - self.scale;
        let value = if shift >= 0 {
            match self.unscaled {
                0 => 0,
                value => value.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?,
            }
        } else {
            match 10_i128.checked_pow(u32::try_from(-shift).ok()?) {
                None => 0,
                Some(divisor) => {
                    let (quotient, rest) = (self.unscaled / divisor, self.unscaled % divisor);
                    let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
                    if up { quotient + self.unscaled.signum() } else { quotient }
                }
            }
        };
        (value.unsigned_abs() < 10_u128.pow(u32::from(precision))).then_some(value)
    }
}

const MAX_DECIMAL: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// `Double.toString`.
pub(crate) fn write_double(out: &mut Vec<u8>, value: f64) {
    java_float(out, value.is_nan(), value, |value| format!("{value:e}"));
}

/// `Float.toString`.
pub(crate) fn write_float(out: &mut Vec<u8>, value: f32) {
    java_float(out, value.is_nan(), f64::from(value), |_| format!("{value:e}"));
}

/// Shortest digits in Java's layout: plain from 10^-3 up to 10^7, else with an exponent.
fn java_float(out: &mut Vec<u8>, nan: bool, value: f64, shortest: impl Fn(f64) -> String) {
    if nan {
        out.extend_from_slice(b"NaN");
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value.is_infinite() {
        out.extend_from_slice(b"Infinity");
        return;
    }
    if value == 0.0 {
        out.extend_from_slice(b"0.0");
        return;
    }
    let text = shortest(value);
    let text = text.trim_start_matches('-');
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
    if (-3..7).contains(&exponent) {
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', usize::try_from(-exponent - 1).unwrap_or(0)));
            out.extend_from_slice(&digits);
        } else {
            let whole = usize::try_from(exponent).unwrap_or(0) + 1;
            for place in 0..whole {
                out.push(digits.get(place).copied().unwrap_or(b'0'));
            }
            out.push(b'.');
            if digits.len() > whole {
                out.extend_from_slice(&digits[whole..]);
            } else {
                out.push(b'0');
            }
        }
    } else {
        out.push(digits[0]);
        out.push(b'.');
        if digits.len() > 1 {
            out.extend_from_slice(&digits[1..]);
        } else {
            out.push(b'0');
        }
        out.extend_from_slice(format!("E{exponent}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: f64) -> String {
        let mut out = Vec::new();
        write_double(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_are_javas() {
        assert_eq!(integer::<i32>("+12"), Some(12));
        assert_eq!(integer::<i32>("-2147483648"), Some(i32::MIN));
        assert_eq!(integer::<i32>("2147483648"), None);
        assert_eq!(integer::<i64>("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer::<i64>("9223372036854775808"), None);
        assert_eq!(integer::<i32>(" 1"), None);
        assert_eq!(integer::<i32>("-"), None);
    }

    #[test]
    fn doubles_are_javas() {
        assert_eq!(double(" 1.5 "), Some(1.5));
        assert_eq!(double("1d"), Some(1.0));
        assert_eq!(double("1e3f"), Some(1000.0));
        assert_eq!(double("-Infinity"), Some(f64::NEG_INFINITY));
        assert!(double("NaN").is_some_and(f64::is_nan));
        assert_eq!(double("inf"), None);
        assert_eq!(double("nan"), None);
        assert_eq!(double("."), None);
        assert_eq!(double("d"), None);
        assert_eq!(double(".5"), Some(0.5));
        assert_eq!(double("5."), Some(5.0));
    }

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(BigDecimal::parse("12.30"), Some(BigDecimal { unscaled: 1230, scale: 2 }));
        assert_eq!(BigDecimal::parse("1e3"), Some(BigDecimal { unscaled: 1, scale: -3 }));
        assert_eq!(BigDecimal::parse("1.x"), None);
        assert_eq!(BigDecimal::parse("1.235").unwrap().rescale(10, 2), Some(124));
        assert_eq!(BigDecimal::parse("-1.235").unwrap().rescale(10, 2), Some(-124));
        assert_eq!(BigDecimal::parse("123").unwrap().rescale(4, 2), None);
    }

    #[test]
    fn doubles_print_as_in_java() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1e7, "1.0E7"),
            (1234567.5, "1234567.5"),
            (-0.0, "-0.0"),
            (1e10, "1.0E10"),
            (123456789.125, "1.23456789125E8"),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}
