use super::*;
use proptest::prelude::*;

fn resources(text: &str) -> Resources {
    Resources::parse(text, DEFAULT_ROLE).unwrap()
}

fn check(text: &str, expected: &str) {
    assert_eq!(resources(text).to_string(), expected);
}

#[test]
fn reads_mesos_text() {
    check(
        "cpus:2;mem:1024;ports:[31000-32000];disk:1.5",
        "cpus:2; mem:1024; ports:[31000-32000]; disk:1.5",
    );
    check("cpus:2; cpus(dev):1 ;\n zones:{b,a}", "cpus:2; cpus(dev):1; zones:{a, b}");
    check("ports:[5-6, 1-2, 3-4]", "ports:[1-6]");
    check("", "{}");
    check("cpus:0;mem:-0", "{}");
    assert_eq!(Resources::parse("cpus:1", "dev").unwrap().to_string(), "cpus(dev):1");
}

#[test]
fn reads_json() {
    let text = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":2}},
                   {"name":"mem","type":"SCALAR","scalar":{"value":64},"role":"dev"}]"#;
    check(text, "cpus:2; mem(dev):64");
}

#[test]
fn says_what_it_cannot_read() {
    for (text, message) in [
        ("cpus", "\"cpus\" is not of the form name:value"),
        ("cpus:many", "value \"many\" of \"cpus\" is neither a number"),
        ("cpus:-1", "value \"-1\" of \"cpus\" is negative"),
        ("ports:[1-", "value \"[1-\" of \"ports\" is missing its closing bracket"),
        ("ports:[2-1]", "a range whose begin is after its end"),
        ("cpus(dev:1", "\"cpus(dev\" has an unbalanced role"),
        ("[{}]", "missing required field mesos.v1.Resource.name"),
    ] {
        let error = Resources::parse(text, DEFAULT_ROLE).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn reads_attributes() {
    let attributes =
        parse_attributes("rack:r 1;level:10;ports:[1-2];tags:{a,b};v:inf;url:a:b").unwrap();
    let kinds: Vec<_> = attributes.iter().map(|a| (a.name.as_str(), a.r#type())).collect();
    assert_eq!(
        kinds,
        [
            ("rack", ValueType::Text),
            ("level", ValueType::Scalar),
            ("ports", ValueType::Ranges),
            ("tags", ValueType::Set),
            ("v", ValueType::Text),
            ("url", ValueType::Text),
        ]
    );
    assert_eq!(attributes[0].text.as_ref().unwrap().value, "r1");
    assert_eq!(attributes[5].text.as_ref().unwrap().value, "a:b");
}

#[test]
fn scalars_have_three_decimals() {
    let mut sum = Resources::new();
    for _ in 0..10 {
        sum.add_all(&resources("cpus:0.1"));
    }
    assert_eq!(sum, resources("cpus:1"));
    sum.subtract_all(&resources("cpus:0.999"));
    assert_eq!(sum, resources("cpus:0.001"));
    assert_eq!(resources("cpus:0.0004"), Resources::new());
}

#[test]
fn roles_and_allocations_are_different_kinds() {
    let all = resources("cpus:2;cpus(dev):1");
    assert!(all.contains(&resources("cpus(dev):1")));
    assert!(!all.contains(&resources("cpus(dev):1.5")));
    assert!(!all.contains(&resources("cpus:3")));
    assert!(!all.allocated_to("dev").contains(&all));
    assert_eq!(all.allocated_to("dev").unallocated(), all);
    assert_eq!(all.usable_by("dev").scalar("cpus"), 3.0);
    assert_eq!(all.usable_by("dev/a").scalar("cpus"), 3.0);
    assert_eq!(all.usable_by("device").scalar("cpus"), 2.0);
    assert_eq!(all.quantities(), resources("cpus:3"));
}

#[test]
fn finds_reserved_first_then_unreserved() {
    let all = resources("cpus:2;cpus(dev):1;cpus(ops):4;ports:[1-10]");
    let found = all.find(&resources("cpus(dev):2;ports:[3-4]")).unwrap();
    assert_eq!(found.to_string(), "cpus(dev):1; cpus:1; ports:[3-4]");
    assert_eq!(all.find(&resources("cpus:3")).unwrap().scalar("cpus"), 3.0);
    assert_eq!(all.find(&resources("cpus:8")), None);
    assert_eq!(all.find(&resources("ports:[10-11]")), None);
}

#[test]
fn translates_the_older_format() {
    let dynamic = Resource {
        role: Some("dev".into()),
        reservation: Some(ReservationInfo { principal: Some("p".into()), ..Default::default() }),
        ..Resource::scalar_of("cpus", 1.0)
    };
    let wire = vec![
        Resource { role: Some("*".into()), ..Resource::scalar_of("mem", 5.0) },
        Resource { role: Some("ops".into()), ..Resource::scalar_of("mem", 6.0) },
        dynamic,
    ];
    let inside = Resources::from(wire.clone());
    let roles: Vec<_> = inside.iter().map(reservation_role).collect();
    assert_eq!(roles, [None, Some("ops"), Some("dev")]);
    assert_eq!(inside.to_wire(WireFormat::PreRefinement), wire);
}

fn any_resources() -> impl Strategy<Value = Resources> {
    let scalar = (
        prop::sample::select(vec!["cpus", "mem"]),
        0u32..5000,
        prop::sample::select(vec!["*", "dev", "ops"]),
    )
        .prop_map(|(name, thousandths, role)| {
            format!("{name}({role}):{}", f64::from(thousandths) / 1000.0)
        });
    let ports = (0u64..60, 0u64..20)
        .prop_map(|(begin, length)| format!("ports:[{begin}-{}]", begin + length));
    prop::collection::vec(prop_oneof![scalar, ports], 0..6)
        .prop_map(|parts| resources(&parts.join(";").replace("(*)", "")))
}

proptest! {
    #[test]
    fn a_sum_contains_its_parts(a in any_resources(), b in any_resources()) {
        let mut sum = a.clone();
        sum.add_all(&b);
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        prop_assert!(sum.find(&b).is_some());
    }

    #[test]
    fn subtracting_undoes_adding_of_scalars(a in any_resources(), b in any_resources()) {
        let scalars = |r: &Resources| r.filter(|r| r.name != "ports");
        let mut sum = scalars(&a);
        sum.add_all(&scalars(&b));
        sum.subtract_all(&scalars(&b));
        prop_assert!(sum.contains(&scalars(&a)) && scalars(&a).contains(&sum));
    }

    #[test]
    fn what_is_left_and_what_was_taken_are_apart(a in any_resources(), b in any_resources()) {
        let mut rest = a.clone();
        rest.subtract_all(&b);
        prop_assert!(a.contains(&rest));
        let port = |r: &Resources| -> Vec<u64> { r.ranges("ports").iter().flat_map(|(b, e)| *b..=*e).collect() };
        let expected: Vec<u64> = port(&a).into_iter().filter(|p| !port(&b).contains(p)).collect();
        prop_assert_eq!(port(&rest), expected);
    }

    #[test]
    fn what_is_found_is_there_and_enough(a in any_resources(), b in any_resources()) {
        if let Some(found) = a.find(&b) {
            prop_assert!(a.contains(&found));
            let (found, wanted) = (found.quantities(), b.quantities());
            prop_assert!(found.contains(&wanted) && wanted.contains(&found));
        }
    }

    #[test]
    fn text_is_read_back(a in any_resources()) {
        prop_assert_eq!(resources(&a.to_string().replace("{}", "")), a);
    }
}
