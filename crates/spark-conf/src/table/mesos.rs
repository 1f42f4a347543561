//! `spark.mesos.*`, complete against the configuration class of Spark 3.5.6.

use std::time::Duration;

use crate::kind::{ByteUnit, Kind, TimeUnit};
use crate::property::Preset::{Computed, None as Unset, SameAs, Value};
use crate::property::Status::{Honoured, Ignored, Planned};

const COUNT: Kind = Kind::Integer { min: 1, max: i32::MAX as i64 };
const NOT_NEGATIVE: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };
const SECONDS: Kind = Kind::Duration { unit: TimeUnit::Second };
const OVERHEAD: Kind = Kind::Bytes { unit: ByteUnit::Mib, min: 0 };

properties! {
    MESOS_COARSE: bool = "spark.mesos.coarse", Kind::Boolean, Value("true"), "0.6.0", Application, Honoured,
        "Coarse-grained mode (one Mesos task per executor) or fine-grained mode (one per Spark task)";
    MESOS_EXTRA_CORES: u64 = "spark.mesos.extra.cores", NOT_NEGATIVE, Value("0"), "0.6.0", Application, Honoured,
        "Task slots each executor has beyond its Mesos cpus";
    MESOS_EXECUTOR_CORES: f64 = "spark.mesos.mesosExecutor.cores", Kind::Decimal { min: 0.0 }, Value("1.0"), "1.4.0", Application, Honoured,
        "Fine-grained mode: cpus of the Mesos executor itself";
    MESOS_EXECUTOR_HOME: Option<String> = "spark.mesos.executor.home", Kind::Text, Computed("the driver's SPARK_HOME"), "1.1.1", Application, Honoured,
        "Directory of this program on agents, without spark.executor.uri";
    MESOS_EXECUTOR_MEMORY_OVERHEAD: Option<u64> = "spark.mesos.executor.memoryOverhead", OVERHEAD, Computed("max(factor x memory, 384 MiB)"), "1.1.1", Application, Honoured,
        "Memory of the executor's container on top of spark.executor.memory, in MiB";
    MESOS_DOCKER_IMAGE: Option<String> = "spark.mesos.executor.docker.image", Kind::Text, Unset, "1.4.0", Application, Honoured,
        "Image of executors and of drivers in cluster mode";
    MESOS_DOCKER_VOLUMES: Vec<String> = "spark.mesos.executor.docker.volumes", Kind::List, Value(""), "1.4.0", Application, Honoured,
        "Volumes of the container: [host_path:]container_path[:ro|:rw]";
    MESOS_DOCKER_PORTMAPS: Vec<String> = "spark.mesos.executor.docker.portmaps", Kind::List, Value(""), "1.4.0", Application, Honoured,
        "Port maps of the container: host_port:container_port[:tcp|:udp]";
    MESOS_DOCKER_FORCE_PULL: bool = "spark.mesos.executor.docker.forcePullImage", Kind::Boolean, Value("false"), "2.1.0", Application, Honoured,
        "Whether the image is pulled even when the agent has it";
    MESOS_DOCKER_PARAMETERS: Vec<String> = "spark.mesos.executor.docker.parameters", Kind::List, Value(""), "2.2.0", Application, Honoured,
        "Further parameters of docker run: key=value";
    MESOS_CONTAINERIZER: String = "spark.mesos.containerizer", Kind::OneOf(&["docker", "mesos"]), Value("docker"), "2.1.0", Application, Honoured,
        "Which containerizer runs the image";
    MESOS_NETWORK_NAME: Option<String> = "spark.mesos.network.name", Kind::Text, Unset, "2.1.0", Application, Honoured,
        "Named network the containers join";
    MESOS_NETWORK_LABELS: Option<String> = "spark.mesos.network.labels", Kind::Text, Unset, "2.3.0", Application, Honoured,
        "Labels for that network: key:value,...";
    MESOS_URIS: Vec<String> = "spark.mesos.uris", Kind::List, Value(""), "1.5.0", Application, Honoured,
        "Further URIs fetched into the sandboxes of driver and executors";
    MESOS_FETCHER_CACHE: bool = "spark.mesos.fetcherCache.enable", Kind::Boolean, Value("false"), "2.1.0", Application, Honoured,
        "Whether agents cache what they fetch", aliases &["spark.mesos.fetchCache.enable"];
    MESOS_PRINCIPAL: Option<String> = "spark.mesos.principal", Kind::Text, Unset, "1.5.0", Application, Honoured,
        "Principal of the framework";
    MESOS_PRINCIPAL_FILE: Option<String> = "spark.mesos.principal.file", Kind::Text, Unset, "2.4.0", Application, Honoured,
        "File that holds the principal";
    MESOS_SECRET: Option<String> = "spark.mesos.secret", Kind::Text, Unset, "1.5.0", Application, Honoured,
        "Secret of the principal";
    MESOS_SECRET_FILE: Option<String> = "spark.mesos.secret.file", Kind::Text, Unset, "2.4.0", Application, Honoured,
        "File that holds the secret";
    MESOS_ROLE: String = "spark.mesos.role", Kind::Text, Value("*"), "1.5.0", Application, Honoured,
        "Role of the framework; its reservations are used before unreserved resources";
    MESOS_CONSTRAINTS: String = "spark.mesos.constraints", Kind::Text, Value(""), "1.5.0", Application, Honoured,
        "Attributes an agent must have to run executors: name:value,value;name:value";
    MESOS_DRIVER_CONSTRAINTS: String = "spark.mesos.driver.constraints", Kind::Text, Value(""), "2.2.1", Application, Planned,
        "The same for drivers in cluster mode";
    MESOS_REJECT: Duration = "spark.mesos.rejectOfferDuration", SECONDS, Value("120s"), "2.2.0", Application, Honoured,
        "How long an unusable offer is refused, unless said otherwise";
    MESOS_REJECT_UNMET_CONSTRAINTS: Duration = "spark.mesos.rejectOfferDurationForUnmetConstraints", SECONDS, SameAs("spark.mesos.rejectOfferDuration"), "1.6.0", Application, Honoured,
        "How long an offer of an agent that fails the constraints is refused";
    MESOS_REJECT_REACHED_MAX: Duration = "spark.mesos.rejectOfferDurationForReachedMaxCores", SECONDS, SameAs("spark.mesos.rejectOfferDuration"), "2.0.0", Application, Honoured,
        "How long an offer is refused when spark.cores.max is reached";
    MESOS_SHUTDOWN_TIMEOUT: Duration = "spark.mesos.coarse.shutdownTimeout", SECONDS, Value("1s"), "2.0.0", Application, Honoured,
        "How long a stopping driver waits for its executors; Spark has 10 s";
    MESOS_DRIVER_WEBUI_URL: Option<String> = "spark.mesos.driver.webui.url", Kind::Text, Computed("the driver's own pages"), "2.0.0", Application, Honoured,
        "Link the master shows for the framework";
    MESOS_DISPATCHER_WEBUI_URL: Option<String> = "spark.mesos.dispatcher.webui.url", Kind::Text, Computed("the dispatcher's own pages"), "2.0.0", Daemon, Planned,
        "Link the master shows for the dispatcher";
    MESOS_PROXY_BASE_URL: Option<String> = "spark.mesos.proxy.baseURL", Kind::Text, Computed("the leading master"), "2.3.0", Application, Honoured,
        "Base of links to sandboxes";
    MESOS_GPUS_MAX: u64 = "spark.mesos.gpus.max", NOT_NEGATIVE, Value("0"), "2.1.0", Application, Honoured,
        "Most GPUs the application takes";
    MESOS_EXECUTOR_GPUS: u64 = "spark.mesos.executor.gpus", NOT_NEGATIVE, Value("0"), "3.0.1-d2iq", Application, Honoured,
        "GPUs of each executor, without which it does not start; 0: one of those of spark.mesos.gpus.max where the agent offers any";
    MESOS_TASK_LABELS: String = "spark.mesos.task.labels", Kind::Text, Value(""), "2.2.0", Application, Honoured,
        "Labels of executor tasks: key:value,...";
    MESOS_DRIVER_LABELS: Option<String> = "spark.mesos.driver.labels", Kind::Text, Unset, "2.3.0", Application, Planned,
        "Labels of driver tasks in cluster mode";
    MESOS_FAILOVER_TIMEOUT: f64 = "spark.mesos.driver.failoverTimeout", Kind::Decimal { min: 0.0 }, Value("60.0"), "2.3.0", Application, Honoured,
        "Seconds the master keeps a framework whose driver is cut off, so that a lost connection loses no executor; Spark has 0";
    MESOS_CHECKPOINT: bool = "spark.mesos.checkpoint", Kind::Boolean, Value("false"), "3.0.1-d2iq", Application, Honoured,
        "Whether executors outlive a restart of their agent's daemon";
    MESOS_REVIVE_INTERVAL: Duration = "spark.mesos.scheduler.revive.interval", SECONDS, Value("10s"), "3.0.1-d2iq", Application, Ignored("offers are revived when something is wanted"),
        "How often offers are revived";
    MESOS_ROLE_ENFORCE: bool = "spark.mesos.dispatcher.role.enforce", Kind::Boolean, Value("false"), "3.0.1-d2iq", Daemon, Planned,
        "Whether the dispatcher refuses submissions of another role than its own";
    MESOS_DRIVER_FRAMEWORK_ID: Option<String> = "spark.mesos.driver.frameworkId", Kind::Text, Unset, "2.1.0", Application, Honoured,
        "Framework id handed over by the dispatcher";
    MESOS_DRIVER_SECRET_NAMES: Vec<String> = "spark.mesos.driver.secret.names", Kind::List, Value(""), "2.3.0", Application, Planned,
        "Secrets of the driver, by name";
    MESOS_DRIVER_SECRET_VALUES: Vec<String> = "spark.mesos.driver.secret.values", Kind::List, Value(""), "2.3.0", Application, Planned,
        "Secrets of the driver, by value";
    MESOS_DRIVER_SECRET_ENVKEYS: Vec<String> = "spark.mesos.driver.secret.envkeys", Kind::List, Value(""), "2.3.0", Application, Planned,
        "Variables the driver's secrets appear in";
    MESOS_DRIVER_SECRET_FILENAMES: Vec<String> = "spark.mesos.driver.secret.filenames", Kind::List, Value(""), "2.3.0", Application, Planned,
        "Files the driver's secrets appear in";
    MESOS_EXECUTOR_SECRET_NAMES: Vec<String> = "spark.mesos.executor.secret.names", Kind::List, Value(""), "2.3.0", Application, Honoured,
        "Secrets of executors, by name";
    MESOS_EXECUTOR_SECRET_VALUES: Vec<String> = "spark.mesos.executor.secret.values", Kind::List, Value(""), "2.3.0", Application, Honoured,
        "Secrets of executors, by value";
    MESOS_EXECUTOR_SECRET_ENVKEYS: Vec<String> = "spark.mesos.executor.secret.envkeys", Kind::List, Value(""), "2.3.0", Application, Honoured,
        "Variables the executors' secrets appear in";
    MESOS_EXECUTOR_SECRET_FILENAMES: Vec<String> = "spark.mesos.executor.secret.filenames", Kind::List, Value(""), "2.3.0", Application, Honoured,
        "Files the executors' secrets appear in";
    MESOS_APP_JAR_MODE: String = "spark.mesos.appJar.local.resolution.mode", Kind::OneOf(&["host", "container"]), Value("host"), "2.4.0", Application, Planned,
        "Whether a local:// resource lies on the host or in the image";
    MESOS_DRIVER_MEMORY_OVERHEAD: Option<u64> = "spark.mesos.driver.memoryOverhead", OVERHEAD, Unset, "3.2.0", Application, Planned,
        "Memory of a cluster-mode driver's container on top of spark.driver.memory";
    MESOS_DISPATCHER_QUEUE: String = "spark.mesos.dispatcher.queue", Kind::Text, Value("default"), "3.1.0", Application, Planned,
        "Queue of a submission";
    MESOS_DISPATCHER_HISTORY_URL: Option<String> = "spark.mesos.dispatcher.historyServer.url", Kind::Text, Unset, "2.1.0", Daemon, Planned,
        "Base of links to the history server";
    MESOS_MAX_DRIVERS: u64 = "spark.mesos.maxDrivers", COUNT, Value("200"), "1.4.0", Daemon, Planned,
        "Drivers the dispatcher takes";
    MESOS_RETAINED_DRIVERS: u64 = "spark.mesos.retainedDrivers", COUNT, Value("200"), "1.4.0", Daemon, Planned,
        "Finished drivers the dispatcher remembers";
    MESOS_RETRY_WAIT_MAX: u64 = "spark.mesos.cluster.retry.wait.max", COUNT, Value("60"), "1.4.0", Daemon, Planned,
        "Longest wait in seconds before a supervised driver is started again";

    HOME: Option<String> = "spark.home", Kind::Text, Computed("SPARK_HOME"), "0.6.0", Application, Honoured,
        "Directory of this program on agents, where spark.mesos.executor.home is not set";
    EXECUTOR_PORT: u16 = "spark.executor.port", Kind::Integer { min: 0, max: 65_535 }, Value("0"), "1.1.0", Application, Ignored("executors listen only on spark.blockManager.port, as since Spark 2.3"),
        "Port of an executor's message server";
    DRIVER_MEMORY_OVERHEAD_FACTOR: f64 = "spark.driver.memoryOverheadFactor", Kind::Decimal { min: 0.0 }, Value("0.1"), "3.3.0", Application, Planned,
        "Overhead of a cluster-mode driver as a share of spark.driver.memory";
    BLOCK_MANAGER_AGENT_TIMEOUT: Duration = "spark.storage.blockManagerSlaveTimeoutMs", Kind::Duration { unit: TimeUnit::Millisecond }, SameAs("spark.network.timeout"), "0.7.0", Application, Ignored("spark.network.timeout counts"),
        "Silence after which the shuffle service drops an application's files, up to Spark 2.4";
    BLOCK_MANAGER_HEARTBEAT_TIMEOUT: Duration = "spark.storage.blockManagerHeartbeatTimeoutMs", Kind::Duration { unit: TimeUnit::Millisecond }, SameAs("spark.network.timeout"), "3.0.0", Application, Ignored("spark.network.timeout counts"),
        "The same, since Spark 3.0";
}
