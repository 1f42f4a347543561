//! The wire form of the crate's own plan nodes.
