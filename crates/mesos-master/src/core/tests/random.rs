//! Random lives of a small cluster. The master checks its invariants after each event: no resource is
//! offered or used twice, and none is lost.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Subscribe(u8),
    Close(u8),
    Accept { framework: u8, tasks: u8, refuse: f64 },
    Decline { framework: u8, refuse: f64 },
    Call(u8, Type),
    Kill(u8, u8),
    Agent(u8),
    Lose(u8),
    Leave(u8),
    Update { task: u8, state: TaskState },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let refuse = || prop::sample::select(vec![0.0, 2.0, 100.0]);
    let ended = [TaskState::Running, TaskState::Finished, TaskState::Failed, TaskState::Killed];
    let calls = [Type::Revive, Type::Suppress, Type::Teardown, Type::Reconcile];
    prop_oneof![
        2 => (0u8..3).prop_map(Step::Subscribe),
        1 => (0u8..3).prop_map(Step::Close),
        6 => (0u8..3, 1u8..4, refuse())
            .prop_map(|(framework, tasks, refuse)| Step::Accept { framework, tasks, refuse }),
        2 => (0u8..3, refuse()).prop_map(|(framework, refuse)| Step::Decline { framework, refuse }),
        2 => (0u8..3, prop::sample::select(calls.to_vec())).prop_map(|(f, call)| Step::Call(f, call)),
        1 => (0u8..3, any::<u8>()).prop_map(|(framework, task)| Step::Kill(framework, task)),
        2 => (0u8..3).prop_map(Step::Agent),
        1 => (0u8..3).prop_map(Step::Lose),
        1 => (0u8..3).prop_map(Step::Leave),
        6 => (any::<u8>(), prop::sample::select(ended.to_vec()))
            .prop_map(|(task, state)| Step::Update { task, state }),
        4 => prop::sample::select(vec![5u64, 1000, 6000, 80_000]).prop_map(Step::Pass),
    ]
}

/// What the outside knows: streams, links, and tasks that were launched.
#[derive(Default)]
struct Outside {
    streams: BTreeMap<u8, (String, FrameworkId)>,
    links: BTreeMap<u8, (LinkId, AgentId)>,
    launched: u32,
    next_stream: u32,
}

impl World {
    fn step(&mut self, outside: &mut Outside, step: Step) {
        match step {
            Step::Subscribe(slot) => {
                let stream = format!("s{}", outside.next_stream);
                outside.next_stream += 1;
                let known = outside.streams.get(&slot).map(|(_, id)| id.clone());
                let timeout = if slot == 0 { 0.0 } else { 60.0 };
                let roles = vec!["a".to_owned(), format!("b{slot}")];
                let subscribed = FrameworkInfo {
                    id: known,
                    roles,
                    failover_timeout: Some(timeout),
                    checkpoint: Some(slot == 2),
                    ..info(&[CapabilityType::MultiRole, CapabilityType::PartitionAware])
                };
                self.subscribe_as(&stream, subscribed);
                let found = self.master.streams.get(&StreamId(stream.clone())).cloned();
                match found {
                    Some(id) => drop(outside.streams.insert(slot, (stream, id))),
                    None => drop(outside.streams.remove(&slot)),
                }
            }
            Step::Close(slot) => {
                if let Some((stream, _)) = outside.streams.get(&slot) {
                    self.close(&stream.clone());
                }
            }
            Step::Accept { framework, tasks, refuse } => {
                let Some((stream, id)) = outside.streams.get(&framework).cloned() else { return };
                let own = self.master.offers.values().find(|offer| offer.framework_id == id);
                let Some(offer) = own.cloned() else { return };
                let tasks = (0..tasks)
                    .map(|number| {
                        outside.launched += 1;
                        let name = format!("t{}", outside.launched);
                        let agent = &offer.agent_id.value;
                        if number == 2 {
                            custom(&name, agent, "cpus:0.5;mem:40", "cpus:0.1;mem:10")
                        } else {
                            task(&name, agent, "cpus:0.5;mem:40;ports:[1-1]")
                        }
                    })
                    .collect();
                let accept = call::Accept {
                    offer_ids: vec![offer.id.clone()],
                    operations: vec![Operation::launch_tasks(tasks)],
                    filters: Some(Filters { refuse_seconds: Some(refuse) }),
                };
                let r#type = Some(Type::Accept.into());
                let accept = Call { r#type, accept: Some(accept), ..Call::default() };
                self.call(&id.value, &stream, accept);
            }
            Step::Decline { framework, refuse } => {
                let Some((stream, id)) = outside.streams.get(&framework).cloned() else { return };
                let own = self.master.offers.values().filter(|offer| offer.framework_id == id);
                let decline = call::Decline {
                    offer_ids: own.map(|offer| offer.id.clone()).collect(),
                    filters: Some(Filters { refuse_seconds: Some(refuse) }),
                };
                let r#type = Some(Type::Decline.into());
                let decline = Call { r#type, decline: Some(decline), ..Call::default() };
                self.call(&id.value, &stream, decline);
            }
            Step::Call(framework, r#type) => {
                let Some((stream, id)) = outside.streams.get(&framework).cloned() else { return };
                self.call(
                    &id.value,
                    &stream,
                    Call { r#type: Some(r#type.into()), ..Call::default() },
                );
            }
            Step::Kill(framework, task) => {
                let Some((stream, id)) = outside.streams.get(&framework).cloned() else { return };
                let kill = call::Kill {
                    task_id: format!("t{task}").as_str().into(),
                    ..Default::default()
                };
                let r#type = Some(Type::Kill.into());
                self.call(&id.value, &stream, Call { r#type, kill: Some(kill), ..Call::default() });
            }
            Step::Agent(slot) => {
                let known = outside.links.get(&slot).map(|(_, id)| id.clone());
                let register = Register {
                    agent: AgentInfo {
                        id: known,
                        port: Some(i32::from(slot)),
                        resources: wire("cpus:2;mem:200;cpus(a):1;ports:[1-3]"),
                        ..AgentInfo::default()
                    },
                    ip: "127.0.0.1".into(),
                    ..Register::default()
                };
                let link = self.agent_returns(register);
                if let Some(id) = self.master.links.get(&link) {
                    outside.links.insert(slot, (link, id.clone()));
                }
            }
            Step::Lose(slot) => {
                if let Some((link, _)) = outside.links.get(&slot) {
                    self.handle(Event::AgentClosed { link: *link });
                }
            }
            Step::Leave(slot) => {
                if let Some((link, _)) = outside.links.remove(&slot) {
                    let unregister = Some(Unregister {});
                    self.hear_agent(link, ToMaster { unregister, ..ToMaster::default() });
                }
            }
            Step::Update { task, state } => {
                let task_id = format!("t{}", u32::from(task) % outside.launched.max(1) + 1);
                let owner = self.master.frameworks.iter().find_map(|(id, framework)| {
                    let record = framework.tasks.get(&task_id.as_str().into())?;
                    Some((id.clone(), record.task.agent_id.clone()))
                });
                let Some((framework_id, agent_id)) = owner else { return };
                let Some(link) = self.master.agents.get(&agent_id).and_then(|agent| agent.link)
                else {
                    return;
                };
                let status = TaskStatus {
                    task_id: task_id.as_str().into(),
                    state: state.into(),
                    uuid: Some(Bytes::from(vec![task; 16])),
                    ..TaskStatus::default()
                };
                let update = Some(StatusUpdate { framework_id, status, latest_state: None });
                self.hear_agent(link, ToMaster { update, ..ToMaster::default() });
            }
            Step::Pass(milliseconds) => self.pass(milliseconds),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_offered_or_used_twice_and_nothing_gets_lost(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        let mut outside = Outside::default();
        let mut writer = crate::StateWriter::default();
        for step in steps {
            world.step(&mut outside, step);
            // What was written before and what is written anew come to the same.
            let snapshot = world.master.snapshot();
            let told = writer.write(&snapshot).concat();
            prop_assert_eq!(&told, &crate::StateWriter::default().write(&snapshot).concat());
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&told).is_ok());
        }
        // Once every framework is gone, everything is free.
        let ids: Vec<_> = world.master.frameworks.keys().cloned().collect();
        for framework_id in ids {
            let operation = crate::core::Operation::Teardown(framework_id);
            world.handle(Event::Operate { request: RequestId(0), operation, principal: None });
        }
        for agent_id in world.master.agents.keys() {
            let free = world.master.allocator.free(agent_id).unwrap();
            let total = world.master.allocator.total(agent_id).unwrap();
            prop_assert!(free.contains(total), "{} is free of {}", free, total);
        }
    }
}
