//! The progress line of a terminal: one bar for each running stage, as Spark's `ConsoleProgressBar` draws it.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use spark_exec::Engine;
use spark_exec::engine::StageProgress;
use tokio::task::JoinHandle;

/// How often the line is drawn, and how long a stage runs before it shows (Spark: 200 ms and 500 ms).
const REFRESH: Duration = Duration::from_millis(200);
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// Stages drawn side by side.
const SHOWN: usize = 3;
/// Width when the terminal does not say.
const DEFAULT_WIDTH: usize = 80;

/// Whether the bar is wanted: asked for, or standard error is a terminal.
pub(crate) fn wanted(setting: Option<bool>) -> bool {
    setting.unwrap_or_else(|| std::io::stderr().is_terminal())
}

/// Draws until the handle is aborted.
pub(crate) fn start(engine: Engine) -> JoinHandle<()> {
    tokio::spawn(async move {
        let width = terminal_width();
        let mut drawn = false;
        let mut seen = HashMap::new();
        loop {
            tokio::time::sleep(REFRESH).await;
            let now = Instant::now();
            let mut stages = engine.progress().await;
            let before = std::mem::take(&mut seen);
            stages.retain(|stage| {
                let key = (stage.stage, stage.attempt);
                let first = before.get(&key).copied().unwrap_or(now);
                seen.insert(key, first);
                now - first >= FIRST_DELAY && stage.succeeded < stage.total
            });
            stages.truncate(SHOWN);
            let bars: Vec<Bar> = stages.iter().map(Bar::from).collect();
            let line = line(&bars, width);
            if line.is_empty() && !drawn {
                continue;
            }
            let mut out = std::io::stderr().lock();
            // A carriage return and blanks take the old line away.
            let _ = write!(out, "\r{line:width$}\r{line}");
            let _ = out.flush();
            drawn = !line.is_empty();
        }
    })
}

/// One stage's counts.
struct Bar {
    stage: String,
    finished: usize,
    running: usize,
    total: usize,
}

impl From<&StageProgress> for Bar {
    fn from(progress: &StageProgress) -> Self {
        let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            stage: progress.stage.to_string(),
            finished: number(progress.succeeded),
            running: number(progress.running),
            total: number(progress.total),
        }
    }
}

fn terminal_width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_WIDTH)
}

/// `[Stage 3:====>   (37 + 2) / 200]`, side by side for several stages.
fn line(stages: &[Bar], width: usize) -> String {
    if stages.is_empty() {
        return String::new();
    }
    let each = width / stages.len();
    stages
        .iter()
        .map(|stage| {
            let header = format!("[Stage {}:", stage.stage);
            let tail = format!("({} + {}) / {}]", stage.finished, stage.running, stage.total);
            let room = each.saturating_sub(header.len() + tail.len());
            let filled = room * stage.finished / stage.total.max(1);
            let bar: String = (0..room)
                .map(|at| match at.cmp(&filled) {
                    std::cmp::Ordering::Less => '=',
                    std::cmp::Ordering::Equal => '>',
                    std::cmp::Ordering::Greater => ' ',
                })
                .collect();
            format!("{header}{bar}{tail}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(stage: u64, finished: usize, running: usize, total: usize) -> Bar {
        Bar { stage: stage.to_string(), finished, running, total }
    }

    #[test]
    fn the_line_looks_like_sparks() {
        assert_eq!(
            line(&[stage(3, 37, 2, 200)], 50),
            "[Stage 3:====>                     (37 + 2) / 200]"
        );
        assert_eq!(line(&[], 50), "");
    }
}
