//! A seeded world around the scheduler, which breaks what can break and checks what must hold.
//!
//! The world runs the tasks it is told to run. It knows which map output really exists, and for
//! each of it from which runs of indeterminate stages it was made: so it knows whether the results
//! used for a job fit together. Checked are: a result is used once per partition; no partition is
//! lost or doubled (all readers saw the same run of each indeterminate map task); no slot is given
//! twice; no task runs without its input or for output that is there; attempts are bounded; nothing
//! is released that is in use; output is computed again only if it was lost; everything ends.

mod checks;
mod random;
mod world;

pub use random::Random;
pub use world::{SimulationReport, simulate};
