use serde_json::Value;

use super::*;
use crate::{
    ExecutorLoss, FetchFailure, FetchFailureScope, JobSpec, MapOutput, MapOutputFate, MapSizes,
    Scheduler, SchedulerOptions, ShuffleId, TaskFailure, Time,
};

struct Driver {
    scheduler: Scheduler,
    recorder: EventRecorder,
    log: String,
    millis: u64,
    launched: Vec<TaskId>,
}

impl Driver {
    fn new() -> Self {
        let application = ApplicationInfo {
            name: "a \"quoted\" name\n".to_owned(),
            id: "f-1".to_owned(),
            user: "me".to_owned(),
            spark_version: "4.0.0".to_owned(),
        };
        let mut log = String::new();
        let properties = [("spark.app.name", "a \\ name")].into_iter();
        let recorder = EventRecorder::begin(&application, properties, 1000, &mut log);
        let scheduler = Scheduler::new(SchedulerOptions::default());
        Self { scheduler, recorder, log, millis: 1000, launched: Vec::new() }
    }

    fn tell(&mut self, event: Event) {
        self.millis += 10;
        let metrics = TaskMetrics {
            run_millis: 7,
            shuffle_written_bytes: 99,
            shuffle_write_nanos: 11,
            shuffle_wait_millis: 3,
            peak_memory_bytes: 1000,
            input_bytes: 21,
            input_records: 22,
            output_bytes: 23,
            output_records: 24,
            memory_spilled_bytes: 25,
            disk_spilled_bytes: 26,
            operators: vec![OperatorMetric { name: "1 Sort: output_rows".to_owned(), value: 5 }],
            ..Default::default()
        };
        self.recorder.record_event(&event, Some(&metrics), self.millis, &mut self.log);
        let actions = self.scheduler.handle(event, Time::from_millis(self.millis));
        self.recorder.record_actions(&actions, self.millis, &mut self.log);
        self.launched.extend(actions.iter().filter_map(|action| match action {
            Action::LaunchTask { task, .. } => Some(task.task),
            _ => None,
        }));
    }

    fn end(&mut self, task: u64, outcome: TaskOutcome) {
        self.tell(Event::TaskFinished { task: TaskId(task), outcome });
    }

    fn events(&self) -> Vec<Value> {
        self.log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn output() -> TaskOutcome {
    TaskOutcome::MapOutput(MapOutput { address: "a:1".into(), sizes: MapSizes::new(&[1]) })
}

fn short(event: &Value) -> String {
    let name = event["Event"].as_str().unwrap().trim_start_matches("SparkListener");
    let reason = event["Task End Reason"]["Reason"].as_str().unwrap_or_default();
    let task = event["Task Info"]["Task ID"].as_u64().map(|id| id.to_string()).unwrap_or_default();
    format!("{name} {task} {reason}").trim_end().to_owned()
}

#[test]
fn a_query_with_a_loss_is_told_in_sparks_words() {
    let mut driver = Driver::new();
    driver.tell(Event::ExecutorAdded { executor: "0".into(), host: "h".into(), cores: 2 });
    driver.tell(Event::ExecutorAdded { executor: "1".into(), host: "h".into(), cores: 1 });
    let job = JobSpec {
        job: JobId(0),
        stages: vec![
            StageSpec::shuffle_map(StageId(0), ShuffleId(0), 2, vec![]),
            StageSpec::result(StageId(1), 1, vec![ShuffleId(0)]),
        ],
        final_stage: StageId(1),
        properties: JobProperties { group: Some("g".into()), ..JobProperties::default() },
    };
    driver.tell(Event::JobSubmitted(job));
    driver.end(0, output());
    let failure = TaskFailure {
        message: "boom".into(),
        payload: [].into(),
        kind: crate::FailureKind::Counted,
    };
    driver.end(1, TaskOutcome::Failed(failure));
    let loss = ExecutorLoss {
        message: "killed".into(),
        caused_by_app: true,
        map_output: MapOutputFate::Lost,
    };
    driver.tell(Event::ExecutorLost { executor: "0".into(), loss });
    let mut task = 2;
    while driver.scheduler.demand().running_tasks > 0 {
        let stage = driver.recorder.tasks.get(&TaskId(task)).map(|run| run.description.stage);
        match stage {
            Some(StageId(0)) => driver.end(task, output()),
            Some(_) => driver.end(task, TaskOutcome::Result),
            None => {}
        }
        task += 1;
    }
    driver.recorder.end(0, driver.millis, &mut driver.log);
    let events = driver.events();
    let names: Vec<String> = events.iter().map(short).collect();
    assert_eq!(&names[..3], ["LogStart", "ApplicationStart", "EnvironmentUpdate"]);
    assert_eq!(names.last().unwrap(), "ApplicationEnd");
    let count = |name: &str| names.iter().filter(|n| n.starts_with(name)).count();
    assert_eq!(count("TaskStart"), driver.launched.len());
    assert_eq!(count("TaskEnd"), driver.launched.len());
    assert_eq!((count("JobStart"), count("JobEnd")), (1, 1));
    assert_eq!(count("StageSubmitted"), count("StageCompleted"));
    assert!(names.contains(&"TaskEnd 1 ExceptionFailure".to_owned()), "{names:#?}");
    assert_eq!((count("ExecutorAdded"), count("ExecutorRemoved")), (2, 1));
    // What a history server looks for.
    let start = events.iter().find(|e| e["Event"] == "SparkListenerJobStart").unwrap();
    assert_eq!(start["Stage IDs"], serde_json::json!([0, 1]));
    assert_eq!(start["Stage Infos"][1]["Parent IDs"], serde_json::json!([0]));
    assert_eq!(start["Properties"]["spark.jobGroup.id"], "g");
    let end = events.iter().find(|e| short(e) == "TaskEnd 0 Success").unwrap();
    assert_eq!(end["Task Type"], "ShuffleMapTask");
    assert_eq!(end["Task Metrics"]["Executor Run Time"], 7);
    assert_eq!(end["Task Metrics"]["Shuffle Write Metrics"]["Shuffle Bytes Written"], 99);
    assert_eq!(end["Task Info"]["Host"], "h");
    let measured = &end["Task Metrics"];
    assert_eq!(measured["Shuffle Write Metrics"]["Shuffle Write Time"], 11);
    assert_eq!(measured["Shuffle Read Metrics"]["Fetch Wait Time"], 3);
    assert_eq!(measured["Peak Execution Memory"], 1000);
    assert_eq!(
        measured["Input Metrics"],
        serde_json::json!({"Bytes Read": 21, "Records Read": 22})
    );
    assert_eq!(
        measured["Output Metrics"],
        serde_json::json!({"Bytes Written": 23, "Records Written": 24})
    );
    assert_eq!(measured["Memory Bytes Spilled"], 25);
    assert_eq!(measured["Disk Bytes Spilled"], 26);
    let (launch, finish) = (&end["Task Info"]["Launch Time"], &end["Task Info"]["Finish Time"]);
    assert!(launch.as_u64().unwrap() > 1000 && launch.as_u64() < finish.as_u64());
    assert_eq!(events[1]["App Name"], "a \"quoted\" name\n");
    assert_eq!(events[2]["Spark Properties"]["spark.app.name"], "a \\ name");
    // Operators' counts: of each task, and of each stage the sum over its successful tasks.
    assert_eq!(end["Task Info"]["Accumulables"][0]["Name"], "1 Sort: output_rows");
    assert_eq!(end["Task Info"]["Accumulables"][0]["Update"], "5");
    let done = events
        .iter()
        .find(|e| e["Event"] == "SparkListenerStageCompleted" && e["Stage Info"]["Stage ID"] == 1);
    let sums = done.unwrap()["Stage Info"]["Accumulables"].as_array().unwrap();
    assert_eq!(sums[0]["Value"], "5");
    // The engine's own, of all tasks of the stage.
    let sum = |name: &str| sums.iter().find(|sum| sum["Name"] == name).map(|sum| &sum["Value"]);
    assert_eq!(sum("internal.metrics.shuffle.read.fetchWaitTime"), Some(&3.into()));
    assert_eq!(sum("internal.metrics.input.recordsRead"), Some(&22.into()));
    assert_eq!(sum("internal.metrics.shuffle.read.remoteBytesRead"), None, "nobody read any");
    let maps = events
        .iter()
        .rfind(|e| e["Event"] == "SparkListenerStageCompleted" && e["Stage Info"]["Stage ID"] == 0);
    let maps = maps.unwrap()["Stage Info"]["Accumulables"].as_array().unwrap();
    let written = maps.iter().find(|s| s["Name"] == "internal.metrics.shuffle.write.writeTime");
    assert!(written.unwrap()["Value"].as_u64().unwrap() >= 33, "failed tasks count, too");
    let job_end = events.iter().find(|e| e["Event"] == "SparkListenerJobEnd").unwrap();
    assert_eq!(job_end["Job Result"]["Result"], "JobSucceeded");
}

#[test]
fn what_runs_on_a_lost_executor_ends_with_it_and_a_fetch_failure_names_its_block() {
    let mut driver = Driver::new();
    driver.tell(Event::ExecutorAdded { executor: "0".into(), host: "h".into(), cores: 1 });
    let job = JobSpec {
        job: JobId(3),
        stages: vec![
            StageSpec::shuffle_map(StageId(0), ShuffleId(5), 1, vec![]),
            StageSpec::result(StageId(1), 1, vec![ShuffleId(5)]),
        ],
        final_stage: StageId(1),
        properties: JobProperties::default(),
    };
    driver.tell(Event::JobSubmitted(job));
    driver.end(0, output());
    driver.end(
        1,
        TaskOutcome::FetchFailed(FetchFailure {
            shuffle: ShuffleId(5),
            map_partition: 0,
            map_task: Some(TaskId(0)),
            scope: FetchFailureScope::Block,
            message: "corrupt".into(),
        }),
    );
    driver.tell(Event::Wakeup);
    driver.millis += 1000;
    driver.tell(Event::Wakeup);
    let loss = ExecutorLoss {
        message: "host is gone".into(),
        caused_by_app: false,
        map_output: MapOutputFate::Lost,
    };
    driver.tell(Event::ExecutorLost { executor: "0".into(), loss });
    driver.tell(Event::JobCancelled { job: JobId(3), reason: "".into() });
    let events = driver.events();
    let fetch = events.iter().find(|e| short(e) == "TaskEnd 1 FetchFailed").unwrap();
    assert_eq!(fetch["Task End Reason"]["Shuffle ID"], 5);
    let lost = events.iter().find(|e| short(e) == "TaskEnd 2 ExecutorLostFailure").unwrap();
    assert_eq!(lost["Task End Reason"]["Loss Reason"], "host is gone");
    assert_eq!(lost["Task Info"]["Failed"], true);
    let end = events.iter().find(|e| e["Event"] == "SparkListenerJobEnd").unwrap();
    assert_eq!(end["Job Result"]["Result"], "JobFailed");
    assert!(driver.recorder.tasks.is_empty());
}
