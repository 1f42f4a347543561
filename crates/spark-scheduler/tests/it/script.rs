//! Scenarios as text: one event per line, the answer below it.
//!
//! ```text
//! executor a on h1 with 2            add an executor; `lose a [app] [kept|host]`, `drain a`
//! offer a 2 b 1                      cores for this moment
//! job 0 pool=p group=g tag=t retain  a job of the stages in the lines after it, the last is final:
//!   map 0 x3 [< 1 2] [served] [indeterminate] [prefers h1 h2 …] [cpus 2]      (shuffle number = stage number)
//!   result 1 x2 < 0
//! ok 5 6 7                           task attempts succeed
//! fail 5 boom                        … fail; `uncounted 5 why`, `fatal 5 why`, `killed 5`
//! fetch 5 s0.1 block                 … miss map output 1 of shuffle 0; `address` for all there
//! damaged s0.1 s0.3                  map outputs of shuffle 0 were looked at and found bad
//! move s0.1 b                        map output 1 of shuffle 0 was copied to executor b
//! at 200                             time passes, wakeups on the way included
//! cancel 0 | cancel group g | cancel tag t | cancel stage 3 | commit 5 | release 0 | why 0
//! ```

use std::fmt::Write;
use std::sync::Arc;

use expect_test::Expect;
use spark_scheduler::*;

/// Compares a scenario's transcript under Spark's defaults.
pub(crate) fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(SchedulerOptions::default(), script));
}

/// Plays a scenario and gives its transcript.
pub(crate) fn play(options: SchedulerOptions, script: &str) -> String {
    let mut player = Player {
        scheduler: Scheduler::new(options),
        now: Time::default(),
        shuffles: Vec::new(),
        served: Vec::new(),
        hosts: Vec::new(),
        transcript: String::new(),
        executors: Vec::new(),
    };
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        writeln!(player.transcript, "{line}").unwrap();
        if line.starts_with("job ") {
            let from = at;
            while at < lines.len()
                && (lines[at].starts_with("map ") || lines[at].starts_with("result "))
            {
                writeln!(player.transcript, "  {}", lines[at]).unwrap();
                at += 1;
            }
            player.job(line, &lines[from..at]);
        } else {
            player.line(line);
        }
    }
    player.transcript
}

struct Player {
    scheduler: Scheduler,
    now: Time,
    /// Stages that make shuffles.
    shuffles: Vec<u64>,
    /// Those whose output the hosts' shuffle services serve.
    served: Vec<u64>,
    hosts: Vec<(ExecutorId, Arc<str>)>,
    transcript: String,
    /// Where each attempt runs.
    executors: Vec<(TaskId, ExecutorId, StageId)>,
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

impl Player {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let task = || TaskId(number(words[1]));
        let rest = || Arc::from(words[2..].join(" "));
        match words[0] {
            "executor" => {
                let (executor, host): (ExecutorId, Arc<str>) = (words[1].into(), words[3].into());
                self.hosts.push((executor.clone(), host.clone()));
                let cores = number(words[5]) as u32;
                self.tell(Event::ExecutorAdded { executor, host, cores });
            }
            "offer" => self.tell(Event::CoresOffered {
                offers: words[1..]
                    .chunks(2)
                    .map(|pair| (pair[0].into(), number(pair[1]) as u32))
                    .collect(),
            }),
            "lose" => {
                let map_output = match words.last() {
                    Some(&"kept") => MapOutputFate::Kept,
                    Some(&"host") => MapOutputFate::HostLost,
                    _ => MapOutputFate::Lost,
                };
                let caused_by_app = words.contains(&"app");
                let loss = ExecutorLoss { message: "gone".into(), caused_by_app, map_output };
                self.tell(Event::ExecutorLost { executor: words[1].into(), loss });
            }
            "drain" => self.tell(Event::ExecutorDecommissioned { executor: words[1].into() }),
            "ok" => words[1..].iter().for_each(|task| self.succeed(TaskId(number(task)))),
            "fail" => self.fail(task(), rest(), FailureKind::Counted),
            "uncounted" => self.fail(task(), rest(), FailureKind::NotCounted),
            "fatal" => self.fail(task(), rest(), FailureKind::Fatal),
            "killed" => {
                let outcome = TaskOutcome::Killed { reason: "told to".into() };
                self.tell(Event::TaskFinished { task: task(), outcome });
            }
            "fetch" => self.fetch_failed(task(), words[2], words[3] == "address"),
            "damaged" => self.found_damaged(&words[1..]),
            "move" => self.output_moved(words[1], words[2]),
            "at" => self.pass_to(Time::from_millis(number(words[1]))),
            "cancel" => {
                let reason: Arc<str> = "".into();
                let event = match words[1] {
                    "group" => Event::JobGroupCancelled { group: words[2].into(), reason },
                    "tag" => Event::JobTagCancelled { tag: words[2].into(), reason },
                    "stage" => Event::StageCancelled { stage: StageId(number(words[2])), reason },
                    job => Event::JobCancelled { job: JobId(number(job)), reason },
                };
                self.tell(event);
            }
            "commit" => self.tell(Event::CommitRequested { task: task() }),
            "release" => self.tell(Event::ShuffleReleased { shuffle: ShuffleId(number(words[1])) }),
            "why" => {
                let reason = self.scheduler.pending_reason(JobId(number(words[1])));
                writeln!(self.transcript, "    {reason:?}").unwrap();
            }
            other => panic!("no event {other}"),
        }
    }

    fn job(&mut self, head: &str, lines: &[&str]) {
        let words: Vec<&str> = head.split_whitespace().collect();
        let value = |key: &str| -> Option<Arc<str>> {
            words.iter().find_map(|word| word.strip_prefix(key)).map(Arc::from)
        };
        let properties = JobProperties {
            pool: value("pool="),
            group: value("group="),
            tags: value("tag=").into_iter().collect(),
            description: None,
            retain_shuffles: words.contains(&"retain"),
        };
        let stages: Vec<StageSpec> = lines.iter().map(|line| self.stage(line)).collect();
        let final_stage = stages.last().unwrap().stage;
        let job = JobId(number(words[1]));
        self.tell(Event::JobSubmitted(JobSpec { job, stages, final_stage, properties }));
    }

    fn stage(&mut self, line: &str) -> StageSpec {
        let words: Vec<&str> = line.split_whitespace().collect();
        let id = number(words[1]);
        let partitions = number(words[2].trim_start_matches('x')) as u32;
        let after = |key: &str| {
            let from = words.iter().position(|word| *word == key).map_or(words.len(), |at| at + 1);
            words[from..]
                .iter()
                .take_while(|w| !["<", "prefers", "cpus", "indeterminate", "served"].contains(w))
        };
        let parents = after("<").map(|word| ShuffleId(number(word))).collect();
        let mut spec = if words[0] == "map" {
            self.shuffles.push(id);
            if words.contains(&"served") {
                self.served.push(id);
            }
            StageSpec::shuffle_map(StageId(id), ShuffleId(id), partitions, parents)
        } else {
            StageSpec::result(StageId(id), partitions, parents)
        };
        if words.contains(&"indeterminate") {
            spec.determinism = Determinism::Indeterminate;
        }
        spec.preferences = after("prefers")
            .map(|word| match *word {
                "-" => vec![],
                word => vec![TaskLocation::Host(word.into())],
            })
            .collect();
        spec.cpus = after("cpus").next().map(|word| number(word) as u32);
        spec
    }

    fn succeed(&mut self, task: TaskId) {
        let place = self.executors.iter().find(|(id, _, _)| *id == task);
        let (_, executor, stage) = place.unwrap_or_else(|| panic!("no TID {task}")).clone();
        let outcome = if self.shuffles.contains(&stage.0) {
            let sizes = MapSizes::new(&[1, 1]);
            let host = self.hosts.iter().find(|(id, _)| *id == executor).map(|(_, h)| h.clone());
            let served = host.filter(|_| self.served.contains(&stage.0));
            let address = served.unwrap_or_else(|| executor.as_str().into());
            TaskOutcome::MapOutput(MapOutput { address, sizes })
        } else {
            TaskOutcome::Result
        };
        self.tell(Event::TaskFinished { task, outcome });
    }

    fn fail(&mut self, task: TaskId, message: Arc<str>, kind: FailureKind) {
        let failure = TaskFailure { message, payload: Arc::from([]), kind };
        self.tell(Event::TaskFinished { task, outcome: TaskOutcome::Failed(failure) });
    }

    fn fetch_failed(&mut self, task: TaskId, what: &str, address: bool) {
        let (shuffle, map_partition) = what.trim_start_matches('s').split_once('.').unwrap();
        let shuffle = ShuffleId(number(shuffle));
        let map_partition = number(map_partition) as u32;
        let outputs = self.scheduler.map_outputs(shuffle).unwrap();
        let map_task = outputs.statuses()[map_partition as usize].as_ref().map(|s| s.task);
        let scope = if address { FetchFailureScope::Address } else { FetchFailureScope::Block };
        let message = format!("{what} is missing").into();
        let failure = FetchFailure { shuffle, map_partition, map_task, scope, message };
        self.tell(Event::TaskFinished { task, outcome: TaskOutcome::FetchFailed(failure) });
    }

    fn found_damaged(&mut self, names: &[&str]) {
        let names = names.iter().map(|name| name.trim_start_matches('s').split_once('.').unwrap());
        let names: Vec<(u64, u64)> = names.map(|(s, map)| (number(s), number(map))).collect();
        let shuffle = ShuffleId(names[0].0);
        let statuses = self.scheduler.map_outputs(shuffle).unwrap().statuses();
        // What is lost already had an attempt, too.
        let task = |map: u64| statuses[map as usize].as_ref().map_or(TaskId(0), |s| s.task);
        let outputs = names.iter().map(|(_, map)| (*map as u32, task(*map))).collect();
        self.tell(Event::MapOutputDamaged { shuffle, outputs });
    }

    fn output_moved(&mut self, what: &str, to: &str) {
        let (shuffle, map_partition) = what.trim_start_matches('s').split_once('.').unwrap();
        let shuffle = ShuffleId(number(shuffle));
        let map_partition = number(map_partition) as u32;
        let outputs = self.scheduler.map_outputs(shuffle).unwrap();
        let task = outputs.statuses()[map_partition as usize].as_ref().unwrap().task;
        let (executor, address) = (to.into(), to.into());
        let moved = MovedOutput { shuffle, map_partition, task, executor, address };
        self.tell(Event::MapOutputMoved(moved));
    }

    fn pass_to(&mut self, until: Time) {
        while let Some(at) = self.scheduler.next_wakeup().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.tell(Event::Wakeup);
        }
        self.now = until;
    }

    fn tell(&mut self, event: Event) {
        for action in self.scheduler.handle(event, self.now) {
            if let Action::LaunchTask { executor, task } = &action {
                self.executors.push((task.task, executor.clone(), task.stage));
            }
            if !matches!(action, Action::DemandChanged(_)) {
                writeln!(self.transcript, "    {action}").unwrap();
            }
        }
    }
}
