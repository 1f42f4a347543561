//! Spark's own properties outside `spark.mesos.*` and `spark.sql.*`.

use std::time::Duration;

use crate::kind::{ByteUnit, Kind, TimeUnit};
use crate::property::Preset::{Computed, None as Unset, SameAs, Value};
use crate::property::Status::{Client, Honoured, Ignored, Planned};

const PORT: Kind = Kind::Integer { min: 0, max: 65_535 };
const COUNT: Kind = Kind::Integer { min: 1, max: i32::MAX as i64 };
const NOT_NEGATIVE: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };
const SECONDS: Kind = Kind::Duration { unit: TimeUnit::Second };
const MILLISECONDS: Kind = Kind::Duration { unit: TimeUnit::Millisecond };
const MEMORY: Kind = Kind::Bytes { unit: ByteUnit::Mib, min: 1 << 20 };
const OVERHEAD: Kind = Kind::Bytes { unit: ByteUnit::Mib, min: 0 };
const SIZE: Kind = Kind::Bytes { unit: ByteUnit::Byte, min: 0 };

properties! {
    MASTER: Option<String> = "spark.master", Kind::Text, Unset, "0.8.0", Application, Honoured,
        "Where the application runs: local[N], local-cluster[agents,cores,MiB], mesos://HOST:PORT";
    APP_NAME: Option<String> = "spark.app.name", Kind::Text, Unset, "0.9.0", Application, Honoured,
        "Name of the application";
    APP_ID: Option<String> = "spark.app.id", Kind::Text, Computed("given by the cluster"), "1.4.0", Application, Honoured,
        "Id of the application";
    DEPLOY_MODE: String = "spark.submit.deployMode", Kind::OneOf(&["client", "cluster"]), Value("client"), "1.5.0", Application, Honoured,
        "Whether the driver runs beside spark-submit or on the cluster";
    PY_FILES: Vec<String> = "spark.submit.pyFiles", Kind::List, Value(""), "1.0.1", Application, Honoured,
        "Python files and archives for the module search path, as --py-files names them";
    JARS: Vec<String> = "spark.jars", Kind::List, Value(""), "0.9.0", Application, Ignored("there is no JVM"),
        "Jars of the application";
    FILES: Vec<String> = "spark.files", Kind::List, Value(""), "1.0.0", Application, Planned,
        "Files for the working directory of each executor";
    LOG_CONF: bool = "spark.logConf", Kind::Boolean, Value("false"), "0.9.0", Application, Planned,
        "Whether the configuration in force is logged at start";

    CORES_MAX: Option<u64> = "spark.cores.max", COUNT, Unset, "0.6.0", Application, Honoured,
        "Most cores the application takes from the cluster";
    EXECUTOR_CORES: Option<u64> = "spark.executor.cores", COUNT, Unset, "1.0.0", Application, Honoured,
        "Cores of each executor; unset, an executor takes what an agent offers";
    EXECUTOR_MEMORY: u64 = "spark.executor.memory", MEMORY, Value("1g"), "0.7.0", Application, Honoured,
        "Memory of each executor for its tasks";
    EXECUTOR_MEMORY_OVERHEAD: Option<u64> = "spark.executor.memoryOverhead", OVERHEAD, Unset, "2.3.0", Application, Honoured,
        "Memory of the executor's container on top of spark.executor.memory; the reference ignores it on Mesos";
    EXECUTOR_MEMORY_OVERHEAD_FACTOR: f64 = "spark.executor.memoryOverheadFactor", Kind::Decimal { min: 0.0 }, Value("0.1"), "3.3.0", Application, Honoured,
        "Overhead as a share of spark.executor.memory, at least 384 MiB";
    EXECUTOR_URI: Option<String> = "spark.executor.uri", Kind::Text, Unset, "0.8.0", Application, Honoured,
        "Archive with this program that agents fetch for executors";
    EXECUTOR_INSTANCES: Option<u64> = "spark.executor.instances", COUNT, Unset, "1.0.0", Application, Honoured,
        "Number of executors";
    EXECUTOR_EXTRA_CLASS_PATH: Option<String> = "spark.executor.extraClassPath", Kind::Text, Unset, "1.0.0", Application, Ignored("there is no JVM"),
        "Class path entries of executors";
    EXECUTOR_EXTRA_JAVA_OPTIONS: Option<String> = "spark.executor.extraJavaOptions", Kind::Text, Unset, "1.0.0", Application, Ignored("there is no JVM"),
        "JVM options of executors";
    EXECUTOR_EXTRA_LIBRARY_PATH: Option<String> = "spark.executor.extraLibraryPath", Kind::Text, Unset, "1.0.0", Application, Honoured,
        "Library path of executors, put before LD_LIBRARY_PATH";
    EXECUTOR_HEARTBEAT_INTERVAL: Duration = "spark.executor.heartbeatInterval", MILLISECONDS, Value("10s"), "1.1.0", Application, Planned,
        "How often an executor reports to the driver";
    NETWORK_TIMEOUT: Duration = "spark.network.timeout", SECONDS, Value("120s"), "1.3.0", Application, Honoured,
        "Silence after which a peer counts as lost";
    TASK_CPUS: u64 = "spark.task.cpus", COUNT, Value("1"), "0.5.0", Application, Honoured,
        "Cores each task takes";
    TASK_MAX_FAILURES: u64 = "spark.task.maxFailures", COUNT, Value("4"), "0.8.0", Application, Honoured,
        "Attempts of a task before its stage fails";
    STAGE_MAX_ATTEMPTS: u64 = "spark.stage.maxConsecutiveAttempts", COUNT, Value("4"), "2.2.0", Application, Honoured,
        "Consecutive attempts of a stage before its job fails";
    DEFAULT_PARALLELISM: Option<u64> = "spark.default.parallelism", COUNT, Computed("cores of all executors, at least 2"), "0.5.0", Application, Honoured,
        "Partitions where nothing else says how many";
    LOCALITY_WAIT: Duration = "spark.locality.wait", MILLISECONDS, Value("3s"), "0.5.0", Application, Honoured,
        "How long a task waits for a better place";
    LOCALITY_WAIT_PROCESS: Option<Duration> = "spark.locality.wait.process", MILLISECONDS, SameAs("spark.locality.wait"), "0.8.0", Application, Honoured,
        "How long a task waits for the executor that holds its input";
    LOCALITY_WAIT_NODE: Option<Duration> = "spark.locality.wait.node", MILLISECONDS, SameAs("spark.locality.wait"), "0.8.0", Application, Honoured,
        "How long a task waits for a host that holds its input";
    SCHEDULER_ALLOCATION_FILE: Option<String> = "spark.scheduler.allocation.file", Kind::Text, Computed("fairscheduler.xml beside spark-defaults.conf, if it is there"), "0.8.1", Application, Honoured,
        "The file that describes the pools of FAIR mode";
    SCHEDULER_MODE: String = "spark.scheduler.mode", Kind::OneOf(&["FIFO", "FAIR"]), Value("FIFO"), "0.8.0", Application, Honoured,
        "How jobs of one application share executors";
    SCHEDULER_MIN_REGISTERED_RATIO: f64 = "spark.scheduler.minRegisteredResourcesRatio", Kind::Decimal { min: 0.0 }, Value("0.0"), "1.1.1", Application, Honoured,
        "Share of the wanted cores that must be registered before the first task";
    SCHEDULER_MAX_REGISTERED_WAIT: Duration = "spark.scheduler.maxRegisteredResourcesWaitingTime", MILLISECONDS, Value("30s"), "1.1.1", Application, Honoured,
        "Longest wait for that share";
    SPECULATION_INTERVAL: Duration = "spark.speculation.interval", MILLISECONDS, Value("100ms"), "0.6.0", Application, Honoured,
        "How often slow tasks are looked for";
    SPECULATION_MULTIPLIER: f64 = "spark.speculation.multiplier", Kind::Decimal { min: 1.0 }, Value("3"), "0.6.0", Application, Honoured,
        "How many times slower than the median a task gets a copy";
    SPECULATION_QUANTILE: f64 = "spark.speculation.quantile", Kind::Decimal { min: 0.0 }, Value("0.9"), "0.6.0", Application, Honoured,
        "The part of a stage's tasks that must be done before";
    SPECULATION_MIN_RUNTIME: Duration = "spark.speculation.minTaskRuntime", MILLISECONDS, Value("100ms"), "3.2.0", Application, Honoured,
        "No task younger than this gets a copy";
    EXCLUDE_ON_FAILURE: bool = "spark.excludeOnFailure.enabled", Kind::Boolean, Value("false"), "2.1.0", Application, Honoured,
        "Whether executors and hosts whose tasks fail get none for a while", aliases &["spark.blacklist.enabled"];
    EXCLUDE_ON_FAILURE_TIMEOUT: Duration = "spark.excludeOnFailure.timeout", MILLISECONDS, Value("1h"), "2.1.0", Application, Honoured,
        "How long", aliases &["spark.blacklist.timeout"];
    EXCLUDE_TASK_ATTEMPTS_EXECUTOR: u64 = "spark.excludeOnFailure.task.maxTaskAttemptsPerExecutor", Kind::Integer { min: 1, max: 1_000_000 }, Value("1"), "2.1.0", Application, Honoured,
        "Failures of one task after which an executor is left out for it", aliases &["spark.blacklist.task.maxTaskAttemptsPerExecutor"];
    EXCLUDE_TASK_ATTEMPTS_NODE: u64 = "spark.excludeOnFailure.task.maxTaskAttemptsPerNode", Kind::Integer { min: 1, max: 1_000_000 }, Value("2"), "2.1.0", Application, Honoured,
        "Failures of one task after which a host is left out for it", aliases &["spark.blacklist.task.maxTaskAttemptsPerNode"];
    EXCLUDE_STAGE_TASKS_EXECUTOR: u64 = "spark.excludeOnFailure.stage.maxFailedTasksPerExecutor", Kind::Integer { min: 1, max: 1_000_000 }, Value("2"), "2.1.0", Application, Honoured,
        "Tasks failed after which an executor is left out for a stage", aliases &["spark.blacklist.stage.maxFailedTasksPerExecutor"];
    EXCLUDE_STAGE_EXECUTORS_NODE: u64 = "spark.excludeOnFailure.stage.maxFailedExecutorsPerNode", Kind::Integer { min: 1, max: 1_000_000 }, Value("2"), "2.1.0", Application, Honoured,
        "Executors left out after which a host is for a stage", aliases &["spark.blacklist.stage.maxFailedExecutorsPerNode"];
    EXCLUDE_APP_TASKS_EXECUTOR: u64 = "spark.excludeOnFailure.application.maxFailedTasksPerExecutor", Kind::Integer { min: 1, max: 1_000_000 }, Value("2"), "2.2.0", Application, Honoured,
        "Tasks failed after which an executor is left out for the application", aliases &["spark.blacklist.application.maxFailedTasksPerExecutor"];
    EXCLUDE_APP_EXECUTORS_NODE: u64 = "spark.excludeOnFailure.application.maxFailedExecutorsPerNode", Kind::Integer { min: 1, max: 1_000_000 }, Value("2"), "2.2.0", Application, Honoured,
        "Executors left out after which a host is for the application", aliases &["spark.blacklist.application.maxFailedExecutorsPerNode"];
    SPECULATION: bool = "spark.speculation", Kind::Boolean, Value("false"), "0.6.0", Application, Honoured,
        "Whether slow tasks get a second attempt";

    DRIVER_CORES: f64 = "spark.driver.cores", Kind::Decimal { min: 0.0 }, Value("1"), "1.3.0", Application, Planned,
        "Cores of a driver in cluster mode";
    DRIVER_MEMORY: u64 = "spark.driver.memory", MEMORY, Value("1g"), "1.1.1", Application, Honoured,
        "Memory of the driver";
    DRIVER_MAX_RESULT_SIZE: u64 = "spark.driver.maxResultSize", SIZE, Value("1g"), "1.2.0", Application, Honoured,
        "Most bytes of results one action may bring to the driver; 0 for no limit";
    DRIVER_HOST: Option<String> = "spark.driver.host", Kind::Text, Computed("this host's address"), "0.7.0", Application, Honoured,
        "Address of the driver as executors see it";
    DRIVER_BIND_ADDRESS: Option<String> = "spark.driver.bindAddress", Kind::Text, Computed("spark.driver.host"), "2.1.0", Application, Honoured,
        "Address the driver listens on";
    DRIVER_PORT: u16 = "spark.driver.port", PORT, Value("0"), "0.7.0", Application, Honoured,
        "Port executors dial; 0 for any";
    DRIVER_SUPERVISE: bool = "spark.driver.supervise", Kind::Boolean, Value("false"), "1.3.0", Application, Planned,
        "Whether the dispatcher restarts a failed driver";
    BLOCK_MANAGER_PORT: u16 = "spark.blockManager.port", PORT, Value("0"), "1.1.0", Application, Honoured,
        "Port of an executor's shuffle server, taken out of the offer; 0 for any";
    PORT_MAX_RETRIES: u64 = "spark.port.maxRetries", NOT_NEGATIVE, Value("16"), "1.1.1", Application, Honoured,
        "Ports tried after spark.driver.port and spark.ui.port; ports after spark.blockManager.port of which executors on one agent get one each";
    UI_PORT: u16 = "spark.ui.port", PORT, Value("4040"), "0.7.0", Application, Honoured,
        "Port of the web pages";
    UI_ENABLED: bool = "spark.ui.enabled", Kind::Boolean, Value("true"), "1.1.1", Application, Honoured,
        "Whether there are web pages";
    UI_SHOW_CONSOLE_PROGRESS: Option<bool> = "spark.ui.showConsoleProgress", Kind::Boolean, Computed("true on a terminal"), "1.2.1", Application, Honoured,
        "Whether each running stage shows a progress line";
    LOCAL_DIR: Vec<String> = "spark.local.dir", Kind::List, Computed("the system's temporary directory"), "0.5.0", Application, Honoured,
        "Directories for shuffle and spill files";

    AUTHENTICATE: bool = "spark.authenticate", Kind::Boolean, Value("true"), "1.0.0", Application, Ignored("it is always on"),
        "Whether connections inside an application must know its secret";
    AUTHENTICATE_SECRET: Option<String> = "spark.authenticate.secret", Kind::Text, Computed("random per application"), "1.0.0", Application, Honoured,
        "The application's secret";
    IO_ENCRYPTION: bool = "spark.io.encryption.enabled", Kind::Boolean, Value("false"), "2.1.0", Application, Honoured,
        "Encryption of local files, which there is not: true is refused on Mesos";
    IO_COMPRESSION_CODEC: String = "spark.io.compression.codec", Kind::OneOf(&["lz4", "zstd", "none", "snappy", "lzf"]), Value("lz4"), "0.8.0", Application, Honoured,
        "Compression of shuffle blocks";
    SHUFFLE_COMPRESS: bool = "spark.shuffle.compress", Kind::Boolean, Value("true"), "0.6.0", Application, Honoured,
        "Whether shuffle blocks are compressed";
    SHUFFLE_SERVICE_ENABLED: bool = "spark.shuffle.service.enabled", Kind::Boolean, Value("false"), "1.2.0", Application, Honoured,
        "Whether the agents' shuffle service serves map output";
    SHUFFLE_SERVICE_PORT: u16 = "spark.shuffle.service.port", PORT, Value("7337"), "1.2.0", Application, Honoured,
        "Port of the shuffle service";
    SHUFFLE_CLEANER_INTERVAL: Duration = "spark.shuffle.cleaner.interval", SECONDS, Value("30s"), "2.0.0", Daemon, Honoured,
        "How often the shuffle service looks for ended applications";
    SHUFFLE_IO_MAX_RETRIES: u64 = "spark.shuffle.io.maxRetries", NOT_NEGATIVE, Value("3"), "1.2.0", Application, Honoured,
        "Retries of a failed block read";
    SHUFFLE_IO_RETRY_WAIT: Duration = "spark.shuffle.io.retryWait", SECONDS, Value("5s"), "1.2.1", Application, Honoured,
        "Wait between them; unless it is set half a second, with a shuffle service one";
    SHUFFLE_IO_CONNECTION_TIMEOUT: Duration = "spark.shuffle.io.connectionTimeout", SECONDS, Value("10s"), "1.2.0", Application, Honoured,
        "How long dialling a block server may take";
    REDUCER_MAX_SIZE_IN_FLIGHT: u64 = "spark.reducer.maxSizeInFlight", Kind::Bytes { unit: ByteUnit::Mib, min: 1 }, Value("48m"), "1.4.0", Application, Honoured,
        "Bytes of map output fetched at once by a reduce task";
    REDUCER_MAX_REQS_IN_FLIGHT: u64 = "spark.reducer.maxReqsInFlight", Kind::Integer { min: 1, max: 2_147_483_647 }, Value("16"), "2.0.0", Application, Honoured,
        "Requests for map output that run at once in a reduce task";
    REDUCER_MAX_BLOCKS_PER_ADDRESS: u64 = "spark.reducer.maxBlocksInFlightPerAddress", Kind::Integer { min: 1, max: 2_147_483_647 }, Value("8192"), "2.2.1", Application, Honoured,
        "Blocks a reduce task asks one server for at once";
    DECOMMISSION: bool = "spark.decommission.enabled", Kind::Boolean, Value("false"), "3.1.0", Application, Honoured,
        "Whether an executor that is told to end takes no more tasks, and goes once its tasks are over and its map output is moved";
    DECOMMISSION_SHUFFLE_BLOCKS: bool = "spark.storage.decommission.shuffleBlocks.enabled", Kind::Boolean, Value("true"), "3.1.0", Application, Honoured,
        "Whether map output of a decommissioned executor is copied to others";

    DYNAMIC_ALLOCATION: bool = "spark.dynamicAllocation.enabled", Kind::Boolean, Value("false"), "1.2.0", Application, Honoured,
        "Whether executors come and go with the load";
    DYNAMIC_ALLOCATION_MIN: u64 = "spark.dynamicAllocation.minExecutors", NOT_NEGATIVE, Value("0"), "1.2.0", Application, Honoured,
        "Fewest executors";
    DYNAMIC_ALLOCATION_MAX: u64 = "spark.dynamicAllocation.maxExecutors", NOT_NEGATIVE, Value("2147483647"), "1.2.0", Application, Honoured,
        "Most executors";
    DYNAMIC_ALLOCATION_INITIAL: u64 = "spark.dynamicAllocation.initialExecutors", NOT_NEGATIVE, SameAs("spark.dynamicAllocation.minExecutors"), "1.3.0", Application, Honoured,
        "Executors at start";
    DYNAMIC_ALLOCATION_IDLE_TIMEOUT: Duration = "spark.dynamicAllocation.executorIdleTimeout", SECONDS, Value("60s"), "1.2.0", Application, Honoured,
        "Idle time after which an executor goes";
    DYNAMIC_ALLOCATION_BACKLOG_TIMEOUT: Duration = "spark.dynamicAllocation.schedulerBacklogTimeout", SECONDS, Value("1s"), "1.2.0", Application, Honoured,
        "How long tasks wait before executors are asked for; not at all unless it is set";
    DYNAMIC_ALLOCATION_SUSTAINED_TIMEOUT: Duration = "spark.dynamicAllocation.sustainedSchedulerBacklogTimeout", SECONDS, SameAs("spark.dynamicAllocation.schedulerBacklogTimeout"), "1.2.0", Application, Honoured,
        "Time between further requests, each for twice as many executors";
    DYNAMIC_ALLOCATION_CACHED_IDLE_TIMEOUT: Option<Duration> = "spark.dynamicAllocation.cachedExecutorIdleTimeout", SECONDS, Unset, "1.4.0", Application, Honoured,
        "Idle time after which an executor with cached partitions goes; never unless it is set";
    DYNAMIC_ALLOCATION_SHUFFLE_TIMEOUT: Option<Duration> = "spark.dynamicAllocation.shuffleTracking.timeout", SECONDS, Unset, "3.0.0", Application, Honoured,
        "Without a shuffle service, idle time after which an executor goes whose map output is needed; never unless it is set";
    DYNAMIC_ALLOCATION_RATIO: f64 = "spark.dynamicAllocation.executorAllocationRatio", Kind::Decimal { min: 0.0 }, Value("1.0"), "2.4.0", Application, Honoured,
        "The part of full parallelism that is asked for";

    EVENT_LOG_ENABLED: bool = "spark.eventLog.enabled", Kind::Boolean, Value("false"), "1.0.0", Application, Honoured,
        "Whether the application's events are written to a log";
    EVENT_LOG_DIR: String = "spark.eventLog.dir", Kind::Text, Value("file:///tmp/spark-events"), "1.0.0", Application, Honoured,
        "Directory of event logs, on the driver's machine; it must exist";

    DEPLOY_RECOVERY_MODE: String = "spark.deploy.recoveryMode", Kind::OneOf(&["NONE", "ZOOKEEPER", "FILESYSTEM"]), Value("NONE"), "0.8.1", Daemon, Planned,
        "Where the dispatcher keeps its state", aliases &["spark.mesos.deploy.recoveryMode"];
    DEPLOY_ZOOKEEPER_URL: Option<String> = "spark.deploy.zookeeper.url", Kind::Text, Unset, "0.8.1", Daemon, Planned,
        "ZooKeeper of the dispatcher", aliases &["spark.mesos.deploy.zookeeper.url"];
    DEPLOY_ZOOKEEPER_DIR: String = "spark.deploy.zookeeper.dir", Kind::Text, Value("/spark_mesos_dispatcher"), "0.8.1", Daemon, Planned,
        "Its directory there";
    MASTER_REST_ENABLED: bool = "spark.master.rest.enabled", Kind::Boolean, Value("true"), "1.3.0", Application, Planned,
        "Whether cluster mode submits over REST";

    PYSPARK_PYTHON: Option<String> = "spark.pyspark.python", Kind::Text, Unset, "2.1.0", Application, Honoured,
        "Python of the workers and, unless set apart, of the driver";
    PYSPARK_DRIVER_PYTHON: Option<String> = "spark.pyspark.driver.python", Kind::Text, SameAs("spark.pyspark.python"), "2.1.0", Application, Honoured,
        "Python that runs the script";
    CONNECT_PORT: u16 = "spark.connect.grpc.binding.port", PORT, Value("15002"), "3.4.0", Static, Honoured,
        "Port of the Connect server; spark-submit takes any free one";
    CONNECT_ADDRESS: Option<String> = "spark.connect.grpc.binding.address", Kind::Text, Unset, "4.0.0", Static, Planned,
        "Address of the Connect server";
    CONNECT_AUTHENTICATE_TOKEN: Option<String> = "spark.connect.authenticate.token", Kind::Text, Unset, "4.0.0", Static, Honoured,
        "Bearer token that Connect clients must send";
    CONNECT_MAX_INBOUND: u64 = "spark.connect.grpc.maxInboundMessageSize", SIZE, Value("128m"), "3.4.0", Static, Planned,
        "Largest message a Connect client may send";
    CONNECT_ARROW_BATCH_SIZE: u64 = "spark.connect.grpc.arrow.maxBatchSize", SIZE, Value("4m"), "3.4.0", Session, Planned,
        "Largest Arrow batch sent to a client";
    CONNECT_STREAM_MAX_DURATION: Duration = "spark.connect.execute.reattachable.senderMaxStreamDuration", MILLISECONDS, Value("2m"), "3.5.0", Session, Honoured,
        "After this time a response stream ends and the client reattaches";
    CONNECT_STREAM_MAX_SIZE: u64 = "spark.connect.execute.reattachable.senderMaxStreamSize", SIZE, Value("1g"), "3.5.0", Session, Honoured,
        "After this many bytes a response stream ends and the client reattaches";
    CONNECT_REATTACHABLE: bool = "spark.connect.execute.reattachable.enabled", Kind::Boolean, Value("true"), "3.5.0", Static, Planned,
        "Whether operations outlive their response stream";
    CONNECT_OBSERVER_RETRY_BUFFER: u64 = "spark.connect.execute.reattachable.observerRetryBufferSize", SIZE, Value("10m"), "3.5.0", Session, Honoured,
        "Bytes kept for a client that reattaches";
    CONNECT_PLAN_COMPRESSION_THRESHOLD: u64 = "spark.connect.session.planCompression.threshold", SIZE, Value("10m"), "4.1.0", Session, Client,
        "Plans at least this large may come compressed";
    CONNECT_PLAN_COMPRESSION_ALGORITHM: String = "spark.connect.session.planCompression.defaultAlgorithm", Kind::OneOf(&["ZSTD", "NONE"]), Value("ZSTD"), "4.1.0", Session, Client,
        "Compression of large plans";
}
