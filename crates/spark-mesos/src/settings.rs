//! Every property the bridge needs, read and checked once.
//!
//! [`Settings::from_conf`] is the only place where text becomes meaning: what it returns cannot be
//! malformed any more, and what it refuses is one line that names the property, the value and the
//! expected form. It runs before the framework is registered, so nothing has been launched by then.

use std::time::Duration;

use mesos_api::framework_info::CapabilityType;
use mesos_api::{ContainerInfo, FrameworkInfo, Labels};
use spark_conf::{ConfError, ExecutorMemory, SparkConf, executor_memory, table};

use crate::command::Program;
use crate::constraints::Constraints;
use crate::container::container;
use crate::driver_task::DriverTaskSettings;
use crate::forms;
use crate::labels::parse_labels;
use crate::ports::PortSettings;
use crate::resources::{Milli, milli};
use crate::secrets::{self, Secrets};

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

/// `spark.mesos.coarse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One Mesos task per executor, for as long as the application lives.
    Coarse,
    /// One Mesos executor per agent, one Mesos task per Spark task attempt.
    Fine,
}

/// How executors are laid over agents in coarse-grained mode.
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

/// When an agent is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExclusionSettings {
    /// Executor failures after which an agent is excluded; losses the executor did not cause do not
    /// count.
    pub failures: u64,
    /// Within which time they count, and for how long the agent is then excluded.
    pub timeout: Duration,
}

/// What an application does with GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuSettings {
    /// Most GPUs of the application, already a multiple of `per_executor`; 0 for none.
    pub max: u64,
    /// GPUs of each executor.
    pub per_executor: u64,
    /// Whether an executor does not start without them.
    pub required: bool,
}

/// What only fine-grained mode needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FineSettings {
    /// Cpus an executor holds for itself, in thousandths.
    pub(crate) executor_cpus: Milli,
    /// How long an executor nobody needs keeps its memory.
    pub idle_timeout: Duration,
}

impl FineSettings {
    /// `spark.mesos.mesosExecutor.cores`.
    pub fn executor_cpus(&self) -> f64 {
        crate::resources::units(self.executor_cpus)
    }
}

/// From SIGTERM to SIGKILL for an executor that moves its map output before it goes: Kubernetes gives Spark's
/// half as much, and a disk of map output takes longer than that to cross a network.
const LEAVE_GRACE: Duration = Duration::from_secs(60);

/// What an application wants of Mesos.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the application.
    pub app_name: String,
    /// Coarse- or fine-grained.
    pub mode: Mode,
    /// Most cores. In coarse-grained mode already a multiple of what an executor grows by.
    pub cores_max: Option<u64>,
    /// Cores of an executor; unset, it takes what an agent offers. Coarse-grained mode only.
    pub executor_cores: Option<u64>,
    /// Most executors until an executor limit is told: `spark.executor.instances`, with dynamic allocation
    /// at least its initial target. The reference of 1.6 starts without limit there and takes everything.
    pub instances: Option<u64>,
    /// Task slots of an executor beyond its cpus. Coarse-grained mode only.
    pub extra_cores: u64,
    /// Cores of a task; an executor has at least as many.
    pub task_cpus: u64,
    /// Memory of an executor.
    pub memory: ExecutorMemory,
    /// What only fine-grained mode needs.
    pub fine: FineSettings,
    /// GPUs. Coarse-grained mode only.
    pub gpus: GpuSettings,
    /// Share of `cores_max` that must be there before tasks start, at most 1.
    pub min_registered_ratio: f64,
    /// Longest wait for that share.
    pub max_registered_wait: Duration,
    /// Agents that may be used.
    pub constraints: Constraints,
    /// Spread or pack.
    pub placement: Placement,
    /// Most executors on one agent.
    pub max_executors_per_agent: Option<u64>,
    /// Refusals.
    pub refuse: RefuseDurations,
    /// When an agent is left out.
    pub exclusion: ExclusionSettings,
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
    /// How long the master keeps the framework while its driver is cut off.
    pub failover_timeout: Duration,
    /// Whether the agents' shuffle service serves map output, so that it outlives executors.
    pub shuffle_service: bool,
    /// How long an executor that Mesos ends may take, where it has something to do before it goes
    /// (`spark.decommission.enabled`).
    pub(crate) leave_grace: Option<Duration>,
    pub(crate) ports: PortSettings,
    checkpoint: bool,
    webui_url: Option<String>,
    proxy_base_url: Option<String>,
    framework_id: Option<String>,
    warnings: Vec<String>,
}

impl Settings {
    /// Reads the configuration. `spark_home` is where this program stands on the driver's machine,
    /// assumed to stand in the same place on agents unless a property says otherwise.
    ///
    /// # Errors
    /// The first setting that is malformed or does not fit another.
    pub fn from_conf(conf: &SparkConf, spark_home: Option<&str>) -> Result<Self, SettingsError> {
        conf.check()?;
        let mode = mode(conf)?;
        let (principal, secret) = credential(conf)?;
        let executor_cores = match mode {
            Mode::Coarse => conf.get(&table::EXECUTOR_CORES)?,
            Mode::Fine => None,
        };
        let task_cpus = conf.get(&table::TASK_CPUS)?;
        if let Some(cores) = executor_cores.filter(|cores| *cores < task_cpus) {
            return Err(SettingsError::Conflict(format!(
                "spark.executor.cores={cores} is less than spark.task.cpus={task_cpus}: no task could run"
            )));
        }
        let secrets = Secrets::from_conf(conf, &secrets::EXECUTOR)?;
        let container = container(conf, &secrets.volumes)?;
        let constraints = Constraints::parse(
            table::MESOS_CONSTRAINTS.name(),
            &conf.get(&table::MESOS_CONSTRAINTS)?,
        )?;
        // What only the dispatcher needs is wrong here too, and better told now.
        DriverTaskSettings::from_conf(conf)?;
        let warnings = warnings(conf, mode, executor_cores, task_cpus, &constraints)?;
        Ok(Self {
            app_name: conf.get(&table::APP_NAME)?.unwrap_or_else(|| "ferrospark".to_owned()),
            mode,
            cores_max: cores_max(conf, mode, executor_cores, task_cpus)?,
            executor_cores,
            instances: instances(conf)?,
            extra_cores: conf.get(&table::MESOS_EXTRA_CORES)?,
            task_cpus,
            memory: executor_memory(conf)?,
            fine: FineSettings {
                executor_cpus: milli(conf.get(&table::MESOS_EXECUTOR_CORES)?),
                idle_timeout: conf.get(&table::FINE_IDLE_TIMEOUT)?,
            },
            gpus: gpus(conf, mode)?,
            // Spark takes a larger ratio for 1 too.
            min_registered_ratio: conf.get(&table::SCHEDULER_MIN_REGISTERED_RATIO)?.min(1.0),
            max_registered_wait: conf.get(&table::SCHEDULER_MAX_REGISTERED_WAIT)?,
            constraints,
            placement: match conf.get(&table::SPREAD)?.as_str() {
                "pack" => Placement::Pack,
                _ => Placement::Spread,
            },
            max_executors_per_agent: conf.get(&table::MAX_EXECUTORS_PER_AGENT)?,
            refuse: RefuseDurations {
                unmet_constraints: conf.get(&table::MESOS_REJECT_UNMET_CONSTRAINTS)?,
                reached_max: conf.get(&table::MESOS_REJECT_REACHED_MAX)?,
            },
            exclusion: ExclusionSettings {
                failures: conf.get(&table::EXCLUDE_FAILURES)?,
                timeout: conf.get(&table::EXCLUDE_TIMEOUT)?,
            },
            role: role(conf)?,
            principal,
            secret,
            labels: parse_labels(
                table::MESOS_TASK_LABELS.name(),
                &conf.get(&table::MESOS_TASK_LABELS)?,
            )?,
            program: Program::from_conf(conf, spark_home, secrets.variables)?,
            ports: PortSettings::from_conf(conf, container.as_ref())?,
            container,
            shutdown_timeout: conf.get(&table::MESOS_SHUTDOWN_TIMEOUT)?,
            failover_timeout: failover_timeout(conf)?,
            shuffle_service: conf.get(&table::SHUFFLE_SERVICE_ENABLED)?,
            leave_grace: conf.get(&table::DECOMMISSION)?.then_some(LEAVE_GRACE),
            checkpoint: conf.get(&table::MESOS_CHECKPOINT)?,
            webui_url: link(conf, &table::MESOS_DRIVER_WEBUI_URL)?,
            proxy_base_url: link(conf, &table::MESOS_PROXY_BASE_URL)?,
            framework_id: conf.get(&table::MESOS_DRIVER_FRAMEWORK_ID)?,
            warnings,
        })
    }

    /// What the framework tells the master about itself. `pages` is the address of the driver's own
    /// pages, shown unless `spark.mesos.driver.webui.url` says otherwise.
    pub fn framework_info(
        &self,
        user: &str,
        hostname: Option<String>,
        pages: Option<String>,
    ) -> FrameworkInfo {
        // With it, tasks of a cut-off agent are reported as unreachable instead of lost, and its
        // return is told.
        let mut capabilities = vec![CapabilityType::PartitionAware.into()];
        if self.gpus.max > 0 {
            // Without it the master offers nothing of agents that have GPUs.
            capabilities.push(CapabilityType::GpuResources.into());
        }
        FrameworkInfo {
            user: user.to_owned(),
            name: self.app_name.clone(),
            id: self.framework_id.clone().map(Into::into),
            failover_timeout: Some(self.failover_timeout.as_secs_f64()),
            checkpoint: Some(self.checkpoint),
            role: Some(self.role.clone()),
            hostname,
            principal: self.principal.clone(),
            webui_url: self.webui_url.clone().or(pages),
            capabilities,
            ..FrameworkInfo::default()
        }
    }

    /// The page with the sandbox of an executor: below `spark.mesos.proxy.baseURL`, else on the leading
    /// master, whose `HOST:PORT` is `master`. The reference makes links only with the property.
    pub fn sandbox_link(
        &self,
        master: &str,
        agent: &str,
        framework: &str,
        executor: &str,
    ) -> String {
        let base = match &self.proxy_base_url {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => format!("http://{master}"),
        };
        format!("{base}/#/agents/{agent}/frameworks/{framework}/executors/{executor}/browse")
    }

    /// Remarks worth a warning at start.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Cores an executor of coarse-grained mode has at least and, where its size is open, grows by.
    pub(crate) fn core_unit(&self) -> u64 {
        self.executor_cores.unwrap_or(self.task_cpus)
    }
}

fn mode(conf: &SparkConf) -> Result<Mode, SettingsError> {
    if conf.get(&table::IO_ENCRYPTION)? {
        return Err(SettingsError::Conflict(
            "spark.io.encryption.enabled=true: not supported on Mesos; expected false".to_owned(),
        ));
    }
    if conf.get(&table::MESOS_COARSE)? {
        return Ok(Mode::Coarse);
    }
    if conf.get(&table::DYNAMIC_ALLOCATION)? {
        return Err(SettingsError::Conflict(
            "spark.dynamicAllocation.enabled=true does not go with spark.mesos.coarse=false: \
             fine-grained mode takes and gives back cores with each task; expected one of them"
                .to_owned(),
        ));
    }
    Ok(Mode::Fine)
}

/// `spark.cores.max`, rounded down in coarse-grained mode to what can be launched (SPARK-20483).
fn cores_max(
    conf: &SparkConf,
    mode: Mode,
    executor_cores: Option<u64>,
    task_cpus: u64,
) -> Result<Option<u64>, SettingsError> {
    let Some(max) = conf.get(&table::CORES_MAX)? else { return Ok(None) };
    let too_little = |need: String| {
        SettingsError::Conflict(format!("spark.cores.max={max} is less than {need} could start"))
    };
    match mode {
        Mode::Coarse => {
            let unit = executor_cores.unwrap_or(task_cpus);
            if max < unit {
                let property = if executor_cores.is_some() {
                    "spark.executor.cores"
                } else {
                    "spark.task.cpus"
                };
                return Err(too_little(format!("{property}={unit}: no executor")));
            }
            Ok(Some(max - max % unit))
        }
        Mode::Fine => {
            let executor = conf.get(&table::MESOS_EXECUTOR_CORES)?;
            if milli(executor) + crate::resources::whole(task_cpus) > crate::resources::whole(max) {
                return Err(too_little(format!(
                    "spark.mesos.mesosExecutor.cores={executor} and spark.task.cpus={task_cpus} together: no task"
                )));
            }
            Ok(Some(max))
        }
    }
}

fn instances(conf: &SparkConf) -> Result<Option<u64>, SettingsError> {
    let instances = conf.get(&table::EXECUTOR_INSTANCES)?;
    if !conf.get(&table::DYNAMIC_ALLOCATION)? {
        return Ok(instances);
    }
    Ok(Some(conf.get(&table::DYNAMIC_ALLOCATION_INITIAL)?.max(instances.unwrap_or(0))))
}

fn gpus(conf: &SparkConf, mode: Mode) -> Result<GpuSettings, SettingsError> {
    let max = conf.get(&table::MESOS_GPUS_MAX)?;
    let each = conf.get(&table::MESOS_EXECUTOR_GPUS)?;
    if mode == Mode::Fine && (max > 0 || each > 0) {
        return Err(SettingsError::Conflict(format!(
            "spark.mesos.gpus.max={max}, spark.mesos.executor.gpus={each}: fine-grained mode has no GPUs; \
             expected 0 or spark.mesos.coarse=true"
        )));
    }
    if each > max {
        return Err(SettingsError::Conflict(format!(
            "spark.mesos.executor.gpus={each} is more than spark.mesos.gpus.max={max}: no executor could start; \
             raise spark.mesos.gpus.max"
        )));
    }
    if each == 0 {
        return Ok(GpuSettings { max, per_executor: u64::from(max > 0), required: false });
    }
    Ok(GpuSettings { max: max - max % each, per_executor: each, required: true })
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
    if principal.as_deref().is_some_and(str::is_empty) {
        return Err(SettingsError::Value {
            property: table::MESOS_PRINCIPAL.name(),
            value: String::new(),
            problem: "expected a name".to_owned(),
        });
    }
    Ok((principal, secret))
}

fn role(conf: &SparkConf) -> Result<String, SettingsError> {
    let role = conf.get(&table::MESOS_ROLE)?;
    forms::role(table::MESOS_ROLE.name(), &role)?;
    Ok(role)
}

fn failover_timeout(conf: &SparkConf) -> Result<Duration, SettingsError> {
    let seconds = conf.get(&table::MESOS_FAILOVER_TIMEOUT)?;
    if seconds > forms::FAILOVER_TIMEOUT_MAX {
        return Err(SettingsError::Value {
            property: table::MESOS_FAILOVER_TIMEOUT.name(),
            value: conf.text(table::MESOS_FAILOVER_TIMEOUT.name()).unwrap_or_default(),
            problem: format!("expected at most {} seconds", forms::FAILOVER_TIMEOUT_MAX),
        });
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn link(
    conf: &SparkConf,
    property: &spark_conf::Property<Option<String>>,
) -> Result<Option<String>, SettingsError> {
    let value = conf.get(property)?;
    if let Some(value) = &value {
        forms::web_url(property.name(), value)?;
    }
    Ok(value)
}

fn warnings(
    conf: &SparkConf,
    mode: Mode,
    executor_cores: Option<u64>,
    task_cpus: u64,
    constraints: &Constraints,
) -> Result<Vec<String>, SettingsError> {
    let mut warnings = constraints.warnings();
    if let Some(cores) = executor_cores.filter(|cores| cores % task_cpus != 0) {
        warnings.push(format!(
            "spark.executor.cores={cores} is no multiple of spark.task.cpus={task_cpus}: {} of them stay idle",
            cores % task_cpus
        ));
    }
    if let (Some(max), Some(cores)) = (conf.get(&table::CORES_MAX)?, executor_cores)
        && max % cores != 0
    {
        warnings.push(format!(
            "spark.cores.max={max} is no multiple of spark.executor.cores={cores}: {} cores are used",
            max - max % cores
        ));
    }
    if mode == Mode::Fine {
        let ignored =
            ["spark.executor.cores", "spark.executor.instances", "spark.mesos.extra.cores"];
        for name in ignored.into_iter().filter(|name| conf.explicit(name).is_some()) {
            warnings.push(format!("{name} has no meaning with spark.mesos.coarse=false"));
        }
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests;
