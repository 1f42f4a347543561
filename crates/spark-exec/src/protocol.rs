//! The messages between driver and executor.
//!
//! One bidirectional stream per executor; the executor dials. The driver sends a stage's plan once
//! per executor, the places of map output once per change, and tasks as numbers. Messages of one
//! direction arrive in the order sent, so a task never overtakes what it needs.

use std::collections::HashMap;

/// The metadata key that carries the application's secret.
pub const SECRET_KEY: &str = "x-ferrospark-secret";

/// No message is refused for its size: plans carry local tables.
pub const MESSAGE_BYTES_LIMIT: usize = i32::MAX as usize;

/// From an executor to the driver.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromExecutor {
    #[prost(oneof = "from_executor::Kind", tags = "1, 2, 3, 5, 6, 7")]
    pub kind: Option<from_executor::Kind>,
}

/// The kinds of [`FromExecutor`].
pub mod from_executor {
    /// What an executor says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// The first message of a stream.
        #[prost(message, tag = "1")]
        Register(super::Register),
        #[prost(message, tag = "2")]
        Finished(super::TaskFinished),
        #[prost(message, tag = "3")]
        Heartbeat(super::Heartbeat),
        /// It was told to end, and goes when its output is moved.
        #[prost(bool, tag = "5")]
        Decommissioned(bool),
        #[prost(message, tag = "6")]
        Copied(super::Copied),
        #[prost(message, tag = "7")]
        Checked(super::Checked),
    }
}

/// From the driver to an executor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ToExecutor {
    #[prost(oneof = "to_executor::Kind", tags = "1, 2, 3, 4, 5, 6, 7, 9, 10, 11")]
    pub kind: Option<to_executor::Kind>,
}

/// The kinds of [`ToExecutor`].
pub mod to_executor {
    /// What the driver says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// The first message of a stream.
        #[prost(message, tag = "1")]
        Registered(super::Registered),
        #[prost(message, tag = "2")]
        Stage(super::StagePlan),
        #[prost(message, tag = "3")]
        MapStatuses(super::MapStatuses),
        #[prost(message, tag = "4")]
        Launch(super::Launch),
        #[prost(message, tag = "5")]
        Kill(super::Kill),
        #[prost(uint64, tag = "6")]
        ReleaseStage(u64),
        #[prost(uint64, tag = "7")]
        ReleaseShuffle(u64),
        /// Finish and exit; the text says why.
        #[prost(string, tag = "9")]
        Stop(String),
        #[prost(message, tag = "10")]
        Copy(super::CopyBlock),
        #[prost(message, tag = "11")]
        Check(super::CheckBlocks),
    }
}

/// An executor introduces itself.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Register {
    #[prost(string, tag = "1")]
    pub executor: String,
    #[prost(string, tag = "2")]
    pub app: String,
    #[prost(string, tag = "3")]
    pub host: String,
    #[prost(uint32, tag = "4")]
    pub cores: u32,
    /// `host:port` under which other executors fetch its blocks.
    #[prost(string, tag = "5")]
    pub block_address: String,
    #[prost(uint64, tag = "6")]
    pub memory_bytes: u64,
    #[prost(uint32, tag = "7")]
    pub pid: u32,
}

/// An executor asks for the application's properties before it makes its directories, as Spark's does
/// (`RetrieveSparkAppConfig`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct PropertiesRequest {
    /// The application it was started for.
    #[prost(string, tag = "1")]
    pub app: String,
}

/// The driver's answer to [`Register`] and to [`PropertiesRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Registered {
    /// The application's properties that matter to executors.
    #[prost(map = "string, string", tag = "1")]
    pub conf: HashMap<String, String>,
}

/// Still there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Heartbeat {
    #[prost(uint32, tag = "1")]
    pub running: u32,
    #[prost(uint64, tag = "2")]
    pub memory_used: u64,
}

/// A stage's plan and settings, sent once per executor before the stage's first task there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StagePlan {
    #[prost(uint64, tag = "1")]
    pub stage: u64,
    /// The encoded plan; its root is a shuffle write, or anything for a result stage.
    #[prost(bytes = "bytes", tag = "2")]
    pub plan: prost::bytes::Bytes,
    /// DataFusion settings that differ from its defaults.
    #[prost(map = "string, string", tag = "3")]
    pub settings: HashMap<String, String>,
    /// The shuffles its leaves read.
    #[prost(uint64, repeated, tag = "4")]
    pub parents: Vec<u64>,
    /// Result batches up to this many bytes travel inside the completion message.
    #[prost(uint64, tag = "5")]
    pub inline_bytes: u64,
}

/// Where the map output of a shuffle lies.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MapStatuses {
    #[prost(uint64, tag = "1")]
    pub shuffle: u64,
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// One per map partition, in order.
    #[prost(message, repeated, tag = "3")]
    pub outputs: Vec<MapOutputPlace>,
}

/// Where one map output lies.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MapOutputPlace {
    #[prost(string, tag = "1")]
    pub executor: String,
    #[prost(string, tag = "2")]
    pub address: String,
    /// The attempt that wrote it, part of the block's name.
    #[prost(uint64, tag = "3")]
    pub task: u64,
    /// Bytes per reduce partition.
    #[prost(uint64, repeated, tag = "4")]
    pub sizes: Vec<u64>,
    /// Whether there is output at all; false only while it is lost.
    #[prost(bool, tag = "5")]
    pub available: bool,
    /// Of sorted output: the first key of each segment that has rows.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub keys: Vec<prost::bytes::Bytes>,
    /// All rows lie in the block's first segment, behind their numbers per reduce partition.
    #[prost(bool, tag = "7")]
    pub packed: bool,
}

/// Tasks to start.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Launch {
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<Task>,
}

/// One task attempt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Task {
    #[prost(uint64, tag = "1")]
    pub task: u64,
    #[prost(uint64, tag = "2")]
    pub stage: u64,
    #[prost(uint32, tag = "3")]
    pub stage_attempt: u32,
    #[prost(uint32, tag = "4")]
    pub partition: u32,
    #[prost(uint32, tag = "5")]
    pub attempt: u32,
}

/// A task attempt that comes to its executor by another way than the driver's stream, the `data` of a
/// Mesos task: it may overtake what it needs, and waits for it there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AssignedTask {
    #[prost(message, optional, tag = "1")]
    pub task: Option<Task>,
    /// The map statuses it must not run without.
    #[prost(message, repeated, tag = "2")]
    pub needs: Vec<NeededStatuses>,
}

/// Map statuses of a shuffle, at least as new as this.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct NeededStatuses {
    #[prost(uint64, tag = "1")]
    pub shuffle: u64,
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// Stop a task attempt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Kill {
    #[prost(uint64, tag = "1")]
    pub task: u64,
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// Copy a map output of an executor that is about to go.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CopyBlock {
    /// The executor that goes.
    #[prost(string, tag = "1")]
    pub from: String,
    /// Where it serves the block.
    #[prost(string, tag = "2")]
    pub address: String,
    #[prost(uint64, tag = "3")]
    pub shuffle: u64,
    #[prost(uint32, tag = "4")]
    pub map: u32,
    /// The attempt that wrote it.
    #[prost(uint64, tag = "5")]
    pub task: u64,
    /// Bytes of all its segments.
    #[prost(uint64, tag = "6")]
    pub bytes: u64,
    /// How many there are.
    #[prost(uint32, tag = "7")]
    pub segments: u32,
}

/// The answer to [`CopyBlock`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Copied {
    #[prost(string, tag = "1")]
    pub from: String,
    #[prost(uint64, tag = "2")]
    pub shuffle: u64,
    #[prost(uint32, tag = "3")]
    pub map: u32,
    #[prost(uint64, tag = "4")]
    pub task: u64,
    /// Why there is no copy; empty if there is one.
    #[prost(string, tag = "5")]
    pub error: String,
}

/// One block of an executor was bad: it looks through what else it wrote for the shuffle.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckBlocks {
    #[prost(uint64, tag = "1")]
    pub shuffle: u64,
    #[prost(message, repeated, tag = "2")]
    pub outputs: Vec<OutputName>,
}

/// The answer to [`CheckBlocks`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Checked {
    #[prost(uint64, tag = "1")]
    pub shuffle: u64,
    /// Those that cannot be read, or are not what was written.
    #[prost(message, repeated, tag = "2")]
    pub damaged: Vec<OutputName>,
}

/// A map output of a shuffle.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct OutputName {
    #[prost(uint32, tag = "1")]
    pub map: u32,
    /// The attempt that wrote it.
    #[prost(uint64, tag = "2")]
    pub task: u64,
}

/// A task attempt is over.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskFinished {
    #[prost(uint64, tag = "1")]
    pub task: u64,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<TaskMetrics>,
    #[prost(oneof = "task_finished::Outcome", tags = "3, 4, 5, 6, 7")]
    pub outcome: Option<task_finished::Outcome>,
}

/// The kinds of end of a task.
pub mod task_finished {
    /// How a task attempt ended.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Outcome {
        /// Map output is durable; bytes per reduce partition.
        #[prost(message, tag = "3")]
        MapOutput(super::MapOutput),
        #[prost(message, tag = "4")]
        Result(super::TaskResult),
        #[prost(message, tag = "5")]
        Failed(super::TaskError),
        #[prost(message, tag = "6")]
        FetchFailed(super::FetchFailed),
        /// Why it was killed.
        #[prost(string, tag = "7")]
        Killed(String),
    }
}

/// What a map task left.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MapOutput {
    #[prost(uint64, repeated, tag = "1")]
    pub sizes: Vec<u64>,
    /// Of sorted output: the first key of each segment that has rows.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub keys: Vec<prost::bytes::Bytes>,
    /// The shuffle.
    #[prost(uint64, tag = "3")]
    pub shuffle: u64,
    /// As [`MapOutputPlace::packed`].
    #[prost(bool, tag = "4")]
    pub packed: bool,
}

/// What a result task left.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskResult {
    /// The encoded batches, if small.
    #[prost(bytes = "bytes", tag = "1")]
    pub inline: prost::bytes::Bytes,
    /// The bytes of the block to fetch; 0 if the result is inline.
    #[prost(uint64, tag = "2")]
    pub block_bytes: u64,
}

/// What a task attempt did.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskMetrics {
    #[prost(uint64, tag = "1")]
    pub run_micros: u64,
    #[prost(uint64, tag = "2")]
    pub output_rows: u64,
    #[prost(uint64, tag = "3")]
    pub bytes_written: u64,
    /// Shuffle bytes read, by the executor that wrote them; its own under its own id.
    #[prost(map = "string, uint64", tag = "4")]
    pub bytes_read: HashMap<String, u64>,
    #[prost(uint64, tag = "5")]
    pub rows_read: u64,
    /// What its operators counted, if an event log is written.
    #[prost(message, repeated, tag = "6")]
    pub operators: Vec<OperatorMetric>,
    /// Processor time its operators counted.
    #[prost(uint64, tag = "7")]
    pub compute_nanos: u64,
    #[prost(uint64, tag = "8")]
    pub spilled_bytes: u64,
    /// Bytes of the result of a task that is no map task.
    #[prost(uint64, tag = "9")]
    pub result_bytes: u64,
    /// Time from the task's start to the plan it runs.
    #[prost(uint64, tag = "10")]
    pub decode_micros: u64,
    /// Blocks read, by the executor that wrote them.
    #[prost(map = "string, uint64", tag = "11")]
    pub blocks_read: HashMap<String, u64>,
    /// Time it waited for map output.
    #[prost(uint64, tag = "12")]
    pub fetch_wait_nanos: u64,
    /// Time to encode, pack and write map output, or to write runs of it early.
    #[prost(uint64, tag = "13")]
    pub write_nanos: u64,
    /// The most it had reserved of the executor's pool.
    #[prost(uint64, tag = "14")]
    pub peak_memory_bytes: u64,
    /// Read from sources, and rows of it.
    #[prost(uint64, tag = "15")]
    pub input_bytes: u64,
    #[prost(uint64, tag = "16")]
    pub input_rows: u64,
    /// Written to sinks, and rows of it.
    #[prost(uint64, tag = "17")]
    pub sink_bytes: u64,
    #[prost(uint64, tag = "18")]
    pub sink_rows: u64,
    /// What was spilled, as it was in memory; `spilled_bytes` as it was written.
    #[prost(uint64, tag = "19")]
    pub memory_spilled_bytes: u64,
}

/// One count of one operator.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorMetric {
    /// The operator's place in the plan, from the root, depth first.
    #[prost(uint32, tag = "1")]
    pub operator: u32,
    /// Its name.
    #[prost(string, tag = "2")]
    pub node: String,
    /// What was counted.
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(uint64, tag = "4")]
    pub value: u64,
}

/// A block could not be read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FetchFailed {
    #[prost(uint64, tag = "1")]
    pub shuffle: u64,
    #[prost(uint32, tag = "2")]
    pub map: u32,
    /// The attempt whose output was asked for, if there was one.
    #[prost(uint64, optional, tag = "3")]
    pub map_task: Option<u64>,
    /// The server did not answer at all.
    #[prost(bool, tag = "4")]
    pub address_lost: bool,
    #[prost(string, tag = "5")]
    pub message: String,
}

/// A task's own error, in parts, so that condition and SQLSTATE reach the client.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskError {
    /// The whole message for logs.
    #[prost(string, tag = "1")]
    pub message: String,
    #[prost(message, optional, tag = "2")]
    pub spark: Option<SparkErrorParts>,
    /// Another attempt cannot succeed (a plan that cannot be decoded).
    #[prost(bool, tag = "3")]
    pub fatal: bool,
    /// The executor's doing, not the task's; tried again and not counted.
    #[prost(bool, tag = "4")]
    pub not_counted: bool,
}

/// `SparkError` on the wire.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparkErrorParts {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub condition: String,
    #[prost(string, tag = "3")]
    pub sql_state: String,
    #[prost(string, tag = "4")]
    pub text: String,
    #[prost(message, repeated, tag = "5")]
    pub parameters: Vec<Parameter>,
    #[prost(message, optional, tag = "6")]
    pub context: Option<ErrorContext>,
}

/// One message parameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Parameter {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `QueryContext` on the wire.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ErrorContext {
    #[prost(uint64, tag = "1")]
    pub start_index: u64,
    #[prost(uint64, tag = "2")]
    pub stop_index: u64,
    #[prost(uint64, tag = "3")]
    pub line: u64,
    #[prost(uint64, tag = "4")]
    pub position: u64,
    #[prost(string, tag = "5")]
    pub fragment: String,
}

/// The generated client and server.
pub(crate) mod service {
    #![allow(clippy::all, unreachable_pub, missing_docs, reason = "generated")]
    tonic::include_proto!("ferrospark.exec.v1.ExecutorEndpoint");
}

impl From<from_executor::Kind> for FromExecutor {
    fn from(kind: from_executor::Kind) -> Self {
        Self { kind: Some(kind) }
    }
}

impl From<to_executor::Kind> for ToExecutor {
    fn from(kind: to_executor::Kind) -> Self {
        Self { kind: Some(kind) }
    }
}
