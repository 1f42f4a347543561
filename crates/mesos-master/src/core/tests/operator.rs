//! What operators change, and what a new master knows of it.

use mesos_api::WeightInfo;
use mesos_api::quota::QuotaConfig;
use mesos_api::value::Scalar;

use super::*;
use crate::core::Operation as Change;
use crate::core::registry::Registry;

/// What is stored, as a disk would have it.
#[derive(Default)]
struct Disk(BTreeMap<String, Vec<u8>>);

impl Disk {
    fn write(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::Store { change } = action {
                match &change.value {
                    Some(value) => drop(self.0.insert(change.key.clone(), value.to_vec())),
                    None => drop(self.0.remove(&change.key)),
                }
            }
        }
    }

    fn read(&self) -> Registry {
        Registry::read(self.0.iter().map(|(k, v)| (k.as_str(), v.as_slice()))).unwrap()
    }
}

fn operate(master: &mut Master, disk: &mut Disk, operation: Change) -> Answer {
    let event = Event::Operate { request: RequestId(0), operation, principal: None };
    let actions = master.handle(event, Time::from_secs(2000));
    disk.write(&actions);
    let answer = actions.iter().find_map(|action| match action {
        Action::Answer { answer, .. } => Some(answer.clone()),
        _ => None,
    });
    answer.unwrap()
}

fn register(id: Option<&str>, port: i32, resources: &str) -> Register {
    Register {
        agent: AgentInfo {
            id: id.map(AgentId::from),
            port: Some(port),
            resources: wire(resources),
            ..AgentInfo::default()
        },
        ip: "127.0.0.1".into(),
        ..Register::default()
    }
}

fn connect(master: &mut Master, disk: &mut Disk, link: u64, register: Register) -> Vec<Action> {
    let event = Event::AgentConnected { link: LinkId(link), register };
    let actions = master.handle(event, Time::from_secs(2000));
    disk.write(&actions);
    actions
}

fn quota(role: &str, cpus: f64) -> Change {
    let limits = [("cpus".to_owned(), Scalar { value: cpus })].into();
    let config = QuotaConfig { role: role.to_owned(), limits, ..QuotaConfig::default() };
    Change::UpdateQuota { configs: vec![config], force: false }
}

#[test]
fn a_new_master_knows_agents_weights_limits_and_reservations_of_the_old_one() {
    let mut disk = Disk::default();
    let mut old = Master::new(settings(), Time::from_secs(1000));
    for (link, port) in [(0, 1), (1, 2), (2, 3)] {
        connect(&mut old, &mut disk, link, register(None, port, "cpus:4;mem:400"));
    }
    let mut reserved = wire("cpus:1");
    reserved[0].role = Some("dev".to_owned());
    reserved[0].reservation = Some(mesos_api::resource::ReservationInfo::default());
    let reserve = Change::Reserve { agent_id: "M-S0".into(), resources: reserved };
    assert_eq!(operate(&mut old, &mut disk, reserve), Answer::Accepted);
    let weights = vec![WeightInfo { weight: 2.0, role: Some("dev".to_owned()) }];
    assert_eq!(operate(&mut old, &mut disk, Change::UpdateWeights(weights)), Answer::Done);
    assert_eq!(operate(&mut old, &mut disk, quota("dev", 3.0)), Answer::Done);
    assert_eq!(operate(&mut old, &mut disk, Change::MarkGone("M-S2".into())), Answer::Done);
    assert_eq!(operate(&mut old, &mut disk, Change::Deactivate("M-S1".into())), Answer::Done);

    let mut settings = settings();
    settings.master_info.id = "N".into();
    let mut new = Master::recover(settings, disk.read(), Time::from_secs(2000));
    let known = new.snapshot();
    assert_eq!(known.recovered_agents.len(), 2);
    assert_eq!(known.weights.get("dev"), Some(&2.0));
    assert_eq!(known.quotas[0].config.role, "dev");
    connect(&mut new, &mut disk, 0, register(Some("M-S0"), 1, "cpus:4;mem:400"));
    connect(&mut new, &mut disk, 1, register(Some("M-S1"), 2, "cpus:4;mem:400"));
    let total = new.snapshot().agents[0].total.to_string();
    assert_eq!(total, "cpus:3; mem:400; cpus(dev):1", "the reservation is still there");
    assert!(new.snapshot().agents[1].deactivated);
    let refused = connect(&mut new, &mut disk, 2, register(Some("M-S2"), 3, "cpus:4;mem:400"));
    assert!(
        matches!(&refused[0], Action::ToAgent { message, .. } if message.refused.is_some()),
        "a gone agent stays away: {refused:?}"
    );
    let unreachable = new.handle(Event::Tick, Time::from_secs(2000 + 601));
    disk.write(&unreachable);
    assert_eq!(disk.read().agents.len(), 3);
}

#[test]
fn agents_that_did_not_return_keep_reconciliation_silent_until_they_are_given_up() {
    let mut disk = Disk::default();
    let mut old = Master::new(settings(), Time::from_secs(1000));
    connect(&mut old, &mut disk, 0, register(None, 1, "cpus:4;mem:400"));
    let mut world = World::new();
    world.master = Master::recover(settings(), disk.read(), world.now);
    world.subscribe_as("s", info(&[CapabilityType::PartitionAware]));
    world.transcript.clear();
    world.reconcile(&[("t", Some("M-S0")), ("u", None), ("v", Some("other"))]);
    world.check(&expect![[r#"
        s: UPDATE v TASK_UNKNOWN REASON_RECONCILIATION "Reconciliation: Task is unknown"
    "#]]);
    world.pass(600_000);
    world.reconcile(&[("t", Some("M-S0")), ("u", None)]);
    world.check_without_heartbeats(&expect![[r#"
        s: FAILURE M-S0
        s: UPDATE t TASK_UNREACHABLE REASON_RECONCILIATION "Reconciliation: Task is unreachable"
        s: UPDATE u TASK_UNKNOWN REASON_RECONCILIATION "Reconciliation: Task is unknown"
    "#]]);
}

#[test]
fn what_operators_may_not_ask_is_refused_with_a_reason() {
    let (mut master, mut disk) = (Master::new(settings(), Time::from_secs(1000)), Disk::default());
    connect(&mut master, &mut disk, 0, register(None, 1, "cpus:4;mem:400"));
    let mut ask = |change| operate(&mut master, &mut disk, change);
    assert_eq!(
        ask(Change::MarkGone("X".into())),
        Answer::NotFound("Agent 'X' not found".to_owned())
    );
    let weight = |weight| vec![WeightInfo { weight, role: Some("dev".to_owned()) }];
    assert!(matches!(ask(Change::UpdateWeights(weight(0.0))), Answer::Bad(_)));
    assert!(matches!(ask(Change::UpdateWeights(weight(f64::NAN))), Answer::Bad(_)));
    assert!(matches!(ask(quota("*", 1.0)), Answer::Bad(_)));
    assert_eq!(ask(quota("dev", 1.0)), Answer::Done);
    assert!(matches!(ask(quota("dev/web", 2.0)), Answer::Bad(_)), "above its parent");
    assert_eq!(ask(quota("dev/web", 0.5)), Answer::Done);
    let plain = Change::Reserve { agent_id: "M-S0".into(), resources: wire("cpus:1") };
    assert!(matches!(ask(plain), Answer::Bad(_)), "nothing says for whom");
    let mut much = wire("cpus:5");
    much[0].role = Some("dev".to_owned());
    much[0].reservation = Some(mesos_api::resource::ReservationInfo::default());
    let too_much = Change::Reserve { agent_id: "M-S0".into(), resources: much };
    assert!(matches!(ask(too_much), Answer::Conflict(_)));
    assert!(matches!(ask(Change::Teardown("F".into())), Answer::Bad(_)));
}

#[test]
fn limits_cut_offers_and_take_back_what_is_beyond() {
    let mut world = World::new();
    world.subscribe_as("s", FrameworkInfo { role: Some("dev".into()), ..info(&[]) });
    world.agent("cpus:4;mem:400");
    world.transcript.clear();
    let operation = quota("dev", 3.0);
    world.handle(Event::Operate { request: RequestId(0), operation, principal: None });
    world.pass(3);
    world.check(&expect![[r#"
        s: RESCIND M-O0
        answer Done
        s: OFFERS M-O1@M-S0 cpus:3; mem:400
    "#]]);
}

#[test]
fn a_drained_agent_kills_its_tasks_and_may_be_gone_for_good() {
    let mut world = World::new();
    world.subscribe_as("s", info(&[CapabilityType::PartitionAware]));
    let link = world.agent("cpus:4;mem:400");
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    world.update(link, "t", TaskState::Running, 1);
    world.acknowledge("t", "M-S0", 1);
    world.transcript.clear();
    let operation = Change::Drain {
        agent_id: "M-S0".into(),
        max_grace_period: Some(Time::from_secs(5)),
        mark_gone: true,
    };
    world.handle(Event::Operate { request: RequestId(0), operation, principal: None });
    world.update(link, "t", TaskState::Killed, 2);
    world.acknowledge("t", "M-S0", 2);
    world.check(&expect![[r#"
        L0: kill t
        answer Done
        s: UPDATE t TASK_GONE_BY_OPERATOR REASON_AGENT_DRAINING
        L0: acknowledge t 2
        L0: shut down
        L0: closed
        s: FAILURE M-S0
    "#]]);
    assert!(world.master.snapshot().agents.is_empty());
}

#[test]
fn who_may_not_use_a_role_or_a_user_is_told() {
    let acls = r#"{"register_frameworks": [
            {"principals": {"values": ["p"]}, "roles": {"values": ["dev"]}},
            {"principals": {"type": "NONE"}, "roles": {"values": ["dev"]}}],
        "run_tasks": [{"principals": {"type": "NONE"}, "users": {"values": ["root"]}}]}"#;
    let mut world = World::with(Settings { acls: Acls::parse(acls).unwrap(), ..settings() });
    let dev = |principal: Option<&str>| FrameworkInfo {
        role: Some("dev".into()),
        principal: principal.map(str::to_owned),
        user: "root".into(),
        ..info(&[])
    };
    world.subscribe_as("x", dev(None));
    world.subscribe_as("s", dev(Some("p")));
    world.agent("cpus:4;mem:400");
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    world.check_without_heartbeats(&expect![[r#"
        x: ERROR Not authorized to use role 'dev'
        x: closed
        s: SUBSCRIBED M-0000
        L0: registered M-S0
        s: OFFERS M-O0@M-S0 cpus:4; mem:400
        s: UPDATE t TASK_ERROR REASON_TASK_UNAUTHORIZED "Not authorized to launch as user 'root'"
    "#]]);
}
