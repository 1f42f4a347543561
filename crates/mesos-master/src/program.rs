//! The master as a program.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::MasterOptions;

/// Runs a master with these arguments, of which the first is the program's name, until a signal ends
/// it. The caller has set up logging and a runtime.
pub async fn run_program(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match MasterOptions::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let master = match crate::start(options).await {
        Ok(master) => master,
        Err(error) => return fail(&error),
    };
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        (Err(error), _) | (_, Err(error)) => return fail(&error),
    }
    master.shutdown().await;
    ExitCode::SUCCESS
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
