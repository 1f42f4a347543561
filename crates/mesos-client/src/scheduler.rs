//! The scheduler API client.

mod calls;
mod handle;
mod service;

use std::time::Duration;

use mesos_api::scheduler::event;
use mesos_api::{
    AgentId, ExecutorId, FrameworkId, FrameworkInfo, InverseOffer, MasterInfo, Offer, OfferId,
    OperationStatus, TaskStatus,
};
use tokio::sync::{mpsc, oneshot};

use crate::address::MasterLocation;
use crate::credential::Credential;
use crate::encoding::Encoding;
use crate::error::ClientError;
use crate::subscription::Patience;

pub use handle::SchedulerHandle;

/// Events waiting for their owner; a slow owner stops the reading of the stream.
const EVENT_BACKLOG: usize = 1024;

/// What a framework needs to subscribe.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// Where the leading master is to be found.
    pub master: MasterLocation,
    /// The framework; its `id` is set to take one over.
    pub framework_info: FrameworkInfo,
    /// Roles that want no offers at first. Later `suppress` and `revive` decide, over resubscriptions too.
    pub suppressed_roles: Vec<String>,
    /// Principal and secret.
    pub credential: Option<Credential>,
    /// How long the first subscription may take.
    pub patience: Patience,
    /// Of calls and events.
    pub encoding: Encoding,
    /// Ask the master for all it knows after each subscription and then so often; never if `None`. Answers
    /// come as updates. It finds tasks which the owner has forgotten; for those it remembers there is
    /// [`SchedulerHandle::reconcile_until_answered`].
    pub implicit_reconciliation: Option<Duration>,
}

impl SchedulerOptions {
    /// Options without credential and with the usual patience.
    pub fn new(master: impl Into<MasterLocation>, framework_info: FrameworkInfo) -> Self {
        Self {
            master: master.into(),
            framework_info,
            suppressed_roles: Vec::new(),
            credential: None,
            patience: Patience::default(),
            encoding: Encoding::default(),
            implicit_reconciliation: None,
        }
    }
}

/// What the master tells, and what becomes of the subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum SchedulerEvent {
    /// We are subscribed, for the first time or again.
    Subscribed {
        /// Our id.
        framework_id: FrameworkId,
        /// Who leads.
        master: Option<MasterInfo>,
        /// Whether a subscription of ours came before: offers from then are void, tasks may have
        /// changed unseen.
        again: bool,
    },
    /// The subscription is interrupted; the client restores it. Offers held are void.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// New offers.
    Offers(Vec<Offer>),
    /// Resources asked back.
    InverseOffers(Vec<InverseOffer>),
    /// An offer is no longer valid.
    Rescind(OfferId),
    /// An inverse offer is no longer valid.
    RescindInverseOffer(OfferId),
    /// News of a task; acknowledge it.
    Update(TaskStatus),
    /// News of an operation.
    OperationUpdate(OperationStatus),
    /// Bytes from an executor.
    Message {
        /// Its agent.
        agent_id: AgentId,
        /// The executor.
        executor_id: ExecutorId,
        /// The bytes.
        data: bytes::Bytes,
    },
    /// An agent is lost, or (with an executor id) an executor ended.
    Failure {
        /// The agent.
        agent_id: Option<AgentId>,
        /// The executor, if only that.
        executor_id: Option<ExecutorId>,
        /// Its raw wait status.
        status: Option<i32>,
    },
    /// The end; the channel closes.
    Error(String),
}

/// Subscribes frameworks.
#[derive(Debug)]
pub struct SchedulerClient;

impl SchedulerClient {
    /// Subscribes, and returns once the master has accepted: the handle for calls, and the events,
    /// of which [`SchedulerEvent::Subscribed`] is the first. The client lives until the handle's
    /// `teardown` or `abandon`, or until the receiver is dropped.
    ///
    /// # Errors
    /// When no subscription comes about within the patience of the options.
    pub async fn connect(
        options: SchedulerOptions,
    ) -> Result<(SchedulerHandle, mpsc::Receiver<SchedulerEvent>), ClientError> {
        let (events, receiver) = mpsc::channel(EVENT_BACKLOG);
        let (ready, first) = oneshot::channel();
        let handle = service::spawn(options, events, ready);
        match first.await {
            Ok(Ok(())) => Ok((handle, receiver)),
            Ok(Err(problem)) => Err(problem.into()),
            Err(_) => Err(ClientError::Ended),
        }
    }
}

/// The owner's view of an API event; `None` for heartbeats and kinds this client does not know.
fn translate(event: mesos_api::scheduler::Event, again: bool) -> Option<SchedulerEvent> {
    use event::Type;
    Some(match event.r#type() {
        Type::Subscribed => {
            let subscribed = event.subscribed?;
            SchedulerEvent::Subscribed {
                framework_id: subscribed.framework_id,
                master: subscribed.master_info,
                again,
            }
        }
        Type::Offers => SchedulerEvent::Offers(event.offers?.offers),
        Type::InverseOffers => SchedulerEvent::InverseOffers(event.inverse_offers?.inverse_offers),
        Type::Rescind => SchedulerEvent::Rescind(event.rescind?.offer_id),
        Type::RescindInverseOffer => {
            SchedulerEvent::RescindInverseOffer(event.rescind_inverse_offer?.inverse_offer_id)
        }
        Type::Update => SchedulerEvent::Update(event.update?.status),
        Type::UpdateOperationStatus => {
            SchedulerEvent::OperationUpdate(event.update_operation_status?.status)
        }
        Type::Message => {
            let message = event.message?;
            SchedulerEvent::Message {
                agent_id: message.agent_id,
                executor_id: message.executor_id,
                data: message.data,
            }
        }
        Type::Failure => {
            let failure = event.failure?;
            SchedulerEvent::Failure {
                agent_id: failure.agent_id,
                executor_id: failure.executor_id,
                status: failure.status,
            }
        }
        Type::Error => SchedulerEvent::Error(event.error?.message),
        Type::Heartbeat | Type::Unknown => return None,
    })
}
