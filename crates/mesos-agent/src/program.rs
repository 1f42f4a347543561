//! The agent as a program.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{AgentOptions, StartError};

/// Runs an agent with these arguments, of which the first is the program's name, until a signal ends
/// it. The caller has set up logging and a runtime.
pub async fn run_program(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match AgentOptions::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let agent = match crate::start(options).await {
        Ok(agent) => agent,
        Err(error) => return fail(&error),
    };
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (mut interrupt, mut terminate) = match (interrupt, terminate) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return fail(&error),
    };
    let refused = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        reason = agent.refused() => Some(reason),
    };
    agent.shutdown().await;
    match refused {
        Some(reason) => fail(&StartError::Refused(reason)),
        None => ExitCode::SUCCESS,
    }
}

/// Prints an error with its causes on one line.
#[expect(clippy::print_stderr, reason = "the rim of a program")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    eprintln!("error: {text}");
    ExitCode::FAILURE
}
