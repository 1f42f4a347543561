//! Every property the bridge needs, read and checked once.

use std::time::Duration;

use mesos_api::framework_info::CapabilityType;
use mesos_api::{ContainerInfo, FrameworkInfo, Labels};
use spark_conf::{ConfError, ExecutorMemory, SparkConf, executor_memory, table};

use crate::command::Program;
use crate::constraints::Constraints;
use crate::container::container;
use crate::labels::parse_labels;

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not of its kind.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// Of its kind, but not of its form.
    #[error("{property}: {value:?} is not valid: {problem}")]
    Value {
        /// The property.
        property: &'static str,
        /// The value, or the part of it that is wrong.
        value: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// Settings that exclude each other.
    #[error("{0}")]
    Conflict(String),
}

/// How executors are laid over agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Evenly.
    Spread,
    /// An agent is filled before the next.
    Pack,
}

/// How long offers are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefuseDurations {
    /// When the agent fails the constraints.
    pub unmet_constraints: Duration,
    /// When `spark.cores.max` is reached.
    pub reached_max: Duration,
}

/// What an application wants of Mesos.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the application.
    pub app_name: String,
    /// Most cores, already a multiple of `executor_cores` where that is set.
    pub cores_max: Option<u64>,
    /// Cores of an executor.
    pub executor_cores: Option<u64>,
    /// Task slots of an executor beyond its cpus.
    pub extra_cores: u64,
    /// Cores of a task; an executor has at least as many.
    pub task_cpus: u64,
    /// Memory of an executor.
    pub memory: ExecutorMemory,
    /// Share of `cores_max` that must be there before tasks start.
    pub min_registered_ratio: f64,
    /// Agents that may be used.
    pub constraints: Constraints,
    /// Spread or pack.
    pub placement: Placement,
    /// Most executors on one agent.
    pub max_executors_per_agent: Option<u64>,
    /// Refusals.
    pub refuse: RefuseDurations,
    /// Failures after which an agent is excluded.
    pub exclude_failures: u64,
    /// For how long.
    pub exclude_timeout: Duration,
    /// Role of the framework.
    pub role: String,
    /// Principal of the framework.
    pub principal: Option<String>,
    /// Its secret.
    pub secret: Option<String>,
    /// Labels of executor tasks.
    pub labels: Labels,
    /// What executors run.
    pub program: Program,
    /// Where they run it.
    pub container: Option<ContainerInfo>,
    /// How long a stopping driver waits for executors.
    pub shutdown_timeout: Duration,
    failover_timeout: f64,
    checkpoint: bool,
    webui_url: Option<String>,
    framework_id: Option<String>,
}

impl Settings {
    /// Reads the configuration. `spark_home` is where this program stands on the driver's machine,
    /// assumed to stand in the same place on agents unless a property says otherwise.
    ///
    /// # Errors
    /// The first setting that is malformed or does not fit another.
    pub fn from_conf(conf: &SparkConf, spark_home: Option<&str>) -> Result<Self, SettingsError> {
        conf.check()?;
        if !conf.get(&table::MESOS_COARSE)? {
            return Err(SettingsError::Conflict(
                "spark.mesos.coarse=false: fine-grained mode is not served yet; leave it true"
                    .to_owned(),
            ));
        }
        let (principal, secret) = credential(conf)?;
        let executor_cores = conf.get(&table::EXECUTOR_CORES)?;
        let task_cpus = conf.get(&table::TASK_CPUS)?;
        if executor_cores.is_some_and(|cores| cores < task_cpus) {
            return Err(SettingsError::Conflict(format!(
                "spark.executor.cores={} is less than spark.task.cpus={task_cpus}: no task could run",
                executor_cores.unwrap_or_default()
            )));
        }
        Ok(Self {
            app_name: conf.get(&table::APP_NAME)?.unwrap_or_else(|| "ferrospark".to_owned()),
            cores_max: cores_max(conf, executor_cores)?,
            executor_cores,
            extra_cores: conf.get(&table::MESOS_EXTRA_CORES)?,
            task_cpus,
            memory: executor_memory(conf)?,
            min_registered_ratio: conf.get(&table::SCHEDULER_MIN_REGISTERED_RATIO)?,
            constraints: Constraints::parse(
                table::MESOS_CONSTRAINTS.name(),
                &conf.get(&table::MESOS_CONSTRAINTS)?,
            )?,
            placement: match conf.get(&table::SPREAD)?.as_str() {
                "pack" => Placement::Pack,
                _ => Placement::Spread,
            },
            max_executors_per_agent: conf.get(&table::MAX_EXECUTORS_PER_AGENT)?,
            refuse: RefuseDurations {
                unmet_constraints: conf.get(&table::MESOS_REJECT_UNMET_CONSTRAINTS)?,
                reached_max: conf.get(&table::MESOS_REJECT_REACHED_MAX)?,
            },
            exclude_failures: conf.get(&table::EXCLUDE_FAILURES)?,
            exclude_timeout: conf.get(&table::EXCLUDE_TIMEOUT)?,
            role: conf.get(&table::MESOS_ROLE)?,
            principal,
            secret,
            labels: parse_labels(
                table::MESOS_TASK_LABELS.name(),
                &conf.get(&table::MESOS_TASK_LABELS)?,
            )?,
            program: Program::from_conf(conf, spark_home)?,
            container: container(conf)?,
            shutdown_timeout: conf.get(&table::MESOS_SHUTDOWN_TIMEOUT)?,
            failover_timeout: conf.get(&table::MESOS_FAILOVER_TIMEOUT)?,
            checkpoint: conf.get(&table::MESOS_CHECKPOINT)?,
            webui_url: conf.get(&table::MESOS_DRIVER_WEBUI_URL)?,
            framework_id: conf.get(&table::MESOS_DRIVER_FRAMEWORK_ID)?,
        })
    }

    /// What the framework tells the master about itself.
    pub fn framework_info(&self, user: &str, hostname: Option<String>) -> FrameworkInfo {
        FrameworkInfo {
            user: user.to_owned(),
            name: self.app_name.clone(),
            id: self.framework_id.clone().map(Into::into),
            failover_timeout: Some(self.failover_timeout),
            checkpoint: Some(self.checkpoint),
            role: Some(self.role.clone()),
            hostname,
            principal: self.principal.clone(),
            webui_url: self.webui_url.clone(),
            // With it, tasks of a cut-off agent are reported as unreachable instead of lost, and
            // its return is told.
            capabilities: vec![CapabilityType::PartitionAware.into()],
            ..FrameworkInfo::default()
        }
    }

    /// Remarks worth a warning at start.
    pub fn warnings(&self) -> Vec<String> {
        self.constraints.warnings()
    }
}

/// `spark.cores.max` rounded down to what whole executors can use (SPARK-20483).
fn cores_max(conf: &SparkConf, executor_cores: Option<u64>) -> Result<Option<u64>, SettingsError> {
    let (Some(max), Some(cores)) = (conf.get(&table::CORES_MAX)?, executor_cores) else {
        return Ok(conf.get(&table::CORES_MAX)?);
    };
    if max < cores {
        return Err(SettingsError::Conflict(format!(
            "spark.cores.max={max} is less than spark.executor.cores={cores}: no executor could start"
        )));
    }
    Ok(Some(max - max % cores))
}

/// Principal and secret.
type PrincipalAndSecret = (Option<String>, Option<String>);

fn credential(conf: &SparkConf) -> Result<PrincipalAndSecret, SettingsError> {
    let principal = conf.get(&table::MESOS_PRINCIPAL)?;
    let secret = conf.get(&table::MESOS_SECRET)?;
    if principal.is_none() && secret.is_some() {
        return Err(SettingsError::Conflict(
            "spark.mesos.principal must be configured when spark.mesos.secret is set".to_owned(),
        ));
    }
    Ok((principal, secret))
}
