//! JSON objects written straight into text: an event of a task is written some ten thousand times a
//! second, and a tree of values would be most of its cost.

use std::fmt::Write;

/// An object being written; closed when dropped.
pub(super) struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        string(self.out, key);
        self.out.push(':');
    }

    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        string(self.out, value);
        self
    }

    pub(super) fn number(&mut self, key: &str, value: u64) -> &mut Self {
        self.key(key);
        // Writing to a string does not fail.
        let _ = write!(self.out, "{value}");
        self
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.key(key);
        self.out.push_str(if value { "true" } else { "false" });
        self
    }

    /// An empty array, for what Spark has and we do not.
    pub(super) fn nothing(&mut self, key: &str) -> &mut Self {
        self.key(key);
        self.out.push_str("[]");
        self
    }

    pub(super) fn numbers(&mut self, key: &str, values: impl Iterator<Item = u64>) -> &mut Self {
        self.key(key);
        self.out.push('[');
        for (place, value) in values.enumerate() {
            let _ = write!(self.out, "{}{value}", if place == 0 { "" } else { "," });
        }
        self.out.push(']');
        self
    }

    pub(super) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.key(key);
        fill(&mut Object::begin(self.out));
        self
    }

    pub(super) fn objects<T>(
        &mut self,
        key: &str,
        items: impl Iterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) -> &mut Self {
        self.key(key);
        self.out.push('[');
        for (place, item) in items.enumerate() {
            if place > 0 {
                self.out.push(',');
            }
            fill(&mut Object::begin(self.out), item);
        }
        self.out.push(']');
        self
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push('}');
    }
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
