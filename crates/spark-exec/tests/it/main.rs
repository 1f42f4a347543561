//! Staged answers against plain DataFusion's: in one executor, in two, in processes that die.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod cluster;
mod codec;
mod failures;
mod files;
mod hints;
mod kept;
mod leaving;
mod measured;
mod offered;
mod plans;
mod random;
mod reuse;
mod runtime_filters;
mod service;
mod writes;
