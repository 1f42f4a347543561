//! The master from outside.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod http;
mod server;
mod zookeeper;
