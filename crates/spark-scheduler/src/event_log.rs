//! Spark's event log (`spark.eventLog.enabled`, `spark.eventLog.dir`): one JSON object a line, with
//! the names and shapes of Spark's `JsonProtocol`, so that Spark's history server and its tools read
//! it. Made from what goes into the scheduler and what comes out; writing it is the caller's.

mod json;

use std::sync::Arc;

use indexmap::IndexMap;

use crate::action::{Action, JobOutcome, StageOutcome, TaskDescription};
use crate::event::{Event, ExecutorLoss, FetchFailure, TaskOutcome};
use crate::ids::{ExecutorId, JobId, StageId, TaskId};
use crate::job::{JobProperties, JobSpec, StageKind, StageSpec};
use json::Object;

/// Jobs' and stages' infos are kept as long as they live; this many released stages are remembered
/// for tasks that end late.
const STAGES_LIMIT: usize = 10_000;

/// What the log says of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationInfo {
    /// `spark.app.name`.
    pub name: String,
    /// The application's id.
    pub id: String,
    /// Who runs it.
    pub user: String,
    /// The release of Spark whose behaviour is shown, as `4.0.0`.
    pub spark_version: String,
}

/// What a task measured; sizes in bytes, times in their named units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskMetrics {
    /// Getting the plan ready.
    pub deserialize_millis: u64,
    /// Wall time of the task itself.
    pub run_millis: u64,
    /// Processor time of the task.
    pub cpu_nanos: u64,
    /// Size of its result.
    pub result_bytes: u64,
    /// The most its operators and buffers held.
    pub peak_memory_bytes: u64,
    /// Spilled, as it was in memory.
    pub memory_spilled_bytes: u64,
    /// Spilled, as it was written.
    pub disk_spilled_bytes: u64,
    /// Read from sources.
    pub input_bytes: u64,
    /// Rows of it.
    pub input_records: u64,
    /// Written to sinks.
    pub output_bytes: u64,
    /// Rows of it.
    pub output_records: u64,
    /// Map output read over the wire.
    pub shuffle_remote_bytes: u64,
    /// Blocks of it.
    pub shuffle_remote_blocks: u64,
    /// Map output read from the own host's directories.
    pub shuffle_local_bytes: u64,
    /// Blocks of it.
    pub shuffle_local_blocks: u64,
    /// Waited for map output.
    pub shuffle_wait_millis: u64,
    /// Rows read of map output.
    pub shuffle_read_records: u64,
    /// Map output written.
    pub shuffle_written_bytes: u64,
    /// Rows of it.
    pub shuffle_written_records: u64,
    /// Time to write it.
    pub shuffle_write_nanos: u64,
    /// What its operators counted.
    pub operators: Vec<OperatorMetric>,
}

/// One count of one operator (Spark's SQL metrics, which are accumulables there).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorMetric {
    /// Which operator and what.
    pub name: String,
    /// How much.
    pub value: u64,
}

impl TaskMetrics {
    /// Spark's internal accumulables, of which a stage's are the sums (`InternalAccumulator`).
    fn accumulables(&self) -> [(&'static str, u64); 20] {
        [
            ("internal.metrics.executorDeserializeTime", self.deserialize_millis),
            ("internal.metrics.executorRunTime", self.run_millis),
            ("internal.metrics.executorCpuTime", self.cpu_nanos),
            ("internal.metrics.resultSize", self.result_bytes),
            ("internal.metrics.peakExecutionMemory", self.peak_memory_bytes),
            ("internal.metrics.memoryBytesSpilled", self.memory_spilled_bytes),
            ("internal.metrics.diskBytesSpilled", self.disk_spilled_bytes),
            ("internal.metrics.input.bytesRead", self.input_bytes),
            ("internal.metrics.input.recordsRead", self.input_records),
            ("internal.metrics.output.bytesWritten", self.output_bytes),
            ("internal.metrics.output.recordsWritten", self.output_records),
            ("internal.metrics.shuffle.read.remoteBytesRead", self.shuffle_remote_bytes),
            ("internal.metrics.shuffle.read.remoteBlocksFetched", self.shuffle_remote_blocks),
            ("internal.metrics.shuffle.read.localBytesRead", self.shuffle_local_bytes),
            ("internal.metrics.shuffle.read.localBlocksFetched", self.shuffle_local_blocks),
            ("internal.metrics.shuffle.read.fetchWaitTime", self.shuffle_wait_millis),
            ("internal.metrics.shuffle.read.recordsRead", self.shuffle_read_records),
            ("internal.metrics.shuffle.write.bytesWritten", self.shuffle_written_bytes),
            ("internal.metrics.shuffle.write.recordsWritten", self.shuffle_written_records),
            ("internal.metrics.shuffle.write.writeTime", self.shuffle_write_nanos),
        ]
    }
}

struct RunningTask {
    description: TaskDescription,
    executor: ExecutorId,
    launched: u64,
}

struct StageInfo {
    spec: StageSpec,
    parents: Vec<StageId>,
    properties: Arc<JobProperties>,
    submitted: u64,
    tasks: u32,
    /// What the operators of its successful tasks counted.
    operators: IndexMap<String, u64>,
    /// What all its tasks measured, by Spark's names of the accumulables.
    totals: IndexMap<&'static str, u64>,
}

/// Turns the scheduler's events and actions into lines. Times are milliseconds since 1970.
pub struct EventRecorder {
    stages: IndexMap<StageId, StageInfo>,
    tasks: IndexMap<TaskId, RunningTask>,
    hosts: IndexMap<ExecutorId, Arc<str>>,
}

impl std::fmt::Debug for EventRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRecorder").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

fn event<'a>(out: &'a mut String, name: &str) -> Object<'a> {
    let mut object = Object::begin(out);
    object.text("Event", name);
    object
}

impl EventRecorder {
    /// Begins a log: what stands in it before anything happens. `properties` are shown in the
    /// environment; leave secrets out.
    pub fn begin<'a>(
        application: &ApplicationInfo,
        properties: impl Iterator<Item = (&'a str, &'a str)>,
        time: u64,
        out: &mut String,
    ) -> Self {
        event(out, "SparkListenerLogStart").text("Spark Version", &application.spark_version);
        out.push('\n');
        event(out, "SparkListenerApplicationStart")
            .text("App Name", &application.name)
            .text("App ID", &application.id)
            .number("Timestamp", time)
            .text("User", &application.user);
        out.push('\n');
        let none = |_: &mut Object<'_>| {};
        event(out, "SparkListenerEnvironmentUpdate")
            .object("JVM Information", none)
            .object("Spark Properties", |o| {
                for (key, value) in properties {
                    o.text(key, value);
                }
            })
            .object("Hadoop Properties", none)
            .object("System Properties", none)
            .object("Metrics Properties", none)
            .object("Classpath Entries", none);
        out.push('\n');
        Self { stages: IndexMap::new(), tasks: IndexMap::new(), hosts: IndexMap::new() }
    }

    /// Ends a log.
    pub fn end(&self, exit_code: i32, time: u64, out: &mut String) {
        event(out, "SparkListenerApplicationEnd")
            .number("Timestamp", time)
            .number("ExitCode", exit_code.max(0) as u64);
        out.push('\n');
    }

    /// Appends what an event, handed to the scheduler at `time`, and the scheduler's answer come
    /// to. `metrics` are those of the task that the event ends, if it ends one.
    pub fn record(
        &mut self,
        happened: &Event,
        metrics: Option<&TaskMetrics>,
        actions: &[Action],
        time: u64,
        out: &mut String,
    ) {
        self.record_event(happened, metrics, time, out);
        self.record_actions(actions, time, out);
    }

    /// The first half of [`Self::record`], for callers that hand the event over to the scheduler.
    pub fn record_event(
        &mut self,
        happened: &Event,
        metrics: Option<&TaskMetrics>,
        time: u64,
        out: &mut String,
    ) {
        match happened {
            Event::JobSubmitted(spec) => self.job_submitted(spec, time, out),
            Event::ExecutorAdded { executor, host, cores } => {
                self.hosts.insert(executor.clone(), host.clone());
                event(out, "SparkListenerExecutorAdded")
                    .number("Timestamp", time)
                    .text("Executor ID", executor.as_str())
                    .object("Executor Info", |o| {
                        o.text("Host", host)
                            .number("Total Cores", u64::from(*cores))
                            .object("Log Urls", |_| {})
                            .object("Attributes", |_| {})
                            .object("Resources", |_| {})
                            .number("Resource Profile Id", 0)
                            .number("Registration Time", time)
                            .number("Request Time", time);
                    });
                out.push('\n');
            }
            Event::ExecutorLost { executor, loss } => self.executor_lost(executor, loss, time, out),
            Event::TaskFinished { task, outcome } => {
                if let Some(run) = self.tasks.swap_remove(task) {
                    self.sum_up(&run, outcome, metrics);
                    self.task_end(*task, &run, &Ended::of(outcome), metrics, time, out);
                }
            }
            Event::JobCancelled { .. }
            | Event::JobGroupCancelled { .. }
            | Event::JobTagCancelled { .. }
            | Event::StageCancelled { .. }
            | Event::ExecutorDecommissioned { .. }
            | Event::CommitRequested { .. }
            | Event::CoresOffered { .. }
            | Event::MapOutputMoved(_)
            | Event::MapOutputDamaged { .. }
            | Event::ShuffleReleased { .. }
            | Event::Wakeup => {}
        }
    }

    /// The second half of [`Self::record`].
    pub fn record_actions(&mut self, actions: &[Action], time: u64, out: &mut String) {
        for action in actions {
            match action {
                Action::LaunchTask { executor, task } => {
                    let run = RunningTask {
                        description: task.clone(),
                        executor: executor.clone(),
                        launched: time,
                    };
                    event(out, "SparkListenerTaskStart")
                        .number("Stage ID", task.stage.0)
                        .number("Stage Attempt ID", u64::from(task.stage_attempt))
                        .object("Task Info", |o| self.task_info(o, &run, None, &[]));
                    out.push('\n');
                    self.tasks.insert(task.task, run);
                }
                Action::StageSubmitted { stage, attempt, tasks, .. } => {
                    self.stage_submitted(*stage, *attempt, *tasks, time, out);
                }
                Action::StageCompleted { stage, attempt, outcome } => {
                    self.stage_completed(*stage, *attempt, outcome, time, out);
                }
                Action::JobFinished { job, outcome } => job_end(*job, outcome, time, out),
                Action::KillTask { .. }
                | Action::ResultReady { .. }
                | Action::CommitAnswer { .. }
                | Action::ShuffleReleased { .. }
                | Action::StageReleased { .. }
                | Action::DemandChanged(_) => {}
            }
        }
    }

    // ---- jobs and stages -----------------------------------------------------------------------

    fn job_submitted(&mut self, spec: &JobSpec, time: u64, out: &mut String) {
        let properties = Arc::new(spec.properties.clone());
        let makes = |shuffle| move |s: &&StageSpec| s.shuffle() == Some(shuffle);
        for stage in &spec.stages {
            let known = |shuffle| {
                let known = self.stages.iter().find(|(_, i)| i.spec.shuffle() == Some(shuffle));
                known.map(|(id, _)| *id)
            };
            let parents = stage.parents.iter().filter_map(|shuffle| {
                let own = spec.stages.iter().find(makes(*shuffle)).map(|s| s.stage);
                own.or_else(|| known(*shuffle))
            });
            let info = StageInfo {
                spec: stage.clone(),
                parents: parents.collect(),
                properties: properties.clone(),
                submitted: time,
                tasks: stage.partitions,
                operators: IndexMap::new(),
                totals: IndexMap::new(),
            };
            self.stages.entry(stage.stage).or_insert(info);
        }
        let ids = spec.stages.iter().map(|stage| stage.stage);
        event(out, "SparkListenerJobStart")
            .number("Job ID", spec.job.0)
            .number("Submission Time", time)
            .objects("Stage Infos", ids.clone(), |o, id| self.stage_info(o, id, 0, None))
            .numbers("Stage IDs", ids.map(|id| id.0))
            .object("Properties", |o| job_properties(o, &properties));
        out.push('\n');
        while self.stages.len() > STAGES_LIMIT {
            self.stages.shift_remove_index(0);
        }
    }

    fn stage_info(
        &self,
        o: &mut Object<'_>,
        id: StageId,
        attempt: u32,
        ended: Option<(u64, Option<&str>)>,
    ) {
        let Some(info) = self.stages.get(&id) else {
            o.number("Stage ID", id.0).number("Stage Attempt ID", u64::from(attempt));
            return;
        };
        let name: &str = if info.spec.name.is_empty() { "stage" } else { &info.spec.name };
        o.number("Stage ID", id.0)
            .number("Stage Attempt ID", u64::from(attempt))
            .text("Stage Name", name)
            .number("Number of Tasks", u64::from(info.tasks))
            .nothing("RDD Info")
            .numbers("Parent IDs", info.parents.iter().map(|parent| parent.0))
            .text("Details", "");
        if let Some((time, reason)) = ended {
            o.number("Submission Time", info.submitted).number("Completion Time", time);
            if let Some(reason) = reason {
                o.text("Failure Reason", reason);
            }
        }
        let operators = info.operators.iter().map(|(name, value)| (name.as_str(), value, false));
        let totals = info.totals.iter().map(|(name, value)| (*name, value, true));
        let sums = operators.chain(totals).filter(|_| ended.is_some());
        o.objects("Accumulables", sums.enumerate(), |o, (number, (name, value, internal))| {
            o.number("ID", number as u64).text("Name", name);
            // Numbers of the engine's own, texts of SQL, as in Spark.
            if internal {
                o.number("Value", *value);
            } else {
                o.text("Value", &value.to_string());
            }
            o.flag("Internal", internal).flag("Count Failed Values", internal);
            if !internal {
                o.text("Metadata", "sql");
            }
        });
        o.number("Resource Profile Id", 0)
            .flag("Shuffle Push Enabled", false)
            .number("Shuffle Push Mergers Count", 0);
    }

    fn stage_submitted(
        &mut self,
        id: StageId,
        attempt: u32,
        tasks: u32,
        time: u64,
        out: &mut String,
    ) {
        let Some(info) = self.stages.get_mut(&id) else { return };
        (info.submitted, info.tasks) = (time, tasks);
        let properties = info.properties.clone();
        event(out, "SparkListenerStageSubmitted")
            .object("Stage Info", |o| {
                self.stage_info(o, id, attempt, None);
                o.number("Submission Time", time);
            })
            .object("Properties", |o| job_properties(o, &properties));
        out.push('\n');
    }

    fn stage_completed(
        &self,
        id: StageId,
        attempt: u32,
        outcome: &StageOutcome,
        time: u64,
        out: &mut String,
    ) {
        let reason = match outcome {
            StageOutcome::Succeeded => None,
            StageOutcome::Failed { reason } => Some(&**reason),
        };
        event(out, "SparkListenerStageCompleted").object("Stage Info", |o| {
            self.stage_info(o, id, attempt, Some((time, reason)));
        });
        out.push('\n');
    }

    /// Adds what a task measured to its stage, and what a successful task's operators counted.
    fn sum_up(&mut self, run: &RunningTask, outcome: &TaskOutcome, metrics: Option<&TaskMetrics>) {
        let Some(info) = self.stages.get_mut(&run.description.stage) else { return };
        for (name, value) in metrics.iter().flat_map(|metrics| metrics.accumulables()) {
            // Spark has no accumulable of what no task did.
            if value > 0 {
                *info.totals.entry(name).or_default() += value;
            }
        }
        if !matches!(outcome, TaskOutcome::Result | TaskOutcome::MapOutput(_)) {
            return;
        }
        for metric in metrics.iter().flat_map(|metrics| &metrics.operators) {
            match info.operators.get_mut(&metric.name) {
                Some(sum) => *sum += metric.value,
                None => {
                    info.operators.insert(metric.name.clone(), metric.value);
                }
            }
        }
    }

    // ---- executors and tasks -------------------------------------------------------------------

    fn executor_lost(
        &mut self,
        executor: &ExecutorId,
        loss: &ExecutorLoss,
        time: u64,
        out: &mut String,
    ) {
        let on_it: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, run)| run.executor == *executor)
            .map(|(task, _)| *task)
            .collect();
        let ended = Ended::ExecutorLost {
            executor: executor.as_str(),
            by_app: loss.caused_by_app,
            reason: &loss.message,
        };
        for task in on_it {
            if let Some(run) = self.tasks.swap_remove(&task) {
                self.task_end(task, &run, &ended, None, time, out);
            }
        }
        if self.hosts.swap_remove(executor).is_some() {
            event(out, "SparkListenerExecutorRemoved")
                .number("Timestamp", time)
                .text("Executor ID", executor.as_str())
                .text("Removed Reason", &loss.message);
            out.push('\n');
        }
    }

    fn task_info(
        &self,
        o: &mut Object<'_>,
        run: &RunningTask,
        ended: Option<(u64, &Ended<'_>)>,
        operators: &[OperatorMetric],
    ) {
        let TaskDescription { task, partition, attempt, speculative, locality, .. } =
            &run.description;
        let host = self.hosts.get(&run.executor).map_or("", |host| host);
        let killed = ended.is_some_and(|(_, ended)| matches!(ended, Ended::Killed(_)));
        let success = ended.is_none_or(|(_, ended)| matches!(ended, Ended::Success));
        o.number("Task ID", task.0)
            .number("Index", u64::from(*partition))
            .number("Attempt", u64::from(*attempt))
            .number("Partition ID", u64::from(*partition))
            .number("Launch Time", run.launched)
            .text("Executor ID", run.executor.as_str())
            .text("Host", host)
            .text("Locality", &locality.to_string())
            .flag("Speculative", *speculative)
            .number("Getting Result Time", 0)
            .number("Finish Time", ended.map_or(0, |(time, _)| time))
            .flag("Failed", !success && !killed)
            .flag("Killed", killed)
            .objects("Accumulables", operators.iter().enumerate(), |o, (number, metric)| {
                o.number("ID", number as u64)
                    .text("Name", &metric.name)
                    .text("Update", &metric.value.to_string())
                    .flag("Internal", false)
                    .flag("Count Failed Values", false)
                    .text("Metadata", "sql");
            });
    }

    fn task_end(
        &self,
        task: TaskId,
        run: &RunningTask,
        ended: &Ended<'_>,
        metrics: Option<&TaskMetrics>,
        time: u64,
        out: &mut String,
    ) {
        debug_assert_eq!(task, run.description.task);
        let kind = self.stages.get(&run.description.stage).map(|info| info.spec.kind);
        let kind = match kind {
            Some(StageKind::ShuffleMap { .. }) => "ShuffleMapTask",
            Some(StageKind::Result) | None => "ResultTask",
        };
        let metrics = metrics.cloned().unwrap_or_default();
        event(out, "SparkListenerTaskEnd")
            .number("Stage ID", run.description.stage.0)
            .number("Stage Attempt ID", u64::from(run.description.stage_attempt))
            .text("Task Type", kind)
            .object("Task End Reason", |o| ended.write(o))
            .object("Task Info", |o| {
                self.task_info(o, run, Some((time, ended)), &metrics.operators);
            })
            .object("Task Executor Metrics", |_| {})
            .object("Task Metrics", |o| write_metrics(o, &metrics));
        out.push('\n');
    }
}

fn job_properties(o: &mut Object<'_>, properties: &JobProperties) {
    let JobProperties { pool, group, tags, description, .. } = properties;
    for (key, value) in [
        ("spark.job.description", description),
        ("spark.jobGroup.id", group),
        ("spark.scheduler.pool", pool),
    ] {
        if let Some(value) = value {
            o.text(key, value);
        }
    }
    if !tags.is_empty() {
        o.text("spark.job.tags", &tags.join(","));
    }
}

fn job_end(job: JobId, outcome: &JobOutcome, time: u64, out: &mut String) {
    event(out, "SparkListenerJobEnd")
        .number("Job ID", job.0)
        .number("Completion Time", time)
        .object("Job Result", |o| {
            let message = match outcome {
                JobOutcome::Succeeded => {
                    o.text("Result", "JobSucceeded");
                    return;
                }
                JobOutcome::Failed(failure) => &failure.message,
                JobOutcome::Cancelled { message } => message,
            };
            o.text("Result", "JobFailed").object("Exception", |o| {
                o.text("Message", message).nothing("Stack Trace");
            });
        });
    out.push('\n');
}

/// How a task ended, in Spark's classes of `TaskEndReason`.
enum Ended<'a> {
    Success,
    Failed { message: &'a str },
    FetchFailed(&'a FetchFailure),
    Killed(&'a str),
    ExecutorLost { executor: &'a str, by_app: bool, reason: &'a str },
}

impl<'a> Ended<'a> {
    fn of(outcome: &'a TaskOutcome) -> Self {
        match outcome {
            TaskOutcome::Result | TaskOutcome::MapOutput(_) => Self::Success,
            TaskOutcome::Failed(failure) => Self::Failed { message: &failure.message },
            TaskOutcome::FetchFailed(failure) => Self::FetchFailed(failure),
            TaskOutcome::Killed { reason } => Self::Killed(reason),
        }
    }

    fn write(&self, o: &mut Object<'_>) {
        match self {
            Self::Success => {
                o.text("Reason", "Success");
            }
            Self::Failed { message } => {
                o.text("Reason", "ExceptionFailure")
                    .text("Class Name", "org.apache.spark.SparkException")
                    .text("Description", message)
                    .nothing("Stack Trace")
                    .text("Full Stack Trace", message)
                    .nothing("Accumulator Updates");
            }
            Self::FetchFailed(failure) => {
                o.text("Reason", "FetchFailed")
                    .number("Shuffle ID", failure.shuffle.0)
                    .number("Map ID", failure.map_task.map_or(0, |task| task.0))
                    .number("Map Index", u64::from(failure.map_partition))
                    .number("Reduce ID", 0)
                    .text("Message", &failure.message);
            }
            Self::Killed(reason) => {
                o.text("Reason", "TaskKilled").text("Kill Reason", reason);
            }
            Self::ExecutorLost { executor, by_app, reason } => {
                o.text("Reason", "ExecutorLostFailure")
                    .text("Executor ID", executor)
                    .flag("Exit Caused By App", *by_app)
                    .text("Loss Reason", reason);
            }
        }
    }
}

fn write_metrics(o: &mut Object<'_>, m: &TaskMetrics) {
    o.number("Executor Deserialize Time", m.deserialize_millis)
        .number("Executor Deserialize CPU Time", 0)
        .number("Executor Run Time", m.run_millis)
        .number("Executor CPU Time", m.cpu_nanos)
        .number("Peak Execution Memory", m.peak_memory_bytes)
        .number("Result Size", m.result_bytes)
        .number("JVM GC Time", 0)
        .number("Result Serialization Time", 0)
        .number("Memory Bytes Spilled", m.memory_spilled_bytes)
        .number("Disk Bytes Spilled", m.disk_spilled_bytes)
        .object("Shuffle Read Metrics", |o| {
            o.number("Remote Blocks Fetched", m.shuffle_remote_blocks)
                .number("Local Blocks Fetched", m.shuffle_local_blocks)
                .number("Fetch Wait Time", m.shuffle_wait_millis)
                .number("Remote Bytes Read", m.shuffle_remote_bytes)
                .number("Remote Bytes Read To Disk", 0)
                .number("Local Bytes Read", m.shuffle_local_bytes)
                .number("Total Records Read", m.shuffle_read_records);
        })
        .object("Shuffle Write Metrics", |o| {
            o.number("Shuffle Bytes Written", m.shuffle_written_bytes)
                .number("Shuffle Write Time", m.shuffle_write_nanos)
                .number("Shuffle Records Written", m.shuffle_written_records);
        })
        .object("Input Metrics", |o| {
            o.number("Bytes Read", m.input_bytes).number("Records Read", m.input_records);
        })
        .object("Output Metrics", |o| {
            o.number("Bytes Written", m.output_bytes).number("Records Written", m.output_records);
        })
        .nothing("Updated Blocks");
}

#[cfg(test)]
mod tests;
