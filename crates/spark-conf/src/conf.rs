//! The configuration of an application, layer over layer.

use std::collections::BTreeMap;
use std::fmt;

use crate::environment::environment_settings;
use crate::error::ConfError;
use crate::kind::Parsed;
use crate::property::{FromParsed, Preset, Property, PropertyInfo, Scope};
use crate::table;

/// How deep `SameAs` defaults may chain; the table has chains of two.
const FALLBACK_DEPTH: usize = 4;

/// Largest edit distance at which a known name is offered for an unknown one.
const HINT_DISTANCE: usize = 6;

/// Where a value came from; later variants win.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Worked out by the program at start, for want of anything else.
    Computed,
    /// A variable of the environment or of `spark-env.sh`.
    Environment(String),
    /// `conf/spark-defaults.conf` or the file of `--properties-file`, by path.
    File(String),
    /// A flag of the command line, as written.
    CommandLine(String),
    /// The program: `SparkSession.builder.config(…)`, `.master(…)`, `.appName(…)`.
    Program,
}

impl Origin {
    /// The layer's rank; one value is kept per rank.
    fn rank(&self) -> u8 {
        match self {
            Self::Computed => 0,
            Self::Environment(_) => 1,
            Self::File(_) => 2,
            Self::CommandLine(_) => 3,
            Self::Program => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Computed => write!(out, "default"),
            Self::Environment(name) => write!(out, "{name}"),
            Self::File(path) => write!(out, "{path}"),
            Self::CommandLine(flag) => write!(out, "{flag}"),
            Self::Program => write!(out, "the program"),
        }
    }
}

/// Two values for one property, of which one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The property.
    pub name: String,
    /// The value that counts.
    pub kept: String,
    /// Where it came from.
    pub kept_from: Origin,
    /// The value that does not.
    pub dropped: String,
    /// Where that came from.
    pub dropped_from: Origin,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hide = |value: &str| {
            if SparkConf::is_secret(&self.name) { "*****".to_owned() } else { format!("{value:?}") }
        };
        write!(
            out,
            "{}: {} from {} is ignored; {} from {} is in force",
            self.name,
            hide(&self.dropped),
            self.dropped_from,
            hide(&self.kept),
            self.kept_from
        )
    }
}

/// All settings of an application with their origins.
#[derive(Debug, Clone, Default)]
pub struct SparkConf {
    /// Per key the value of each layer, lowest rank first.
    values: BTreeMap<String, Vec<(Origin, String)>>,
    frozen: bool,
}

impl SparkConf {
    /// An empty configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key in the layer of `origin`, without looking at the value; [`Self::check`] does.
    ///
    /// Once [`Self::freeze`] was called, a different value for an application or static property is
    /// not taken; the contradiction is returned so that the caller can warn. What the program works
    /// out at start ([`Origin::Computed`]) is still taken: it fills in, and overrides nothing.
    pub fn set(&mut self, origin: Origin, name: &str, value: &str) -> Option<Contradiction> {
        let name = canonical(name);
        if self.frozen && is_fixed(name) && origin != Origin::Computed {
            return self.contradiction(origin, name, value);
        }
        let layers = self.values.entry(name.to_owned()).or_default();
        layers.retain(|(held, _)| held.rank() != origin.rank());
        let at = layers.partition_point(|(held, _)| held.rank() < origin.rank());
        layers.insert(at, (origin, value.to_owned()));
        None
    }

    fn contradiction(&self, origin: Origin, name: &str, value: &str) -> Option<Contradiction> {
        let kept = self.text(name).unwrap_or_default();
        if same_meaning(name, &kept, value) {
            return None;
        }
        Some(Contradiction {
            name: name.to_owned(),
            kept,
            kept_from: self.origin(name).cloned().unwrap_or(Origin::Computed),
            dropped: value.to_owned(),
            dropped_from: origin,
        })
    }

    /// Sets what the environment says.
    pub fn set_environment(&mut self, lookup: impl Fn(&str) -> Option<String>) {
        for (variable, property, value) in environment_settings(lookup) {
            self.set(Origin::Environment(variable.to_owned()), property, &value);
        }
    }

    /// Sets the pairs of a properties file. Keys without the prefix `spark.` are left out and returned.
    pub fn set_file(&mut self, path: &str, pairs: &[(String, String)]) -> Vec<String> {
        let mut ignored = Vec::new();
        for (name, value) in pairs {
            if name.starts_with("spark.") {
                self.set(Origin::File(path.to_owned()), name, value);
            } else {
                ignored.push(name.clone());
            }
        }
        ignored
    }

    /// Removes the program's value, so that the layer below counts again.
    pub fn unset(&mut self, name: &str) {
        let name = canonical(name);
        if self.frozen && is_fixed(name) {
            return;
        }
        if let Some(layers) = self.values.get_mut(name) {
            layers.retain(|(origin, _)| *origin != Origin::Program);
        }
    }

    /// From now on application and static properties keep their values.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Whether [`Self::freeze`] was called.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The text in force, if somebody set one.
    pub fn explicit(&self, name: &str) -> Option<&str> {
        let layers = self.values.get(canonical(name))?;
        layers.last().map(|(_, value)| value.as_str())
    }

    /// The text in force, else the default.
    pub fn text(&self, name: &str) -> Option<String> {
        self.text_within(canonical(name), FALLBACK_DEPTH)
    }

    fn text_within(&self, name: &str, depth: usize) -> Option<String> {
        if let Some(value) = self.explicit(name) {
            return Some(value.to_owned());
        }
        match table::find(name)?.preset {
            Preset::Value(value) => Some(value.to_owned()),
            Preset::SameAs(other) if depth > 0 => self.text_within(other, depth - 1),
            Preset::SameAs(_) | Preset::None | Preset::Computed(_) => None,
        }
    }

    /// Where the text in force came from; `None` if it is the default.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        let layers = self.values.get(canonical(name))?;
        layers.last().map(|(origin, _)| origin)
    }

    /// Whether somebody set the property.
    pub fn is_set<T>(&self, property: &Property<T>) -> bool {
        self.explicit(property.name()).is_some()
    }

    /// The typed value in force, else the default.
    ///
    /// # Errors
    /// When the text is malformed, or nothing is set and there is no default.
    pub fn get<T: FromParsed>(&self, property: &Property<T>) -> Result<T, ConfError> {
        let info = &property.info;
        let Some(text) = self.text(info.name) else {
            return T::absent().ok_or_else(|| ConfError::Missing {
                name: info.name.to_owned(),
                expected: info.kind.expected(),
            });
        };
        self.parse(info, &text)
            .and_then(|parsed| T::from_parsed(parsed).ok_or_else(|| self.invalid(info, &text)))
    }

    fn parse(&self, info: &PropertyInfo, text: &str) -> Result<Parsed, ConfError> {
        info.kind.parse(text).ok_or_else(|| self.invalid(info, text))
    }

    fn invalid(&self, info: &PropertyInfo, text: &str) -> ConfError {
        ConfError::Invalid {
            name: info.name.to_owned(),
            value: text.to_owned(),
            origin: self.origin(info.name).map(ToString::to_string).unwrap_or_default(),
            expected: info.kind.expected(),
        }
    }

    /// Checks every known property that is set.
    ///
    /// # Errors
    /// The first malformed value, in the order of names.
    pub fn check(&self) -> Result<(), ConfError> {
        for name in self.values.keys() {
            if let (Some(info), Some(text)) = (table::find(name), self.explicit(name)) {
                self.parse(info, text)?;
            }
        }
        Ok(())
    }

    /// Checks one pair without storing it.
    ///
    /// # Errors
    /// When the property is known and the value is not of its kind.
    pub fn check_value(name: &str, value: &str) -> Result<(), ConfError> {
        match table::find(canonical(name)) {
            Some(info) if info.kind.parse(value).is_none() => Err(ConfError::Invalid {
                name: info.name.to_owned(),
                value: value.to_owned(),
                origin: String::new(),
                expected: info.kind.expected(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Values of different layers that disagree, where the lower one is not a mere default of the
    /// installation: a command-line value beaten by the program is worth a warning, an entry of
    /// `spark-defaults.conf` beaten by the command line is what the file is for.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        for (name, layers) in &self.values {
            let Some(((kept_from, kept), below)) = layers.split_last() else { continue };
            for (dropped_from, dropped) in below {
                let deliberate = matches!(dropped_from, Origin::CommandLine(_));
                if deliberate && !same_meaning(name, kept, dropped) {
                    found.push(Contradiction {
                        name: name.clone(),
                        kept: kept.clone(),
                        kept_from: kept_from.clone(),
                        dropped: dropped.clone(),
                        dropped_from: dropped_from.clone(),
                    });
                }
            }
        }
        found
    }

    /// Remarks about keys nobody knows, with the nearest known name where there is one.
    pub fn unknown_keys(&self) -> Vec<String> {
        let of_ours = |name: &&String| {
            name.starts_with("spark.mesos.") || name.starts_with("spark.ferrospark.")
        };
        self.values
            .keys()
            .filter(of_ours)
            .filter(|name| !table::is_known(name))
            .map(|name| match nearest(name) {
                Some(known) => format!("unknown property {name} is ignored; did you mean {known}?"),
                None => format!("unknown property {name} is ignored"),
            })
            .collect()
    }

    /// Every set key with its value in force, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().filter_map(|(name, layers)| {
            layers.last().map(|(_, value)| (name.as_str(), value.as_str()))
        })
    }

    /// Every set key under a prefix, without the prefix: `spark.executorEnv.`.
    pub fn with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        self.iter()
            .filter_map(|(name, value)| {
                let rest = name.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
                Some((rest.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// Whether a value must not be shown (Spark's `spark.redaction.regex`).
    pub fn is_secret(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        ["secret", "password", "token", "access.key", "accesskey"].iter().any(|w| name.contains(w))
    }

    /// Whether a session may change the key: a known SQL setting that is not static.
    pub fn is_modifiable(name: &str) -> bool {
        table::find(canonical(name)).is_some_and(|info| info.scope == Scope::Session)
    }
}

/// The key under which an alias is kept.
fn canonical(name: &str) -> &str {
    table::find(name).map_or(name, |info| info.name)
}

/// Whether a key is settled once the application runs: all known keys that are not of a session,
/// and the families of the application.
fn is_fixed(name: &str) -> bool {
    match table::find(name) {
        Some(info) => info.scope != Scope::Session,
        None => ["spark.executorEnv.", "spark.mesos.", "spark.executor.", "spark.driver."]
            .iter()
            .any(|prefix| name.starts_with(prefix)),
    }
}

/// Whether two texts mean the same for this property: `1024m` and `1g` do.
fn same_meaning(name: &str, left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    match table::find(name) {
        Some(info) => {
            let left = info.kind.parse(left);
            left.is_some() && left == info.kind.parse(right)
        }
        None => false,
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    table::all()
        .map(|info| (strsim::damerau_levenshtein(name, info.name), info.name))
        .min()
        .filter(|(distance, _)| *distance <= HINT_DISTANCE)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
