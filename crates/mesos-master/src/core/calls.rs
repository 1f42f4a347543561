//! Calls on a subscription: the checks that need the master's state, then each call.

use std::sync::Arc;

use mesos_api::agent_protocol::{
    Acknowledge, FrameworkMessage, KillTask, ShutdownExecutor, ToAgent,
};
use mesos_api::scheduler::Call;
use mesos_api::scheduler::call::{self, Type};
use mesos_api::{Filters, FrameworkId, OfferId};

use super::Master;
use super::event::{Answer, StreamId};
use super::validate;
use crate::allocator::Time;

/// Default and longest time for which declined resources stay away.
const DEFAULT_REFUSE_SECONDS: f64 = 5.0;
const MAXIMUM_REFUSE_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

impl Master {
    /// The order of the checks is that of Mesos: framework, principal, subscription, stream.
    pub(super) fn call(
        &mut self,
        call: Call,
        stream: Option<&StreamId>,
        principal: Option<&str>,
    ) -> Answer {
        let id = call.framework_id.clone().unwrap_or_default();
        let Some(framework) = self.frameworks.get(&id) else {
            return Answer::Bad("Framework cannot be found".to_owned());
        };
        if framework.principal.as_deref() != principal {
            return Answer::Bad(format!(
                "Authenticated principal '{}' does not match principal '{}' set in `FrameworkInfo`",
                principal.unwrap_or_default(),
                framework.principal.as_deref().unwrap_or_default()
            ));
        }
        let Some(own_stream) = &framework.stream else {
            return Answer::Forbidden("Framework is not subscribed".to_owned());
        };
        match stream {
            None => {
                return Answer::Bad(
                    "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
                        .to_owned(),
                );
            }
            Some(stream) if stream != own_stream => {
                return Answer::Bad(format!(
                    "The stream ID '{stream}' included in this request didn't match the stream ID \
                     currently associated with framework ID {id}"
                ));
            }
            Some(_) => {}
        }
        *self.counters.calls.entry(call.r#type().name()).or_default() += 1;
        self.perform(&id, call)
    }

    fn perform(&mut self, id: &FrameworkId, call: Call) -> Answer {
        match call.r#type() {
            Type::Teardown => self.remove_framework(id),
            Type::Accept => self.accept(id, call.accept.unwrap_or_default()),
            Type::Decline => {
                let decline = call.decline.unwrap_or_default();
                self.decline(id, &decline.offer_ids, decline.filters.as_ref());
            }
            Type::Revive => self.revive(id, &call.revive.unwrap_or_default().roles),
            Type::Suppress => self.suppress(id, &call.suppress.unwrap_or_default().roles),
            Type::Kill => self.kill(id, call.kill.unwrap_or_default()),
            Type::Shutdown => self.shutdown_executor(id, call.shutdown.unwrap_or_default()),
            Type::Acknowledge => self.acknowledge(id, call.acknowledge.unwrap_or_default()),
            Type::Reconcile => self.reconcile(id, &call.reconcile.unwrap_or_default().tasks),
            Type::Message => self.message(id, call.message.unwrap_or_default()),
            Type::UpdateFramework => {
                return self.update_framework(id, call.update_framework.unwrap_or_default());
            }
            Type::ReconcileOperations => {
                self.reconcile_operations(id, &call.reconcile_operations.unwrap_or_default());
            }
            Type::AcknowledgeOperationStatus
            | Type::Request
            | Type::AcceptInverseOffers
            | Type::DeclineInverseOffers => {}
            Type::Subscribe | Type::Unknown => {
                return Answer::NotImplemented(format!("'{}' is not implemented", call.r#type()));
            }
        }
        Answer::Accepted
    }

    /// When resources may come back to the framework that gave them up.
    pub(super) fn refused_until(&self, filters: Option<&Filters>) -> Time {
        let seconds = filters.map_or(DEFAULT_REFUSE_SECONDS, Filters::refuse_seconds);
        let seconds = if seconds >= 0.0 { seconds } else { DEFAULT_REFUSE_SECONDS };
        let refused = Time::from_secs_f64(seconds.min(MAXIMUM_REFUSE_SECONDS));
        // Mesos allocates once in an interval, so a shorter refusal lasts that long there too; here
        // it keeps a framework that refuses for no time from an endless loop.
        self.now + refused.max(self.settings.allocation_interval)
    }

    fn decline(&mut self, id: &FrameworkId, offers: &[OfferId], filters: Option<&Filters>) {
        let until = self.refused_until(filters);
        for offer_id in offers {
            let own = self.offers.get(offer_id).filter(|offer| offer.framework_id == *id);
            let Some(role) = own.map(|offer| offer.role.clone()) else { continue };
            self.discard_offer(offer_id, Some(until));
            self.allocator.declined(id, &role);
        }
        self.request_allocation();
    }

    fn revive(&mut self, id: &FrameworkId, roles: &[String]) {
        self.allocator.revive(id, roles);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.suppressed.retain(|role| !roles.is_empty() && !roles.contains(role));
        }
        self.request_allocation();
    }

    fn suppress(&mut self, id: &FrameworkId, roles: &[String]) {
        self.allocator.suppress(id, roles);
        if let Some(framework) = self.frameworks.get_mut(id) {
            let all = framework.info.subscribed_roles();
            framework
                .suppressed
                .extend(all.into_iter().filter(|role| roles.is_empty() || roles.contains(role)));
        }
    }

    fn kill(&mut self, id: &FrameworkId, kill: call::Kill) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(record) = framework.tasks.get_mut(&kill.task_id) else {
            let task = call::ReconcileTask { task_id: kill.task_id, agent_id: kill.agent_id };
            self.reconcile(id, &[task]);
            return;
        };
        if kill.agent_id.is_some_and(|agent_id| agent_id != record.task.agent_id) {
            tracing::warn!(framework = %id, task = %kill.task_id, "kill names the wrong agent; ignored");
            return;
        }
        record.kill = Some(kill.kill_policy.clone());
        let agent_id = record.task.agent_id.clone();
        let message = kill_message(id.clone(), kill.task_id, kill.kill_policy);
        self.tell_agent(&agent_id, message);
    }

    fn shutdown_executor(&mut self, id: &FrameworkId, shutdown: call::Shutdown) {
        let message =
            ShutdownExecutor { framework_id: id.clone(), executor_id: shutdown.executor_id };
        let message = ToAgent { shutdown_executor: Some(message), ..ToAgent::default() };
        self.tell_agent(&shutdown.agent_id, message);
    }

    fn acknowledge(&mut self, id: &FrameworkId, acknowledge: call::Acknowledge) {
        let Some(agent) = self.agents.get(&acknowledge.agent_id) else { return };
        if agent.link.is_none() {
            return;
        }
        let message = Acknowledge {
            framework_id: id.clone(),
            task_id: acknowledge.task_id.clone(),
            uuid: acknowledge.uuid.clone(),
        };
        let message = ToAgent { acknowledge: Some(message), ..ToAgent::default() };
        self.tell_agent(&acknowledge.agent_id, message);
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(record) = framework.tasks.get_mut(&acknowledge.task_id) else { return };
        let latest = record.unacknowledged.take_if(|s| s.uuid.as_ref() == Some(&acknowledge.uuid));
        if latest.is_some_and(|status| status.state().is_terminal()) {
            self.complete_task(id, &acknowledge.task_id);
        }
    }

    fn message(&mut self, id: &FrameworkId, message: call::Message) {
        let inner = FrameworkMessage {
            framework_id: id.clone(),
            executor_id: message.executor_id,
            data: message.data,
        };
        let inner = ToAgent { message: Some(inner), ..ToAgent::default() };
        self.tell_agent(&message.agent_id, inner);
    }

    fn update_framework(&mut self, id: &FrameworkId, update: call::UpdateFramework) -> Answer {
        let Some(framework) = self.frameworks.get(id) else {
            return Answer::Conflict("Framework was removed in the meantime".to_owned());
        };
        let mut info = update.framework_info;
        info.id = Some(id.clone());
        let suppressed = update.suppressed_roles.into_iter().collect();
        let fixed = [
            ("principal", framework.info.principal == info.principal),
            ("user", framework.info.user == info.user),
            ("checkpoint", framework.info.checkpoint() == info.checkpoint()),
        ];
        if let Some((field, _)) = fixed.iter().find(|(_, same)| !same) {
            return Answer::Bad(format!("Updating 'FrameworkInfo.{field}' is unsupported"));
        }
        let constraints = update.offer_constraints;
        let valid = validate::framework(&info, &suppressed, &self.settings.roles)
            .and_then(|()| validate::constraints(constraints.as_ref()));
        if let Err(message) = valid {
            return Answer::Bad(format!("'FrameworkInfo' is not valid: {message}"));
        }
        if let Err(message) = self.may_register(&info) {
            return Answer::Forbidden(message);
        }
        let roles = info.subscribed_roles();
        let own = framework.offers.iter().filter_map(|offer_id| self.offers.get(offer_id));
        let left = own.filter(|offer| !roles.contains(&offer.role));
        let left: Vec<_> = left.map(|offer| offer.id.clone()).collect();
        for offer_id in left {
            self.rescind(&offer_id);
        }
        self.allocator.update_framework(id, &info, &suppressed, constraints.as_ref());
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.info = Arc::new(info);
            framework.suppressed = suppressed;
            framework.constraints = constraints;
        }
        self.publish_framework_updated(id);
        self.request_allocation();
        Answer::Done
    }
}

pub(super) fn kill_message(
    framework_id: FrameworkId,
    task_id: mesos_api::TaskId,
    kill_policy: Option<mesos_api::KillPolicy>,
) -> ToAgent {
    let kill_task = Some(KillTask { framework_id, task_id, kill_policy });
    ToAgent { kill_task, ..ToAgent::default() }
}
