//! Data source options: a map whose keys ignore case, read with Spark's rules.

use std::collections::BTreeMap;

use crate::error::{self, Result};

/// Options of one read or write. Keys are compared without case, as Spark's `CaseInsensitiveMap`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
}

impl Options {
    /// Takes the options as the client gave them.
    #[must_use]
    pub fn new(options: &BTreeMap<String, String>) -> Self {
        Self { values: options.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(&key.to_lowercase()).map(String::as_str)
    }

    /// The first of several spellings that is set.
    pub(crate) fn first(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.get(key))
    }

    pub(crate) fn string(&self, key: &str, default: &str) -> String {
        self.get(key).unwrap_or(default).to_owned()
    }

    pub(crate) fn bool(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(error::bad_option(key, text, "it must be true or false")),
        }
    }

    pub(crate) fn integer(&self, key: &str) -> Result<Option<i64>> {
        self.get(key)
            .map(|text| {
                text.trim()
                    .parse()
                    .map_err(|_| error::bad_option(key, text, "it must be an integer"))
            })
            .transpose()
    }

    pub(crate) fn double(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => {
                text.trim().parse().map_err(|_| error::bad_option(key, text, "it must be a number"))
            }
        }
    }

    /// A single ASCII character, or none where Spark accepts an empty text.
    pub(crate) fn char(&self, key: &str, default: Option<u8>) -> Result<Option<u8>> {
        match self.get(key) {
            None => Ok(default),
            Some("") | Some("\0") => Ok(None),
            Some("\\t") => Ok(Some(b'\t')),
            Some(text) if text.len() == 1 => Ok(Some(text.as_bytes()[0])),
            Some(text) => {
                Err(error::bad_option(key, text, "it must be exactly one ASCII character"))
            }
        }
    }
}
