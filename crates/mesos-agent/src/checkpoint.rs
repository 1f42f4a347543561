//! What an agent keeps on disk for its successor: itself, and the frameworks that checkpoint with their
//! containers, tasks and status updates. Files are replaced as a whole, updates are appended.
//!
//! Nothing is forced through to the disk: a crash of the agent's process loses nothing, and a crash of
//! the machine ends all processes anyway. What is found damaged is reported and left out.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mesos_api::prost::Message;
use mesos_api::recordio::{self, Decoder};
use mesos_api::resources::Resources;
use mesos_api::{AgentInfo, Attribute, ExecutorInfo, FrameworkInfo, TaskInfo, TaskStatus};

use crate::core::{ContainerRef, Record, Recovered, RecoveredContainer, RecoveredTask};
use crate::options::ReconfigurationPolicy;
use crate::paths::{self, Paths};

/// Longest file of updates read; a task makes some kilobytes of them.
const MAXIMUM_UPDATES_BYTES: u64 = 256 * 1024 * 1024;

/// A container, before it is started.
#[derive(Clone, PartialEq, Message)]
struct ContainerFile {
    #[prost(message, required, tag = "1")]
    executor: ExecutorInfo,
    #[prost(bool, required, tag = "2")]
    command: bool,
    #[prost(bool, required, tag = "3")]
    docker: bool,
    #[prost(string, required, tag = "4")]
    executor_id: String,
}

/// One record of a task's updates: exactly one field is set.
#[derive(Clone, PartialEq, Message)]
struct UpdateRecord {
    #[prost(message, optional, tag = "1")]
    update: Option<TaskStatus>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    acknowledged: Option<Bytes>,
}

const AGENT: &str = "slave.info";
const FRAMEWORK: &str = "framework.info";
const CONTAINER: &str = "container.info";
const TASK: &str = "task.info";
const UPDATES: &str = "task.updates";
/// Mark of a container whose end was told.
const ENDED: &str = "executor.sentinel";

/// Writes checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    paths: Paths,
    agent_id: Option<String>,
}

impl Checkpoints {
    /// Goes on with what an earlier agent of this id left, if there is one.
    pub(crate) fn new(paths: Paths, agent_id: Option<String>) -> Self {
        Self { paths, agent_id }
    }

    /// Carries a record out.
    ///
    /// # Errors
    /// Of the file system.
    pub(crate) fn save(&mut self, record: &Record) -> io::Result<()> {
        if let Record::Agent(info) = record {
            return self.save_agent(info);
        }
        let Some(agent_id) = self.agent_id.clone() else { return Ok(()) };
        let folder = |of: &ContainerRef| self.paths.container(&agent_id, &of.key, &of.id);
        match record {
            Record::Agent(_) => Ok(()),
            Record::NoAgent => {
                self.agent_id = None;
                forget_agent(&self.paths, &agent_id)
            }
            Record::Framework(info) => {
                let id = info.id.clone().unwrap_or_default().value;
                write(&self.paths.framework(&agent_id, &id).join(FRAMEWORK), &info.encode_to_vec())
            }
            Record::NoFramework(id) => remove_tree(&self.paths.framework(&agent_id, &id.value)),
            Record::Container { of, executor, command, docker } => {
                let file = ContainerFile {
                    executor: (**executor).clone(),
                    command: *command,
                    docker: *docker,
                    executor_id: of.key.1.value.clone(),
                };
                write(&folder(of).join(CONTAINER), &file.encode_to_vec())
            }
            Record::Task { of, task } => {
                let folder = paths::task(&folder(of), &task.task_id.value);
                write(&folder.join(TASK), &task.encode_to_vec())
            }
            Record::Update { of, status } => {
                let folder = paths::task(&folder(of), &status.task_id.value);
                let record = UpdateRecord { update: Some((**status).clone()), acknowledged: None };
                append(&folder.join(UPDATES), &record)
            }
            Record::Acknowledged { of, task_id, uuid } => {
                let folder = paths::task(&folder(of), &task_id.value);
                let record = UpdateRecord { update: None, acknowledged: Some(uuid.clone()) };
                append(&folder.join(UPDATES), &record)
            }
            Record::Ended(of) => write(&folder(of).join(ENDED), b""),
            Record::NoContainer(of) => {
                let folder = folder(of);
                remove_tree(&folder)?;
                // The folders above it go too, unless they hold something else.
                let above = folder.ancestors().skip(1).take(2);
                above.for_each(|folder| drop(fs::remove_dir(folder)));
                Ok(())
            }
        }
    }

    fn save_agent(&mut self, info: &AgentInfo) -> io::Result<()> {
        let id = info.id.clone().unwrap_or_default().value;
        if let Some(old) = self.agent_id.take().filter(|old| *old != id) {
            forget_agent(&self.paths, &old)?;
        }
        let folder = self.paths.agent(&id);
        write(&folder.join(AGENT), &info.encode_to_vec())?;
        let latest = self.paths.latest();
        let draft = latest.with_extension("new");
        let _ = fs::remove_file(&draft);
        std::os::unix::fs::symlink(folder.file_name().unwrap_or_default(), &draft)?;
        fs::rename(draft, latest)?;
        self.agent_id = Some(id);
        Ok(())
    }
}

fn forget_agent(paths: &Paths, agent_id: &str) -> io::Result<()> {
    match fs::remove_file(paths.latest()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    remove_tree(&paths.agent(agent_id))
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a file so that nobody ever sees a part of it.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let draft = path.with_extension("new");
    let written = fs::write(&draft, content);
    match written {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            fs::write(&draft, content)?;
        }
        written => written?,
    }
    fs::rename(draft, path)
}

fn append(path: &Path, record: &UpdateRecord) -> io::Result<()> {
    // Without its task the update would mean nothing: the folder is there, or the task is forgotten.
    let file = File::options().create(true).append(true).open(path);
    match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => file?.write_all(&recordio::encode(&record.encode_to_vec())),
    }
}

/// Reads what an earlier agent left. Nothing, if there was none.
pub(crate) fn recover(paths: &Paths) -> Recovered {
    let Ok(folder) = paths.latest().canonicalize() else { return Recovered::default() };
    let Some(agent) = read::<AgentInfo>(&folder.join(AGENT)) else { return Recovered::default() };
    let agent_id = agent.id.clone().unwrap_or_default().value;
    let mut recovered = Recovered { agent: Some(agent), ..Recovered::default() };
    for place in folders(&folder.join("frameworks")) {
        let Some(framework) = read::<FrameworkInfo>(&place.join(FRAMEWORK)) else { continue };
        for executor in folders(&place.join("executors")) {
            let runs = folders(&executor.join("runs"));
            let containers =
                runs.iter().filter_map(|run| container(paths, &agent_id, &framework, run));
            recovered.containers.extend(containers);
        }
        recovered.frameworks.push(framework);
    }
    recovered
}

fn container(
    paths: &Paths,
    agent_id: &str,
    framework: &FrameworkInfo,
    folder: &Path,
) -> Option<RecoveredContainer> {
    let file = read::<ContainerFile>(&folder.join(CONTAINER))?;
    let id = folder.file_name()?.to_str()?.to_owned();
    let key = (framework.id.clone()?, file.executor_id.as_str().into());
    let pid = fs::read_to_string(folder.join("forked.pid")).ok();
    let tasks = folders(&folder.join("tasks"));
    Some(RecoveredContainer {
        directory: paths.sandbox(agent_id, &key, &id),
        of: ContainerRef { key, id },
        executor: file.executor,
        command: file.command,
        docker: file.docker,
        pid: pid.and_then(|text| text.split_whitespace().next()?.parse().ok()),
        ended: folder.join(ENDED).exists(),
        tasks: tasks.iter().filter_map(|folder| task(folder)).collect(),
    })
}

fn task(folder: &Path) -> Option<RecoveredTask> {
    let info = read::<TaskInfo>(&folder.join(TASK))?;
    let mut task = RecoveredTask { info, updates: Vec::new(), acknowledged: Vec::new() };
    for record in updates(&folder.join(UPDATES)) {
        task.updates.extend(record.update);
        task.acknowledged.extend(record.acknowledged);
    }
    Some(task)
}

/// All whole records; the last may be cut off if the machine crashed.
fn updates(path: &Path) -> Vec<UpdateRecord> {
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length > MAXIMUM_UPDATES_BYTES {
        tracing::warn!(file = %path.display(), length, "far too long for updates; left out");
        return Vec::new();
    }
    let mut decoder = Decoder::default();
    decoder.push(&fs::read(path).unwrap_or_default());
    let mut records = Vec::new();
    while let Ok(Some(record)) = decoder.next_record() {
        match UpdateRecord::decode(record) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "damaged; the rest is left out");
                break;
            }
        }
    }
    records
}

fn read<T: Message + Default>(path: &Path) -> Option<T> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(file = %path.display(), %error, "cannot be read; left out");
            }
            return None;
        }
    };
    let decoded = T::decode(content.as_slice());
    decoded
        .inspect_err(|error| tracing::warn!(file = %path.display(), %error, "damaged; left out"))
        .ok()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut folders: Vec<_> = folders.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

/// Why an agent cannot take over from the one it was, as Mesos judges it.
pub(crate) fn incompatibility(
    old: &AgentInfo,
    new: &AgentInfo,
    policy: ReconfigurationPolicy,
) -> Option<String> {
    let (had, has) = (shown_resources(old), shown_resources(new));
    let (said, says) = (shown_attributes(&old.attributes), shown_attributes(&new.attributes));
    let resources = |agent: &AgentInfo| Resources::from(agent.resources.as_slice());
    match policy {
        ReconfigurationPolicy::Any => None,
        ReconfigurationPolicy::Additive => {
            let kept = |attribute: &Attribute| new.attributes.contains(attribute);
            if !resources(new).contains(&resources(old)) {
                Some(format!("resources were '{had}' and are '{has}', which is less of something"))
            } else if !old.attributes.iter().all(kept) {
                Some(format!("attributes were '{said}' and are '{says}', which is not more"))
            } else {
                (old.hostname != new.hostname).then(|| hostnames(old, new))
            }
        }
        ReconfigurationPolicy::Equal => {
            if !(resources(new).contains(&resources(old))
                && resources(old).contains(&resources(new)))
            {
                Some(format!("resources were '{had}' and are '{has}'"))
            } else if said != says {
                Some(format!("attributes were '{said}' and are '{says}'"))
            } else {
                (old.hostname != new.hostname).then(|| hostnames(old, new))
            }
        }
    }
}

fn hostnames(old: &AgentInfo, new: &AgentInfo) -> String {
    format!("the host name was '{}' and is '{}'", old.hostname, new.hostname)
}

fn shown_resources(agent: &AgentInfo) -> String {
    Resources::from(agent.resources.as_slice()).to_string()
}

fn shown_attributes(attributes: &[Attribute]) -> String {
    let mut shown: Vec<_> = attributes.iter().map(shown_attribute).collect();
    shown.sort();
    shown.join("; ")
}

fn shown_attribute(attribute: &Attribute) -> String {
    let name = &attribute.name;
    if let Some(text) = &attribute.text {
        return format!("{name}:{}", text.value);
    }
    if let Some(scalar) = &attribute.scalar {
        return format!("{name}:{}", scalar.value);
    }
    if let Some(set) = &attribute.set {
        return format!("{name}:{{{}}}", set.item.join(","));
    }
    let ranges = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
    let ranges: Vec<_> = ranges.map(|range| format!("{}-{}", range.begin, range.end)).collect();
    format!("{name}:[{}]", ranges.join(","))
}

#[cfg(test)]
mod tests;
