//! Subscriptions: new frameworks, those that return, those that leave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mesos_api::scheduler::call::Subscribe;
use mesos_api::scheduler::{Event, event};
use mesos_api::{FrameworkId, FrameworkInfo};

use super::event::{Action, StreamId};
use super::state::{Connection, Framework};
use super::{Master, validate};

/// The time a framework may be away.
pub(super) fn failover_timeout(info: &FrameworkInfo) -> Duration {
    Duration::try_from_secs_f64(
        info.failover_timeout().clamp(0.0, validate::MAXIMUM_FAILOVER_SECONDS),
    )
    .unwrap_or_default()
}

impl Master {
    pub(super) fn subscribe(
        &mut self,
        stream: StreamId,
        subscribe: Subscribe,
        principal: Option<String>,
    ) {
        *self.counters.calls.entry("SUBSCRIBE").or_default() += 1;
        let mut info = subscribe.framework_info;
        let suppressed: BTreeSet<String> = subscribe.suppressed_roles.into_iter().collect();
        let known = info.id.clone().filter(|id| !id.value.is_empty());
        let refusal = validate::framework(&info, &suppressed, &self.settings.roles)
            .err()
            .or_else(|| known.as_ref().and_then(|id| self.why_not_back(id, &info)));
        if let Some(message) = refusal {
            self.refuse(stream, message);
            return;
        }
        let id = known.unwrap_or_else(|| self.new_framework_id());
        info.id = Some(id.clone());
        let returns = self.frameworks.contains_key(&id);
        if returns {
            self.take_over(&id, &mut info);
        } else {
            self.frameworks.insert(id.clone(), self.new_framework(info.clone()));
        }
        if let Some(framework) = self.frameworks.get_mut(&id) {
            framework.principal = principal;
            framework.suppressed.clone_from(&suppressed);
            framework.info = info.clone();
        }
        self.streams.insert(stream.clone(), id.clone());
        self.connect_framework(&id, stream);
        self.allocator.update_framework(&id, info, &suppressed, subscribe.offer_constraints);
        self.allocator.set_framework_active(&id, true);
        if returns {
            self.resend_updates(&id);
        }
        self.request_allocation();
    }

    fn new_framework_id(&mut self) -> FrameworkId {
        let number = self.next_framework;
        self.next_framework += 1;
        format!("{}-{number:04}", self.settings.master_info.id).into()
    }

    pub(super) fn new_framework(&self, info: FrameworkInfo) -> Framework {
        Framework {
            connection: Connection::Away { until: self.now + failover_timeout(&info) },
            info,
            principal: None,
            stream: None,
            heartbeat_due: self.now,
            registered: self.now,
            reregistered: None,
            unregistered: None,
            suppressed: BTreeSet::new(),
            tasks: BTreeMap::new(),
            executors: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            completed: VecDeque::new(),
        }
    }

    fn why_not_back(&self, id: &FrameworkId, info: &FrameworkInfo) -> Option<String> {
        if self.removed_frameworks.contains(id) {
            return Some("Framework has been removed".to_owned());
        }
        let old = self.frameworks.get(id)?;
        (old.info.principal != info.principal)
            .then(|| "Changing framework's principal is not allowed.".to_owned())
    }

    fn refuse(&mut self, stream: StreamId, message: String) {
        self.act(Action::Send { stream: stream.clone(), event: error(message) });
        self.act(Action::CloseStream { stream });
    }

    /// A second subscription of the same id ends the first.
    fn take_over(&mut self, id: &FrameworkId, info: &mut FrameworkInfo) {
        self.discard_offers_of(id);
        // The new scheduler does not know what the old one refused.
        self.allocator.set_framework_active(id, false);
        let now = self.now;
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.reregistered = Some(now);
        // These two cannot change while the framework lives; a try is ignored.
        info.user.clone_from(&framework.info.user);
        info.checkpoint = framework.info.checkpoint;
        if let Some(old) = framework.stream.take() {
            self.streams.remove(&old);
            let message = "Framework failed over".to_owned();
            self.act(Action::Send { stream: old.clone(), event: error(message) });
            self.act(Action::CloseStream { stream: old });
        }
    }

    fn connect_framework(&mut self, id: &FrameworkId, stream: StreamId) {
        let now = self.now;
        self.wake_at(now + self.settings.heartbeat_interval);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.stream = Some(stream);
            framework.connection = Connection::Subscribed;
            framework.heartbeat_due = now;
        }
        let subscribed = event::Subscribed {
            framework_id: id.clone(),
            heartbeat_interval_seconds: Some(self.settings.heartbeat_interval.as_secs_f64()),
            master_info: Some(self.settings.master_info.clone()),
        };
        self.send(
            id,
            Event {
                r#type: Some(event::Type::Subscribed.into()),
                subscribed: Some(subscribed),
                ..Event::default()
            },
        );
        // The first heartbeat follows at once, as in Mesos.
        self.send_heartbeats();
    }

    fn resend_updates(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let pending: Vec<_> =
            framework.tasks.values().filter_map(|record| record.unacknowledged.clone()).collect();
        for status in pending {
            self.send_status(id, status);
        }
    }

    pub(super) fn send_heartbeats(&mut self) {
        let now = self.now;
        let next = now + self.settings.heartbeat_interval;
        let mut due = Vec::new();
        for framework in self.frameworks.values_mut() {
            if framework.is_subscribed() && framework.heartbeat_due <= now {
                framework.heartbeat_due = next;
                due.extend(framework.stream.clone());
            }
        }
        for stream in due {
            let event = Event { r#type: Some(event::Type::Heartbeat.into()), ..Event::default() };
            self.act(Action::Send { stream, event });
        }
    }

    /// A framework without its stream gets no offers; it may come back in time.
    pub(super) fn stream_closed(&mut self, stream: &StreamId) {
        let Some(id) = self.streams.remove(stream) else { return };
        if let Some(framework) = self.frameworks.get_mut(&id) {
            let until = self.now + failover_timeout(&framework.info);
            framework.stream = None;
            framework.connection = Connection::Away { until };
            self.wake_at(until);
        }
        self.discard_offers_of(&id);
        self.allocator.set_framework_active(&id, false);
        self.request_allocation();
    }

    pub(super) fn expire_frameworks(&mut self) {
        let now = self.now;
        let over: Vec<_> = self
            .frameworks
            .iter()
            .filter(|(_, f)| matches!(f.connection, Connection::Away { until } if until <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            tracing::info!(framework = %id, "framework did not come back within its failover timeout");
            self.remove_framework(&id);
        }
    }
}

fn error(message: String) -> Event {
    Event {
        r#type: Some(event::Type::Error.into()),
        error: Some(event::Error { message }),
        ..Event::default()
    }
}
