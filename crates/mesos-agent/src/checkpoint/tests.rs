//! What is written is found again.

use mesos_api::resources::parse_attributes;
use mesos_api::{TaskState, WireFormat};

use super::*;

fn agent(resources: &str, attributes: &str) -> AgentInfo {
    AgentInfo {
        hostname: "h".into(),
        id: Some("S1".into()),
        resources: Resources::parse(resources, "*").unwrap().to_wire(WireFormat::PreRefinement),
        attributes: parse_attributes(attributes).unwrap(),
        ..AgentInfo::default()
    }
}

fn of() -> ContainerRef {
    ContainerRef { key: ("F".into(), "E".into()), id: "c".into() }
}

fn status(task: &str, state: TaskState, uuid: u8) -> TaskStatus {
    TaskStatus {
        task_id: task.into(),
        state: state.into(),
        uuid: Some(Bytes::copy_from_slice(&[uuid; 16])),
        ..TaskStatus::default()
    }
}

struct World {
    folder: tempfile::TempDir,
    checkpoints: Checkpoints,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(Paths::of(folder.path()), None);
        Self { folder, checkpoints }
    }

    fn paths(&self) -> Paths {
        Paths::of(self.folder.path())
    }

    fn save(&mut self, record: Record) {
        self.checkpoints.save(&record).unwrap();
    }

    fn fill(&mut self) {
        self.save(Record::Agent(Box::new(agent("cpus:1", ""))));
        let info = FrameworkInfo { id: Some("F".into()), ..FrameworkInfo::default() };
        self.save(Record::Framework(Box::new(info)));
        let executor = Box::new(ExecutorInfo { name: Some("x".into()), ..ExecutorInfo::default() });
        self.save(Record::Container { of: of(), executor, command: false, docker: true });
        let task = Box::new(TaskInfo { task_id: "t".into(), ..TaskInfo::default() });
        self.save(Record::Task { of: of(), task });
        for (state, uuid) in [(TaskState::Starting, 1), (TaskState::Running, 2)] {
            let status = Box::new(status("t", state, uuid));
            self.save(Record::Update { of: of(), status });
        }
        let uuid = Bytes::copy_from_slice(&[1; 16]);
        self.save(Record::Acknowledged { of: of(), task_id: "t".into(), uuid });
    }
}

#[test]
fn what_was_saved_is_recovered() {
    let mut world = World::new();
    assert!(recover(&world.paths()).agent.is_none(), "nothing was there");
    world.fill();
    let recovered = recover(&world.paths());
    assert_eq!(recovered.agent.unwrap().id, Some("S1".into()));
    assert_eq!(recovered.frameworks[0].id, Some("F".into()));
    let container = &recovered.containers[0];
    assert_eq!((&container.of, container.docker, container.command), (&of(), true, false));
    assert_eq!(container.executor.name(), "x");
    assert_eq!((container.pid, container.ended), (None, false));
    let pending: Vec<_> = container.tasks[0].pending().iter().map(TaskStatus::state).collect();
    assert_eq!((container.tasks[0].updates.len(), pending), (2, vec![TaskState::Running]));
    let folder = world.paths().container("S1", &of().key, "c");
    fs::write(folder.join("forked.pid"), "42 41\n").unwrap();
    world.save(Record::Ended(of()));
    let container = recover(&world.paths()).containers.remove(0);
    assert_eq!((container.pid, container.ended), (Some(42), true));
}

#[test]
fn what_is_forgotten_leaves_nothing() {
    let mut world = World::new();
    world.fill();
    world.save(Record::NoContainer(of()));
    world.save(Record::NoFramework("F".into()));
    let recovered = recover(&world.paths());
    assert_eq!((recovered.frameworks.len(), recovered.containers.len()), (0, 0));
    // A late update of what is forgotten does not bring it back.
    let status = Box::new(status("t", TaskState::Finished, 3));
    world.save(Record::Update { of: of(), status });
    assert_eq!(recover(&world.paths()).containers.len(), 0);
    world.save(Record::NoAgent);
    assert!(recover(&world.paths()).agent.is_none());
    assert!(folders(&world.folder.path().join("meta/slaves")).is_empty());
}

#[test]
fn an_agent_with_a_new_id_forgets_the_old_one() {
    let mut world = World::new();
    world.fill();
    let renamed = AgentInfo { id: Some("S2".into()), ..agent("cpus:1", "") };
    world.save(Record::Agent(Box::new(renamed)));
    let recovered = recover(&world.paths());
    assert_eq!(recovered.agent.unwrap().id, Some("S2".into()));
    assert!(recovered.containers.is_empty());
}

/// A crash of the machine may cut off or garble what was written last.
#[test]
fn damage_costs_what_is_damaged_and_no_more() {
    let mut world = World::new();
    world.fill();
    let folder = world.paths().container("S1", &of().key, "c");
    let file = paths::task(&folder, "t").join(UPDATES);
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let task = recover(&world.paths()).containers.remove(0).tasks.remove(0);
        assert!(task.updates.len() <= 2);
    }
    fs::write(folder.join(CONTAINER), [0xff; 7]).unwrap();
    let recovered = recover(&world.paths());
    assert_eq!((recovered.frameworks.len(), recovered.containers.len()), (1, 0));
}

#[test]
fn what_may_change_depends_on_the_policy() {
    use ReconfigurationPolicy::{Additive, Any, Equal};
    let old = agent("cpus:2;mem:100", "rack:r1");
    let more = agent("cpus:3;mem:100", "rack:r1;zone:z");
    let less = agent("cpus:1;mem:100", "rack:r1");
    let moved = agent("cpus:2;mem:100", "rack:r2");
    let renamed = AgentInfo { hostname: "other".into(), ..old.clone() };
    let moved_port = AgentInfo { port: Some(1), id: None, ..old.clone() };
    for (new, equal, additive) in [
        (&old, true, true),
        (&moved_port, true, true),
        (&more, false, true),
        (&less, false, false),
        (&moved, false, false),
        (&renamed, false, false),
    ] {
        assert_eq!(incompatibility(&old, new, Equal).is_none(), equal, "{new:?}");
        assert_eq!(incompatibility(&old, new, Additive).is_none(), additive, "{new:?}");
        assert_eq!(incompatibility(&old, new, Any), None);
    }
    assert_eq!(
        incompatibility(&old, &moved, Equal).unwrap(),
        "attributes were 'rack:r1' and are 'rack:r2'"
    );
}
