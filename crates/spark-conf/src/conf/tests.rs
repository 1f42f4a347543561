use expect_test::{Expect, expect};

use super::*;
use crate::property::Status;

fn flag(name: &str) -> Origin {
    Origin::CommandLine(name.to_owned())
}

#[test]
fn the_highest_layer_counts_whatever_the_order() {
    let mut conf = SparkConf::new();
    conf.set(Origin::Program, "spark.cores.max", "3");
    conf.set(flag("--conf"), "spark.cores.max", "2");
    conf.set(Origin::File("f".into()), "spark.cores.max", "1");
    assert_eq!(conf.get(&table::CORES_MAX).unwrap(), Some(3));
    assert_eq!(conf.origin("spark.cores.max"), Some(&Origin::Program));
    conf.unset("spark.cores.max");
    assert_eq!(conf.get(&table::CORES_MAX).unwrap(), Some(2));
}

#[test]
fn defaults_and_fallbacks() {
    let mut conf = SparkConf::new();
    assert_eq!(conf.get(&table::SHUFFLE_PARTITIONS).unwrap(), 200);
    let unmet = &table::MESOS_REJECT_UNMET_CONSTRAINTS;
    assert_eq!(conf.get(unmet).unwrap().as_secs(), 120);
    conf.set(Origin::Program, "spark.mesos.rejectOfferDuration", "7s");
    assert_eq!(conf.get(unmet).unwrap().as_secs(), 7);
    assert_eq!(conf.get(&table::MESOS_ROLE).unwrap(), "*");
}

fn refused(name: &str, value: &str, expected: Expect) {
    let mut conf = SparkConf::new();
    conf.set(flag("--executor-memory"), name, value);
    expected.assert_eq(&conf.check().unwrap_err().to_string());
}

#[test]
fn malformed_values_are_refused_in_one_line() {
    refused(
        "spark.executor.memory",
        "0",
        expect![[
            r#"spark.executor.memory: "0" is not valid (set by --executor-memory); expected a size such as 512m or 2g (a bare number means MiB), at least 1m"#
        ]],
    );
    refused(
        "spark.executor.memory",
        "-5g",
        expect![[
            r#"spark.executor.memory: "-5g" is not valid (set by --executor-memory); expected a size such as 512m or 2g (a bare number means MiB), at least 1m"#
        ]],
    );
    refused(
        "spark.executor.memory",
        "abc",
        expect![[
            r#"spark.executor.memory: "abc" is not valid (set by --executor-memory); expected a size such as 512m or 2g (a bare number means MiB), at least 1m"#
        ]],
    );
    refused(
        "spark.mesos.coarse",
        "yes",
        expect![[
            r#"spark.mesos.coarse: "yes" is not valid (set by --executor-memory); expected true or false"#
        ]],
    );
    refused(
        "spark.cores.max",
        "0",
        expect![[
            r#"spark.cores.max: "0" is not valid (set by --executor-memory); expected a whole number from 1 to 2147483647"#
        ]],
    );
}

#[test]
fn a_frozen_configuration_reports_what_it_does_not_take() {
    let mut conf = SparkConf::new();
    conf.set(flag("--executor-memory"), "spark.executor.memory", "1g");
    conf.freeze();
    assert_eq!(conf.set(Origin::Program, "spark.executor.memory", "1024m"), None);
    let warning = conf.set(Origin::Program, "spark.executor.memory", "2g").unwrap();
    expect![[r#"spark.executor.memory: "2g" from the program is ignored; "1g" from --executor-memory is in force"#]]
        .assert_eq(&warning.to_string());
    assert_eq!(conf.set(Origin::Computed, "spark.executor.memory", "3g"), None);
    assert_eq!(conf.get(&table::EXECUTOR_MEMORY).unwrap(), 1 << 30);
    assert_eq!(conf.set(Origin::Computed, "spark.executor.cores", "3"), None);
    assert_eq!(conf.get(&table::EXECUTOR_CORES).unwrap(), Some(3));
    assert_eq!(conf.set(Origin::Program, "spark.sql.shuffle.partitions", "7"), None);
    assert_eq!(conf.get(&table::SHUFFLE_PARTITIONS).unwrap(), 7);
}

#[test]
fn command_line_against_program_is_a_contradiction_defaults_are_not() {
    let mut conf = SparkConf::new();
    conf.set(Origin::File("conf/spark-defaults.conf".into()), "spark.app.name", "file");
    conf.set(flag("--name"), "spark.app.name", "line");
    conf.set(Origin::Program, "spark.app.name", "code");
    let all: Vec<String> = conf.contradictions().iter().map(ToString::to_string).collect();
    assert_eq!(
        all,
        [r#"spark.app.name: "line" from --name is ignored; "code" from the program is in force"#]
    );
}

#[test]
fn unknown_mesos_keys_get_the_nearest_name() {
    let mut conf = SparkConf::new();
    conf.set(Origin::Program, "spark.mesos.constraint", "a:b");
    conf.set(Origin::Program, "spark.mesos.dispatcher.driverDefault.spark.x", "a");
    conf.set(Origin::Program, "spark.mesos.driverEnv.X", "a");
    conf.set(Origin::Program, "spark.mesos.quiteSomethingElse.here", "a");
    assert_eq!(
        conf.unknown_keys(),
        [
            "unknown property spark.mesos.constraint is ignored; did you mean spark.mesos.constraints?",
            "unknown property spark.mesos.quiteSomethingElse.here is ignored",
        ]
    );
}

#[test]
fn old_and_misspelt_names_are_aliases() {
    let mut conf = SparkConf::new();
    conf.set(Origin::Program, "spark.mesos.fetchCache.enable", "true");
    assert!(conf.get(&table::MESOS_FETCHER_CACHE).unwrap());
    assert_eq!(conf.explicit("spark.mesos.fetcherCache.enable"), Some("true"));
}

#[test]
fn prefixes_and_files() {
    let mut conf = SparkConf::new();
    let pairs =
        crate::parse_properties("spark.executorEnv.A 1\nspark.executorEnv.B 2\nother 3\n").unwrap();
    assert_eq!(conf.set_file("f", &pairs), ["other"]);
    assert_eq!(
        conf.with_prefix("spark.executorEnv."),
        [("A".into(), "1".into()), ("B".into(), "2".into())]
    );
}

#[test]
fn only_session_settings_are_modifiable() {
    assert!(SparkConf::is_modifiable("spark.sql.shuffle.partitions"));
    assert!(!SparkConf::is_modifiable("spark.sql.warehouse.dir"));
    assert!(!SparkConf::is_modifiable("spark.executor.memory"));
    assert!(!SparkConf::is_modifiable("my.key"));
}

#[test]
fn every_default_is_valid_and_every_name_is_unique() {
    let mut names = std::collections::BTreeSet::new();
    for info in table::all() {
        assert!(names.insert(info.name), "{} twice", info.name);
        for alias in info.aliases {
            assert!(names.insert(alias), "{alias} twice");
        }
        assert!(!info.doc.is_empty() && !info.since.is_empty(), "{}", info.name);
        match info.preset {
            Preset::Value(text) => {
                assert!(info.kind.parse(text).is_some(), "{}: default {text}", info.name);
            }
            Preset::SameAs(other) => assert!(table::find(other).is_some(), "{}", info.name),
            Preset::None | Preset::Computed(_) => {}
        }
        if let Status::Ignored(why) = info.status {
            assert!(!why.is_empty(), "{}", info.name);
        }
    }
}
