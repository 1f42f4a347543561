//! Formatting and encoding of values as text.

use crate::signature::Function;
use crate::udf::Definition;

pub(crate) const FUNCTIONS: &[Function] = &[];
pub(crate) const DEFINITIONS: &[Definition] = &[];
