//! `bin/spark-sql`: statements from the command line, a file or a terminal, straight into the driver.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use reedline::{
    DefaultPrompt, DefaultPromptSegment, FileBackedHistory, Reedline, Signal, ValidationResult,
    Validator,
};
use spark_connect::direct::DirectSession;

use crate::driver::Driver;
use crate::signals::EndSignals;
use crate::{exit, settings, submit};

const USAGE: &str = "spark-sql [options] [-e STATEMENTS | -f FILE]";
/// Lines of history kept.
const HISTORY: usize = 10_000;

pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    let mut statements: Vec<String> = Vec::new();
    let mut file: Option<PathBuf> = None;
    let mut header = false;
    let line = settings::parse(words, |flag, value| {
        match flag {
            "-e" => statements.push(value()?),
            "-f" => file = Some(PathBuf::from(value()?)),
            "-S" | "--silent" => {}
            "--header" => header = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if line.help || line.version {
        return submit::help_or_version(&line, USAGE);
    }
    if let Some(extra) = line.rest.first() {
        anyhow::bail!("unexpected argument {extra:?}; usage: {USAGE}");
    }
    settings::start_logging(line.verbose);
    let mut conf = line.configuration()?;
    conf.set(spark_conf::Origin::Computed, "spark.app.name", "SparkSQL");
    let header = header || conf.text("spark.sql.cli.print.header").as_deref() == Some("true");
    submit::run_with_driver(conf, async |driver| {
        if let Some(file) = &file {
            return run_file(driver, file).await;
        }
        let session = session(driver);
        if !statements.is_empty() {
            return script(&session, &statements.join(";\n"), header).await;
        }
        if std::io::stdin().is_terminal() {
            return interactive(&session, header).await;
        }
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        script(&session, &text, header).await
    })
}

/// Runs the statements of a file, as `spark-sql -f` and `spark-submit report.sql` do.
pub(crate) async fn run_file(driver: &Driver, file: &Path) -> anyhow::Result<ExitCode> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    script(&session(driver), &text, false).await
}

fn session(driver: &Driver) -> DirectSession {
    DirectSession::new(
        std::sync::Arc::clone(&driver.application) as _,
        std::sync::Arc::clone(&driver.shared),
    )
}

/// Runs statements one after the other up to the first error.
async fn script(session: &DirectSession, text: &str, header: bool) -> anyhow::Result<ExitCode> {
    let mut signals = EndSignals::take()?;
    let all = async {
        for statement in spark_sql_parser::parse_script(text) {
            if let Err(error) = run(session, statement, header).await {
                exit::note(&format!("error: {error}"));
                return ExitCode::from(1);
            }
        }
        ExitCode::SUCCESS
    };
    Ok(tokio::select! {
        code = all => code,
        signal = signals.next() => signal.code(),
    })
}

/// Prints the rows of one statement as `spark-sql` does: values between tabs.
async fn run(session: &DirectSession, statement: &str, header: bool) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    let mut rows = session.execute(statement).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout());
    if header && !rows.columns().is_empty() {
        writeln!(out, "{}", rows.columns().join("\t"))?;
    }
    let mut fetched = 0_usize;
    while let Some(lines) = rows.next().await? {
        for line in &lines {
            writeln!(out, "{}", line.join("\t"))?;
        }
        fetched += lines.len();
    }
    out.flush()?;
    if std::io::stderr().is_terminal() {
        let seconds = started.elapsed().as_secs_f64();
        exit::note(&format!("Time taken: {seconds:.3} seconds, Fetched {fetched} row(s)"));
    }
    Ok(())
}

/// A statement ends at a semicolon.
struct Semicolon;

impl Validator for Semicolon {
    fn validate(&self, line: &str) -> ValidationResult {
        let line = line.trim_end();
        let word = line.trim().trim_end_matches(';').to_ascii_lowercase();
        if line.is_empty() || line.ends_with(';') || matches!(word.as_str(), "quit" | "exit") {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

async fn interactive(session: &DirectSession, header: bool) -> anyhow::Result<ExitCode> {
    let history = std::env::var_os("HOME")
        .map(|home| PathBuf::from(home).join(".ferrospark_sql_history"))
        .unwrap_or_else(|| PathBuf::from(".ferrospark_sql_history"));
    let mut editor = Reedline::create().with_validator(Box::new(Semicolon));
    match FileBackedHistory::with_file(HISTORY, history.clone()) {
        Ok(history) => editor = editor.with_history(Box::new(history)),
        Err(error) => {
            exit::note(&format!("warning: no history in {}: {error}", history.display()));
        }
    }
    let prompt = DefaultPrompt::new(
        DefaultPromptSegment::Basic("spark-sql".to_owned()),
        DefaultPromptSegment::Empty,
    );
    exit::note(&format!("{}; statements end with ';', quit; leaves", crate::version()));
    loop {
        let signal = tokio::task::block_in_place(|| editor.read_line(&prompt))?;
        match signal {
            Signal::Success(text) => {
                let word = text.trim().trim_end_matches(';').trim().to_ascii_lowercase();
                if matches!(word.as_str(), "quit" | "exit") {
                    return Ok(ExitCode::SUCCESS);
                }
                for statement in spark_sql_parser::parse_script(&text) {
                    let outcome = tokio::select! {
                        outcome = run(session, statement, header) => outcome,
                        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("the statement was cancelled")),
                    };
                    if let Err(error) = outcome {
                        exit::note(&format!("error: {error}"));
                        break;
                    }
                }
            }
            Signal::CtrlC => {}
            _ => return Ok(ExitCode::SUCCESS),
        }
    }
}
