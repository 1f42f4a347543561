//! How much: a fixed-point number, intervals or words.

use std::collections::BTreeSet;
use std::fmt;

use crate::{Resource, ValueType, value};

/// Mesos computes scalars with three decimals so that sums do not drift.
const UNITS_PER_ONE: f64 = 1000.0;

/// An amount in normal form: ranges sorted and merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// In thousandths.
    Scalar(i64),
    Ranges(Vec<(u64, u64)>),
    Set(BTreeSet<String>),
}

pub(super) fn from_thousandths(thousandths: i64) -> f64 {
    // Sums in range of any cluster are exact in a double.
    thousandths as f64 / UNITS_PER_ONE
}

fn to_thousandths(value: f64) -> i64 {
    // `as` saturates and turns NaN into zero.
    (value * UNITS_PER_ONE).round() as i64
}

impl Amount {
    pub(super) fn of(resource: &Resource) -> Self {
        match resource.r#type() {
            ValueType::Ranges => {
                let ranges = resource.ranges.iter().flat_map(|ranges| &ranges.range);
                Self::Ranges(normalized(ranges.map(|range| (range.begin, range.end)).collect()))
            }
            ValueType::Set => {
                Self::Set(resource.set.iter().flat_map(|set| set.item.iter().cloned()).collect())
            }
            // A resource is never a text; an unknown one counts as nothing.
            ValueType::Scalar | ValueType::Text => Self::Scalar(
                resource.scalar.as_ref().map_or(0, |scalar| to_thousandths(scalar.value)),
            ),
        }
    }

    pub(super) fn store(self, resource: &mut Resource) {
        match self {
            Self::Scalar(thousandths) => {
                resource.scalar = Some(value::Scalar { value: from_thousandths(thousandths) });
            }
            Self::Ranges(ranges) => {
                let range =
                    ranges.into_iter().map(|(begin, end)| value::Range { begin, end }).collect();
                resource.ranges = Some(value::Ranges { range });
            }
            Self::Set(items) => {
                resource.set = Some(value::Set { item: items.into_iter().collect() });
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(thousandths) => *thousandths <= 0,
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(items) => items.is_empty(),
        }
    }

    pub(super) fn thousandths(&self) -> i64 {
        match self {
            Self::Scalar(thousandths) => *thousandths,
            Self::Ranges(_) | Self::Set(_) => 0,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(a.saturating_add(b)),
            (Self::Ranges(a), Self::Ranges(b)) => Self::Ranges(normalized([a, b].concat())),
            (Self::Set(mut a), Self::Set(b)) => {
                a.extend(b);
                Self::Set(a)
            }
            (a, _) => a,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(a.saturating_sub(b)),
            (Self::Ranges(a), Self::Ranges(b)) => Self::Ranges(ranges_minus(a, &b)),
            (Self::Set(a), Self::Set(b)) => Self::Set(&a - &b),
            (a, _) => a,
        }
    }

    /// What is in both.
    pub(super) fn common(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(*a.min(b)),
            (Self::Ranges(a), Self::Ranges(b)) => {
                Self::Ranges(ranges_minus(a.clone(), &ranges_minus(a.clone(), b)))
            }
            (Self::Set(a), Self::Set(b)) => Self::Set(a & b),
            _ => Self::Scalar(0),
        }
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => ranges_minus(b.clone(), a).is_empty(),
            (Self::Set(a), Self::Set(b)) => a.is_superset(b),
            _ => false,
        }
    }
}

/// Sorts, drops inverted intervals and merges those that overlap or touch.
fn normalized(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.retain(|(begin, end)| begin <= end);
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (begin, end) in ranges {
        match merged.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => merged.push((begin, end)),
        }
    }
    merged
}

/// Both in normal form.
fn ranges_minus(from: Vec<(u64, u64)>, taken: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut rest = Vec::with_capacity(from.len());
    for (mut begin, end) in from {
        let mut consumed = false;
        for &(taken_begin, taken_end) in taken {
            if taken_end < begin || taken_begin > end {
                continue;
            }
            if taken_begin > begin {
                rest.push((begin, taken_begin - 1));
            }
            if taken_end >= end {
                consumed = true;
                break;
            }
            begin = taken_end + 1;
        }
        if !consumed {
            rest.push((begin, end));
        }
    }
    rest
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(thousandths) => write!(f, "{}", from_thousandths(*thousandths)),
            Self::Ranges(ranges) => {
                let parts: Vec<_> = ranges.iter().map(|(b, e)| format!("{b}-{e}")).collect();
                write!(f, "[{}]", parts.join(", "))
            }
            Self::Set(items) => {
                let parts: Vec<_> = items.iter().map(String::as_str).collect();
                write!(f, "{{{}}}", parts.join(", "))
            }
        }
    }
}
