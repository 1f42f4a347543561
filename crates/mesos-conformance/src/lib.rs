//! Does a Mesos master, with its agents, behave as Apache Mesos does? Forty behaviours ([`suite::BEHAVIOURS`])
//! taken from Mesos' own tests, each tried by checks that drive any master over its API: ours, genuine Apache
//! Mesos, or one that is there. The client they are driven with is `mesos-client`, which is tried at the same time.

pub mod bench;
pub mod checks;
pub mod cluster;
pub mod document;
pub mod executor;
pub mod fuzz;
pub mod lab;
pub mod runner;
pub mod suite;
pub mod wire;
