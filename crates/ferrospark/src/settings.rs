//! The command line that `spark-submit`, `spark-sql` and `pyspark` share, and the configuration made of it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use spark_conf::{Origin, SparkConf};

/// Spark's options, by where they go.
#[derive(Debug, Default)]
pub(crate) struct CommandLine {
    /// Flag as written, property, value.
    settings: Vec<(String, String, String)>,
    properties_file: Option<PathBuf>,
    pub(crate) py_files: Vec<String>,
    pub(crate) verbose: bool,
    pub(crate) help: bool,
    pub(crate) version: bool,
    /// What is left from the first word that is no option: the application and its arguments.
    pub(crate) rest: Vec<String>,
}

/// Flags with a value and the property each sets.
const FLAGS: &[(&str, &str)] = &[
    ("--master", "spark.master"),
    ("--deploy-mode", "spark.submit.deployMode"),
    ("--name", "spark.app.name"),
    ("--driver-memory", "spark.driver.memory"),
    ("--driver-cores", "spark.driver.cores"),
    ("--driver-class-path", "spark.driver.extraClassPath"),
    ("--driver-java-options", "spark.driver.extraJavaOptions"),
    ("--driver-library-path", "spark.driver.extraLibraryPath"),
    ("--executor-memory", "spark.executor.memory"),
    ("--executor-cores", "spark.executor.cores"),
    ("--total-executor-cores", "spark.cores.max"),
    ("--num-executors", "spark.executor.instances"),
    ("--py-files", "spark.submit.pyFiles"),
    ("--files", "spark.files"),
    ("--archives", "spark.archives"),
    ("--jars", "spark.jars"),
    ("--packages", "spark.jars.packages"),
    ("--repositories", "spark.jars.repositories"),
    ("--class", "spark.ferrospark.mainClass"),
    ("--queue", "spark.yarn.queue"),
    ("--principal", "spark.kerberos.principal"),
    ("--keytab", "spark.kerberos.keytab"),
];

/// Reads options up to the first word that is none. `own` takes flags that only one program has.
pub(crate) fn parse(
    words: &[String],
    mut own: impl FnMut(&str, &mut dyn FnMut() -> anyhow::Result<String>) -> anyhow::Result<bool>,
) -> anyhow::Result<CommandLine> {
    let mut line = CommandLine::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if !word.starts_with('-') || word == "-" {
            break;
        }
        at += 1;
        let (flag, attached) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let mut value = || -> anyhow::Result<String> {
            if let Some(value) = &attached {
                return Ok(value.clone());
            }
            let value = words.get(at).cloned();
            at += 1;
            value.with_context(|| format!("{flag} needs a value"))
        };
        if let Some((_, property)) = FLAGS.iter().find(|(name, _)| *name == flag) {
            let text = value()?;
            if *property == "spark.submit.pyFiles" {
                line.py_files.extend(text.split(',').filter(|f| !f.is_empty()).map(str::to_owned));
            }
            line.settings.push((flag.to_owned(), (*property).to_owned(), text));
            continue;
        }
        match flag {
            "--conf" | "-c" => {
                let text = value()?;
                let (key, setting) = text.split_once('=').with_context(|| {
                    format!("{flag} {text:?} is not a setting; expected PROPERTY=VALUE")
                })?;
                line.settings.push((
                    format!("{flag} {key}"),
                    key.trim().to_owned(),
                    setting.trim().to_owned(),
                ));
            }
            "--properties-file" => line.properties_file = Some(PathBuf::from(value()?)),
            "--verbose" | "-v" => line.verbose = true,
            "--help" | "-h" => line.help = true,
            "--version" => line.version = true,
            "--supervise" => line.settings.push((
                flag.to_owned(),
                "spark.driver.supervise".to_owned(),
                "true".to_owned(),
            )),
            _ if own(flag, &mut value)? => {}
            _ => anyhow::bail!("unrecognized option {flag:?}; --help lists the options"),
        }
    }
    line.rest = words[at.min(words.len())..].to_vec();
    Ok(line)
}

impl CommandLine {
    /// The configuration: environment, then the properties file, then the command line; each value is checked.
    pub(crate) fn configuration(&self) -> anyhow::Result<SparkConf> {
        let mut conf = SparkConf::new();
        conf.set_environment(|name| std::env::var(name).ok());
        if let Some(path) = self.file() {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read the properties file {}", path.display()))?;
            let pairs = spark_conf::parse_properties(&text)
                .with_context(|| format!("the properties file {} is malformed", path.display()))?;
            for warning in conf.set_file(&path.display().to_string(), &pairs) {
                crate::exit::note(&format!("warning: {warning}"));
            }
        }
        for (flag, property, value) in &self.settings {
            conf.set(Origin::CommandLine(flag.clone()), property, value);
        }
        conf.check()?;
        for contradiction in conf.contradictions() {
            tracing::debug!(%contradiction, "a setting is overridden");
        }
        for hint in conf.unknown_keys() {
            crate::exit::note(&format!("warning: {hint}"));
        }
        Ok(conf)
    }

    fn file(&self) -> Option<PathBuf> {
        if let Some(path) = &self.properties_file {
            return Some(path.clone());
        }
        let path = configuration_folder()?.join("spark-defaults.conf");
        path.is_file().then_some(path)
    }
}

/// `SPARK_CONF_DIR`, or `conf` under the home.
pub(crate) fn configuration_folder() -> Option<PathBuf> {
    match std::env::var_os("SPARK_CONF_DIR") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(spark_home()?.join("conf")),
    }
}

/// `SPARK_HOME`, or the folder above the one this program lies in when that looks like a home.
pub(crate) fn spark_home() -> Option<PathBuf> {
    if let Some(home) = std::env::var_os("SPARK_HOME") {
        return Some(PathBuf::from(home));
    }
    let program = std::env::current_exe().ok()?;
    let home = program.parent().and_then(Path::parent)?;
    home.join("bin/spark-class").is_file().then(|| home.to_owned())
}

/// Logging to standard error: `FERROSPARK_LOG` (as `RUST_LOG`), warnings otherwise, information with `--verbose`.
pub(crate) fn start_logging(verbose: bool) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(log_filter(if verbose { "info" } else { "warn" }))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}

/// Logging to a file, with information.
pub(crate) fn start_logging_to(file: std::fs::File) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(log_filter("info"))
        .with_writer(std::sync::Mutex::new(file))
        .with_ansi(false)
        .try_init();
}

fn log_filter(default: &str) -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_env("FERROSPARK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn no_own(_: &str, _: &mut dyn FnMut() -> anyhow::Result<String>) -> anyhow::Result<bool> {
        Ok(false)
    }

    #[test]
    fn options_end_at_the_application() {
        let line = parse(
            &words("--master local[2] --conf spark.cores.max=3 --name=x app.py --master other"),
            no_own,
        )
        .unwrap();
        assert_eq!(line.rest, words("app.py --master other"));
        let conf = line.configuration().unwrap();
        assert_eq!(conf.text("spark.master").as_deref(), Some("local[2]"));
        assert_eq!(conf.text("spark.cores.max").as_deref(), Some("3"));
        assert_eq!(conf.text("spark.app.name").as_deref(), Some("x"));
    }

    #[test]
    fn bad_options_say_which() {
        let error = |text: &str| parse(&words(text), no_own).unwrap_err().to_string();
        assert_eq!(
            error("--nonsense x"),
            "unrecognized option \"--nonsense\"; --help lists the options"
        );
        assert_eq!(error("--master"), "--master needs a value");
        assert_eq!(
            error("--conf spark.x"),
            "--conf \"spark.x\" is not a setting; expected PROPERTY=VALUE"
        );
        for value in ["0", "-5g", "abc"] {
            let line = parse(&words(&format!("--executor-memory {value}")), no_own).unwrap();
            let error = line.configuration().unwrap_err().to_string();
            assert!(
                error.contains("spark.executor.memory")
                    && error.contains(value)
                    && error.contains("--executor-memory"),
                "{error}"
            );
        }
    }
}
