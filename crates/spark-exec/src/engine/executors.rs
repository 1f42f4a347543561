//! The executors attached now, and what each has been told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use spark_scheduler::{MapOutputs, TaskDescription};
use tokio::sync::mpsc;

use crate::executor::pool_bytes;
use crate::protocol::{
    Launch, MapOutputPlace, MapStatuses, StagePlan, Task, ToExecutor, to_executor,
};

/// One attached executor.
pub(super) struct Attached {
    pub(super) connection: u64,
    pub(super) block_address: Arc<str>,
    pub(super) last_heard: Instant,
    resources: Resources,
    to_executor: mpsc::UnboundedSender<ToExecutor>,
    /// The stages whose plan it has.
    stages: HashSet<u64>,
    /// The epoch of the map statuses it has, by shuffle.
    epochs: HashMap<u64, u64>,
    /// Tasks to start with the next message.
    launch: Vec<Task>,
}

impl Attached {
    pub(super) fn send(&self, kind: to_executor::Kind) {
        // Fails only when the stream broke; its end is reported by the stream's reader.
        let _ = self.to_executor.send(kind.into());
    }
}

/// What an executor has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resources {
    pub(super) cores: usize,
    /// 0 is no limit.
    pub(super) memory_bytes: u64,
}

/// All attached executors by id.
#[derive(Default)]
pub(super) struct Executors {
    by_id: BTreeMap<String, Attached>,
    by_connection: HashMap<u64, String>,
}

impl Executors {
    pub(super) fn add(
        &mut self,
        id: &str,
        connection: u64,
        resources: Resources,
        block_address: &str,
        to_executor: mpsc::UnboundedSender<ToExecutor>,
    ) {
        let attached = Attached {
            connection,
            resources,
            block_address: block_address.into(),
            last_heard: Instant::now(),
            to_executor,
            stages: HashSet::new(),
            epochs: HashMap::new(),
            launch: Vec::new(),
        };
        if let Some(old) = self.by_id.insert(id.to_owned(), attached) {
            self.by_connection.remove(&old.connection);
        }
        self.by_connection.insert(connection, id.to_owned());
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Attached> {
        let attached = self.by_id.remove(id)?;
        self.by_connection.remove(&attached.connection);
        Some(attached)
    }

    pub(super) fn cores(&self) -> usize {
        self.by_id.values().map(|attached| attached.resources.cores).sum()
    }

    /// What a task may take of the operators' memory of the executor that has least of it; 0 is no
    /// limit.
    pub(super) fn task_memory(&self) -> u64 {
        let share = |attached: &Attached| {
            let Resources { cores, memory_bytes } = attached.resources;
            (memory_bytes > 0).then(|| pool_bytes(memory_bytes) as u64 / cores.max(1) as u64)
        };
        self.by_id.values().filter_map(share).min().unwrap_or(0)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        self.by_id.keys()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Attached> {
        self.by_id.get(id)
    }

    /// The executor of a connection; `None` once it is taken as lost.
    pub(super) fn of(&self, connection: u64) -> Option<&str> {
        self.by_connection.get(&connection).map(String::as_str)
    }

    pub(super) fn heard(&mut self, id: &str) {
        if let Some(attached) = self.by_id.get_mut(id) {
            attached.last_heard = Instant::now();
        }
    }

    pub(super) fn send_to_all(&self, kind: &to_executor::Kind) {
        for attached in self.by_id.values() {
            attached.send(kind.clone());
        }
    }

    pub(super) fn release_stage(&mut self, stage: u64) {
        for attached in self.by_id.values_mut() {
            if attached.stages.remove(&stage) {
                attached.send(to_executor::Kind::ReleaseStage(stage));
            }
        }
    }

    pub(super) fn release_shuffle(&mut self, shuffle: u64) {
        for attached in self.by_id.values_mut() {
            attached.epochs.remove(&shuffle);
            attached.send(to_executor::Kind::ReleaseShuffle(shuffle));
        }
    }

    /// Queues a task for the next message, after what the executor must know first.
    pub(super) fn launch<'a>(
        &mut self,
        executor: &str,
        task: &TaskDescription,
        plan: &StagePlan,
        outputs: impl Fn(u64) -> Option<&'a MapOutputs>,
        notes: &OutputNotes,
    ) {
        self.prepare(executor, plan, outputs, notes);
        if let Some(attached) = self.by_id.get_mut(executor) {
            attached.launch.push(message(task));
        }
    }

    /// Tells an executor what tasks of a stage need, as far as it has not been told.
    pub(super) fn prepare<'a>(
        &mut self,
        executor: &str,
        plan: &StagePlan,
        outputs: impl Fn(u64) -> Option<&'a MapOutputs>,
        notes: &OutputNotes,
    ) {
        let Some(attached) = self.by_id.get_mut(executor) else { return };
        if attached.stages.insert(plan.stage) {
            attached.send(to_executor::Kind::Stage(plan.clone()));
        }
        for shuffle in &plan.parents {
            let Some(outputs) = outputs(*shuffle) else { continue };
            let epoch = outputs.epoch();
            if attached.epochs.insert(*shuffle, epoch) != Some(epoch) {
                attached.flush();
                attached.send(to_executor::Kind::MapStatuses(statuses(*shuffle, outputs, notes)));
            }
        }
    }

    /// Sends the queued tasks, one message per executor.
    pub(super) fn flush(&mut self) {
        for attached in self.by_id.values_mut() {
            attached.flush();
        }
    }
}

impl Attached {
    fn flush(&mut self) {
        if !self.launch.is_empty() {
            let tasks = std::mem::take(&mut self.launch);
            self.send(to_executor::Kind::Launch(Launch { tasks }));
        }
    }
}

/// A task attempt on the wire.
pub(super) fn message(task: &TaskDescription) -> Task {
    Task {
        task: task.task.0,
        stage: task.stage.0,
        stage_attempt: task.stage_attempt,
        partition: task.partition,
        attempt: task.attempt,
    }
}

/// What the scheduler need not know of map output, by shuffle and the attempt that wrote it.
#[derive(Default)]
pub(super) struct OutputNotes(HashMap<u64, HashMap<u64, OutputNote>>);

/// What readers must know of one map output.
#[derive(Default)]
struct OutputNote {
    /// The first keys of the segments of sorted output.
    keys: Vec<Bytes>,
    packed: bool,
}

impl OutputNotes {
    pub(super) fn put(&mut self, shuffle: u64, task: u64, keys: Vec<Bytes>, packed: bool) {
        if packed || !keys.is_empty() {
            self.0.entry(shuffle).or_default().insert(task, OutputNote { keys, packed });
        }
    }

    fn get(&self, shuffle: u64, task: u64) -> Option<&OutputNote> {
        self.0.get(&shuffle).and_then(|tasks| tasks.get(&task))
    }

    pub(super) fn keys(&self, shuffle: u64, task: u64) -> &[Bytes] {
        self.get(shuffle, task).map_or(&[], |note| &note.keys)
    }

    pub(super) fn remove(&mut self, shuffle: u64) {
        self.0.remove(&shuffle);
    }
}

fn statuses(shuffle: u64, outputs: &MapOutputs, notes: &OutputNotes) -> MapStatuses {
    let outputs_sent = outputs
        .statuses()
        .iter()
        .map(|status| match status {
            Some(status) => MapOutputPlace {
                executor: status.executor.to_string(),
                address: status.address.to_string(),
                task: status.task.0,
                sizes: status.sizes.iter().collect(),
                keys: notes.keys(shuffle, status.task.0).to_vec(),
                packed: notes.get(shuffle, status.task.0).is_some_and(|note| note.packed),
                available: true,
            },
            None => MapOutputPlace::default(),
        })
        .collect();
    MapStatuses { shuffle, epoch: outputs.epoch(), outputs: outputs_sent }
}
