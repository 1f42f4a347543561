//! "Why is my job waiting?": each situation with its reason on the terminal, in JSON and as a metric.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::cluster::{Cluster, Layout, get_json, wait_for};
use crate::run::{err, script};

const PATIENCE: Duration = Duration::from_secs(60);

/// Flags of the application, the reason's name, and words of the line on the terminal.
struct Situation {
    flags: &'static [&'static str],
    reason: &'static str,
    words: &'static str,
}

/// On two agents of two cpus and 3072 MiB in zone a, one of which is kept for role ops.
const SITUATIONS: &[Situation] = &[
    Situation {
        flags: &["spark.mesos.constraints=zone:b"],
        reason: "unmet_constraint",
        words: "lack attribute zone=b",
    },
    Situation {
        flags: &["spark.executor.memory=4g", "spark.mesos.role=ops"],
        reason: "too_little_memory",
        words: "MiB of the 4505 MiB wanted",
    },
    Situation {
        flags: &["spark.executor.cores=3", "spark.mesos.role=ops"],
        reason: "too_few_cpus",
        words: "of the 3 cpus wanted",
    },
    Situation {
        flags: &["spark.mesos.gpus.max=2", "spark.mesos.executor.gpus=1"],
        reason: "too_few_gpus",
        words: "of the 1 GPUs wanted",
    },
    Situation {
        flags: &["spark.blockManager.port=7777"],
        reason: "no_port",
        words: "no port from 7777 to 7793",
    },
    Situation {
        flags: &["spark.executor.memory=2500m", "spark.mesos.constraints=kind:kept"],
        reason: "reserved_for_others",
        words: "for role ops",
    },
    Situation {
        flags: &["spark.executor.memory=20g", "spark.mesos.constraints=kind:kept"],
        reason: "too_small",
        words: "has only",
    },
    // The reason and how long it holds.
    Situation {
        flags: &["spark.mesos.constraints=kind:kept", "spark.mesos.rejectOfferDuration=99s"],
        reason: "unmet_constraint",
        words: "lacks attribute kind=kept (refused for another 9",
    },
    // Executors that cannot start, twice on each agent.
    Situation {
        flags: &["spark.mesos.executor.home=/nowhere"],
        reason: "excluded",
        words: "excluded after executor failures",
    },
];

fn layout() -> Layout {
    Layout::default()
        .agent(&[
            "--resources=cpus:2;mem:3072;disk:4096;ports:[31000-31999]",
            "--attributes=zone:a;kind:free",
        ])
        .agent(&[
            "--resources=cpus(ops):2;mem(ops):3072;disk:4096;ports:[32000-32999]",
            "--attributes=zone:a;kind:kept",
        ])
}

/// An application that asks for executors.
struct Application {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Application {
    fn start(cluster: &Cluster, flags: &[&str]) -> Self {
        let mut command = script("bin/spark-sql");
        command.args(["--master", &cluster.master()]);
        let common = [
            "spark.ferrospark.localExecution.enabled=false",
            "spark.ferrospark.waitingReport.delay=1s",
            "spark.ui.port=0",
            "spark.ui.showConsoleProgress=false",
        ];
        for setting in flags.iter().chain(&common) {
            command.args(["--conf", setting]);
        }
        let child = command
            .args(["-e", "select count(*) from range(0, 10, 1, 2)"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self::of(child.unwrap())
    }

    fn of(mut child: Child) -> Self {
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Fails when nobody reads any more.
                let _ = lines.send(line);
            }
        });
        Self { child, said }
    }

    /// Reads the terminal up to a line with these words.
    fn says(&self, words: &str) -> String {
        let mut all = String::new();
        loop {
            let Ok(line) = self.said.recv_timeout(PATIENCE) else {
                panic!("it never said {words:?} but\n{all}");
            };
            if line.contains(words) {
                return line;
            }
            all.push_str(&line);
            all.push('\n');
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).unwrap();
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.child.wait();
    }
}

fn check(cluster: &Cluster, situation: &Situation) {
    let Situation { flags, reason, words } = situation;
    let application = Application::start(cluster, flags);
    let line = application.says(words);
    assert!(line.contains("waiting for executors of"), "{line}");
    told(cluster, reason, words);
    drop(application);
    wait_for(PATIENCE, "the framework to be gone", || {
        cluster.frameworks().is_empty().then_some(())
    });
}

/// The reason in JSON and as a metric, of the framework that has the fewest tasks.
fn told(cluster: &Cluster, reason: &str, words: &str) {
    let (framework, pages) = wait_for(PATIENCE, "the framework", || {
        let tasks = |framework: &serde_json::Value| framework["tasks"].as_array().map(Vec::len);
        let framework = cluster.frameworks().into_iter().min_by_key(tasks)?;
        let text = |name: &str| Some(framework[name].as_str()?.to_owned());
        Some((text("id")?, text("webui_url")?.strip_prefix("http://")?.to_owned()))
    });
    let path = format!("/api/v1/applications/{framework}/mesos");
    wait_for(PATIENCE, &format!("{reason} in {path}"), || {
        let told = get_json(&pages, &path)?;
        let causes = told["waiting"]["causes"].as_array()?.clone();
        let here = causes.iter().any(|cause| cause["reason"] == reason);
        (here && told["waiting"]["text"].as_str()?.contains(words)).then_some(())
    });
    wait_for(PATIENCE, &format!("{reason} as a metric"), || {
        let metrics = get_json(&pages, "/metrics/json")?;
        let gauge = format!("{framework}.driver.mesos.waiting.{reason}");
        (metrics["gauges"][gauge]["value"].as_f64()? >= 1.0).then_some(())
    });
}

fn all_situations(cluster: &Cluster) {
    for situation in SITUATIONS {
        check(cluster, situation);
    }
    in_use(cluster);
    reached_cores_max(
        cluster,
        &["spark.cores.max=1"],
        "spark.cores.max=1 is reached: 1 core is held",
    );
    let fine = ["spark.mesos.coarse=false", "spark.cores.max=2"];
    reached_cores_max(cluster, &fine, "spark.cores.max=2 is reached: 2 cores are held");
}

/// Asks for executors and keeps them.
const HOLDER: &str = r"
import time
from pyspark.sql import SparkSession
SparkSession.builder.getOrCreate().range(0, 10, 1, 2).count()
time.sleep(600)
";

/// Another application has all there is.
fn in_use(cluster: &Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("holder.py");
    std::fs::write(&app, HOLDER).unwrap();
    let child = script("bin/spark-submit")
        .args(["--master", &cluster.master(), "--conf", "spark.mesos.role=ops"])
        // With its overhead all the memory of an agent, so that nothing is left to offer.
        .args(["--executor-memory", "2688m"])
        .args(crate::run::ON_EXECUTORS)
        .arg(&app)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let holder = Application::of(child.unwrap());
    wait_for(PATIENCE, "the other application's executors", || {
        let frameworks = cluster.frameworks();
        let tasks = frameworks.first()?["tasks"].as_array()?.clone();
        (tasks.len() == 2).then_some(())
    });
    let application = Application::start(cluster, &[]);
    application.says("in use");
    told(cluster, "in_use", "in use");
    drop(application);
    drop(holder);
    wait_for(PATIENCE, "the frameworks to be gone", || {
        cluster.frameworks().is_empty().then_some(())
    });
}

/// Tries, tells why it could not, and stays.
const STUBBORN: &str = r#"
import sys, time
from pyspark.sql import SparkSession
try:
    SparkSession.builder.getOrCreate().range(0, 10, 1, 2).count()
except Exception as error:
    print(error, file=sys.stderr, flush=True)
time.sleep(600)
"#;

/// An application that no master registers, and which therefore has no id to ask by.
fn not_registered(master: &str, situation: &Situation) {
    let Situation { flags, reason, words } = situation;
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("stubborn.py");
    std::fs::write(&app, STUBBORN).unwrap();
    let port = crate::cluster::free_port();
    let mut command = script("bin/spark-submit");
    command.args(["--master", master, "--conf", &format!("spark.ui.port={port}")]);
    command.args(crate::run::ON_EXECUTORS);
    for setting in *flags {
        command.args(["--conf", setting]);
    }
    let child = command.arg(&app).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let application = Application::of(child.unwrap());
    application.says(words);
    let pages = format!("127.0.0.1:{port}");
    let told = get_json(&pages, "/api/v1/mesos").unwrap();
    assert_eq!(told["waiting"]["causes"][0]["reason"], *reason, "{told}");
    let metrics = get_json(&pages, "/metrics/json").unwrap();
    let gauge = format!("unregistered.driver.mesos.waiting.{reason}");
    assert_eq!(metrics["gauges"][gauge]["value"], 1.0, "{metrics}");
}

fn all_unregistered(cluster: &Cluster) {
    for situation in [
        Situation {
            flags: &["spark.mesos.principal=me", "spark.mesos.secret=wrong"],
            reason: "authentication",
            words: "check spark.mesos.principal and spark.mesos.secret",
        },
        Situation {
            flags: &[
                "spark.mesos.principal=me",
                "spark.mesos.secret=right",
                "spark.mesos.role=strangers",
            ],
            reason: "registration_refused",
            words: "the master ended the framework",
        },
    ] {
        not_registered(&cluster.master(), &situation);
    }
}

fn guarded(folder: &tempfile::TempDir) -> Layout {
    let credentials = folder.path().join("credentials");
    let text = r#"{"credentials": [{"principal": "me", "secret": "right"}]}"#;
    std::fs::write(&credentials, text).unwrap();
    Layout::even(1, 1)
        .master(&format!("--credentials={}", credentials.display()))
        .master("--authenticate_http_frameworks=true")
        .master("--roles=ops")
}

#[test]
fn our_master_says_why_it_registers_nobody() {
    let folder = tempfile::tempdir().unwrap();
    all_unregistered(&Cluster::ours_with(&guarded(&folder)));
}

#[test]
fn a_genuine_master_says_why_it_registers_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let layout = guarded(&folder).master("--http_framework_authenticators=basic");
    if let Some(cluster) = Cluster::genuine_with(&layout) {
        all_unregistered(&cluster);
    }
}

#[test]
fn a_master_that_is_not_there_is_a_reason() {
    let master = format!("mesos://127.0.0.1:{}", crate::cluster::free_port());
    let situation =
        Situation { flags: &[], reason: "master_unreachable", words: "nothing listening" };
    not_registered(&master, &situation);
}

/// An application that holds all it may have, with tasks that last longer than the test. Some of its tasks
/// run, so it says so once.
fn reached_cores_max(cluster: &Cluster, flags: &[&str], held: &str) {
    let mut command = script("bin/spark-sql");
    command.args(["--master", &cluster.master()]).args(crate::run::ON_EXECUTORS);
    for setting in
        ["spark.ui.port=0", "spark.ferrospark.waitingReport.delay=1s"].iter().chain(flags)
    {
        command.args(["--conf", setting]);
    }
    let query = "select max(sha2(cast(id as string), 512)) from range(0, 100000000000, 1, 8)";
    let child = command.args(["-e", query]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let application = Application::of(child.unwrap());
    let line = application.says(held);
    assert_eq!(line, format!("7 tasks wait: {held}; raise it to run more at once"));
    told(cluster, "reached_cores_max", held);
    drop(application);
    wait_for(PATIENCE, "the framework to be gone", || {
        cluster.frameworks().is_empty().then_some(())
    });
}

#[test]
fn our_cluster_says_why() {
    all_situations(&Cluster::ours_with(&layout()));
}

#[test]
fn genuine_mesos_says_why() {
    if let Some(cluster) = Cluster::genuine_with(&layout()) {
        all_situations(&cluster);
    }
}

#[test]
fn no_agents_is_a_reason() {
    let situation =
        Situation { flags: &[], reason: "no_agents", words: "the cluster has no agents" };
    check(&Cluster::ours_with(&Layout::default()), &situation);
    if let Some(cluster) = Cluster::genuine_with(&Layout::default()) {
        check(&cluster, &situation);
    }
}

#[test]
fn a_wrong_secret_is_told_before_anything_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, "me right\n").unwrap();
    let layout = Layout::even(1, 1)
        .master(&format!("--credentials={}", credentials.display()))
        .master("--authenticate_http_frameworks=true");
    let cluster = Cluster::ours_with(&layout);
    let run = |secret: &[&str]| {
        let mut command = script("bin/spark-sql");
        command.args(["--master", &cluster.master()]).args(crate::run::ON_EXECUTORS);
        for setting in secret {
            command.args(["--conf", setting]);
        }
        command.args(["-e", "select count(*) from range(0, 10, 1, 2)"]).output().unwrap()
    };
    let right = run(&["spark.mesos.principal=me", "spark.mesos.secret=right"]);
    crate::run::succeeded(&right);
    for secret in [&[][..], &["spark.mesos.principal=me", "spark.mesos.secret=wrong"]] {
        let output = run(secret);
        assert!(!output.status.success());
        assert!(
            err(&output).contains("spark.mesos.principal and spark.mesos.secret"),
            "{}",
            err(&output)
        );
    }
}
