//! Containers: a sandbox, what is fetched into it, and a process group with all its descendants.

mod process;
mod sandbox;
mod warden;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::core::{ContainerKey, Event, LaunchSpec, Signal};
use crate::fetcher;

pub(crate) use process::{Spawner, User, kill_leftovers};
use warden::Warden;

/// Signals waiting for a container; more say nothing new.
const SIGNAL_QUEUE: usize = 8;

/// Everything of containers that has to do with the machine.
#[derive(Debug)]
pub(crate) struct Containerizer {
    spawner: Arc<Spawner>,
    switch_user: bool,
    signals: BTreeMap<ContainerKey, mpsc::Sender<Signal>>,
    /// Lives as long as the agent.
    warden: Warden,
    events: mpsc::Sender<Event>,
}

impl Containerizer {
    pub(crate) fn new(
        work_dir: &Path,
        switch_user: bool,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, std::io::Error> {
        let spawner = Arc::new(Spawner::start()?);
        let warden = Warden::start(work_dir)?;
        Ok(Self { spawner, switch_user, signals: BTreeMap::new(), warden, events })
    }

    /// Starts a container; what becomes of it is told in events.
    pub(crate) fn launch(&mut self, spec: LaunchSpec) {
        let (sender, signals) = mpsc::channel(SIGNAL_QUEUE);
        self.signals.insert(spec.container.clone(), sender);
        let (spawner, events) = (Arc::clone(&self.spawner), self.events.clone());
        let switch_user = self.switch_user;
        tokio::spawn(async move {
            let container = spec.container.clone();
            let event = match run(spec, &spawner, switch_user, signals, &events).await {
                Ok(status) => Event::Exited { container, status },
                Err(message) => Event::LaunchFailed { container, message },
            };
            // The loop ends only when the agent stops, and then kills what is left.
            let _ = events.send(event).await;
        });
    }

    /// Signals a container that has not ended.
    pub(crate) fn signal(&mut self, container: &ContainerKey, signal: Signal) {
        if let Some(sender) = self.signals.get(container) {
            let _ = sender.try_send(signal);
        }
    }

    /// Ends the watch over the sandboxes, in which nothing runs any more.
    pub(crate) fn close(&mut self) {
        self.warden.dismiss();
    }

    /// Forgets an ended container.
    pub(crate) fn forget(&mut self, container: &ContainerKey) {
        self.signals.remove(container);
    }
}

/// Fetches, starts, waits and cleans up; gives the raw wait status.
async fn run(
    spec: LaunchSpec,
    spawner: &Arc<Spawner>,
    switch_user: bool,
    mut signals: mpsc::Receiver<Signal>,
    events: &mpsc::Sender<Event>,
) -> Result<i32, String> {
    let user = match spec.user.as_deref().filter(|_| switch_user) {
        Some(user) => process::user(user)?,
        None => None,
    };
    sandbox::make(&spec.directory, user)?;
    let fetch = fetcher::fetch_all(&spec.uris, &spec.directory, user);
    tokio::select! {
        fetched = fetch => fetched.map_err(|error| format!("Failed to fetch all URIs: {error}"))?,
        _ = signals.recv() => return Err("it was killed while being fetched for".to_owned()),
    }
    let container = spec.container.clone();
    let directory = spec.directory.clone();
    let (ended, exit) = oneshot::channel();
    let pid = spawner.spawn(spec, user, ended).await?;
    let _ = events.send(Event::Launched { container, pid }).await;
    let mut exit = exit;
    let status = loop {
        tokio::select! {
            status = &mut exit => break status.map_err(|_| "its process got lost".to_owned())?,
            Some(signal) = signals.recv() => process::signal_all(pid, &directory, signal).await,
        }
    };
    // Whatever the first process left behind must not outlive the container.
    process::kill_rest(pid, &directory).await;
    Ok(status)
}
