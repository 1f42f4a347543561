//! Staged answers against plain DataFusion's: in one executor, in two, in processes that die.

mod cluster;
mod codec;
mod failures;
mod plans;
