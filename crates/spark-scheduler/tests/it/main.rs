//! Tests of the scheduler from outside.

mod scenarios;
mod script;
mod simulation;
