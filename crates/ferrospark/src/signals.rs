//! The signals that tell a driver to end.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::exit;

/// SIGINT, SIGTERM and SIGHUP, once each is waited for.
pub(crate) struct EndSignals {
    interrupt: Stream,
    /// Unset, an interrupt is for what runs in the shell, which goes on.
    interrupt_ends: bool,
    terminate: Stream,
    /// None under `nohup`, which has it ignored: the application outlives its terminal then.
    hang_up: Option<Stream>,
}

/// The signal by which the driver was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndSignal(pub(crate) nix::sys::signal::Signal);

impl EndSignals {
    /// Takes the signals from now on; before, they end the process by themselves.
    ///
    /// # Errors
    /// When the system does not let them be taken.
    pub(crate) fn take() -> io::Result<Self> {
        let hang_up = SignalKind::hangup();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let nohup = is_ignored(&status, hang_up.as_raw_value());
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            interrupt_ends: true,
            terminate: signal(SignalKind::terminate())?,
            hang_up: if nohup { None } else { Some(signal(hang_up)?) },
        })
    }

    /// Of a shell, which the terminal's interrupt reaches as well.
    pub(crate) fn passing_interrupts(self) -> Self {
        Self { interrupt_ends: false, ..self }
    }

    /// Waits for one of them and says that it came: an application must not end without a word.
    pub(crate) async fn next(&mut self) -> EndSignal {
        use nix::sys::signal::Signal;
        let hang_up = async {
            match &mut self.hang_up {
                Some(stream) => stream.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(hang_up);
        let signal = loop {
            tokio::select! {
                _ = self.interrupt.recv() => {
                    if self.interrupt_ends {
                        break Signal::SIGINT;
                    }
                }
                _ = self.terminate.recv() => break Signal::SIGTERM,
                _ = &mut hang_up => break Signal::SIGHUP,
            }
        };
        exit::note(&format!("error: the application was ended by {signal}"));
        EndSignal(signal)
    }
}

impl EndSignal {
    /// 128 and the signal's number, as shells report it.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(u8::try_from(128 + self.0 as i32).unwrap_or(1))
    }
}

/// Whether a process whose `/proc/PID/status` this is ignores the signal.
fn is_ignored(status: &str, number: i32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(status, 1));
        assert!(is_ignored(status, 13));
        assert!(!is_ignored(status, 2));
        assert!(!is_ignored("", 1));
    }

    #[test]
    fn codes_are_those_of_shells() {
        let code = |signal| format!("{:?}", EndSignal(signal).code());
        assert_eq!(code(nix::sys::signal::Signal::SIGHUP), format!("{:?}", ExitCode::from(129)));
        assert_eq!(code(nix::sys::signal::Signal::SIGTERM), format!("{:?}", ExitCode::from(143)));
    }
}
