//! The loop: hands what happened to the scheduler and performs its answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use datafusion::error::Result;
use parking_lot::Mutex;
use spark_scheduler::{
    Action, Event, ExecutorId, ExecutorLoss, FailureKind, FetchFailure, FetchFailureScope, JobId,
    JobOutcome, MapOutput, MapOutputFate, MapSizes, Scheduler, ShuffleId, TaskDescription,
    TaskFailure, TaskId, TaskLocation, TaskOutcome, Time,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::adaptive::MapStageOutput;
use super::companions::Companions;
use super::executors::{Executors, OutputNotes, Resources};
use super::leaving::Leaving;
use super::offered::Offered;
use super::results::{ResultData, ResultFetcher};
use super::{
    Command, EngineHandle, EngineOptions, ExecutorStatistics, JobEvent, SchedulerBackend,
    Submission,
};
use crate::failure;
use crate::protocol::{
    Kill, Register, Registered, StagePlan, TaskError, TaskFinished, TaskMetrics, ToExecutor,
    from_executor, task_finished, to_executor,
};
use prost::Message;

/// Commands handled before the answers are sent: they share messages.
const BATCH: usize = 256;

/// How often silent executors are looked for.
const SILENCE_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a cluster manager may take to tell why an executor's connection broke. Mesos takes some
/// milliseconds; meanwhile tasks of other executors go on.
const LOSS_PATIENCE: Duration = Duration::from_millis(500);

/// What the loop needs of the world.
pub(super) struct Surroundings {
    pub(super) options: EngineOptions,
    pub(super) handle: EngineHandle,
    pub(super) fetcher: ResultFetcher,
    pub(super) executors: watch::Sender<BTreeSet<String>>,
    pub(super) statistics: Arc<Mutex<BTreeMap<String, ExecutorStatistics>>>,
    pub(super) backend: Arc<Mutex<Option<Arc<dyn SchedulerBackend>>>>,
    /// The cores of all executors.
    pub(super) slots: Arc<AtomicUsize>,
    /// The memory of one task of the least executor; 0 is no limit.
    pub(super) task_memory: Arc<AtomicU64>,
}

/// Who waits for a job.
struct JobState {
    events: mpsc::UnboundedSender<JobEvent>,
    final_shuffle: Option<u64>,
}

pub(super) struct EngineLoop {
    pub(super) surroundings: Surroundings,
    pub(super) scheduler: Scheduler,
    start: Instant,
    pub(super) executors: Executors,
    pub(super) companions: Companions,
    pub(super) plans: HashMap<u64, StagePlan>,
    jobs: HashMap<u64, JobState>,
    pub(super) tasks: HashMap<u64, (String, TaskDescription)>,
    /// What readers must know of map output.
    pub(super) notes: OutputNotes,
    /// The result of the task whose end is being handled.
    result: Option<(u64, ResultData)>,
    /// The metrics of that task, for the event log.
    metrics: Option<(String, TaskMetrics)>,
    actions: Vec<Action>,
    /// Executors that end now do as they were told.
    pub(super) stopping: bool,
    /// What belongs to cores that come by offers.
    pub(super) offered: Offered,
    /// Executors that go as soon as nobody needs them.
    pub(super) leaving: Leaving,
    /// Executors that look through their output of a shuffle, because a block of it was bad.
    pub(super) checking: BTreeSet<(String, u64)>,
}

impl EngineLoop {
    pub(super) fn new(surroundings: Surroundings) -> Self {
        let scheduler = Scheduler::new(surroundings.options.scheduler.clone());
        let companions = Companions::new(&surroundings.options);
        Self {
            surroundings,
            scheduler,
            start: Instant::now(),
            executors: Executors::default(),
            companions,
            plans: HashMap::new(),
            jobs: HashMap::new(),
            tasks: HashMap::new(),
            notes: OutputNotes::default(),
            result: None,
            metrics: None,
            actions: Vec::new(),
            stopping: false,
            offered: Offered::default(),
            leaving: Leaving::default(),
            checking: BTreeSet::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        shutdown: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut silence = tokio::time::interval(SILENCE_CHECK_INTERVAL);
        loop {
            let wakeup = self.scheduler.next_wakeup().map(|time| self.start + time.0);
            let look = self.companions.next_look().map(|time| self.start + time.0);
            tokio::select! {
                received = commands.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return;
                    }
                }
                () = sleep_until(wakeup) => self.tell(Event::Wakeup),
                () = sleep_until(look) => {}
                _ = silence.tick() => self.lose_silent(),
                () = shutdown.cancelled() => return,
            }
            for command in batch.drain(..) {
                self.handle(command);
            }
            self.executors.flush();
            self.allocate();
        }
    }

    fn allocate(&mut self) {
        if self.companions.next_look().is_none() || self.stopping {
            return;
        }
        let backend = self.surroundings.backend.lock().clone();
        // Executors of one application are of one size.
        let count = self.executors.ids().count();
        let known = (self.executors.cores().checked_div(count)).filter(|cores| *cores > 0);
        let cores = known.map_or(self.surroundings.options.executor_cores, |cores| cores as u32);
        let now = self.now();
        self.companions.allocate(&self.scheduler, cores, now, backend.as_ref());
    }

    fn now(&self) -> Time {
        Time(self.start.elapsed())
    }

    pub(super) fn tell(&mut self, event: Event) {
        let now = self.now();
        let mut actions = std::mem::take(&mut self.actions);
        self.companions.happened(&event, self.metrics.as_ref());
        self.scheduler.handle_into(event, now, &mut actions);
        self.companions.answered(&actions);
        for action in actions.drain(..) {
            self.perform(action);
        }
        self.actions = actions;
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Connected { connection, register, to_executor } => {
                self.connected(connection, &register, to_executor);
            }
            Command::Message { connection, kind } => {
                let Some(executor) = self.executors.of(connection).map(str::to_owned) else {
                    return;
                };
                self.executors.heard(&executor);
                self.message(&executor, kind);
            }
            Command::Disconnected { connection } => self.disconnected(connection),
            Command::Unexplained { connection } => {
                let message = "its connection broke, and the cluster manager knows of no crash";
                self.connection_lost(connection, message, false);
            }
            Command::ExecutorLost { executor, loss } => self.lost(&executor, loss),
            Command::Offer { offers, answer } => {
                let _ = answer.send(self.offer(offers));
            }
            Command::TaskEnded { task, outcome } => self.end_task(task, outcome),
            Command::NeededExecutors(answer) => {
                let _ = answer.send(self.needed_executors());
            }
            Command::BackendStarted => self.demand_changed(),
            Command::Submit(submission) => self.submit(*submission),
            Command::Cancel { job } => {
                self.tell(Event::JobCancelled { job: JobId(job), reason: "".into() });
            }
            Command::Kept(shuffle) => self.companions.keep(ShuffleId(shuffle), true),
            Command::ReleaseShuffle(shuffle) => {
                self.companions.keep(ShuffleId(shuffle), false);
                self.tell(Event::ShuffleReleased { shuffle: ShuffleId(shuffle) });
            }
            Command::CancelGroup(group) => {
                self.tell(Event::JobGroupCancelled { group, reason: "".into() });
            }
            Command::CancelTag(tag) => {
                self.tell(Event::JobTagCancelled { tag, reason: "".into() });
            }
            Command::ResultFetched { task, data } => self.result_fetched(task, data),
            Command::Progress(answer) => {
                let _ = answer.send(self.scheduler.progress());
            }
            Command::PendingReason(answer) => {
                let mut jobs = self.jobs.keys().copied().collect::<Vec<_>>();
                jobs.sort_unstable();
                let reason =
                    jobs.into_iter().find_map(|job| self.scheduler.pending_reason(JobId(job)));
                let _ = answer.send(reason);
            }
            Command::Stop(done) => self.stop(done),
        }
    }

    fn connected(
        &mut self,
        connection: u64,
        register: &Register,
        to_executor: mpsc::UnboundedSender<ToExecutor>,
    ) {
        let Register { executor, app, host, cores, block_address, memory_bytes, .. } = register;
        if *app != self.surroundings.options.app_id {
            let reason = format!(
                "this driver runs application {}, not {app}",
                self.surroundings.options.app_id
            );
            let _ = to_executor.send(to_executor::Kind::Stop(reason).into());
            return;
        }
        if self.by_offer() && !self.offered.knows(executor) {
            let reason = "no task of it is known".to_owned();
            let _ = to_executor.send(to_executor::Kind::Stop(reason).into());
            return;
        }
        tracing::info!(%executor, %host, cores, "executor registered");
        let resources = Resources { cores: *cores as usize, memory_bytes: *memory_bytes };
        self.executors.add(executor, connection, resources, block_address, to_executor);
        if let Some(attached) = self.executors.get(executor) {
            let conf = self.surroundings.options.conf.clone().into_iter().collect();
            attached.send(to_executor::Kind::Registered(Registered { conf }));
        }
        self.surroundings
            .statistics
            .lock()
            .entry(executor.clone())
            .or_default()
            .host
            .clone_from(host);
        if self.by_offer() {
            self.prepare_for_assigned(executor);
        } else {
            self.tell(Event::ExecutorAdded {
                executor: executor.as_str().into(),
                host: host.as_str().into(),
                cores: *cores,
            });
        }
        self.publish_executors();
    }

    fn publish_executors(&self) {
        let slots = self.executors.cores();
        self.surroundings.slots.store(slots, std::sync::atomic::Ordering::Relaxed);
        let memory = self.executors.task_memory();
        self.surroundings.task_memory.store(memory, std::sync::atomic::Ordering::Relaxed);
        let ids = self.executors.ids().cloned().collect();
        self.surroundings.executors.send_replace(ids);
    }

    /// A cluster manager soon tells whether the executor crashed or was killed; without one, a broken
    /// stream is all there will ever be.
    fn disconnected(&mut self, connection: u64) {
        let backend = self.surroundings.backend.lock().clone();
        if self.stopping || !backend.is_some_and(|backend| backend.tells_losses()) {
            return self.connection_lost(connection, "it exited or its connection broke", true);
        }
        let handle = self.surroundings.handle.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LOSS_PATIENCE).await;
            handle.send(Command::Unexplained { connection });
        });
    }

    /// Nothing happens if the executor was taken as lost, or came back, meanwhile.
    fn connection_lost(&mut self, connection: u64, message: &str, caused_by_app: bool) {
        let Some(executor) = self.executors.of(connection).map(str::to_owned) else { return };
        let message = format!("Executor {executor} is lost: {message}").into();
        let loss = ExecutorLoss { message, caused_by_app, map_output: MapOutputFate::Lost };
        self.lost(&executor, loss);
    }

    fn lost(&mut self, executor: &str, loss: ExecutorLoss) {
        let attached = self.executors.remove(executor);
        // One that was offered and has not come yet is known to the scheduler, too.
        if !self.offered.forget(executor) && attached.is_none() {
            return;
        }
        if self.companions.was_dismissed(executor) || self.stopping {
            tracing::debug!(executor, "executor ended");
        } else {
            tracing::warn!(executor, message = %loss.message, "executor lost");
        }
        let loss = self.companions.judge(loss);
        if let Some(attached) = attached {
            attached.send(to_executor::Kind::Stop(loss.message.to_string()));
        }
        self.tasks.retain(|_, (on, _)| on != executor);
        self.leaving.forget(executor);
        self.checking.retain(|(by, _)| by != executor);
        self.tell(Event::ExecutorLost { executor: ExecutorId::from(executor), loss });
        self.publish_executors();
    }

    /// A machine that was cut off breaks no connection.
    fn lose_silent(&mut self) {
        let limit = self.surroundings.options.executor_timeout;
        let silent = self
            .executors
            .ids()
            .filter(|id| self.executors.get(id).is_some_and(|a| a.last_heard.elapsed() > limit))
            .cloned()
            .collect::<Vec<_>>();
        for executor in silent {
            let message = format!(
                "Executor {executor} was silent for {} s (spark.network.timeout)",
                limit.as_secs()
            );
            self.lost(
                &executor,
                ExecutorLoss {
                    message: message.into(),
                    caused_by_app: false,
                    map_output: MapOutputFate::Lost,
                },
            );
        }
    }

    fn submit(&mut self, submission: Submission) {
        let Submission { mut job, plans, local_to, final_shuffle, events } = submission;
        for (stage, kept) in local_to {
            let Some(outputs) = self.scheduler.map_outputs(ShuffleId(kept)) else { continue };
            if let Some(spec) = job.stages.iter_mut().find(|spec| spec.stage == stage) {
                let places = outputs.statuses().iter().map(|status| {
                    status.iter().map(|s| TaskLocation::Executor(s.executor.clone())).collect()
                });
                spec.preferences = places.collect();
            }
        }
        self.jobs.insert(job.job.0, JobState { events, final_shuffle });
        for plan in plans {
            self.plans.insert(plan.stage, plan);
        }
        self.tell(Event::JobSubmitted(job));
    }

    fn message(&mut self, executor: &str, kind: from_executor::Kind) {
        match kind {
            from_executor::Kind::Finished(finished) => self.finished(executor, finished),
            from_executor::Kind::Decommissioned(_) => self.decommission(executor),
            from_executor::Kind::Copied(copied) => self.copied(executor, &copied),
            from_executor::Kind::Checked(checked) => self.checked(executor, &checked),
            from_executor::Kind::Heartbeat(_) | from_executor::Kind::Register(_) => {}
        }
    }

    fn finished(&mut self, executor: &str, finished: TaskFinished) {
        let TaskFinished { task, metrics, outcome } = finished;
        let outcome = outcome.unwrap_or_else(|| {
            task_finished::Outcome::Failed(TaskError {
                message: "the executor sent no outcome".to_owned(),
                ..TaskError::default()
            })
        });
        let metrics = metrics.unwrap_or_default();
        self.metrics = Some((executor.to_owned(), metrics.clone()));
        self.count(executor, metrics, &outcome);
        let outcome = match outcome {
            task_finished::Outcome::MapOutput(output) => {
                let Some(attached) = self.executors.get(executor) else { return };
                self.notes.put(output.shuffle, task, output.keys, output.packed);
                TaskOutcome::MapOutput(MapOutput {
                    address: self.companions.serving(&attached.block_address),
                    sizes: MapSizes::from(output.sizes),
                })
            }
            task_finished::Outcome::Result(result) if result.block_bytes > 0 => {
                self.fetch_result(executor, task, result.block_bytes);
                return;
            }
            task_finished::Outcome::Result(result) => {
                self.result = Some((task, ResultData::Inline(result.inline)));
                TaskOutcome::Result
            }
            task_finished::Outcome::Failed(error) => TaskOutcome::Failed(task_failure(error)),
            task_finished::Outcome::FetchFailed(failed) => TaskOutcome::FetchFailed(FetchFailure {
                shuffle: ShuffleId(failed.shuffle),
                map_partition: failed.map,
                map_task: failed.map_task.map(TaskId),
                scope: if failed.address_lost {
                    FetchFailureScope::Address
                } else {
                    FetchFailureScope::Block
                },
                message: failed.message.into(),
            }),
            task_finished::Outcome::Killed(reason) => TaskOutcome::Killed { reason: reason.into() },
        };
        let damaged = match &outcome {
            TaskOutcome::FetchFailed(failure) => self.holder_of(failure),
            TaskOutcome::Result
            | TaskOutcome::MapOutput(_)
            | TaskOutcome::Failed(_)
            | TaskOutcome::Killed { .. } => None,
        };
        self.end_task(task, outcome);
        if let Some((holder, shuffle)) = damaged {
            self.check_holder(&holder, shuffle);
        }
    }

    fn end_task(&mut self, task: u64, outcome: TaskOutcome) {
        self.tasks.remove(&task);
        let leaving = !self.leaving.is_empty();
        self.tell(Event::TaskFinished { task: TaskId(task), outcome });
        self.result = None;
        self.metrics = None;
        if leaving {
            self.look_at_leaving();
        }
    }

    fn fetch_result(&self, executor: &str, task: u64, bytes: u64) {
        let Some(attached) = self.executors.get(executor) else { return };
        let fetcher = self.surroundings.fetcher.clone();
        let address = Arc::clone(&attached.block_address);
        let directories = &self.surroundings.options.local_dirs;
        let directory = directories.first().cloned().unwrap_or_else(std::env::temp_dir);
        let handle = self.surroundings.handle.clone();
        tokio::spawn(async move {
            let data = fetcher.fetch(address, task, bytes, directory).await;
            handle.send(Command::ResultFetched { task, data });
        });
    }

    fn result_fetched(&mut self, task: u64, data: Result<ResultData>) {
        // The executor may have gone meanwhile: then the task is known no more, and runs again.
        if !self.tasks.contains_key(&task) {
            return;
        }
        let outcome = match data {
            Ok(data) => {
                self.result = Some((task, data));
                TaskOutcome::Result
            }
            Err(error) => {
                let error = TaskError {
                    message: format!("the task's result was lost: {error}"),
                    not_counted: true,
                    ..TaskError::default()
                };
                TaskOutcome::Failed(task_failure(error))
            }
        };
        self.end_task(task, outcome);
    }

    fn count(&self, executor: &str, metrics: TaskMetrics, outcome: &task_finished::Outcome) {
        let mut statistics = self.surroundings.statistics.lock();
        let entry = statistics.entry(executor.to_owned()).or_default();
        match outcome {
            task_finished::Outcome::MapOutput(_) | task_finished::Outcome::Result(_) => {
                entry.tasks += 1;
            }
            task_finished::Outcome::Failed(_)
            | task_finished::Outcome::FetchFailed(_)
            | task_finished::Outcome::Killed(_) => entry.failed_tasks += 1,
        }
        entry.run_time += Duration::from_micros(metrics.run_micros);
        entry.bytes_written += metrics.bytes_written;
        for (writer, bytes) in metrics.bytes_read {
            if writer == executor {
                entry.bytes_read_local += bytes;
            } else {
                entry.bytes_read_remote += bytes;
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::LaunchTask { executor, task } => {
                let Some(plan) = self.plans.get(&task.stage.0) else { return };
                let scheduler = &self.scheduler;
                let outputs = |shuffle| scheduler.map_outputs(ShuffleId(shuffle));
                if scheduler.options().cores_by_offer {
                    self.executors.prepare(executor.as_str(), plan, outputs, &self.notes);
                    self.offered.launch(executor.as_str(), &task, plan, outputs);
                } else {
                    self.executors.launch(executor.as_str(), &task, plan, outputs, &self.notes);
                }
                self.tasks.insert(task.task.0, (executor.as_str().to_owned(), task));
            }
            Action::KillTask { executor, task, reason } => {
                if self.by_offer() {
                    // By the way it came: the order of launch and kill holds.
                    let backend = self.surroundings.backend.lock().clone();
                    if let Some(backend) = backend {
                        backend.kill_task(executor.as_str(), task.0, &reason.to_string());
                    }
                } else if let Some(attached) = self.executors.get(executor.as_str()) {
                    let kill = Kill { task: task.0, reason: reason.to_string() };
                    attached.send(to_executor::Kind::Kill(kill));
                }
            }
            Action::ResultReady { job, partition, task, .. } => {
                let Some((of, data)) = self.result.take() else { return };
                if of == task.0
                    && let Some(JobState { events, .. }) = self.jobs.get(&job.0)
                {
                    let partition = partition as usize;
                    // Fails only when the query's reader is gone; a cancellation follows.
                    let _ = events.send(JobEvent::Result { partition, data });
                }
            }
            Action::JobFinished { job, outcome } => self.job_finished(job.0, outcome),
            // Nobody asks: the driver itself commits what the attempts it counted have written.
            Action::CommitAnswer { .. } => {}
            Action::ShuffleReleased { shuffle } => {
                self.notes.remove(shuffle.0);
                self.executors.release_shuffle(shuffle.0);
            }
            Action::StageReleased { stage } => {
                self.plans.remove(&stage.0);
                self.executors.release_stage(stage.0);
            }
            Action::DemandChanged(_) => self.demand_changed(),
            Action::StageSubmitted { job, stage, attempt, tasks } => {
                tracing::debug!(%job, %stage, attempt, tasks, "stage submitted");
            }
            Action::StageCompleted { stage, attempt, outcome } => {
                tracing::debug!(%stage, attempt, ?outcome, "stage completed");
                // What the decoded plan holds, a broadcast build side for example, is not needed
                // any more; should the stage run again, its plan is sent again.
                self.executors.release_stage(stage.0);
            }
        }
    }

    fn demand_changed(&self) {
        let backend = self.surroundings.backend.lock().clone();
        if let Some(backend) = backend {
            backend.demand_changed(self.scheduler.demand());
        }
    }

    fn job_finished(&mut self, job: u64, outcome: JobOutcome) {
        let result = match outcome {
            JobOutcome::Succeeded => Ok(()),
            JobOutcome::Cancelled { .. } => Err(failure::cancelled()),
            JobOutcome::Failed(failed) => {
                tracing::warn!(job, message = %failed.message, "job failed");
                Err(failure::job_error(&failed.message, failed.payload.as_deref()))
            }
        };
        if let Some(JobState { events, final_shuffle }) = self.jobs.remove(&job) {
            if let Some(output) = final_shuffle.and_then(|shuffle| self.map_stage_output(shuffle)) {
                let _ = events.send(JobEvent::MapStage(output));
            }
            let _ = events.send(JobEvent::Finished(result));
        }
    }

    fn map_stage_output(&self, shuffle: u64) -> Option<MapStageOutput> {
        let outputs = self.scheduler.map_outputs(ShuffleId(shuffle))?;
        let statuses = || outputs.statuses().iter().flatten();
        let keys = statuses().flat_map(|status| {
            let keys = self.notes.keys(shuffle, status.task.0).iter().cloned();
            keys.zip(status.sizes.iter())
        });
        Some(MapStageOutput {
            bytes: outputs.bytes_by_reduce_partition(),
            keys: keys.collect(),
            maps: statuses().map(|status| status.sizes.clone()).collect(),
        })
    }

    fn stop(&mut self, done: oneshot::Sender<()>) {
        self.stopping = true;
        for (_, JobState { events, .. }) in self.jobs.drain() {
            let _ = events.send(JobEvent::Finished(Err(failure::stopped())));
        }
        self.executors.send_to_all(&to_executor::Kind::Stop("the application ended".to_owned()));
        let ending = self.companions.end();
        tokio::spawn(async move {
            ending.await;
            let _ = done.send(());
        });
    }
}

fn task_failure(error: TaskError) -> TaskFailure {
    let kind = if error.fatal {
        FailureKind::Fatal
    } else if error.not_counted {
        FailureKind::NotCounted
    } else {
        FailureKind::Counted
    };
    TaskFailure { payload: error.encode_to_vec().into(), message: error.message.into(), kind }
}

async fn sleep_until(wakeup: Option<Instant>) {
    match wakeup {
        Some(wakeup) => tokio::time::sleep_until(wakeup.into()).await,
        None => std::future::pending().await,
    }
}
