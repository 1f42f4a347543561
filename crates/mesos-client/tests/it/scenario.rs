//! What a framework does in its life, whoever the master is.

use std::time::Duration;

use mesos_api::value::Scalar;
use mesos_api::{
    AgentId, CommandInfo, FrameworkInfo, Offer, Resource, TaskId, TaskInfo, TaskState, TaskStatus,
    ValueType, offer::Operation,
};
use mesos_client::{
    MasterAddress, SchedulerClient, SchedulerEvent, SchedulerHandle, SchedulerOptions,
};
use tokio::sync::mpsc;

/// Everything here takes a second or two; a loaded machine takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Framework {
    pub(crate) handle: SchedulerHandle,
    pub(crate) events: mpsc::Receiver<SchedulerEvent>,
    /// Offers that came while waiting for something else.
    offers: Vec<Offer>,
    /// Messages that came meanwhile.
    pub(crate) messages: Vec<bytes::Bytes>,
}

pub(crate) fn info(name: &str) -> FrameworkInfo {
    FrameworkInfo { user: "root".to_owned(), name: name.to_owned(), ..FrameworkInfo::default() }
}

pub(crate) fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: ValueType::Scalar.into(),
        scalar: Some(Scalar { value }),
        ..Resource::default()
    }
}

fn command_task(id: &str, agent_id: AgentId, command: &str) -> TaskInfo {
    TaskInfo {
        name: id.to_owned(),
        task_id: TaskId::from(id),
        agent_id,
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        command: Some(CommandInfo { value: Some(command.to_owned()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

impl Framework {
    pub(crate) async fn subscribe(master: &MasterAddress, name: &str) -> Self {
        let options = SchedulerOptions::new(master.clone(), info(name));
        let (handle, events) = SchedulerClient::connect(options).await.unwrap();
        let mut framework = Self { handle, events, offers: Vec::new(), messages: Vec::new() };
        match framework.next().await {
            SchedulerEvent::Subscribed { framework_id, again: false, .. } => {
                assert_eq!(framework.handle.framework_id(), Some(framework_id));
            }
            other => panic!("first event {other:?}"),
        }
        framework
    }

    pub(crate) async fn next(&mut self) -> SchedulerEvent {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event within 30 s").expect("an open channel")
    }

    pub(crate) async fn offer(&mut self) -> Offer {
        loop {
            if let Some(offer) = self.offers.pop() {
                return offer;
            }
            match self.next().await {
                SchedulerEvent::Offers(offers) => self.offers.extend(offers),
                SchedulerEvent::Rescind(id) => self.offers.retain(|offer| offer.id != id),
                other => panic!("{other:?} instead of offers"),
            }
        }
    }

    /// The next update, acknowledged.
    pub(crate) async fn update(&mut self) -> TaskStatus {
        loop {
            match self.next().await {
                SchedulerEvent::Update(status) => {
                    self.handle.acknowledge(&status);
                    return status;
                }
                SchedulerEvent::Offers(offers) => self.offers.extend(offers),
                SchedulerEvent::Rescind(id) => self.offers.retain(|offer| offer.id != id),
                // The genuine master may tell of the executor's end before the task's.
                SchedulerEvent::Failure { .. } => {}
                SchedulerEvent::Message { data, .. } => self.messages.push(data),
                other => panic!("{other:?} instead of an update"),
            }
        }
    }

    async fn launch(&mut self, id: &str, command: &str) {
        let offer = self.offer().await;
        let task = command_task(id, offer.agent_id, command);
        self.handle.accept(vec![offer.id], vec![Operation::launch_tasks(vec![task])], Some(0.0));
    }

    /// Waits until the task is in this state, through non-terminal ones only.
    pub(crate) async fn reaches(&mut self, id: &str, wanted: TaskState) {
        loop {
            let status = self.update().await;
            assert_eq!(status.task_id.value, id);
            if status.state() == wanted {
                return;
            }
            assert!(!status.state().is_terminal(), "{status:?}");
        }
    }
}

pub(crate) async fn whole_life(master: MasterAddress) {
    let mut framework = Framework::subscribe(&master, "whole life").await;
    framework.launch("echo", "echo hello").await;
    framework.reaches("echo", TaskState::Finished).await;

    framework.launch("sleep", "sleep 1000").await;
    framework.reaches("sleep", TaskState::Running).await;
    framework.handle.reconcile(vec![("sleep".into(), None)]);
    framework.reaches("sleep", TaskState::Running).await;
    framework.handle.kill("sleep".into(), None, None);
    framework.reaches("sleep", TaskState::Killed).await;

    // Declined for an hour, the resources come back only because of the revive.
    let mut declined = vec![framework.offer().await];
    declined.append(&mut framework.offers);
    let ids = declined.into_iter().map(|offer| offer.id).collect();
    framework.handle.decline(ids, Some(3600.0));
    framework.handle.revive(Vec::new());
    let offer = framework.offer().await;
    framework.offers.push(offer);
    framework.handle.suppress(Vec::new());

    framework.launch("left over", "sleep 1000").await;
    framework.reaches("left over", TaskState::Running).await;
    framework.handle.teardown().await.unwrap();
    while let Some(event) = framework.events.recv().await {
        assert!(!matches!(event, SchedulerEvent::Error(_)), "{event:?}");
    }
}

/// A second subscription with the id of the first takes the framework over.
pub(crate) async fn failover(master: MasterAddress) {
    let mut options = SchedulerOptions::new(master.clone(), info("failover"));
    options.framework_info.failover_timeout = Some(60.0);
    let (first, mut first_events) = SchedulerClient::connect(options.clone()).await.unwrap();
    options.framework_info.id = first.framework_id();
    let (second, mut second_events) = SchedulerClient::connect(options).await.unwrap();
    assert_eq!(first.framework_id(), second.framework_id());
    let mut last = None;
    while let Some(event) = first_events.recv().await {
        last = Some(event);
    }
    assert_eq!(last, Some(SchedulerEvent::Error("Framework failed over".to_owned())));
    let event = second_events.recv().await;
    assert!(matches!(event, Some(SchedulerEvent::Subscribed { .. })), "{event:?}");
    second.teardown().await.unwrap();
}
