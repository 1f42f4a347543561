//! A scheduler in the raw: HTTP and RecordIO, nothing of our client.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mesos_api::prost::Message as _;
use mesos_api::recordio::Decoder;
use mesos_api::scheduler::call::{self, Type};
use mesos_api::scheduler::event::Type as EventType;
use mesos_api::scheduler::{Call, Event};
use mesos_api::{
    CommandInfo, FrameworkId, FrameworkInfo, Offer, Resources, TaskInfo, TaskState, TaskStatus,
};
use tokio::net::TcpStream;

pub(crate) const PROTOBUF: &str = "application/x-protobuf";

/// Nothing takes so long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn send(address: &str, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

pub(crate) async fn get(address: &str, path: &str) -> (u16, String) {
    let request = Request::get(path).header("Host", address).body(Full::default()).unwrap();
    let answer = send(address, request).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) async fn json(address: &str, path: &str) -> serde_json::Value {
    let (status, body) = get(address, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

pub(crate) struct Scheduler {
    pub(crate) address: String,
    pub(crate) id: FrameworkId,
    pub(crate) stream: String,
    body: Incoming,
    decoder: Decoder,
    /// Offers seen and not used.
    pub(crate) offers: Vec<Offer>,
    /// Whose the last update was.
    pub(crate) last_agent: Option<mesos_api::AgentId>,
}

pub(crate) fn framework() -> FrameworkInfo {
    FrameworkInfo { user: "root".into(), name: "it".into(), ..FrameworkInfo::default() }
}

impl Scheduler {
    pub(crate) async fn subscribe(address: &str, info: FrameworkInfo) -> Self {
        let call = Call {
            framework_id: info.id.clone(),
            r#type: Some(Type::Subscribe.into()),
            subscribe: Some(call::Subscribe { framework_info: info, ..Default::default() }),
            ..Call::default()
        };
        let request = Request::post("/api/v1/scheduler")
            .header("Host", address)
            .header("Content-Type", PROTOBUF)
            .header("Accept", PROTOBUF)
            .body(Full::from(call.encode_to_vec()))
            .unwrap();
        let answer = send(address, request).await;
        assert_eq!(answer.status(), 200);
        let stream = answer.headers()["Mesos-Stream-Id"].to_str().unwrap().to_owned();
        let mut scheduler = Self {
            address: address.to_owned(),
            id: FrameworkId::default(),
            stream,
            body: answer.into_body(),
            decoder: Decoder::default(),
            offers: Vec::new(),
            last_agent: None,
        };
        let first = scheduler.next().await.expect("a first event");
        if let Some(subscribed) = first.subscribed {
            scheduler.id = subscribed.framework_id;
        }
        scheduler
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(record) = self.decoder.next_record().unwrap() {
                return Some(Event::decode(record).unwrap());
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("an event");
            self.decoder.push(&frame?.ok()?.into_data().unwrap());
        }
    }

    /// Whether an event arrives within this time; offers are kept.
    pub(crate) async fn quiet_for(&mut self, time: Duration) -> Result<(), Event> {
        let until = tokio::time::Instant::now() + time;
        loop {
            match tokio::time::timeout_at(until, self.next()).await {
                Err(_) => return Ok(()),
                Ok(Some(event)) if event.r#type() == EventType::Heartbeat => {}
                Ok(Some(event)) => return Err(event),
                Ok(None) => panic!("the stream ended"),
            }
        }
    }

    /// The next event of a type; offers on the way are kept, heartbeats dropped.
    pub(crate) async fn expect(&mut self, r#type: EventType) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.r#type() == r#type {
                return event;
            }
            match event.r#type() {
                EventType::Offers => self.offers.extend(event.offers.unwrap().offers),
                EventType::Heartbeat => {}
                other => panic!("{other} instead of {}: {event:?}", r#type.name()),
            }
        }
    }

    /// The next event of a type, whatever comes before.
    pub(crate) async fn expect_any(&mut self, r#type: EventType) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.r#type() == r#type {
                return event;
            }
        }
    }

    pub(crate) async fn offer(&mut self) -> Offer {
        if self.offers.is_empty() {
            let event = self.expect(EventType::Offers).await;
            self.offers.extend(event.offers.unwrap().offers);
        }
        self.offers.remove(0)
    }

    /// Sends a call and gives the status of the answer.
    pub(crate) async fn call(&self, r#type: Type, fill: impl FnOnce(&mut Call)) -> u16 {
        let mut call = Call {
            framework_id: Some(self.id.clone()),
            r#type: Some(r#type.into()),
            ..Call::default()
        };
        fill(&mut call);
        let request = Request::post("/api/v1/scheduler")
            .header("Host", &self.address)
            .header("Content-Type", PROTOBUF)
            .header("Mesos-Stream-Id", &self.stream)
            .body(Full::from(call.encode_to_vec()))
            .unwrap();
        send(&self.address, request).await.status().as_u16()
    }

    pub(crate) async fn launch(&self, offer: &Offer, tasks: Vec<TaskInfo>) {
        let accept = call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![mesos_api::offer::Operation::launch_tasks(tasks)],
            filters: None,
        };
        assert_eq!(self.call(Type::Accept, |call| call.accept = Some(accept)).await, 202);
    }

    /// The next update, acknowledged.
    pub(crate) async fn update(&mut self) -> TaskStatus {
        let status = self.expect(EventType::Update).await.update.unwrap().status;
        self.acknowledge(&status).await;
        self.last_agent.clone_from(&status.agent_id);
        status
    }

    /// Acknowledges an update, if it wants that.
    pub(crate) async fn acknowledge(&self, status: &TaskStatus) {
        let Some(uuid) = status.uuid.clone() else { return };
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.clone().unwrap(),
            task_id: status.task_id.clone(),
            uuid,
        };
        let answer = self.call(Type::Acknowledge, |call| call.acknowledge = Some(acknowledge));
        assert_eq!(answer.await, 202);
    }

    /// Asks for the end of a task, by a policy with this grace period if one is named.
    pub(crate) async fn kill(&self, task: &str, grace: Option<Duration>) {
        let nanoseconds = |grace: Duration| i64::try_from(grace.as_nanos()).unwrap();
        let kill_policy = grace.map(|grace| mesos_api::KillPolicy {
            grace_period: Some(mesos_api::DurationInfo { nanoseconds: nanoseconds(grace) }),
        });
        let kill = call::Kill { task_id: task.into(), kill_policy, ..Default::default() };
        assert_eq!(self.call(Type::Kill, |call| call.kill = Some(kill)).await, 202);
    }

    pub(crate) async fn states(&mut self, count: usize) -> Vec<TaskState> {
        let mut states = Vec::new();
        for _ in 0..count {
            states.push(self.update().await.state());
        }
        states
    }
}

pub(crate) fn command(value: &str) -> CommandInfo {
    CommandInfo { value: Some(value.into()), ..CommandInfo::default() }
}

pub(crate) fn task(id: &str, offer: &Offer, resources: &str, command: CommandInfo) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: id.into(),
        agent_id: offer.agent_id.clone(),
        resources: Resources::parse(resources, "*")
            .unwrap()
            .to_wire(mesos_api::WireFormat::PreRefinement),
        command: Some(command),
        ..TaskInfo::default()
    }
}
