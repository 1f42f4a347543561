//! Subscriptions: new frameworks, those that return, those that leave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mesos_api::scheduler::call::Subscribe;
use mesos_api::scheduler::{Event, event};
use mesos_api::{FrameworkId, FrameworkInfo, Resources};

use super::acl::Permission;
use super::event::{Action, StreamId};
use super::shelf::Shelf;
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
        let constraints = subscribe.offer_constraints;
        let refusal = validate::framework(&info, &suppressed, &self.settings.roles)
            .and_then(|()| validate::constraints(constraints.as_ref()))
            .and_then(|()| self.may_register(&info))
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
            let framework = self.new_framework(info.clone(), Connection::Away);
            self.frameworks.insert(id.clone(), framework);
        }
        self.allocator.update_framework(&id, &info, &suppressed, constraints.as_ref());
        if let Some(framework) = self.frameworks.get_mut(&id) {
            framework.principal = principal;
            framework.suppressed = suppressed;
            framework.info = Arc::new(info);
            framework.constraints = constraints;
        }
        self.streams.insert(stream.clone(), id.clone());
        self.connect_framework(&id, stream);
        self.allocator.set_framework_active(&id, true);
        if returns {
            self.resend_updates(&id);
            self.publish_framework_updated(&id);
        } else {
            self.publish_framework_added(&id);
        }
        self.request_allocation();
    }

    /// The principal must be allowed to all roles.
    pub(super) fn may_register(&self, info: &FrameworkInfo) -> Result<(), String> {
        let principal = info.principal.as_deref();
        let roles = info.subscribed_roles();
        let allowed = |role: &String| {
            self.settings.acls.allows(Permission::RegisterFrameworks, principal, role)
        };
        match roles.iter().find(|role| !allowed(role)) {
            Some(role) => Err(format!("Not authorized to use role '{role}'")),
            None => Ok(()),
        }
    }

    fn new_framework_id(&mut self) -> FrameworkId {
        let number = self.next_framework;
        self.next_framework += 1;
        format!("{}-{number:04}", self.settings.master_info.id).into()
    }

    pub(super) fn new_framework(&self, info: FrameworkInfo, connection: Connection) -> Framework {
        Framework {
            connection,
            info: Arc::new(info),
            constraints: None,
            principal: None,
            stream: None,
            registered: self.now,
            reregistered: None,
            unregistered: None,
            suppressed: BTreeSet::new(),
            tasks: Shelf::default(),
            executors: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            completed: VecDeque::new(),
            offers: BTreeSet::new(),
            used: Resources::new(),
            offered: Resources::new(),
        }
    }

    /// A framework whose tasks an agent brought to a new master. It has as long to return as agents.
    pub(super) fn recover_framework(&mut self, info: FrameworkInfo) {
        let Some(id) = info.id.clone() else { return };
        if self.frameworks.contains_key(&id) || self.removed_frameworks.contains(&id) {
            return;
        }
        let patience = failover_timeout(&info).max(self.settings.agent_reregister_timeout);
        self.framework_timers.set(id.clone(), self.now + patience);
        self.allocator.update_framework(&id, &info, &BTreeSet::new(), None);
        self.allocator.set_framework_active(&id, false);
        let framework = self.new_framework(info, Connection::Recovered);
        self.frameworks.insert(id.clone(), framework);
        self.publish_framework_added(&id);
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
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.stream = Some(stream);
            framework.connection = Connection::Subscribed;
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
        self.heartbeat(id);
    }

    fn resend_updates(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let pending: Vec<_> =
            framework.tasks.values().filter_map(|record| record.unacknowledged.clone()).collect();
        for status in pending {
            self.send_status(id, *status);
        }
    }

    fn heartbeat(&mut self, id: &FrameworkId) {
        self.framework_timers.set(id.clone(), self.now + self.settings.heartbeat_interval);
        let event = Event { r#type: Some(event::Type::Heartbeat.into()), ..Event::default() };
        self.send(id, event);
    }

    /// A framework without its stream gets no offers; it may come back in time.
    pub(super) fn stream_closed(&mut self, stream: &StreamId) {
        let Some(id) = self.streams.remove(stream) else { return };
        if let Some(framework) = self.frameworks.get_mut(&id) {
            let until = self.now + failover_timeout(&framework.info);
            framework.stream = None;
            framework.connection = Connection::Away;
            self.framework_timers.set(id.clone(), until);
        }
        self.discard_offers_of(&id);
        self.allocator.set_framework_active(&id, false);
        self.publish_framework_updated(&id);
        self.request_allocation();
    }

    /// Heartbeats, and the end of those who did not come back.
    pub(super) fn serve_framework_timers(&mut self) {
        while let Some(id) = self.framework_timers.pop(self.now) {
            if self.frameworks.get(&id).is_some_and(Framework::is_subscribed) {
                self.heartbeat(&id);
            } else {
                tracing::info!(framework = %id, "framework did not come back in time");
                self.remove_framework(&id);
            }
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
