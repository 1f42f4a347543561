//! Texts to values by the rules of Java and of Spark's casts.

pub(crate) mod datetime;
pub(crate) mod number;
pub(crate) mod pattern;
pub(crate) mod zone;
