//! What goes along with the scheduler and decides nothing about tasks: the event log, the number of
//! executors, and where map output is served.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spark_scheduler::{
    Action, AllocationAction, AllocationOptions, ApplicationInfo, Event, EventRecorder,
    ExecutorAllocation, ExecutorId, ExecutorLoss, MapOutputFate, Scheduler, ShuffleId, Time,
};
use spark_shuffle::{Secret, ShuffleServiceClient};

use super::{EngineOptions, SchedulerBackend};
use crate::protocol::TaskMetrics;

/// What is written of the log about tasks stays in memory no longer than this; all else is written at once,
/// as Spark does.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How long the services of all agents together may take to remove an application's files; what
/// they do not get to they remove when the master says that the application is over.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// `spark.eventLog.enabled` and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLogOptions {
    /// `spark.eventLog.dir`, a directory of the driver's machine that exists.
    pub directory: PathBuf,
    /// What the log says of the application.
    pub application: ApplicationInfo,
}

pub(super) struct Companions {
    log: Option<EventLog>,
    allocation: Option<ExecutorAllocation>,
    service: Option<Service>,
    /// Shuffles whose output is kept rows (`cache`): their holders stay for longer.
    kept: BTreeSet<ShuffleId>,
    /// Executors that were sent away and have not gone yet.
    dismissed: BTreeSet<String>,
}

/// The agents' shuffle services.
struct Service {
    port: u16,
    application: String,
    secret: String,
    hosts: BTreeSet<String>,
}

impl Companions {
    pub(super) fn new(options: &EngineOptions) -> Self {
        let log = options.event_log.as_ref().and_then(|log| {
            EventLog::open(log, &options.conf)
                .inspect_err(|error| {
                    let directory = log.directory.display();
                    tracing::error!(%directory, %error, "no event log is written");
                })
                .ok()
        });
        let service = options.shuffle_service_port.map(|port| Service {
            port,
            application: options.app_id.clone(),
            secret: options.secret.clone(),
            hosts: BTreeSet::new(),
        });
        let allocation = options.allocation.clone().map(|allocation: AllocationOptions| {
            let shuffle_service = service.is_some();
            ExecutorAllocation::new(AllocationOptions { shuffle_service, ..allocation })
        });
        Self { log, allocation, service, kept: BTreeSet::new(), dismissed: BTreeSet::new() }
    }

    // ---- event log -----------------------------------------------------------------------------

    pub(super) fn happened(&mut self, event: &Event, metrics: Option<&(String, TaskMetrics)>) {
        if let Some(log) = &mut self.log {
            log.happened(event, metrics);
        }
    }

    pub(super) fn answered(&mut self, actions: &[Action]) {
        if let Some(log) = &mut self.log {
            log.answered(actions);
        }
    }

    /// The application ends. The answer removes its files from the agents that still have some.
    pub(super) fn end(&mut self) -> impl Future<Output = ()> + Send + 'static {
        if let Some(log) = self.log.take()
            && let Err(error) = log.end()
        {
            tracing::warn!(%error, "the event log is not complete");
        }
        let clients = self.service.as_ref().map(Service::clients).unwrap_or_default();
        async move {
            let all = clients.into_iter().map(|client| async move {
                if let Err(error) = client.finish().await {
                    tracing::debug!(%error, "a shuffle service keeps files for now");
                }
            });
            let _ = tokio::time::timeout(FINISH_TIMEOUT, futures::future::join_all(all)).await;
        }
    }

    // ---- shuffle service -----------------------------------------------------------------------

    /// Where to fetch what an executor wrote: from itself, or from its host's shuffle service.
    pub(super) fn serving(&mut self, block_address: &Arc<str>) -> Arc<str> {
        let Some(service) = &mut self.service else { return Arc::clone(block_address) };
        let host = block_address.rsplit_once(':').map_or(&**block_address, |(host, _)| host);
        if !service.hosts.contains(host) {
            service.hosts.insert(host.to_owned());
        }
        format!("{host}:{}", service.port).into()
    }

    /// Whether map output is a shuffle service's.
    pub(super) fn has_service(&self) -> bool {
        self.service.is_some()
    }

    /// With a shuffle service map output outlives its executor.
    pub(super) fn judge(&self, loss: ExecutorLoss) -> ExecutorLoss {
        match loss.map_output {
            MapOutputFate::Lost if self.service.is_some() => {
                ExecutorLoss { map_output: MapOutputFate::Kept, ..loss }
            }
            MapOutputFate::Lost | MapOutputFate::Kept | MapOutputFate::HostLost => loss,
        }
    }

    // ---- allocation ----------------------------------------------------------------------------

    /// The output of this shuffle is kept rows from now on, or not there any more.
    pub(super) fn keep(&mut self, shuffle: ShuffleId, kept: bool) {
        if kept {
            self.kept.insert(shuffle);
        } else {
            self.kept.remove(&shuffle);
        }
    }

    /// Whether this executor, which is gone, was sent away: then nobody needs to be warned.
    pub(super) fn was_dismissed(&mut self, executor: &str) -> bool {
        self.dismissed.remove(executor)
    }

    /// When executors should be looked at again.
    pub(super) fn next_look(&self) -> Option<Time> {
        self.allocation.as_ref().map(ExecutorAllocation::next_look)
    }

    /// Asks for executors and sends idle ones away.
    pub(super) fn allocate(
        &mut self,
        scheduler: &Scheduler,
        executor_cores: u32,
        now: Time,
        backend: Option<&Arc<dyn SchedulerBackend>>,
    ) {
        let (Some(allocation), Some(backend)) = (&mut self.allocation, backend) else { return };
        let kept = self.kept.iter().filter_map(|shuffle| scheduler.map_outputs(*shuffle));
        let holders: BTreeSet<&ExecutorId> = kept
            .flat_map(|outputs| outputs.statuses().iter().flatten())
            .map(|status| &status.executor)
            .collect();
        let input = scheduler
            .allocation_input(executor_cores.max(1), |executor| holders.contains(executor));
        for action in allocation.look(&input, now) {
            match action {
                AllocationAction::RequestTotal(total) => {
                    tracing::info!(total, "executors wanted");
                    backend.request_executors(total);
                }
                AllocationAction::Kill(executors) => {
                    for executor in executors {
                        tracing::info!(%executor, "executor was idle and goes");
                        backend.kill_executor(executor.as_str());
                        self.dismissed.insert(executor.as_str().to_owned());
                    }
                }
            }
        }
    }
}

impl Service {
    fn clients(&self) -> Vec<ShuffleServiceClient> {
        let client = |host: &String| {
            let secret = Secret::new(self.secret.clone());
            let address = format!("{host}:{}", self.port);
            ShuffleServiceClient::new(address, self.application.clone(), secret)
        };
        self.hosts.iter().map(client).collect()
    }
}

/// The log of an application that runs: `<directory>/<application>.inprogress`.
struct EventLog {
    path: PathBuf,
    file: BufWriter<File>,
    recorder: EventRecorder,
    lines: String,
    flushed: Instant,
    broken: bool,
}

impl EventLog {
    fn open(options: &EventLogOptions, conf: &BTreeMap<String, String>) -> std::io::Result<Self> {
        // Ids of frameworks are safe names; a slash would be none.
        let name = options.application.id.replace('/', "-");
        let path = options.directory.join(name);
        let file = File::create(path.with_added_extension("inprogress"))?;
        let mut lines = String::new();
        let secret = |key: &str| {
            let key = key.to_ascii_lowercase();
            ["secret", "password", "token", "credential"].iter().any(|word| key.contains(word))
        };
        let shown = conf.iter().filter(|(key, _)| !secret(key));
        let shown = shown.map(|(key, value)| (key.as_str(), value.as_str()));
        let recorder = EventRecorder::begin(&options.application, shown, millis(), &mut lines);
        let file = BufWriter::new(file);
        let mut log = Self { path, file, recorder, lines, flushed: Instant::now(), broken: false };
        log.write();
        Ok(log)
    }

    fn happened(&mut self, event: &Event, metrics: Option<&(String, TaskMetrics)>) {
        let metrics = metrics.map(logged);
        self.recorder.record_event(event, metrics.as_ref(), millis(), &mut self.lines);
    }

    fn answered(&mut self, actions: &[Action]) {
        self.recorder.record_actions(actions, millis(), &mut self.lines);
        self.write();
    }

    /// A full disk ends the log and not the application.
    fn write(&mut self) {
        if self.lines.is_empty() || self.broken {
            return self.lines.clear();
        }
        let mut written = self.file.write_all(self.lines.as_bytes());
        let of_a_task = |line: &str| line.starts_with("{\"Event\":\"SparkListenerTask");
        let at_once = self.lines.lines().any(|line| !of_a_task(line));
        if at_once || self.flushed.elapsed() > FLUSH_INTERVAL {
            self.flushed = Instant::now();
            written = written.and_then(|()| self.file.flush());
        }
        if let Err(error) = written {
            self.broken = true;
            tracing::error!(%error, "the event log ends here");
        }
        self.lines.clear();
    }

    fn end(mut self) -> std::io::Result<()> {
        self.recorder.end(0, millis(), &mut self.lines);
        self.write();
        self.file.flush()?;
        fs::rename(self.path.with_added_extension("inprogress"), &self.path)
    }
}

/// A task's metrics as the log has them; what it read of its own executor's output was local.
fn logged((executor, metrics): &(String, TaskMetrics)) -> spark_scheduler::TaskMetrics {
    let split = |counts: &HashMap<String, u64>| -> (u64, u64) {
        let own = counts.get(executor).copied().unwrap_or(0);
        (own, counts.values().sum::<u64>() - own)
    };
    let (local_bytes, remote_bytes) = split(&metrics.bytes_read);
    let (local_blocks, remote_blocks) = split(&metrics.blocks_read);
    let map_task = metrics.result_bytes == 0;
    spark_scheduler::TaskMetrics {
        deserialize_millis: metrics.decode_micros / 1000,
        run_millis: metrics.run_micros / 1000,
        cpu_nanos: metrics.compute_nanos,
        result_bytes: metrics.result_bytes,
        disk_spilled_bytes: metrics.spilled_bytes,
        memory_spilled_bytes: metrics.memory_spilled_bytes,
        peak_memory_bytes: metrics.peak_memory_bytes,
        input_bytes: metrics.input_bytes,
        input_records: metrics.input_rows,
        output_bytes: metrics.sink_bytes,
        output_records: metrics.sink_rows,
        shuffle_wait_millis: metrics.fetch_wait_nanos / 1_000_000,
        shuffle_write_nanos: metrics.write_nanos,
        shuffle_local_bytes: local_bytes,
        shuffle_local_blocks: local_blocks,
        shuffle_remote_bytes: remote_bytes,
        shuffle_remote_blocks: remote_blocks,
        shuffle_read_records: metrics.rows_read,
        shuffle_written_bytes: if map_task { metrics.bytes_written } else { 0 },
        shuffle_written_records: if map_task { metrics.output_rows } else { 0 },
        operators: metrics
            .operators
            .iter()
            .map(|metric| spark_scheduler::OperatorMetric {
                name: format!("{} {}: {}", metric.operator, metric.node, metric.name),
                value: metric.value,
            })
            .collect(),
    }
}

fn millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
