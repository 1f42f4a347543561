//! Agents that are lost, return, leave, or bring along what they run; reconciliation; reservations.

use super::*;

#[test]
fn a_broken_agent_connection_ends_tasks_that_do_not_checkpoint() {
    let mut world = World::new();
    world.subscribe("s");
    world.subscribe_as("c", FrameworkInfo { checkpoint: Some(true), ..info(&[]) });
    let link = world.agent("cpus:4;mem:400");
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    let accept = call::Accept {
        offer_ids: vec!["M-O1".into()],
        operations: vec![Operation::launch_tasks(vec![task("k", "M-S0", "cpus:1;mem:100")])],
        filters: Some(Filters { refuse_seconds: Some(0.0) }),
    };
    let call = Call { r#type: Some(Type::Accept.into()), accept: Some(accept), ..Call::default() };
    world.call("M-0001", "c", call);
    world.pass(1000);
    world.transcript.clear();
    world.handle(Event::AgentClosed { link });
    world.note("given up after 75 s");
    world.pass(75_000);
    world.check_without_heartbeats(&expect![[r#"
        c: RESCIND M-O2
        s: UPDATE t TASK_LOST REASON_AGENT_DISCONNECTED "Agent h0 disconnected"
        -- given up after 75 s
        c: UPDATE k TASK_LOST REASON_AGENT_REMOVED "Agent is unreachable: it failed to answer the master's pings"
        s: FAILURE M-S0
        c: FAILURE M-S0
    "#]]);
}

#[test]
fn an_agent_that_does_not_answer_is_unreachable_and_may_return() {
    for capabilities in [&[][..], &[CapabilityType::PartitionAware][..]] {
        let (mut world, link) = offered(capabilities);
        world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
        world.update(link, "t", TaskState::Running, 1);
        world.acknowledge("t", "M-S0", 1);
        world.pass(20_000);
        world.transcript.clear();
        world.answers_pings = false;
        world.pass(90_000);
        world.note("asked for");
        world.reconcile(&[("t", Some("M-S0")), ("x", Some("M-S0"))]);
        world.note("back again");
        let running = Task {
            task_id: "t".into(),
            framework_id: "M-0000".into(),
            state: TaskState::Running.into(),
            resources: wire("cpus:1;mem:100"),
            ..Task::default()
        };
        let agent = AgentInfo {
            id: Some("M-S0".into()),
            resources: wire("cpus:4;mem:400"),
            ..AgentInfo::default()
        };
        let register =
            Register { agent, ip: "127.0.0.1".into(), tasks: vec![running], ..Register::default() };
        world.agent_returns(register);
        if capabilities.is_empty() {
            world.check_without_heartbeats(&expect![[r#"
                L0: ping
                L0: ping
                L0: ping
                L0: ping
                L0: ping
                s: UPDATE t TASK_LOST REASON_AGENT_REMOVED "Agent is unreachable: it failed to answer the master's pings"
                s: RESCIND M-O1
                L0: closed
                s: FAILURE M-S0
                -- asked for
                s: UPDATE t TASK_LOST REASON_RECONCILIATION "Reconciliation: Task is unreachable"
                s: UPDATE x TASK_LOST REASON_RECONCILIATION "Reconciliation: Task is unreachable"
                -- back again
                L1: registered M-S0
                s: UPDATE t TASK_RUNNING REASON_AGENT_REREGISTERED "Agent reregistered with the master"
                s: OFFERS M-O2@M-S0 cpus:3; mem:300
            "#]]);
        } else {
            world.check_without_heartbeats(&expect![[r#"
                L0: ping
                L0: ping
                L0: ping
                L0: ping
                L0: ping
                s: UPDATE t TASK_UNREACHABLE REASON_AGENT_REMOVED "Agent is unreachable: it failed to answer the master's pings"
                s: RESCIND M-O1
                L0: closed
                s: FAILURE M-S0
                -- asked for
                s: UPDATE t TASK_UNREACHABLE REASON_RECONCILIATION "Reconciliation: Task is unreachable"
                s: UPDATE x TASK_UNREACHABLE REASON_RECONCILIATION "Reconciliation: Task is unreachable"
                -- back again
                L1: registered M-S0
                s: UPDATE t TASK_RUNNING REASON_AGENT_REREGISTERED "Agent reregistered with the master"
                s: OFFERS M-O2@M-S0 cpus:3; mem:300
            "#]]);
        }
    }
}

#[test]
fn kills_wait_for_the_agent_and_lost_launches_are_noticed() {
    let mut world = World::new();
    world.subscribe_as("s", FrameworkInfo { checkpoint: Some(true), ..info(&[]) });
    let link = world.agent("cpus:4;mem:400");
    let tasks = vec![task("t", "M-S0", "cpus:1;mem:100"), task("u", "M-S0", "cpus:1;mem:100")];
    world.accept(&["M-O0"], tasks);
    world.handle(Event::AgentClosed { link });
    world.kill("t");
    world.transcript.clear();
    let agent = AgentInfo {
        id: Some("M-S0".into()),
        resources: wire("cpus:4;mem:400"),
        ..AgentInfo::default()
    };
    let t = Task {
        task_id: "t".into(),
        framework_id: "M-0000".into(),
        state: TaskState::Running.into(),
        ..Task::default()
    };
    let register =
        Register { agent, ip: "127.0.0.1".into(), tasks: vec![t], ..Register::default() };
    world.agent_returns(register);
    world.check(&expect![[r#"
        L1: registered M-S0
        s: UPDATE u TASK_LOST REASON_RECONCILIATION "Task is unknown to the agent"
        L1: kill t
        s: OFFERS M-O1@M-S0 cpus:3; mem:300
    "#]]);
}

#[test]
fn reconciliation_tells_what_is_known() {
    for capabilities in [&[][..], &[CapabilityType::PartitionAware][..]] {
        let (mut world, link) = offered(capabilities);
        let tasks = vec![task("t", "M-S0", "cpus:1;mem:100"), task("u", "M-S0", "cpus:1;mem:100")];
        world.accept(&["M-O0"], tasks);
        world.update(link, "t", TaskState::Running, 1);
        world.update(link, "t", TaskState::Failed, 2);
        world.transcript.clear();
        world.note("all");
        world.reconcile(&[]);
        world.note("some");
        world.reconcile(&[("u", None), ("x", Some("M-S0")), ("x", Some("M-S9")), ("x", None)]);
        world.note("a kill of an unknown task is a question");
        world.kill("x");
        if capabilities.is_empty() {
            world.check(&expect![[r#"
                -- all
                s: UPDATE t TASK_FAILED REASON_RECONCILIATION "Reconciliation: Latest task state"
                s: UPDATE u TASK_STAGING REASON_RECONCILIATION "Reconciliation: Latest task state"
                -- some
                s: UPDATE u TASK_STAGING REASON_RECONCILIATION "Reconciliation: Latest task state"
                s: UPDATE x TASK_LOST REASON_RECONCILIATION "Reconciliation: Task is unknown to the agent"
                s: UPDATE x TASK_LOST REASON_RECONCILIATION "Reconciliation: Task is unknown"
                s: UPDATE x TASK_LOST REASON_RECONCILIATION "Reconciliation: Task is unknown"
                -- a kill of an unknown task is a question
                s: UPDATE x TASK_LOST REASON_RECONCILIATION "Reconciliation: Task is unknown"
            "#]]);
        } else {
            world.check(&expect![[r#"
                -- all
                s: UPDATE t TASK_FAILED REASON_RECONCILIATION "Reconciliation: Latest task state"
                s: UPDATE u TASK_STAGING REASON_RECONCILIATION "Reconciliation: Latest task state"
                -- some
                s: UPDATE u TASK_STAGING REASON_RECONCILIATION "Reconciliation: Latest task state"
                s: UPDATE x TASK_GONE REASON_RECONCILIATION "Reconciliation: Task is unknown to the agent"
                s: UPDATE x TASK_UNKNOWN REASON_RECONCILIATION "Reconciliation: Task is unknown"
                s: UPDATE x TASK_UNKNOWN REASON_RECONCILIATION "Reconciliation: Task is unknown"
                -- a kill of an unknown task is a question
                s: UPDATE x TASK_UNKNOWN REASON_RECONCILIATION "Reconciliation: Task is unknown"
            "#]]);
        }
    }
}

#[test]
fn an_agent_that_leaves_takes_its_tasks_along() {
    let (mut world, link) = offered(&[]);
    world.accept(&["M-O0"], vec![task("t", "M-S0", "cpus:1;mem:100")]);
    world.pass(6000);
    world.hear_agent(link, ToMaster { unregister: Some(Unregister {}), ..ToMaster::default() });
    world.check(&expect![[r#"
        L0: run t cpus:1; mem:100
        s: OFFERS M-O1@M-S0 cpus:3; mem:300
        s: UPDATE t TASK_LOST REASON_AGENT_REMOVED "Agent has been removed: the agent unregistered"
        L0: shut down
        s: RESCIND M-O1
        L0: closed
        s: FAILURE M-S0
    "#]]);
}

#[test]
fn after_a_restart_agents_bring_frameworks_and_tasks_along() {
    let mut world = World::new();
    let agent = AgentInfo {
        id: Some("OLD-S0".into()),
        resources: wire("cpus:4;mem:400"),
        ..AgentInfo::default()
    };
    let id = Some(FrameworkId::from("OLD-0000"));
    let framework = FrameworkInfo { id, failover_timeout: Some(60.0), ..info(&[]) };
    let t = |id: &str, framework: &str| Task {
        task_id: id.into(),
        framework_id: framework.into(),
        state: TaskState::Running.into(),
        resources: wire("cpus:1;mem:100"),
        ..Task::default()
    };
    let register = Register {
        agent,
        ip: "127.0.0.1".into(),
        tasks: vec![t("t", "OLD-0000"), t("u", "OLD-0001")],
        frameworks: vec![framework.clone()],
        ..Register::default()
    };
    world.agent_returns(register);
    world.note("its scheduler returns too");
    world.subscribe_as("s", framework);
    world.pass(3);
    world.check(&expect![[r#"
        L0: registered OLD-S0
        L0: shut down OLD-0001
        -- its scheduler returns too
        s: SUBSCRIBED OLD-0000
        s: HEARTBEAT
        s: OFFERS M-O0@OLD-S0 cpus:3; mem:300
    "#]]);
}

#[test]
fn reservations_are_made_and_given_up() {
    let mut world = World::new();
    let capabilities = [CapabilityType::ReservationRefinement];
    world.subscribe_as("s", FrameworkInfo { role: Some("dev".into()), ..info(&capabilities) });
    world.agent("cpus:4;mem:400");
    let reserved = || {
        let reservation = mesos_api::resource::ReservationInfo {
            r#type: Some(mesos_api::resource::ReservationType::Dynamic.into()),
            role: Some("dev".into()),
            ..Default::default()
        };
        vec![Resource { reservations: vec![reservation], ..Resource::scalar_of("cpus", 1.5) }]
    };
    let reserve = Operation {
        r#type: Some(mesos_api::offer::OperationType::Reserve.into()),
        reserve: Some(mesos_api::offer::Reserve { source: vec![], resources: reserved() }),
        ..Operation::default()
    };
    world.accept_with(&["M-O0"], vec![reserve], 0.0);
    world.pass(1000);
    let unreserve = Operation {
        r#type: Some(mesos_api::offer::OperationType::Unreserve.into()),
        unreserve: Some(mesos_api::offer::Unreserve { resources: reserved() }),
        ..Operation::default()
    };
    world.accept_with(&["M-O1"], vec![unreserve], 0.0);
    world.pass(1000);
    world.check(&expect![[r#"
        s: SUBSCRIBED M-0000
        s: HEARTBEAT
        L0: registered M-S0
        s: OFFERS M-O0@M-S0 cpus:4; mem:400
        L0: checkpoint cpus(dev):1.5
        s: OFFERS M-O1@M-S0 cpus:2.5; mem:400; cpus(dev):1.5
        L0: checkpoint {}
        s: OFFERS M-O2@M-S0 cpus:4; mem:400
    "#]]);
}

#[test]
fn nobody_says_that_a_task_is_gone_while_its_agent_is_away() {
    let mut world = World::new();
    world.subscribe_as("s", info(&[CapabilityType::PartitionAware]));
    let link = world.agent("cpus:4;mem:400");
    world.handle(Event::AgentClosed { link });
    world.transcript.clear();
    world.reconcile(&[("t", Some("M-S0"))]);
    world.check(&expect![""]);
}
