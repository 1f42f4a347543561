//! Spark's analyzer and planner over DataFusion: names, types and clauses of the plan language become a DataFusion
//! plan with Spark's semantics; sessions, catalog and commands around it.
//!
//! The way in: a [`Session`](session::Session) keeps settings and views; a [`Resolver`] turns a relation into a
//! [`ResolvedPlan`]; [`plan_physical`] makes it executable for one of the two [`Mode`]s. It must not know sockets,
//! Mesos, stages or executors.

mod broadcast;
pub mod cache;
pub mod catalog;
pub mod codec;
mod command;
pub mod convert;
pub mod errors;
mod field;
mod finer;
mod literals;
mod nodes;
pub mod operators;
mod physical;
pub mod range;
mod render;
mod resolver;
mod session;
pub mod settings;
mod sources;
mod state;
mod text;
mod visit;

pub use command::{CommandOutput, TableMode, TableWrite, execute_command, save, save_as_table};
pub use field::{OutputField, ResolvedPlan, schema_of};
pub use physical::{explain, plan_physical};
pub use render::{Render, html_string, show_string, tree_string};
pub use resolver::{QueryRunner, Resolver};
pub use session::{Session, SharedState};
pub use state::Mode;
pub use text::cell_texts;
