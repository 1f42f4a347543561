//! Slow tasks, and executors that fail too often.

use expect_test::expect;
use spark_scheduler::{ExclusionOptions, SchedulerOptions, SpeculationOptions};

use crate::script::play;

#[test]
fn a_slow_task_gets_a_second_copy_elsewhere_and_the_first_success_counts() {
    let options = SchedulerOptions {
        speculation: Some(SpeculationOptions { quantile: 0.75, ..SpeculationOptions::default() }),
        ..SchedulerOptions::default()
    };
    // Three of four tasks took 200 ms; three times the median is 600 ms.
    expect![[r#"
        executor a on h1 with 2
        executor b on h1 with 2
        job 0
          result 0 x4
            stage 0.0 of job 0 submitted: 4 tasks
            launch TID 0 on a: task 0.0 in stage 0.0
            launch TID 1 on b: task 1.0 in stage 0.0
            launch TID 2 on a: task 2.0 in stage 0.0
            launch TID 3 on b: task 3.0 in stage 0.0
        at 200
        ok 1 2 3
            result 1 of job 0 is that of TID 1
            result 2 of job 0 is that of TID 2
            result 3 of job 0 is that of TID 3
        at 600
        at 700
            launch TID 4 on b: task 0.1 in stage 0.0 ANY speculative
        ok 4
            result 0 of job 0 is that of TID 4
            kill TID 0 on a: another attempt succeeded
            stage 0.0 succeeded
            job 0 succeeded
            stage 0 released
        killed 0
    "#]]
    .assert_eq(&play(
        options,
        "executor a on h1 with 2
         executor b on h1 with 2
         job 0
           result 0 x4
         at 200
         ok 1 2 3
         at 600
         at 700
         ok 4
         killed 0",
    ));
}

#[test]
fn a_task_does_not_run_again_where_it_failed_and_gives_up_after_a_while() {
    let options = SchedulerOptions {
        exclusion: Some(ExclusionOptions::default()),
        ..SchedulerOptions::default()
    };
    expect![[r#"
        executor a on h1 with 1
        executor b on h2 with 1
        job 0
          result 0 x1
            stage 0.0 of job 0 submitted: 1 tasks
            launch TID 0 on a: task 0.0 in stage 0.0
        fail 0 bad disk
            launch TID 1 on b: task 0.1 in stage 0.0
        fail 1 bad disk
        why 0
            Some(Excluded)
        executor c on h3 with 1
            launch TID 2 on c: task 0.2 in stage 0.0
        fail 2 bad disk
        at 119999
        at 120000
            stage 0.0 failed: Aborting TaskSet 0.0 because task 0 (partition 0) cannot run anywhere due to node and executor excludeOnFailure. ExcludeOnFailure behavior can be configured via spark.excludeOnFailure.*.
            job 0 failed: Job aborted due to stage failure: Aborting TaskSet 0.0 because task 0 (partition 0) cannot run anywhere due to node and executor excludeOnFailure. ExcludeOnFailure behavior can be configured via spark.excludeOnFailure.*.
            stage 0 released
    "#]].assert_eq(&play(
        options,
        "executor a on h1 with 1
         executor b on h2 with 1
         job 0
           result 0 x1
         fail 0 bad disk
         fail 1 bad disk
         why 0
         executor c on h3 with 1
         fail 2 bad disk
         at 119999
         at 120000",
    ));
}

#[test]
fn an_executor_that_fails_tasks_of_stages_that_succeed_is_left_out_for_an_hour() {
    let options = SchedulerOptions {
        exclusion: Some(ExclusionOptions::default()),
        ..SchedulerOptions::default()
    };
    expect![[r#"
        executor a on h1 with 2
        executor b on h2 with 2
        job 0
          result 0 x3
            stage 0.0 of job 0 submitted: 3 tasks
            launch TID 0 on a: task 0.0 in stage 0.0
            launch TID 1 on b: task 1.0 in stage 0.0
            launch TID 2 on a: task 2.0 in stage 0.0
        fail 0 bad disk
            launch TID 3 on b: task 0.1 in stage 0.0
        fail 2 bad disk
        ok 1 3 4
            result 1 of job 0 is that of TID 1
            launch TID 4 on b: task 2.1 in stage 0.0
            result 0 of job 0 is that of TID 3
            result 2 of job 0 is that of TID 4
            stage 0.0 succeeded
            job 0 succeeded
            stage 0 released
        job 1
          result 1 x3
            stage 1.0 of job 1 submitted: 3 tasks
            launch TID 5 on b: task 0.0 in stage 1.0
            launch TID 6 on b: task 1.0 in stage 1.0
        ok 5 6 7
            result 0 of job 1 is that of TID 5
            launch TID 7 on b: task 2.0 in stage 1.0
            result 1 of job 1 is that of TID 6
            result 2 of job 1 is that of TID 7
            stage 1.0 succeeded
            job 1 succeeded
            stage 1 released
        at 3599999
        job 2
          result 2 x3
            stage 2.0 of job 2 submitted: 3 tasks
            launch TID 8 on b: task 0.0 in stage 2.0
            launch TID 9 on b: task 1.0 in stage 2.0
        at 3600000
            launch TID 10 on a: task 2.0 in stage 2.0
    "#]]
    .assert_eq(&play(
        options,
        "executor a on h1 with 2
         executor b on h2 with 2
         job 0
           result 0 x3
         fail 0 bad disk
         fail 2 bad disk
         ok 1 3 4
         job 1
           result 1 x3
         ok 5 6 7
         at 3599999
         job 2
           result 2 x3
         at 3600000",
    ));
}
