//! The scheduler API (`mesos.v1.scheduler`).

use crate::FrameworkId;

/// Parts of [`Call`].
pub mod call {
    use super::OfferConstraints;
    use crate::offer::Operation;
    use crate::{
        AgentId, ExecutorId, Filters, FrameworkInfo, KillPolicy, OfferId, OperationId,
        Request as ResourceRequest, ResourceProviderId, TaskId,
    };

    enumeration! {
        /// What a scheduler asks for.
        Type = "mesos.v1.scheduler.Call.Type" {
            Unknown "UNKNOWN" = 0,
            Subscribe "SUBSCRIBE" = 1,
            Teardown "TEARDOWN" = 2,
            Accept "ACCEPT" = 3,
            Decline "DECLINE" = 4,
            AcceptInverseOffers "ACCEPT_INVERSE_OFFERS" = 13,
            DeclineInverseOffers "DECLINE_INVERSE_OFFERS" = 14,
            Revive "REVIVE" = 5,
            Kill "KILL" = 6,
            Shutdown "SHUTDOWN" = 7,
            Acknowledge "ACKNOWLEDGE" = 8,
            AcknowledgeOperationStatus "ACKNOWLEDGE_OPERATION_STATUS" = 15,
            Reconcile "RECONCILE" = 9,
            ReconcileOperations "RECONCILE_OPERATIONS" = 16,
            Message "MESSAGE" = 10,
            Request "REQUEST" = 11,
            Suppress "SUPPRESS" = 12,
            UpdateFramework "UPDATE_FRAMEWORK" = 17,
        }
    }
    message! {
        /// Opens the event stream.
        Subscribe = "mesos.v1.scheduler.Call.Subscribe" {
            1 framework_info: req FrameworkInfo, 2 suppressed_roles: rep string, 3 offer_constraints: opt OfferConstraints,
        }
        /// Uses offers.
        Accept = "mesos.v1.scheduler.Call.Accept" { 1 offer_ids: rep OfferId, 2 operations: rep Operation, 3 filters: opt Filters, }
        /// Gives offers back.
        Decline = "mesos.v1.scheduler.Call.Decline" { 1 offer_ids: rep OfferId, 2 filters: opt Filters, }
        /// Agrees to give resources back.
        AcceptInverseOffers = "mesos.v1.scheduler.Call.AcceptInverseOffers" { 1 inverse_offer_ids: rep OfferId, 2 filters: opt Filters, }
        /// Refuses to give resources back.
        DeclineInverseOffers = "mesos.v1.scheduler.Call.DeclineInverseOffers" { 1 inverse_offer_ids: rep OfferId, 2 filters: opt Filters, }
        /// Drops filters and suppression.
        Revive = "mesos.v1.scheduler.Call.Revive" { 1 roles: rep string, }
        /// Wants no more offers.
        Suppress = "mesos.v1.scheduler.Call.Suppress" { 1 roles: rep string, }
        /// Kills a task.
        Kill = "mesos.v1.scheduler.Call.Kill" { 1 task_id: req TaskId, 2 agent_id: opt AgentId, 3 kill_policy: opt KillPolicy, }
        /// Ends a custom executor.
        Shutdown = "mesos.v1.scheduler.Call.Shutdown" { 1 executor_id: req ExecutorId, 2 agent_id: req AgentId, }
        /// Acknowledges an update.
        Acknowledge = "mesos.v1.scheduler.Call.Acknowledge" { 1 agent_id: req AgentId, 2 task_id: req TaskId, 3 uuid: req bytes, }
        /// Acknowledges an update of an operation.
        AcknowledgeOperationStatus = "mesos.v1.scheduler.Call.AcknowledgeOperationStatus" {
            1 agent_id: opt AgentId, 2 resource_provider_id: opt ResourceProviderId, 3 uuid: req bytes, 4 operation_id: req OperationId,
        }
        /// Asks for the state of tasks; of all, if none is named.
        Reconcile = "mesos.v1.scheduler.Call.Reconcile" { 1 tasks: rep ReconcileTask, }
        /// A task asked about.
        ReconcileTask = "mesos.v1.scheduler.Call.Reconcile.Task" { 1 task_id: req TaskId, 2 agent_id: opt AgentId, }
        /// Asks for the state of operations.
        ReconcileOperations = "mesos.v1.scheduler.Call.ReconcileOperations" { 1 operations: rep ReconcileOperation, }
        /// An operation asked about.
        ReconcileOperation = "mesos.v1.scheduler.Call.ReconcileOperations.Operation" {
            1 operation_id: req OperationId, 2 agent_id: opt AgentId, 3 resource_provider_id: opt ResourceProviderId,
        }
        /// Sends bytes to an executor.
        Message = "mesos.v1.scheduler.Call.Message" { 1 agent_id: req AgentId, 2 executor_id: req ExecutorId, 3 data: req bytes, }
        /// Wishes for resources.
        Request = "mesos.v1.scheduler.Call.Request" { 1 requests: rep ResourceRequest, }
        /// Changes what the framework tells about itself.
        UpdateFramework = "mesos.v1.scheduler.Call.UpdateFramework" {
            1 framework_info: req FrameworkInfo, 2 suppressed_roles: rep string, 3 offer_constraints: opt OfferConstraints,
        }
    }
}

/// Parts of [`Event`].
pub mod event {
    use crate::{
        AgentId, ExecutorId, FrameworkId, InverseOffer, MasterInfo, Offer, OfferId,
        OperationStatus, TaskStatus,
    };

    enumeration! {
        /// What a master tells.
        Type = "mesos.v1.scheduler.Event.Type" {
            Unknown "UNKNOWN" = 0,
            Subscribed "SUBSCRIBED" = 1,
            Offers "OFFERS" = 2,
            InverseOffers "INVERSE_OFFERS" = 9,
            Rescind "RESCIND" = 3,
            RescindInverseOffer "RESCIND_INVERSE_OFFER" = 10,
            Update "UPDATE" = 4,
            UpdateOperationStatus "UPDATE_OPERATION_STATUS" = 11,
            Message "MESSAGE" = 5,
            Failure "FAILURE" = 6,
            Error "ERROR" = 7,
            Heartbeat "HEARTBEAT" = 8,
        }
    }
    message! {
        /// First record of a stream.
        Subscribed = "mesos.v1.scheduler.Event.Subscribed" {
            1 framework_id: req FrameworkId, 2 heartbeat_interval_seconds: opt double, 3 master_info: opt MasterInfo,
        }
        /// New offers.
        Offers = "mesos.v1.scheduler.Event.Offers" { 1 offers: rep Offer, }
        /// Resources asked back.
        InverseOffers = "mesos.v1.scheduler.Event.InverseOffers" { 1 inverse_offers: rep InverseOffer, }
        /// An offer is no longer valid.
        Rescind = "mesos.v1.scheduler.Event.Rescind" { 1 offer_id: req OfferId, }
        /// An inverse offer is no longer valid.
        RescindInverseOffer = "mesos.v1.scheduler.Event.RescindInverseOffer" { 1 inverse_offer_id: req OfferId, }
        /// News of a task.
        Update = "mesos.v1.scheduler.Event.Update" { 1 status: req TaskStatus, }
        /// News of an operation.
        UpdateOperationStatus = "mesos.v1.scheduler.Event.UpdateOperationStatus" { 1 status: req OperationStatus, }
        /// Bytes from an executor.
        Message = "mesos.v1.scheduler.Event.Message" { 1 agent_id: req AgentId, 2 executor_id: req ExecutorId, 3 data: req bytes, }
        /// An agent is lost, or an executor ended.
        Failure = "mesos.v1.scheduler.Event.Failure" { 1 agent_id: opt AgentId, 2 executor_id: opt ExecutorId, 3 status: opt int32, }
        /// The stream ends for this reason.
        Error = "mesos.v1.scheduler.Event.Error" { 1 message: req string, }
    }
}

/// Parts of [`AttributeConstraint`] and [`OfferConstraints`].
pub mod constraint {
    use super::AttributeConstraint;

    enumeration! {
        /// What is not an attribute but can be tested like one.
        PseudoattributeType = "mesos.v1.scheduler.AttributeConstraint.Selector.PseudoattributeType" {
            Unknown "UNKNOWN" = 0, Hostname "HOSTNAME" = 1, Region "REGION" = 2, Zone "ZONE" = 3,
        }
    }
    message! {
        /// Which attribute is tested.
        #[derive(Eq)]
        Selector = "mesos.v1.scheduler.AttributeConstraint.Selector" { 1 pseudoattribute_type: opt enum PseudoattributeType, 2 attribute_name: opt string, }
        /// How it is tested.
        #[derive(Eq)]
        Predicate = "mesos.v1.scheduler.AttributeConstraint.Predicate" {
            1 exists: opt Exists, 2 not_exists: opt NotExists, 3 text_equals: opt TextEquals,
            4 text_not_equals: opt TextNotEquals, 5 text_matches: opt TextMatches, 6 text_not_matches: opt TextNotMatches,
        }
        /// The attribute is there.
        #[derive(Eq)]
        Exists = "mesos.v1.scheduler.AttributeConstraint.Predicate.Exists" {}
        /// The attribute is not there.
        #[derive(Eq)]
        NotExists = "mesos.v1.scheduler.AttributeConstraint.Predicate.NotExists" {}
        /// The text is this.
        #[derive(Eq)]
        TextEquals = "mesos.v1.scheduler.AttributeConstraint.Predicate.TextEquals" { 1 value: req string, }
        /// The text is not this.
        #[derive(Eq)]
        TextNotEquals = "mesos.v1.scheduler.AttributeConstraint.Predicate.TextNotEquals" { 1 value: req string, }
        /// The text matches.
        #[derive(Eq)]
        TextMatches = "mesos.v1.scheduler.AttributeConstraint.Predicate.TextMatches" { 1 regex: req string, }
        /// The text does not match.
        #[derive(Eq)]
        TextNotMatches = "mesos.v1.scheduler.AttributeConstraint.Predicate.TextNotMatches" { 1 regex: req string, }
        /// Constraints of one role: any group suffices.
        #[derive(Eq)]
        RoleConstraints = "mesos.v1.scheduler.OfferConstraints.RoleConstraints" { 1 groups: rep Group, }
        /// Constraints which must all hold.
        #[derive(Eq)]
        Group = "mesos.v1.scheduler.OfferConstraints.RoleConstraints.Group" { 1 attribute_constraints: rep AttributeConstraint, }
    }
}

use call::Type as CallType;
use call::{
    Accept, AcceptInverseOffers, Acknowledge, AcknowledgeOperationStatus, Decline,
    DeclineInverseOffers, Kill, Reconcile, ReconcileOperations, Request, Revive, Shutdown,
    Subscribe, Suppress, UpdateFramework,
};
use constraint::{Predicate, RoleConstraints, Selector};
use event::Type as EventType;
use event::{
    Error, Failure, InverseOffers, Offers, Rescind, RescindInverseOffer, Subscribed, Update,
    UpdateOperationStatus,
};
type CallMessage = call::Message;
type EventMessage = event::Message;

message! {
    /// What a scheduler sends.
    Call = "mesos.v1.scheduler.Call" {
        1 framework_id: opt FrameworkId,
        2 r#type: opt enum CallType,
        3 subscribe: opt Subscribe,
        4 accept: opt Accept,
        5 decline: opt Decline,
        13 accept_inverse_offers: opt AcceptInverseOffers,
        14 decline_inverse_offers: opt DeclineInverseOffers,
        15 revive: opt Revive,
        6 kill: opt Kill,
        7 shutdown: opt Shutdown,
        8 acknowledge: opt Acknowledge,
        17 acknowledge_operation_status: opt AcknowledgeOperationStatus,
        9 reconcile: opt Reconcile,
        18 reconcile_operations: opt ReconcileOperations,
        10 message: opt CallMessage,
        11 request: opt Request,
        16 suppress: opt Suppress,
        19 update_framework: opt UpdateFramework,
    }
    /// What a scheduler is told.
    Event = "mesos.v1.scheduler.Event" {
        1 r#type: opt enum EventType,
        2 subscribed: opt Subscribed,
        3 offers: opt Offers,
        9 inverse_offers: opt InverseOffers,
        4 rescind: opt Rescind,
        10 rescind_inverse_offer: opt RescindInverseOffer,
        5 update: opt Update,
        11 update_operation_status: opt UpdateOperationStatus,
        6 message: opt EventMessage,
        7 failure: opt Failure,
        8 error: opt Error,
    }
    /// One test of an agent.
    #[derive(Eq)]
    AttributeConstraint = "mesos.v1.scheduler.AttributeConstraint" { 1 selector: req Selector, 2 predicate: req Predicate, }
    /// Which agents a framework wants offers of, by role.
    #[derive(Eq)]
    OfferConstraints = "mesos.v1.scheduler.OfferConstraints" { 1 role_constraints: rep map RoleConstraints, }
}
