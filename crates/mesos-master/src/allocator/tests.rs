use super::*;

fn agent(resources: &str) -> AgentInfo {
    AgentInfo {
        hostname: "h".into(),
        resources: Resources::parse(resources, "*")
            .unwrap()
            .to_wire(mesos_api::WireFormat::PreRefinement),
        attributes: mesos_api::resources::parse_attributes("rack:r1").unwrap(),
        ..AgentInfo::default()
    }
}

struct Cluster(Allocator);

impl Cluster {
    fn new(agents: &[&str]) -> Self {
        let mut allocator = Allocator::new([("heavy".to_owned(), 2.0)].into());
        for (index, resources) in agents.iter().enumerate() {
            allocator.add_agent(format!("S{index}").into(), Arc::new(agent(resources)), &[]);
        }
        Self(allocator)
    }

    fn framework(&mut self, id: &str, role: &str) {
        let info = FrameworkInfo { role: Some(role.into()), ..FrameworkInfo::default() };
        self.0.update_framework(&id.into(), &info, &BTreeSet::new(), None);
    }

    fn allocate(&mut self, now: u64) -> Vec<Allocation> {
        self.0.allocate(Duration::from_secs(now))
    }

    /// `framework@agent resources`, one per line.
    fn offers(&mut self, now: u64) -> Vec<String> {
        let allocations = self.allocate(now);
        allocations
            .iter()
            .map(|a| format!("{}@{} {}", a.framework_id, a.agent_id, a.resources))
            .collect()
    }
}

#[test]
fn one_framework_gets_everything_once() {
    let mut cluster = Cluster::new(&["cpus:2;mem:100", "cpus:1;mem:50"]);
    assert!(cluster.offers(0).is_empty());
    cluster.framework("F1", "*");
    assert_eq!(cluster.offers(0), ["F1@S0 cpus:2; mem:100", "F1@S1 cpus:1; mem:50"]);
    assert!(cluster.offers(0).is_empty());
}

#[test]
fn who_has_least_of_its_dominant_resource_comes_first() {
    let mut cluster = Cluster::new(&["cpus:2;mem:1000", "cpus:6;mem:200", "cpus:2;mem:100"]);
    cluster.framework("F1", "*");
    cluster.framework("F2", "*");
    // Totals 10 cpus, 1300 MiB. F1 takes S0: share 1000/1300. F2 then S1: 6/10, still less.
    assert_eq!(
        cluster.offers(0),
        ["F1@S0 cpus:2; mem:1000", "F2@S1 cpus:6; mem:200", "F2@S2 cpus:2; mem:100"]
    );
}

#[test]
fn weights_divide_shares_of_roles() {
    let mut cluster = Cluster::new(&["cpus:1;mem:100"; 6]);
    cluster.framework("F1", "heavy");
    cluster.framework("F2", "light");
    let count = |id: &str, offers: &[String]| offers.iter().filter(|o| o.starts_with(id)).count();
    let offers = cluster.offers(0);
    assert_eq!((count("F1", &offers), count("F2", &offers)), (4, 2));
}

#[test]
fn a_parent_role_competes_with_its_children() {
    let mut cluster = Cluster::new(&["cpus:1;mem:100"; 8]);
    cluster.framework("F1", "a");
    cluster.framework("F2", "a/b");
    cluster.framework("F3", "c");
    let offers = cluster.offers(0);
    let count = |id: &str| offers.iter().filter(|o| o.starts_with(id)).count();
    // Half for c, half for the tree of a, which its own leaf and b share.
    assert_eq!((count("F1"), count("F2"), count("F3")), (2, 2, 4));
}

#[test]
fn reserved_resources_go_to_their_role_and_below() {
    let mut cluster = Cluster::new(&["cpus:1;mem:100;cpus(dev):4;mem(dev):200"]);
    cluster.framework("F1", "ops");
    cluster.framework("F2", "dev/web");
    assert_eq!(
        cluster.offers(0),
        ["F2@S0 cpus:1; mem:100; cpus(dev):4; mem(dev):200"],
        "dev/web sorts first and gets the unreserved part too"
    );
}

#[test]
fn a_filter_holds_for_its_time_and_for_no_more_than_was_declined() {
    let mut cluster = Cluster::new(&["cpus:4;mem:400"]);
    cluster.framework("F1", "*");
    let all = cluster.allocate(0).remove(0).resources;
    let part = Resources::parse("cpus:1;mem:100", "*").unwrap().allocated_to("*");
    let mut rest = all.clone();
    rest.subtract_all(&part);
    let (f1, s0) = ("F1".into(), "S0".into());
    cluster.0.recover(&f1, &s0, &part, Some(Duration::from_secs(5)));
    assert!(cluster.offers(1).is_empty());
    assert_eq!(cluster.0.next_expiry(), Some(Duration::from_secs(5)));
    // More became free than was declined: offered at once.
    cluster.0.recover(&f1, &s0, &rest, None);
    assert_eq!(cluster.offers(2), ["F1@S0 cpus:4; mem:400"]);
    cluster.0.recover(&f1, &s0, &all, Some(Duration::from_secs(5)));
    assert!(cluster.offers(4).is_empty());
    assert_eq!(cluster.offers(5), ["F1@S0 cpus:4; mem:400"]);
}

#[test]
fn declined_resources_go_to_others_and_revive_brings_them_back() {
    let mut cluster = Cluster::new(&["cpus:4;mem:400"]);
    cluster.framework("F1", "*");
    let all = cluster.allocate(0).remove(0).resources;
    let f1 = "F1".into();
    cluster.0.recover(&f1, &"S0".into(), &all, Some(Duration::from_secs(500)));
    cluster.0.revive(&f1, &[]);
    assert_eq!(cluster.offers(0).len(), 1);
    cluster.0.recover(&f1, &"S0".into(), &all, Some(Duration::from_secs(500)));
    cluster.framework("F2", "*");
    assert_eq!(cluster.offers(0), ["F2@S0 cpus:4; mem:400"]);
}

#[test]
fn suppressed_roles_and_inactive_ones_get_nothing() {
    let mut cluster = Cluster::new(&["cpus:4;mem:400"]);
    cluster.framework("F1", "*");
    let f1 = "F1".into();
    cluster.0.suppress(&f1, &[]);
    assert!(cluster.offers(0).is_empty());
    cluster.0.revive(&f1, &["other".into()]);
    assert!(cluster.offers(0).is_empty());
    cluster.0.revive(&f1, &["*".into()]);
    cluster.0.set_framework_active(&f1, false);
    assert!(cluster.offers(0).is_empty());
    cluster.0.set_framework_active(&f1, true);
    cluster.0.set_agent_active(&"S0".into(), false);
    assert!(cluster.offers(0).is_empty());
}

#[test]
fn gpus_are_for_those_who_know_them_and_crumbs_for_nobody() {
    let mut cluster = Cluster::new(&["cpus:4;mem:400;gpus:1", "cpus:0.005;mem:31", "mem:32"]);
    cluster.framework("F1", "*");
    assert_eq!(cluster.offers(0), ["F1@S2 mem:32"]);
}

#[test]
fn constraints_select_agents() {
    use mesos_api::scheduler::constraint::{
        Group, Predicate, RoleConstraints, Selector, TextMatches,
    };
    let mut cluster = Cluster::new(&["cpus:4;mem:400"]);
    let matching = |regex: &str| OfferConstraints {
        role_constraints: [(
            "*".to_owned(),
            RoleConstraints {
                groups: vec![Group {
                    attribute_constraints: vec![mesos_api::scheduler::AttributeConstraint {
                        selector: Selector {
                            attribute_name: Some("rack".into()),
                            ..Default::default()
                        },
                        predicate: Predicate {
                            text_matches: Some(TextMatches { regex: regex.into() }),
                            ..Predicate::default()
                        },
                    }],
                }],
            },
        )]
        .into(),
    };
    let info = FrameworkInfo::default();
    cluster.0.update_framework(&"F1".into(), &info, &BTreeSet::new(), Some(&matching("r")));
    assert!(cluster.offers(0).is_empty());
    cluster.0.update_framework(&"F1".into(), &info, &BTreeSet::new(), Some(&matching("r[0-9]")));
    assert_eq!(cluster.offers(0).len(), 1);
}

/// A run over a large cluster stays in bounds that leave room for other work; the bound is loose, as
/// machines of tests are slow and busy.
#[test]
fn a_large_cluster_is_allocated_quickly() {
    let agents = vec!["cpus:16;mem:65536;ports:[31000-32000]"; 1000];
    let mut cluster = Cluster::new(&agents);
    for number in 0..100 {
        cluster.framework(&format!("F{number}"), &format!("r{}", number % 10));
    }
    let begun = std::time::Instant::now();
    assert_eq!(cluster.allocate(0).len(), 1000);
    let full = begun.elapsed();
    let begun = std::time::Instant::now();
    assert!(cluster.allocate(0).is_empty());
    println!("1000 agents, 100 frameworks: {full:?}, nothing free: {:?}", begun.elapsed());
    assert!(full < std::time::Duration::from_secs(2), "{full:?}");
}
