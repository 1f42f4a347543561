//! Properties that Spark does not have.

use std::time::Duration;

use crate::kind::{ByteUnit, Kind, TimeUnit};
use crate::property::Preset::{Computed, None as Unset, Value};
use crate::property::Status::{Honoured, Planned};

properties! {
    LOCAL_EXECUTION: bool = "spark.ferrospark.localExecution.enabled", Kind::Boolean, Value("true"), "ferrospark", Session, Honoured,
        "Whether plans over at most 1000 in-memory rows, and all plans of a local master, run inside the driver process; false always makes stages and tasks";
    PARTITION_ROWS: u64 = "spark.ferrospark.localExecution.partitionRows", Kind::Integer { min: 0, max: i64::MAX }, Value("65536"), "ferrospark", Session, Honoured,
        "Rows of each part that joins and aggregates of a local master divide large inputs into, up to 64 parts whose hash tables fit the processor's cache; 0 keeps one part for each core";
    EXECUTOR_REPORT: bool = "spark.ferrospark.executorReport.enabled", Kind::Boolean, Value("false"), "ferrospark", Application, Honoured,
        "Whether the driver prints at its end, for each executor, the tasks it ran and the shuffle bytes it read";
    PUBLIC_HOST: Option<String> = "spark.ferrospark.publicHost", Kind::Text, Unset, "ferrospark", Application, Honoured,
        "Host name shown to people in links, from SPARK_PUBLIC_DNS";
    SPREAD: String = "spark.ferrospark.mesos.placement", Kind::OneOf(&["spread", "pack"]), Value("spread"), "ferrospark", Application, Honoured,
        "Whether executors are spread over the offered agents or packed onto the first";
    MAX_EXECUTORS_PER_AGENT: Option<u64> = "spark.ferrospark.mesos.maxExecutorsPerAgent", Kind::Integer { min: 1, max: 1_000_000 }, Unset, "ferrospark", Application, Honoured,
        "Most executors of this application on one agent; unset for any number";
    EXCLUDE_FAILURES: u64 = "spark.ferrospark.mesos.exclude.maxFailures", Kind::Integer { min: 1, max: 1_000_000 }, Value("2"), "ferrospark", Application, Honoured,
        "Executor failures on an agent after which it is left out for a while; losses the executor did not cause do not count";
    EXCLUDE_TIMEOUT: Duration = "spark.ferrospark.mesos.exclude.timeout", Kind::Duration { unit: TimeUnit::Second }, Value("60s"), "ferrospark", Application, Honoured,
        "How long an agent is left out";
    FINE_IDLE_TIMEOUT: Duration = "spark.ferrospark.mesos.fine.executorIdleTimeout", Kind::Duration { unit: TimeUnit::Second }, Value("10s"), "ferrospark", Application, Honoured,
        "Fine-grained mode: how long an executor without tasks, whose map output nobody needs any more, keeps its memory and its own cpus";
    WAITING_REPORT_DELAY: Duration = "spark.ferrospark.waitingReport.delay", Kind::Duration { unit: TimeUnit::Millisecond }, Value("5s"), "ferrospark", Application, Honoured,
        "How long an application waits for resources before it says what for";
    DRIVER_SECRET: Option<String> = "spark.ferrospark.connect.secret", Kind::Text, Computed("random per application"), "ferrospark", Application, Planned,
        "Secret that clients of the driver's Connect port must know";
    EXECUTOR_ARCHIVE_DIRECTORY: Option<String> = "spark.ferrospark.executor.uri.directory", Kind::Text, Computed("the archive's name without its extension"), "ferrospark", Application, Honoured,
        "Top directory inside the archive of spark.executor.uri";
    SHUFFLE_HELD: u64 = "spark.ferrospark.shuffle.heldMemory", Kind::Bytes { unit: ByteUnit::Mib, min: 0 }, Value("64m"), "ferrospark", Application, Honoured,
        "Map output of up to 4 MiB a task stays in the executor's memory, never more than this nor a sixteenth of spark.executor.memory in all; 0, or a shuffle service, writes all to files";
    SHUFFLE_MEMORY: u64 = "spark.ferrospark.shuffle.memory", Kind::Bytes { unit: ByteUnit::Mib, min: 0 }, Value("0"), "ferrospark", Application, Honoured,
        "Budget of each executor for shuffle files on a tmpfs; asked of Mesos on top of its other memory";
    SHUFFLE_MEMORY_DIR: String = "spark.ferrospark.shuffle.memoryDir", Kind::Text, Value("/dev/shm"), "ferrospark", Application, Honoured,
        "The tmpfs; one that is too small for twice the budget, or as small as Docker's own, is not used";
}
