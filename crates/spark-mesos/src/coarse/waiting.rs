//! The waiting table: each situation in which an application waits, with its reason as text, in JSON and
//! as a metric.

use expect_test::expect;
use mesos_api::{Resource, TaskState};

use super::tests::{offer, scheduler, with};
use super::*;
use crate::report::RegistrationProblem;

struct Situation {
    name: &'static str,
    report: WaitingReport,
}

/// Settings and events, and the report they lead to.
fn after(name: &'static str, pairs: &[(&str, &str)], events: Vec<Event>) -> Situation {
    let mut scheduler = scheduler(pairs);
    let now = Instant::now();
    scheduler.handle(Event::Registered { framework_id: "F".to_owned(), again: false }, now);
    scheduler.handle(Event::WaitingTasks(4), now);
    for event in events {
        scheduler.handle(event, now);
    }
    Situation { name, report: scheduler.waiting_report(now).expect(name) }
}

fn offers(texts: &[&str]) -> Event {
    let offers = texts.iter().enumerate();
    Event::Offers(offers.map(|(number, text)| offer(&format!("o{number}"), text)).collect())
}

fn failed(id: &str) -> Event {
    let mut status = TaskStatus { task_id: id.into(), ..TaskStatus::default() };
    status.set_state(TaskState::Failed);
    Event::Status(status)
}

fn slaves(body: &str) -> Event {
    Event::Cluster(ClusterView::from_slaves_json(body).unwrap())
}

fn situations() -> Vec<Situation> {
    let zone = &[("mesos.constraints", "zone:x")][..];
    let gpus = &[("mesos.gpus.max", "2"), ("mesos.executor.gpus", "1")][..];
    let ports = &[("blockManager.port", "7000"), ("port.maxRetries", "0")][..];
    let one = &[("cores.max", "1")][..];
    let some_ports =
        with(offer("o", "a 4 4096"), [Resource::ranges_of("ports", [(31_000, 32_000)])]);
    let reserved = r#"{"slaves":[{"id":"a","hostname":"h","resources":{"cpus":8,"mem":8192},
        "reserved_resources":{"ops":{"cpus":8,"mem":8192}}}]}"#;
    let refused = RegistrationProblem::Refused(
        "Framework at 10.0.0.1:7 is not authorized to use role".to_owned(),
    );
    let unknown = RegistrationProblem::Unauthenticated("401 Unauthorized".to_owned());
    let in_registration = |name, problem| Situation {
        name,
        report: WaitingReport::not_registered(problem, "dev", Instant::now()),
    };
    vec![
        after("attribute", zone, vec![offers(&["a 4 4096 y", "b 4 4096"])]),
        after("memory", &[], vec![offers(&["a 4 512"])]),
        after("cpus", &[("executor.cores", "4")], vec![offers(&["a 2.5 4096"])]),
        after(
            "cores.max",
            one,
            vec![offers(&["a 4 4096"]), Event::ExecutorRegistered("0".to_owned())],
        ),
        after("role", &[("mesos.role", "dev")], vec![]),
        after("reservation", &[], vec![slaves(reserved)]),
        after("filter", zone, vec![offers(&["a 4 4096 y"]), slaves(r#"{"slaves":[]}"#)]),
        after(
            "exclusion",
            one,
            vec![
                offers(&["a 4 4096"]),
                failed("0"),
                offers(&["a 4 4096"]),
                failed("1"),
                offers(&["a 4 4096"]),
            ],
        ),
        after("gpu", gpus, vec![offers(&["a 4 4096"])]),
        after("port", ports, vec![Event::Offers(vec![some_ports])]),
        in_registration("authentication", unknown),
        in_registration("role refused", refused),
        after("no agents", &[], vec![slaves(r#"{"slaves":[]}"#)]),
        after(
            "instances",
            &[("executor.instances", "1"), ("executor.cores", "1")],
            vec![offers(&["a 4 4096"]), Event::ExecutorRegistered("0".to_owned())],
        ),
        after("starting", one, vec![offers(&["a 4 4096"])]),
    ]
}

#[test]
fn every_situation_has_its_reason() {
    let mut out = String::new();
    for Situation { name, report } in situations() {
        let json = report.to_json();
        let reason = json["causes"][0]["reason"].as_str().unwrap().to_owned();
        let metric = format!("mesos.waiting.{reason}");
        assert!(report.metrics().iter().any(|(name, value)| *name == metric && *value >= 1.0));
        assert_eq!(json["text"].as_str(), Some(report.to_string().as_str()));
        let text =
            report.to_string().replace("waiting for executors of 1 core and 1408 MiB: ", "… ");
        out.push_str(&format!("{name}: {reason}\n    {text}\n"));
    }
    expect![[r#"
        attribute: unmet_constraint
            … 2 agents: 2 lack attribute zone=x (refused for another 120 s)
        memory: too_little_memory
            … 1 agent: 1 offers 512 MiB of the 1408 MiB wanted
        cpus: too_few_cpus
            waiting for executors of 4 cores and 1408 MiB: 1 agent: 1 offers 2.5 of the 4 cpus wanted
        cores.max: reached_cores_max
            … spark.cores.max=1 is reached: 1 core is held
        role: no_offers
            … no agent has offered anything to role dev
        reservation: reserved_for_others
            … 1 agent: 1 keeps all but 0 cpus and 0 MiB for role ops
        filter: unmet_constraint
            … 1 agent: 1 lacks attribute zone=x (refused for another 120 s)
        exclusion: excluded
            … 1 agent: 1 excluded after executor failures (refused for another 60 s)
        gpu: too_few_gpus
            waiting for executors of 1 core and 1408 MiB and 1 GPU: 1 agent: 1 offers 0 of the 1 GPUs wanted
        port: no_port
            … 1 agent: 1 offers no port 7000
        authentication: authentication
            waiting for Mesos: the Mesos master does not accept the framework's credential: 401 Unauthorized; check spark.mesos.principal and spark.mesos.secret
        role refused: registration_refused
            waiting for Mesos: the Mesos master refuses the framework: Framework at 10.0.0.1:7 is not authorized to use role
        no agents: no_agents
            … the cluster has no agents
        instances: reached_executor_limit
            … no more than 1 executor is wanted
        starting: starting
            … 1 executor is starting
    "#]].assert_eq(&out);
}
