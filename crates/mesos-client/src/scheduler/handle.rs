//! The framework's voice.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mesos_api::offer::Operation;
use mesos_api::scheduler::{Call, call};
use mesos_api::{
    AgentId, ExecutorId, Filters, FrameworkId, KillPolicy, OfferId, TaskId, TaskStatus,
};
use tokio::sync::{mpsc, oneshot};

use super::calls::{QueuedCall, Session};
use super::service::ReconcileRequest;
use crate::error::ClientError;
use crate::reconciliation::Question;

/// Makes calls for a subscribed framework. Calls are queued and keep their order. While the subscription is
/// interrupted, KILL, SHUTDOWN, ACKNOWLEDGE and RECONCILE wait for its return, SUPPRESS and REVIVE are remembered
/// for it, and the others are dropped with a warning: offers are void then, and messages are at best effort.
#[derive(Clone)]
pub struct SchedulerHandle {
    calls: mpsc::UnboundedSender<QueuedCall>,
    reconcile: mpsc::UnboundedSender<ReconcileRequest>,
    session: Arc<Session>,
    stop: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl SchedulerHandle {
    pub(super) fn new(
        calls: mpsc::UnboundedSender<QueuedCall>,
        reconcile: mpsc::UnboundedSender<ReconcileRequest>,
        session: Arc<Session>,
        stop: oneshot::Sender<()>,
    ) -> Self {
        Self { calls, reconcile, session, stop: Arc::new(Mutex::new(Some(stop))) }
    }

    /// Our id, once subscribed.
    pub fn framework_id(&self) -> Option<FrameworkId> {
        self.session.framework_id().map(Into::into)
    }

    /// Uses offers of one agent; what the operations leave is declined for `refuse_seconds`.
    pub fn accept(
        &self,
        offer_ids: Vec<OfferId>,
        operations: Vec<Operation>,
        refuse_seconds: Option<f64>,
    ) {
        self.send(Call {
            r#type: Some(call::Type::Accept.into()),
            accept: Some(call::Accept { offer_ids, operations, filters: filters(refuse_seconds) }),
            ..Call::default()
        });
    }

    /// Gives offers back; they are not repeated for `refuse_seconds` (Mesos' default is 5).
    pub fn decline(&self, offer_ids: Vec<OfferId>, refuse_seconds: Option<f64>) {
        self.send(Call {
            r#type: Some(call::Type::Decline.into()),
            decline: Some(call::Decline { offer_ids, filters: filters(refuse_seconds) }),
            ..Call::default()
        });
    }

    /// Kills a task.
    pub fn kill(&self, task_id: TaskId, agent_id: Option<AgentId>, policy: Option<KillPolicy>) {
        self.send(Call {
            r#type: Some(call::Type::Kill.into()),
            kill: Some(call::Kill { task_id, agent_id, kill_policy: policy }),
            ..Call::default()
        });
    }

    /// Ends a custom executor.
    pub fn shutdown(&self, executor_id: ExecutorId, agent_id: AgentId) {
        self.send(Call {
            r#type: Some(call::Type::Shutdown.into()),
            shutdown: Some(call::Shutdown { executor_id, agent_id }),
            ..Call::default()
        });
    }

    /// Acknowledges an update. Updates without uuid, which masters make, need none.
    pub fn acknowledge(&self, status: &TaskStatus) {
        let (Some(agent_id), Some(uuid)) = (&status.agent_id, &status.uuid) else { return };
        if uuid.is_empty() {
            return;
        }
        self.send(Call {
            r#type: Some(call::Type::Acknowledge.into()),
            acknowledge: Some(call::Acknowledge {
                agent_id: agent_id.clone(),
                task_id: status.task_id.clone(),
                uuid: uuid.clone(),
            }),
            ..Call::default()
        });
    }

    /// Asks once for the state of these tasks; of all, if there is none.
    pub fn reconcile(&self, tasks: Vec<Question>) {
        self.send(super::calls::reconcile(tasks));
    }

    /// Asks for the state of these tasks until the master has answered for each, in pages, over
    /// interruptions, with growing waits. The answers come as updates. Returns the tasks for which there was no
    /// answer for a quarter of an hour: their agents had ten minutes to come back to a new master.
    ///
    /// # Errors
    /// [`ClientError::Ended`] when the client ends before.
    pub async fn reconcile_until_answered(
        &self,
        tasks: Vec<Question>,
    ) -> Result<Vec<TaskId>, ClientError> {
        let (done, unanswered) = oneshot::channel();
        drop(self.reconcile.send(ReconcileRequest { tasks, done }));
        unanswered.await.map_err(|_| ClientError::Ended)
    }

    /// Wants offers again: drops filters and suppression of these roles, or of all.
    pub fn revive(&self, roles: Vec<String>) {
        self.session.revive(&roles);
        self.send(Call {
            r#type: Some(call::Type::Revive.into()),
            revive: Some(call::Revive { roles }),
            ..Call::default()
        });
    }

    /// Wants no more offers for these roles, or for all.
    pub fn suppress(&self, roles: Vec<String>) {
        self.session.suppress(&roles);
        self.send(Call {
            r#type: Some(call::Type::Suppress.into()),
            suppress: Some(call::Suppress { roles }),
            ..Call::default()
        });
    }

    /// Sends bytes to a custom executor, at best effort.
    pub fn message(&self, agent_id: AgentId, executor_id: ExecutorId, data: bytes::Bytes) {
        self.send(Call {
            r#type: Some(call::Type::Message.into()),
            message: Some(call::Message { agent_id, executor_id, data }),
            ..Call::default()
        });
    }

    /// Ends the framework: the master kills its tasks. Returns when the master has taken the call,
    /// after all calls made before; then the client is over.
    ///
    /// # Errors
    /// When the call did not get through. The client is over nevertheless.
    pub async fn teardown(&self) -> Result<(), ClientError> {
        self.session.end();
        let (done, answer) = oneshot::channel();
        let call = Call { r#type: Some(call::Type::Teardown.into()), ..Call::default() };
        let queued = self.calls.send(QueuedCall { call, done: Some(done) });
        let result = match queued {
            Ok(()) => answer.await.unwrap_or(Err(ClientError::Ended)),
            Err(_) => Err(ClientError::Ended),
        };
        self.abandon();
        result
    }

    /// Ends the client but not the framework, which the master keeps for its failover timeout.
    pub fn abandon(&self) {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stop) = stop {
            let _ = stop.send(());
        }
    }

    fn send(&self, call: Call) {
        // Without receiver the client is over, and so is the framework's business.
        drop(self.calls.send(QueuedCall { call, done: None }));
    }
}

impl fmt::Debug for SchedulerHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SchedulerHandle")
            .field("framework_id", &self.session.framework_id())
            .finish_non_exhaustive()
    }
}

fn filters(refuse_seconds: Option<f64>) -> Option<Filters> {
    refuse_seconds.map(|seconds| Filters { refuse_seconds: Some(seconds) })
}
