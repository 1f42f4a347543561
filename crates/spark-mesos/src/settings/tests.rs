//! Every property: malformed values are refused in one line, right ones arrive where they belong.

use super::*;
use spark_conf::Origin;

fn of(pairs: &[(&str, &str)]) -> Result<Settings, String> {
    let mut conf = SparkConf::new();
    for (key, value) in pairs {
        conf.set(Origin::CommandLine("--conf".to_owned()), key, value);
    }
    Settings::from_conf(&conf, Some("/opt/spark")).map_err(|error| error.to_string())
}

/// Property and a malformed value of it.
const MALFORMED: &[(&str, &str)] = &[
    ("spark.mesos.coarse", "yes"),
    ("spark.mesos.extra.cores", "-1"),
    ("spark.mesos.mesosExecutor.cores", "-0.5"),
    ("spark.mesos.mesosExecutor.cores", "one"),
    ("spark.mesos.executor.home", "opt/spark"),
    ("spark.mesos.executor.memoryOverhead", "1.5g"),
    ("spark.mesos.executor.docker.image", "a b"),
    ("spark.mesos.executor.docker.volumes", "/h:/c:z"),
    ("spark.mesos.executor.docker.portmaps", "80"),
    ("spark.mesos.executor.docker.forcePullImage", "1"),
    ("spark.mesos.executor.docker.parameters", "novalue"),
    ("spark.mesos.containerizer", "podman"),
    ("spark.mesos.network.name", "a b"),
    ("spark.mesos.network.labels", "k"),
    ("spark.mesos.uris", "x.tgz"),
    ("spark.mesos.fetcherCache.enable", "on"),
    ("spark.mesos.principal", ""),
    ("spark.mesos.role", "-dev"),
    ("spark.mesos.role", "a b"),
    ("spark.mesos.constraints", "zone"),
    ("spark.mesos.constraints", "zone:x;"),
    ("spark.mesos.driver.constraints", "a:b:c"),
    ("spark.mesos.rejectOfferDuration", "2 weeks"),
    ("spark.mesos.rejectOfferDurationForUnmetConstraints", "-1s"),
    ("spark.mesos.rejectOfferDurationForReachedMaxCores", "soon"),
    ("spark.mesos.coarse.shutdownTimeout", "10 s"),
    ("spark.mesos.driver.webui.url", "host:4040"),
    ("spark.mesos.proxy.baseURL", "ftp://h"),
    ("spark.mesos.gpus.max", "some"),
    ("spark.mesos.executor.gpus", "0.5"),
    ("spark.mesos.task.labels", "k:v:w"),
    ("spark.mesos.driver.labels", "k:"),
    ("spark.mesos.driver.failoverTimeout", "-1"),
    ("spark.mesos.driver.failoverTimeout", "1e300"),
    ("spark.mesos.checkpoint", "maybe"),
    ("spark.mesos.driver.memoryOverhead", "x"),
    ("spark.mesos.appJar.local.resolution.mode", "both"),
    ("spark.mesos.maxDrivers", "0"),
    ("spark.mesos.retainedDrivers", "-3"),
    ("spark.mesos.cluster.retry.wait.max", "1m"),
    ("spark.executor.uri", "http://h/spark.jar"),
    ("spark.executor.uri", "http://h/a b.tgz"),
    ("spark.executor.cores", "0"),
    ("spark.executor.memory", "1q"),
    ("spark.executor.memoryOverhead", "-2"),
    ("spark.executor.memoryOverheadFactor", "tenth"),
    ("spark.executor.instances", "0"),
    ("spark.cores.max", "0"),
    ("spark.task.cpus", "1.5"),
    ("spark.blockManager.port", "70000"),
    ("spark.port.maxRetries", "-1"),
    ("spark.scheduler.minRegisteredResourcesRatio", "-0.1"),
    ("spark.scheduler.maxRegisteredResourcesWaitingTime", "x"),
    ("spark.ferrospark.mesos.placement", "random"),
    ("spark.ferrospark.mesos.maxExecutorsPerAgent", "0"),
    ("spark.ferrospark.mesos.exclude.maxFailures", "0"),
    ("spark.ferrospark.mesos.exclude.timeout", "1w"),
    ("spark.ferrospark.mesos.fine.executorIdleTimeout", "never"),
    ("spark.ferrospark.waitingReport.delay", "x"),
];

#[test]
fn malformed_values_get_one_line_with_property_value_and_expected_form() {
    for (property, value) in MALFORMED {
        let Err(error) = of(&[(property, value)]) else { panic!("{property}={value} was taken") };
        assert!(!error.contains('\n'), "{error}");
        assert!(error.starts_with(property), "{error}");
        assert!(error.contains(value), "{error}");
        let says_what = ["expected", "must be", "names no"].iter().any(|word| error.contains(word));
        assert!(says_what, "{error}");
    }
}

/// Every property of the Mesos page is in the list above or cannot be malformed.
#[test]
fn no_property_of_the_page_is_left_out() {
    // Any text is a name, a path or a secret; lists of secrets are looked at together.
    const ANY_TEXT: &[&str] = &[
        "spark.mesos.principal.file",
        "spark.mesos.secret",
        "spark.mesos.secret.file",
        "spark.mesos.driver.frameworkId",
        "spark.mesos.driver.secret.envkeys",
        "spark.mesos.driver.secret.filenames",
        "spark.mesos.driver.secret.names",
        "spark.mesos.driver.secret.values",
        "spark.mesos.executor.secret.envkeys",
        "spark.mesos.executor.secret.filenames",
        "spark.mesos.executor.secret.names",
        "spark.mesos.executor.secret.values",
    ];
    for info in table::all().filter(|info| info.name.starts_with("spark.mesos.")) {
        let name = info.name;
        // The dispatcher checks its own.
        let dispatchers = name.starts_with("spark.mesos.dispatcher.");
        let ignored = matches!(info.status, spark_conf::Status::Ignored(_));
        let tried = MALFORMED.iter().any(|(property, _)| *property == name);
        assert!(tried || dispatchers || ignored || ANY_TEXT.contains(&name), "{name}");
    }
}

#[test]
fn settings_that_exclude_each_other() {
    let check = |expected: &str, pairs: &[(&str, &str)]| {
        assert_eq!(of(pairs).unwrap_err(), expected);
    };
    check(
        "spark.cores.max=1 is less than spark.executor.cores=2: no executor could start",
        &[("spark.cores.max", "1"), ("spark.executor.cores", "2")],
    );
    check(
        "spark.cores.max=1 is less than spark.task.cpus=2: no executor could start",
        &[("spark.cores.max", "1"), ("spark.task.cpus", "2")],
    );
    check(
        "spark.cores.max=1 is less than spark.mesos.mesosExecutor.cores=1 and spark.task.cpus=1 together: no task could start",
        &[("spark.cores.max", "1"), ("spark.mesos.coarse", "false")],
    );
    check(
        "spark.executor.cores=1 is less than spark.task.cpus=2: no task could run",
        &[("spark.task.cpus", "2"), ("spark.executor.cores", "1")],
    );
    check(
        "spark.mesos.principal must be configured when spark.mesos.secret is set",
        &[("spark.mesos.secret", "x")],
    );
    check(
        "spark.dynamicAllocation.enabled=true does not go with spark.mesos.coarse=false: fine-grained mode takes and gives back cores with each task; expected one of them",
        &[("spark.mesos.coarse", "false"), ("spark.dynamicAllocation.enabled", "true")],
    );
    check(
        "spark.io.encryption.enabled=true: not supported on Mesos; expected false",
        &[("spark.io.encryption.enabled", "true")],
    );
    check(
        "spark.mesos.executor.gpus=2 is more than spark.mesos.gpus.max=1: no executor could start; raise spark.mesos.gpus.max",
        &[("spark.mesos.executor.gpus", "2"), ("spark.mesos.gpus.max", "1")],
    );
    check(
        "spark.mesos.gpus.max=1, spark.mesos.executor.gpus=0: fine-grained mode has no GPUs; expected 0 or spark.mesos.coarse=true",
        &[("spark.mesos.gpus.max", "1"), ("spark.mesos.coarse", "false")],
    );
}

#[test]
fn what_is_wasted_is_warned_about() {
    let settings = of(&[
        ("spark.cores.max", "7"),
        ("spark.executor.cores", "3"),
        ("spark.task.cpus", "2"),
        ("spark.mesos.constraints", "zone: x"),
    ])
    .unwrap();
    assert_eq!(settings.cores_max, Some(6));
    let warnings = settings.warnings().join("\n");
    for part in ["the blank is taken literally", "1 of them stay idle", "6 cores are used"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    let fine = of(&[("spark.mesos.coarse", "false"), ("spark.executor.cores", "2")]).unwrap();
    assert!(fine.warnings()[0].contains("spark.executor.cores has no meaning"));
}

#[test]
fn what_the_master_is_told() {
    let settings = of(&[
        ("spark.app.name", "my app"),
        ("spark.mesos.role", "eng/dev"),
        ("spark.mesos.principal", "p"),
        ("spark.mesos.secret", "s"),
        ("spark.mesos.checkpoint", "true"),
        ("spark.mesos.driver.failoverTimeout", "12.5"),
        ("spark.mesos.driver.webui.url", "http://proxy/app"),
        ("spark.mesos.driver.frameworkId", "D-1"),
        ("spark.mesos.gpus.max", "4"),
        ("spark.mesos.proxy.baseURL", "http://mesos/"),
    ])
    .unwrap();
    let info =
        settings.framework_info("me", Some("h".to_owned()), Some("http://h:4040".to_owned()));
    assert_eq!((info.user.as_str(), info.name.as_str()), ("me", "my app"));
    assert_eq!(info.role(), "eng/dev");
    assert_eq!(info.principal(), "p");
    assert_eq!(settings.secret.as_deref(), Some("s"));
    assert!(info.checkpoint());
    assert_eq!(info.failover_timeout(), 12.5);
    assert_eq!(info.webui_url(), "http://proxy/app");
    assert_eq!(info.id.as_ref().map(|id| id.value.as_str()), Some("D-1"));
    assert!(info.has_capability(CapabilityType::GpuResources));
    assert!(info.has_capability(CapabilityType::PartitionAware));
    assert_eq!(
        settings.sandbox_link("h:5050", "S0", "F", "3"),
        "http://mesos/#/agents/S0/frameworks/F/executors/3/browse"
    );

    let plain = of(&[]).unwrap();
    let info = plain.framework_info("me", None, Some("http://h:4040".to_owned()));
    assert_eq!(info.role(), "*");
    assert_eq!(info.failover_timeout(), 60.0);
    assert_eq!(info.webui_url(), "http://h:4040");
    assert!(!info.has_capability(CapabilityType::GpuResources));
    assert_eq!(
        plain.sandbox_link("h:5050", "S0", "F", "3"),
        "http://h:5050/#/agents/S0/frameworks/F/executors/3/browse"
    );
}

#[test]
fn refusals_and_exclusion_come_from_their_properties() {
    let settings = of(&[
        ("spark.mesos.rejectOfferDuration", "7s"),
        ("spark.mesos.rejectOfferDurationForUnmetConstraints", "9s"),
        ("spark.ferrospark.mesos.exclude.maxFailures", "5"),
        ("spark.ferrospark.mesos.exclude.timeout", "2min"),
        ("spark.mesos.coarse.shutdownTimeout", "3s"),
        ("spark.ferrospark.mesos.fine.executorIdleTimeout", "4s"),
        ("spark.scheduler.minRegisteredResourcesRatio", "2"),
    ])
    .unwrap();
    assert_eq!(settings.refuse.reached_max, Duration::from_secs(7));
    assert_eq!(settings.refuse.unmet_constraints, Duration::from_secs(9));
    assert_eq!(settings.exclusion.failures, 5);
    assert_eq!(settings.exclusion.timeout, Duration::from_secs(120));
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(3));
    assert_eq!(settings.fine.idle_timeout, Duration::from_secs(4));
    assert_eq!(settings.min_registered_ratio, 1.0);
}

#[test]
fn the_home_is_the_property_then_sparks_then_the_drivers() {
    let program = |pairs: &[(&str, &str)]| format!("{:?}", of(pairs).unwrap().program);
    assert!(program(&[]).contains("\"/opt/spark\""));
    assert!(program(&[("spark.home", "/a")]).contains("\"/a\""));
    let both = [("spark.home", "/a"), ("spark.mesos.executor.home", "/b")];
    assert!(program(&both).contains("\"/b\""));
}

proptest::proptest! {
    /// Nothing that can be typed brings the reader down, and what is refused is one line that begins with
    /// the property.
    #[test]
    fn any_text_is_taken_or_refused_in_one_line(
        property in proptest::sample::select(vec![
            "spark.mesos.constraints",
            "spark.mesos.driver.constraints",
            "spark.mesos.task.labels",
            "spark.mesos.network.labels",
            "spark.mesos.executor.docker.volumes",
            "spark.mesos.executor.docker.portmaps",
            "spark.mesos.executor.docker.parameters",
            "spark.mesos.role",
            "spark.mesos.uris",
            "spark.executor.uri",
            "spark.mesos.proxy.baseURL",
            "spark.mesos.driver.failoverTimeout",
            "spark.cores.max",
            "spark.executor.memory",
        ]),
        text in "[a-z0-9:;,./\\\\ =*éI-]{0,24}",
    ) {
        if let Err(error) = of(&[(property, &text)]) {
            proptest::prop_assert!(error.starts_with(property), "{}", error);
            proptest::prop_assert!(!error.contains('\n'), "{}", error);
        }
    }
}
