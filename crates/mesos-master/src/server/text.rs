//! JSON as text, for what is told by the hundred thousand: several times as quick as by way of `serde`, which looks at each
//! byte of each name and text by itself. What is rare goes that way.

use serde::Serialize;

/// Whole numbers below this are written as such; they are exact.
const WHOLE: f64 = 1e15;

/// Appends the JSON of a value, the long way.
pub(super) fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    // Writing into memory cannot fail, and all keys are texts.
    let _ = serde_json::to_writer(out, value);
}

/// Appends a text.
pub(super) fn text(value: &str, out: &mut Vec<u8>) {
    // Without a branch for each byte, so that many are looked at in one step.
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    if value.bytes().fold(false, |any, byte| any | special(byte)) {
        return json(&value, out);
    }
    out.reserve(value.len() + 2);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

/// Appends a number; most are whole.
pub(super) fn number(value: f64, out: &mut Vec<u8>) {
    let whole = value.is_sign_positive() && value < WHOLE && value.fract() == 0.0;
    if !whole {
        return json(&value, out);
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seen to above")]
    let mut rest = value as u64;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b".0");
}

/// Appends a list of what `write` appends of each item.
pub(super) fn list<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// An object as it is written. Its names need no escapes, but for those of [`Object::named`].
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    next: u8,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, next: b'{' }
    }

    /// A member, whose value is to be appended to what is returned.
    pub(super) fn member(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.out.reserve(name.len() + 4);
        self.out.push(self.next);
        self.next = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// The same with any name.
    pub(super) fn named(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.push(self.next);
        self.next = b',';
        text(name, self.out);
        self.out.push(b':');
        self.out
    }

    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        text(value, self.member(name));
    }

    pub(super) fn number(&mut self, name: &'static str, value: f64) {
        number(value, self.member(name));
    }

    pub(super) fn flag(&mut self, name: &'static str, value: bool) {
        let value: &[u8] = if value { b"true" } else { b"false" };
        self.member(name).extend_from_slice(value);
    }

    /// The long way.
    pub(super) fn json(&mut self, name: &'static str, value: &impl Serialize) {
        json(value, self.member(name));
    }

    pub(super) fn end(self) {
        if self.next == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn objects_are_written_with_commas_between() {
        let whole = written(|out| {
            let mut object = Object::begin(out);
            object.text("a", "x");
            object.number("b", 0.5);
            object.flag("c", false);
            text("y", object.named("d\"e"));
            object.json("f", &[1, 2]);
            list(0..3, object.member("g"), |item, out| number(f64::from(item), out));
            object.end();
        });
        assert_eq!(whole, r#"{"a":"x","b":0.5,"c":false,"d\"e":"y","f":[1,2],"g":[0.0,1.0,2.0]}"#);
        assert_eq!(written(|out| Object::begin(out).end()), "{}");
        assert_eq!(written(|out| list(0..0, out, |_, _| {})), "[]");
    }

    #[test]
    fn numbers_are_written_as_serde_does() {
        for value in [0.0, -0.0, 1.0, -1.0, 1e14, 999_999_999_999_999.0, 1e15, 1e300, 0.1, f64::NAN]
        {
            assert_eq!(written(|out| number(value, out)), json!(value).to_string());
        }
        assert_eq!(written(|out| number(1e15, out)), written(|out| super::json(&1e15, out)));
    }

    proptest! {
        #[test]
        fn values_are_written_as_serde_does(string in "\\PC*|[\\x00-\\x7f]*", value: f64, whole: u32) {
            prop_assert_eq!(written(|out| text(&string, out)), json!(string).to_string());
            prop_assert_eq!(written(|out| number(value, out)), json!(value).to_string());
            let whole = f64::from(whole);
            prop_assert_eq!(written(|out| number(whole, out)), json!(whole).to_string());
        }
    }
}
