//! A property: name, kind, default, since, meaning.

use std::marker::PhantomData;
use std::time::Duration;

use crate::kind::{Kind, Parsed};

/// When a property has no value of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Nothing; the property is optional.
    None,
    /// This text.
    Value(&'static str),
    /// The value of another property.
    SameAs(&'static str),
    /// Worked out when the application starts, as these words say.
    Computed(&'static str),
}

/// Who may set a property, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Of the application: fixed once the framework is registered.
    Application,
    /// A static SQL setting: fixed once the server runs.
    Static,
    /// Of a session: may change between queries.
    Session,
    /// Of the dispatcher or the shuffle service.
    Daemon,
}

/// Whether this program acts on a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Acted on: a crate reads it by name (`table/truth.rs` looks).
    Honoured,
    /// Told to Connect clients, which act on it.
    Client,
    /// Known and checked, not yet acted on.
    Planned,
    /// Known and meaningless here; the words say why.
    Ignored(&'static str),
}

/// All there is to know about a property, whatever its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PropertyInfo {
    /// The full key.
    pub name: &'static str,
    /// The form of its text.
    pub kind: Kind,
    /// Its default.
    pub preset: Preset,
    /// Spark version that introduced it; `ferrospark` for our own.
    pub since: &'static str,
    /// Who may set it.
    pub scope: Scope,
    /// Whether we act on it.
    pub status: Status,
    /// What it means.
    pub doc: &'static str,
    /// Older or misspelt keys that mean the same.
    pub aliases: &'static [&'static str],
}

/// A property whose value is read as `T`.
#[derive(Debug, Clone, Copy)]
pub struct Property<T> {
    /// The untyped description.
    pub info: PropertyInfo,
    value: PhantomData<fn() -> T>,
}

impl<T> Property<T> {
    /// Makes a typed property.
    pub const fn new(info: PropertyInfo) -> Self {
        Self { info, value: PhantomData }
    }

    /// The full key.
    pub const fn name(&self) -> &'static str {
        self.info.name
    }
}

/// Types a parsed value can become. `Option<T>` stands for "may be unset".
pub trait FromParsed: Sized {
    /// Converts; `None` if the kind does not fit the type or the number does not fit its range.
    fn from_parsed(parsed: Parsed) -> Option<Self>;

    /// The value of an unset property without default; `None` if it must be set.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: FromParsed> FromParsed for Option<T> {
    fn from_parsed(parsed: Parsed) -> Option<Self> {
        T::from_parsed(parsed).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

macro_rules! from_parsed {
    ($($type:ty: $pattern:pat => $value:expr;)*) => {
        $(impl FromParsed for $type {
            fn from_parsed(parsed: Parsed) -> Option<Self> {
                match parsed { $pattern => $value, _ => None }
            }
        })*
    };
}

from_parsed! {
    String: Parsed::Text(text) => Some(text);
    Vec<String>: Parsed::List(entries) => Some(entries);
    bool: Parsed::Boolean(value) => Some(value);
    f64: Parsed::Decimal(value) => Some(value);
    Duration: Parsed::Duration(value) => Some(value);
    i64: Parsed::Integer(value) | Parsed::Bytes(value) => Some(value);
    u64: Parsed::Integer(value) | Parsed::Bytes(value) => Self::try_from(value).ok();
    u32: Parsed::Integer(value) => Self::try_from(value).ok();
    u16: Parsed::Integer(value) => Self::try_from(value).ok();
    usize: Parsed::Integer(value) => Self::try_from(value).ok();
}
