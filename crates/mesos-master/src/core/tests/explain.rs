//! Why is there no offer? One situation after the other.

use mesos_api::quota::QuotaConfig;
use mesos_api::resource::{ReservationInfo, ReservationType};
use mesos_api::value::Scalar;

use super::*;
use crate::core::Operation as Change;
use crate::core::registry::{AgentRecord, Registry, Standing};

type Setup = fn(&mut World);

fn operate(world: &mut World, operation: Change) {
    let request = RequestId(99);
    world.handle(Event::Operate { request, operation, principal: None });
    world.pass(3);
}

fn in_role(role: &str) -> FrameworkInfo {
    FrameworkInfo { role: Some(role.to_owned()), ..info(&[]) }
}

fn dynamic(resources: &str, role: &str) -> Vec<Resource> {
    let mut wire = wire(resources);
    for resource in &mut wire {
        resource.role = None;
        resource.reservations = vec![ReservationInfo {
            r#type: Some(ReservationType::Dynamic.into()),
            role: Some(role.to_owned()),
            ..ReservationInfo::default()
        }];
    }
    wire
}

fn limit(role: &str, cpus: f64, mem: f64) -> Change {
    let limits = [("cpus", cpus), ("mem", mem)];
    let limits = limits.map(|(name, value)| (name.to_owned(), Scalar { value })).into();
    let config = QuotaConfig { role: role.to_owned(), limits, ..QuotaConfig::default() };
    Change::UpdateQuota { configs: vec![config], force: false }
}

fn s0() -> AgentId {
    "M-S0".into()
}

/// Code and words expected of the first agent, and how it comes to that. The framework asked about is
/// the first that subscribed.
const TABLE: &[(&str, &str, Setup)] = &[
    ("NO_AGENTS", "there are no agents", |w| w.subscribe("s")),
    ("FRAMEWORK_DISCONNECTED", "the framework is not connected", |w| {
        let away = FrameworkInfo { failover_timeout: Some(60.0), ..info(&[]) };
        w.subscribe_as("s", away);
        w.agent("cpus:4;mem:400");
        w.close("s");
    }),
    ("OFFER_OUTSTANDING", "the framework has not answered offer M-O0 yet", |w| {
        w.subscribe("s");
        w.agent("cpus:4;mem:400");
    }),
    ("OFFERED_TO_OTHERS", "what is free is offered to M-0001", |w| {
        w.subscribe("s");
        w.plain(Type::Suppress);
        w.subscribe("t");
        w.agent("cpus:4;mem:400");
        w.plain(Type::Revive);
    }),
    ("DECLINED", "the framework declined it until 1970-01-01 00:17:40 UTC", |w| {
        w.subscribe("s");
        w.agent("cpus:4;mem:400");
        w.decline("M-O0", 60.0);
    }),
    ("SUPPRESSED", "the framework suppressed offers for the role", |w| {
        w.subscribe("s");
        w.plain(Type::Suppress);
        w.agent("cpus:4;mem:400");
    }),
    ("RESERVED_FOR_OTHER_ROLE", "what is free is reserved for ops", |w| {
        w.subscribe_as("s", in_role("dev"));
        w.agent("cpus(ops):4;mem(ops):400");
    }),
    ("DYNAMICALLY_RESERVED", "what is free is dynamically reserved for ops", |w| {
        w.subscribe_as("s", in_role("dev"));
        w.agent("cpus:4;mem:400");
        let resources = dynamic("cpus:4;mem:400", "ops");
        operate(w, Change::Reserve { agent_id: s0(), resources });
    }),
    ("QUOTA", "role dev holds 0 of its limit of 0 cpus", |w| {
        w.subscribe_as("s", in_role("dev/web"));
        operate(w, limit("dev", 0.0, 0.0));
        w.agent("cpus:4;mem:400");
    }),
    (
        "GPU_UNAWARE",
        "the agent has GPUs and the framework lacks the capability GPU_RESOURCES",
        |w| {
            w.subscribe("s");
            w.agent("cpus:4;mem:400;gpus:1");
        },
    ),
    ("TOO_LITTLE", "too little is free: 0.005 of 0.01 cpus, 31 of 32 mem", |w| {
        w.subscribe("s");
        w.agent("cpus:0.005;mem:31");
    }),
    ("TOO_LITTLE", "too little is free: 4 of 8 cpus", |w| wants_at_least(w, "cpus", 8.0)),
    ("TOO_LITTLE", "too little is free: 400 of 1024 mem", |w| wants_at_least(w, "mem", 1024.0)),
    ("NOTHING_FREE", "everything is held by tasks, executors or offers", |w| {
        w.subscribe("s");
        w.agent("cpus:4;mem:400");
        w.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:4;mem:400")]);
    }),
    ("OFFER_CONSTRAINTS", "the agent does not meet the framework's offer constraints", |w| {
        let constraints = scheduler::OfferConstraints {
            role_constraints: [("*".to_owned(), scheduler::constraint::RoleConstraints::default())]
                .into(),
        };
        let subscribe = call::Subscribe {
            framework_info: info(&[]),
            offer_constraints: Some(constraints),
            ..call::Subscribe::default()
        };
        let stream = StreamId("s".into());
        w.handle(Event::Subscribe { stream, subscribe, principal: None });
        w.agent("cpus:4;mem:400");
    }),
    ("AGENT_DISCONNECTED", "the agent's connection is broken", |w| {
        w.subscribe("s");
        let link = w.agent("cpus:4;mem:400");
        w.handle(Event::AgentClosed { link });
    }),
    ("AGENT_UNREACHABLE", "the agent does not answer", |w| {
        w.subscribe("s");
        w.agent("cpus:4;mem:400");
        w.answers_pings = false;
        w.pass(100_000);
    }),
    ("AGENT_DEACTIVATED", "an operator deactivated the agent", |w| {
        w.subscribe("s");
        w.agent("cpus:4;mem:400");
        operate(w, Change::Deactivate(s0()));
    }),
    ("AGENT_DRAINING", "the agent is being drained", |w| {
        w.subscribe("s");
        w.agent("cpus:4;mem:400");
        w.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
        let (agent_id, max_grace_period) = (s0(), None);
        operate(w, Change::Drain { agent_id, max_grace_period, mark_gone: false });
    }),
    ("AGENT_DRAINED", "the agent is drained", |w| {
        w.subscribe("s");
        w.agent("cpus:4;mem:400");
        let (agent_id, max_grace_period) = (s0(), None);
        operate(w, Change::Drain { agent_id, max_grace_period, mark_gone: false });
    }),
    ("AGENT_RECOVERING", "the agent has not returned since the master started", |w| {
        let record = AgentRecord { standing: Standing::Admitted.into(), ..AgentRecord::default() };
        let agents = [("old-S0".into(), record)].into();
        w.master = Master::recover(settings(), Registry { agents, ..Registry::default() }, w.now);
        w.subscribe("s");
    }),
    ("ELIGIBLE", "the next allocation offers it to whoever holds least", |w| {
        w.subscribe("s");
        let agent = AgentInfo { resources: wire("cpus:4;mem:400"), ..AgentInfo::default() };
        let ip = "127.0.0.1".into();
        let register = Register { agent, ip, ..Register::default() };
        w.handle(Event::AgentConnected { link: LinkId(7), register });
    }),
];

fn wants_at_least(world: &mut World, name: &str, least: f64) {
    use mesos_api::offer_filters::{MinAllocatableResources, ResourceQuantities};
    let quantities = [(name.to_owned(), Scalar { value: least })].into();
    let quantities = vec![ResourceQuantities { quantities }];
    let filters = mesos_api::OfferFilters {
        min_allocatable_resources: Some(MinAllocatableResources { quantities }),
    };
    let offer_filters = [("*".to_owned(), filters)].into();
    world.subscribe_as("s", FrameworkInfo { offer_filters, ..info(&[]) });
    world.agent("cpus:4;mem:400");
}

#[test]
fn every_situation_has_its_reason() {
    for (code, message, setup) in TABLE {
        let mut world = World::new();
        setup(&mut world);
        let reasons = world.master.explain(&"M-0000".into()).unwrap();
        let reason = match (&reasons.in_general, reasons.agents.first()) {
            (Some(general), _) => general,
            (None, Some(first)) => &first.reason,
            (None, None) => panic!("{code}: nothing is said"),
        };
        assert_eq!((reason.code(), reason.to_string().as_str()), (*code, *message));
    }
}

#[test]
fn nobody_explains_a_framework_that_is_not_there() {
    assert_eq!(World::new().master.explain(&"M-0000".into()), None);
}
