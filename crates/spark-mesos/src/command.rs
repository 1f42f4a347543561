//! What an agent runs: the executor's command, environment and URIs.
//!
//! The command is a list of arguments, never shell text.

use mesos_api::command_info::Uri;
use mesos_api::environment::Variable;
use mesos_api::{CommandInfo, Environment};
use spark_conf::{SparkConf, table};

use crate::forms;
use crate::ports::ExecutorPorts;
use crate::settings::SettingsError;

/// The reference's classes, so that scripts which look for them in process lists still find them.
const COARSE_CLASS: &str = "org.apache.spark.executor.CoarseGrainedExecutorBackend";
const FINE_CLASS: &str = "org.apache.spark.executor.MesosExecutorBackend";
/// Family of variables for executors.
const EXECUTOR_ENVIRONMENT: &str = "spark.executorEnv.";
/// The program inside a home.
const SPARK_CLASS: &str = "bin/spark-class";
/// What `bin/spark-class` puts before `LD_LIBRARY_PATH`, as the reference's command does.
const LIBRARY_PATH: &str = "SPARK_EXECUTOR_LIBRARY_PATH";
/// Where Docker containers see their sandbox.
const DOCKER_SANDBOX: &str = "/mnt/mesos/sandbox";
/// Extensions of archives the fetcher unpacks, longest first.
const ARCHIVES: &[&str] =
    &[".tar.bz2", ".tar.gz", ".tar.xz", ".tbz2", ".tar", ".tgz", ".txz", ".zip", ".gz"];

/// What the driver knows when executors are launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchContext {
    /// Where executors dial: `spark://HOST:PORT`.
    pub driver_url: String,
    /// The application's secret, for `_SPARK_AUTH_SECRET`.
    pub secret: String,
    /// `SPARK_USER`.
    pub user: String,
}

/// The executor's program as the configuration has it.
#[derive(Debug, Clone)]
pub struct Program {
    place: Place,
    uris: Vec<Uri>,
    environment: Vec<(String, String)>,
    secrets: Vec<Variable>,
    in_docker: bool,
    pass_hostname: bool,
}

#[derive(Debug, Clone)]
enum Place {
    /// On every agent.
    Home(String),
    /// Top directory of a fetched archive.
    Archive(String),
}

/// One executor, for its command line.
pub(crate) struct ExecutorArguments<'a> {
    pub(crate) executor_id: &'a str,
    pub(crate) hostname: &'a str,
    /// Task slots; `None` in fine-grained mode, where each Mesos task is one.
    pub(crate) cores: Option<u64>,
    pub(crate) app_id: &'a str,
    pub(crate) ports: ExecutorPorts,
}

impl Program {
    pub(crate) fn from_conf(
        conf: &SparkConf,
        spark_home: Option<&str>,
        secrets: Vec<Variable>,
    ) -> Result<Self, SettingsError> {
        let archive = conf.get(&table::EXECUTOR_URI)?;
        Ok(Self {
            place: place(conf, archive.as_deref(), spark_home)?,
            uris: uris(conf)?,
            environment: environment(conf)?,
            secrets,
            in_docker: conf.get(&table::MESOS_DOCKER_IMAGE)?.is_some()
                && conf.get(&table::MESOS_CONTAINERIZER)? == "docker",
            // In a network of its own a container is not reached by its agent's name (SPARK-28778).
            pass_hostname: match conf.get(&table::MESOS_NETWORK_NAME)?.as_deref() {
                None | Some("host" | "bridge") => true,
                Some(_) => false,
            },
        })
    }

    pub(crate) fn command(
        &self,
        context: &LaunchContext,
        executor: &ExecutorArguments<'_>,
    ) -> CommandInfo {
        let program = self.path();
        let class = if executor.cores.is_some() { COARSE_CLASS } else { FINE_CLASS };
        // The Docker containerizer hands all arguments to the program, all others take the first for its name.
        let name = (!self.in_docker).then(|| program.clone());
        let mut arguments: Vec<String> = name.into_iter().chain([class.to_owned()]).collect();
        let mut flag = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value]);
            }
        };
        flag("--driver-url", Some(context.driver_url.clone()));
        flag("--executor-id", Some(executor.executor_id.to_owned()));
        flag("--cores", executor.cores.map(|cores| cores.to_string()));
        flag("--app-id", Some(executor.app_id.to_owned()));
        flag("--hostname", self.pass_hostname.then(|| executor.hostname.to_owned()));
        flag("--block-manager-port", executor.ports.listen.map(|port| port.to_string()));
        flag("--advertised-port", executor.ports.advertised.map(|port| port.to_string()));
        let own = [
            ("SPARK_USER".to_owned(), context.user.clone()),
            ("_SPARK_AUTH_SECRET".to_owned(), context.secret.clone()),
        ];
        let mut environment = Environment::of(self.environment.iter().cloned().chain(own));
        environment.variables.extend(self.secrets.iter().cloned());
        CommandInfo {
            uris: self.uris.clone(),
            environment: Some(environment),
            shell: Some(false),
            value: Some(program),
            arguments,
            user: None,
        }
    }

    fn path(&self) -> String {
        match &self.place {
            Place::Home(home) => format!("{home}/{SPARK_CLASS}"),
            Place::Archive(directory) if self.in_docker => {
                format!("{DOCKER_SANDBOX}/{directory}/{SPARK_CLASS}")
            }
            Place::Archive(directory) => format!("./{directory}/{SPARK_CLASS}"),
        }
    }
}

fn place(
    conf: &SparkConf,
    archive: Option<&str>,
    spark_home: Option<&str>,
) -> Result<Place, SettingsError> {
    let Some(uri) = archive else {
        let home = conf.get(&table::MESOS_EXECUTOR_HOME)?;
        if let Some(home) = &home {
            forms::absolute_path(table::MESOS_EXECUTOR_HOME.name(), home)?;
        }
        let home = match home {
            Some(home) => Some(home),
            None => conf.get(&table::HOME)?,
        };
        return match home.as_deref().or(spark_home) {
            Some(home) => Ok(Place::Home(home.trim_end_matches('/').to_owned())),
            None => Err(SettingsError::Conflict(
                "executor Spark home spark.mesos.executor.home is not set; set it, or spark.executor.uri"
                    .to_owned(),
            )),
        };
    };
    if let Some(directory) = conf.get(&table::EXECUTOR_ARCHIVE_DIRECTORY)? {
        return Ok(Place::Archive(directory.trim_matches('/').to_owned()));
    }
    let name = uri.split(['?', '#']).next().unwrap_or_default();
    let name = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let extension = ARCHIVES.iter().find(|extension| name.ends_with(**extension));
    match extension.and_then(|extension| name.strip_suffix(extension)) {
        Some(directory) if !directory.is_empty() => Ok(Place::Archive(directory.to_owned())),
        Some(_) | None => Err(SettingsError::Value {
            property: table::EXECUTOR_URI.name(),
            value: uri.to_owned(),
            problem: format!(
                "the fetcher unpacks only {}; expected an archive of one of them",
                ARCHIVES.join(" ")
            ),
        }),
    }
}

/// The environment of the configuration: `SPARK_EXECUTOR_MEMORY`, library path, `spark.executorEnv.*`.
fn environment(conf: &SparkConf) -> Result<Vec<(String, String)>, SettingsError> {
    let memory = conf.get(&table::EXECUTOR_MEMORY)? >> 20;
    let mut variables = vec![("SPARK_EXECUTOR_MEMORY".to_owned(), format!("{memory}m"))];
    if let Some(path) = conf.get(&table::EXECUTOR_EXTRA_LIBRARY_PATH)? {
        variables.push((LIBRARY_PATH.to_owned(), path));
    }
    variables.extend(self::variables(conf, EXECUTOR_ENVIRONMENT)?);
    Ok(variables)
}

/// The variables of a family of properties.
pub(crate) fn variables(
    conf: &SparkConf,
    family: &'static str,
) -> Result<Vec<(String, String)>, SettingsError> {
    let variables = conf.with_prefix(family);
    match variables.iter().find(|(name, value)| name.contains(['=', '\0']) || value.contains('\0'))
    {
        Some((name, value)) => Err(SettingsError::Conflict(format!(
            "{family}{name}: {value:?} is not valid: expected the name of a variable after {family}, \
             without =, and no zero byte"
        ))),
        None => Ok(variables),
    }
}

/// `spark.executor.uri`, then `spark.mesos.uris`, for the fetcher.
pub(crate) fn uris(conf: &SparkConf) -> Result<Vec<Uri>, SettingsError> {
    let cache = conf.get(&table::MESOS_FETCHER_CACHE)?;
    let mut uris = Vec::new();
    let mut add = |property: &'static str, value: String| {
        forms::fetchable(property, &value)?;
        uris.push(Uri { value, cache: Some(cache), ..Uri::default() });
        Ok::<(), SettingsError>(())
    };
    if let Some(archive) = conf.get(&table::EXECUTOR_URI)? {
        add(table::EXECUTOR_URI.name(), archive)?;
    }
    for value in conf.get(&table::MESOS_URIS)? {
        add(table::MESOS_URIS.name(), value)?;
    }
    Ok(uris)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use spark_conf::Origin;

    fn check(settings: &[(&str, &str)], home: Option<&str>, expected: Expect) {
        let mut conf = SparkConf::new();
        for (key, value) in settings {
            conf.set(Origin::Program, key, value);
        }
        let context = LaunchContext {
            driver_url: "spark://10.0.0.1:7000".to_owned(),
            secret: "s3".to_owned(),
            user: "me".to_owned(),
        };
        let executor = ExecutorArguments {
            executor_id: "3",
            hostname: "agent1",
            cores: Some(2),
            app_id: "F-1",
            ports: ExecutorPorts { listen: Some(7000), advertised: None },
        };
        let out = match Program::from_conf(&conf, home, Vec::new()) {
            Ok(program) => {
                let command = program.command(&context, &executor);
                let uris: Vec<_> =
                    command.uris.iter().map(|u| (u.value.as_str(), u.cache())).collect();
                let variables: Vec<_> = command
                    .environment
                    .iter()
                    .flat_map(|e| &e.variables)
                    .map(|v| format!("{}={}", v.name, v.value()))
                    .collect();
                assert_eq!(command.shell, Some(false));
                let in_docker = settings.iter().any(|(key, _)| key.contains("docker.image"));
                assert_eq!(command.value() == command.arguments[0], !in_docker);
                let name = in_docker.then(|| command.value().to_owned());
                let words: Vec<String> = name.into_iter().chain(command.arguments).collect();
                format!("{}\n{}\n{uris:?}\n", words.join(" "), variables.join(" "))
            }
            Err(error) => format!("{error}\n"),
        };
        expected.assert_eq(&out);
    }

    #[test]
    fn from_a_home() {
        check(
            &[("spark.executorEnv.A", "1")],
            Some("/opt/spark"),
            expect![[r#"
                /opt/spark/bin/spark-class org.apache.spark.executor.CoarseGrainedExecutorBackend --driver-url spark://10.0.0.1:7000 --executor-id 3 --cores 2 --app-id F-1 --hostname agent1 --block-manager-port 7000
                SPARK_EXECUTOR_MEMORY=1024m A=1 SPARK_USER=me _SPARK_AUTH_SECRET=s3
                []
            "#]],
        );
        check(
            &[("spark.mesos.executor.home", "/other/./x/"), ("spark.mesos.network.name", "n")],
            Some("/opt/spark"),
            expect![[r#"
                /other/./x/bin/spark-class org.apache.spark.executor.CoarseGrainedExecutorBackend --driver-url spark://10.0.0.1:7000 --executor-id 3 --cores 2 --app-id F-1 --block-manager-port 7000
                SPARK_EXECUTOR_MEMORY=1024m SPARK_USER=me _SPARK_AUTH_SECRET=s3
                []
            "#]],
        );
    }

    #[test]
    fn from_an_archive() {
        check(
            &[
                ("spark.executor.uri", "http://h/d/ferrospark-0.1.0.tgz?x=1"),
                ("spark.mesos.uris", "http://h/a, http://h/b"),
                ("spark.mesos.fetcherCache.enable", "true"),
            ],
            None,
            expect![[r#"
                ./ferrospark-0.1.0/bin/spark-class org.apache.spark.executor.CoarseGrainedExecutorBackend --driver-url spark://10.0.0.1:7000 --executor-id 3 --cores 2 --app-id F-1 --hostname agent1 --block-manager-port 7000
                SPARK_EXECUTOR_MEMORY=1024m SPARK_USER=me _SPARK_AUTH_SECRET=s3
                [("http://h/d/ferrospark-0.1.0.tgz?x=1", true), ("http://h/a", true), ("http://h/b", true)]
            "#]],
        );
    }

    #[test]
    fn refused() {
        check(
            &[],
            None,
            expect![[r#"
            executor Spark home spark.mesos.executor.home is not set; set it, or spark.executor.uri
        "#]],
        );
        check(
            &[("spark.executor.uri", "http://h/x.jar")],
            None,
            expect![[r#"
            spark.executor.uri: "http://h/x.jar" is not valid: the fetcher unpacks only .tar.bz2 .tar.gz .tar.xz .tbz2 .tar .tgz .txz .zip .gz; expected an archive of one of them
        "#]],
        );
    }
}
