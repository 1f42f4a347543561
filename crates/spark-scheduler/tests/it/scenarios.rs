//! What Spark does, told as stories.

use expect_test::{Expect, expect};
use spark_scheduler::{
    ExclusionOptions, PoolOptions, SchedulerOptions, SchedulingMode, SpeculationOptions,
};

use crate::script::play;

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(SchedulerOptions::default(), script));
}

#[test]
fn stages_run_in_waves_over_the_slots() {
    check(
        "executor a on h1 with 1
         executor b on h2 with 1
         job 0
           map 0 x3
           result 1 x2 < 0
         ok 0 1 2 3 4",
        expect![[r#"
            executor a on h1 with 1
            executor b on h2 with 1
            job 0
              map 0 x3
              result 1 x2 < 0
                stage 0.0 of job 0 submitted: 3 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on b: task 1.0 in stage 0.0
            ok 0 1 2 3 4
                launch TID 2 on a: task 2.0 in stage 0.0
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 2 tasks
                launch TID 3 on b: task 0.0 in stage 1.0
                launch TID 4 on a: task 1.0 in stage 1.0
                result 0 of job 0 is that of TID 3
                result 1 of job 0 is that of TID 4
                stage 1.0 succeeded
                job 0 succeeded
                stage 1 released
                shuffle 0 released
                stage 0 released
        "#]],
    );
}

#[test]
fn a_task_that_fails_four_times_ends_its_job_with_its_own_error() {
    check(
        "executor a on h1 with 2
         job 0
           result 0 x2
         fail 0 division by zero
         ok 1
         fail 2 division by zero
         uncounted 3 commit denied
         fail 4 division by zero
         fail 5 division by zero",
        expect![[r#"
            executor a on h1 with 2
            job 0
              result 0 x2
                stage 0.0 of job 0 submitted: 2 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on a: task 1.0 in stage 0.0
            fail 0 division by zero
                launch TID 2 on a: task 0.1 in stage 0.0
            ok 1
                result 1 of job 0 is that of TID 1
            fail 2 division by zero
                launch TID 3 on a: task 0.2 in stage 0.0
            uncounted 3 commit denied
                launch TID 4 on a: task 0.3 in stage 0.0
            fail 4 division by zero
                launch TID 5 on a: task 0.4 in stage 0.0
            fail 5 division by zero
                stage 0.0 failed: Task 0 in stage 0.0 failed 4 times, most recent failure: Lost task 0.4 in stage 0.0 (TID 5) (h1 executor a): division by zero
                job 0 failed: Job aborted due to stage failure: Task 0 in stage 0.0 failed 4 times, most recent failure: Lost task 0.4 in stage 0.0 (TID 5) (h1 executor a): division by zero
                stage 0 released
        "#]],
    );
}

#[test]
fn a_fatal_failure_is_not_tried_again_and_the_rest_is_stopped() {
    check(
        "executor a on h1 with 2
         job 0
           result 0 x3
         fatal 0 output path exists
         killed 1",
        expect![[r#"
            executor a on h1 with 2
            job 0
              result 0 x3
                stage 0.0 of job 0 submitted: 3 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on a: task 1.0 in stage 0.0
            fatal 0 output path exists
                stage 0.0 failed: Task 0 in stage 0.0 failed and cannot be tried again, most recent failure: Lost task 0.0 in stage 0.0 (TID 0) (h1 executor a): output path exists
                kill TID 1 on a: job failed
                job 0 failed: Job aborted due to stage failure: Task 0 in stage 0.0 failed and cannot be tried again, most recent failure: Lost task 0.0 in stage 0.0 (TID 0) (h1 executor a): output path exists
                stage 0 released
            killed 1
        "#]],
    );
}

#[test]
fn losses_count_only_if_the_application_caused_them() {
    expect![[r#"
        executor a on h1 with 1
        job 0
          result 0 x1
            stage 0.0 of job 0 submitted: 1 tasks
            launch TID 0 on a: task 0.0 in stage 0.0
        lose a
        executor b on h1 with 1
            launch TID 1 on b: task 0.1 in stage 0.0
        lose b
        executor c on h1 with 1
            launch TID 2 on c: task 0.2 in stage 0.0
        lose c app
        executor d on h1 with 1
            launch TID 3 on d: task 0.3 in stage 0.0
        lose d app
            stage 0.0 failed: Task 0 in stage 0.0 failed 2 times, most recent failure: Lost task 0.3 in stage 0.0 (TID 3) (h1 executor d): ExecutorLostFailure (executor d exited caused by one of the running tasks) Reason: gone
            job 0 failed: Job aborted due to stage failure: Task 0 in stage 0.0 failed 2 times, most recent failure: Lost task 0.3 in stage 0.0 (TID 3) (h1 executor d): ExecutorLostFailure (executor d exited caused by one of the running tasks) Reason: gone
            stage 0 released
    "#]].assert_eq(&play(
        SchedulerOptions { max_failures: 2, ..SchedulerOptions::default() },
        "executor a on h1 with 1
         job 0
           result 0 x1
         lose a
         executor b on h1 with 1
         lose b
         executor c on h1 with 1
         lose c app
         executor d on h1 with 1
         lose d app",
    ));
}

#[test]
fn a_lost_executor_costs_what_was_on_it_and_still_needed() {
    check(
        "executor a on h1 with 2
         executor b on h2 with 2
         job 0
           map 0 x4
           map 1 x2 < 0
           result 2 x4 < 1
         ok 0 1 2 3
         ok 4 5
         lose a
         executor c on h1 with 2
         at 200
         ok 8 9 10 11 12 13",
        expect![[r#"
            executor a on h1 with 2
            executor b on h2 with 2
            job 0
              map 0 x4
              map 1 x2 < 0
              result 2 x4 < 1
                stage 0.0 of job 0 submitted: 4 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on b: task 1.0 in stage 0.0
                launch TID 2 on a: task 2.0 in stage 0.0
                launch TID 3 on b: task 3.0 in stage 0.0
            ok 0 1 2 3
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 2 tasks
                launch TID 4 on a: task 0.0 in stage 1.0
                launch TID 5 on b: task 1.0 in stage 1.0
            ok 4 5
                stage 1.0 succeeded
                stage 2.0 of job 0 submitted: 4 tasks
                launch TID 6 on a: task 0.0 in stage 2.0
                launch TID 7 on b: task 1.0 in stage 2.0
                launch TID 8 on a: task 2.0 in stage 2.0
                launch TID 9 on b: task 3.0 in stage 2.0
            lose a
            executor c on h1 with 2
            at 200
                stage 0.1 of job 0 submitted: 2 tasks
                launch TID 10 on c: task 0.0 in stage 0.1
                launch TID 11 on c: task 2.0 in stage 0.1
            ok 8 9 10 11 12 13
                result 3 of job 0 is that of TID 9
                stage 0.1 succeeded
                stage 1.1 of job 0 submitted: 1 tasks
                launch TID 12 on b: task 0.0 in stage 1.1
                stage 1.1 succeeded
                launch TID 13 on c: task 2.1 in stage 2.0
                launch TID 14 on b: task 0.1 in stage 2.0
                result 2 of job 0 is that of TID 13
        "#]],
    );
}

#[test]
fn a_fetch_failure_recomputes_only_what_is_lost() {
    check(
        "executor a on h1 with 1
         executor b on h2 with 1
         job 0
           map 0 x4
           result 1 x3 < 0
         ok 0 1 2 3
         fetch 4 s0.1 block
         ok 5
         at 199
         at 200
         ok 6 7 8",
        expect![[r#"
            executor a on h1 with 1
            executor b on h2 with 1
            job 0
              map 0 x4
              result 1 x3 < 0
                stage 0.0 of job 0 submitted: 4 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on b: task 1.0 in stage 0.0
            ok 0 1 2 3
                launch TID 2 on a: task 2.0 in stage 0.0
                launch TID 3 on b: task 3.0 in stage 0.0
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 3 tasks
                launch TID 4 on a: task 0.0 in stage 1.0
                launch TID 5 on b: task 1.0 in stage 1.0
            fetch 4 s0.1 block
                stage 1.0 failed: s0.1 is missing
            ok 5
                result 1 of job 0 is that of TID 5
            at 199
            at 200
                stage 0.1 of job 0 submitted: 1 tasks
                launch TID 6 on a: task 1.0 in stage 0.1
            ok 6 7 8
                stage 0.1 succeeded
                stage 1.1 of job 0 submitted: 2 tasks
                launch TID 7 on b: task 0.0 in stage 1.1
                launch TID 8 on a: task 2.0 in stage 1.1
                result 0 of job 0 is that of TID 7
                result 2 of job 0 is that of TID 8
                stage 1.1 succeeded
                job 0 succeeded
                stage 1 released
                shuffle 0 released
                stage 0 released
        "#]],
    );
}

#[test]
fn a_server_that_does_not_answer_loses_all_its_output() {
    check(
        "executor a on h1 with 1
         executor b on h2 with 1
         job 0
           map 0 x4
           result 1 x1 < 0
         ok 0 1 2 3
         fetch 4 s0.1 address
         at 200",
        expect![[r#"
            executor a on h1 with 1
            executor b on h2 with 1
            job 0
              map 0 x4
              result 1 x1 < 0
                stage 0.0 of job 0 submitted: 4 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on b: task 1.0 in stage 0.0
            ok 0 1 2 3
                launch TID 2 on a: task 2.0 in stage 0.0
                launch TID 3 on b: task 3.0 in stage 0.0
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 1 tasks
                launch TID 4 on a: task 0.0 in stage 1.0
            fetch 4 s0.1 address
                stage 1.0 failed: s0.1 is missing
            at 200
                stage 0.1 of job 0 submitted: 2 tasks
                launch TID 5 on b: task 1.0 in stage 0.1
                launch TID 6 on a: task 3.0 in stage 0.1
        "#]],
    );
}

#[test]
fn a_stage_gives_up_after_four_attempts_with_fetch_failures() {
    check(
        "executor a on h1 with 1
         job 0
           map 0 x1
           result 1 x1 < 0
         ok 0
         fetch 1 s0.0 block
         at 200
         ok 2
         fetch 3 s0.0 block
         at 400
         ok 4
         fetch 5 s0.0 block
         at 600
         ok 6
         fetch 7 s0.0 block",
        expect![[r#"
            executor a on h1 with 1
            job 0
              map 0 x1
              result 1 x1 < 0
                stage 0.0 of job 0 submitted: 1 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
            ok 0
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 1 tasks
                launch TID 1 on a: task 0.0 in stage 1.0
            fetch 1 s0.0 block
                stage 1.0 failed: s0.0 is missing
            at 200
                stage 0.1 of job 0 submitted: 1 tasks
                launch TID 2 on a: task 0.0 in stage 0.1
            ok 2
                stage 0.1 succeeded
                stage 1.1 of job 0 submitted: 1 tasks
                launch TID 3 on a: task 0.0 in stage 1.1
            fetch 3 s0.0 block
                stage 1.1 failed: s0.0 is missing
            at 400
                stage 0.2 of job 0 submitted: 1 tasks
                launch TID 4 on a: task 0.0 in stage 0.2
            ok 4
                stage 0.2 succeeded
                stage 1.2 of job 0 submitted: 1 tasks
                launch TID 5 on a: task 0.0 in stage 1.2
            fetch 5 s0.0 block
                stage 1.2 failed: s0.0 is missing
            at 600
                stage 0.3 of job 0 submitted: 1 tasks
                launch TID 6 on a: task 0.0 in stage 0.3
            ok 6
                stage 0.3 succeeded
                stage 1.3 of job 0 submitted: 1 tasks
                launch TID 7 on a: task 0.0 in stage 1.3
            fetch 7 s0.0 block
                stage 1.3 failed: s0.0 is missing
                job 0 failed: Job aborted due to stage failure: ResultStage 1 has failed the maximum allowable number of times: 4 (spark.stage.maxConsecutiveAttempts). Most recent failure reason: s0.0 is missing
                stage 1 released
                shuffle 0 released
                stage 0 released
        "#]],
    );
}

#[test]
fn a_late_success_of_a_failed_attempt_counts_and_stops_its_twin() {
    check(
        "executor a on h1 with 2
         job 0
           map 0 x1
           result 1 x2 < 0
         ok 0
         fetch 1 s0.0 block
         at 200
         ok 3
         ok 2",
        expect![[r#"
            executor a on h1 with 2
            job 0
              map 0 x1
              result 1 x2 < 0
                stage 0.0 of job 0 submitted: 1 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
            ok 0
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 2 tasks
                launch TID 1 on a: task 0.0 in stage 1.0
                launch TID 2 on a: task 1.0 in stage 1.0
            fetch 1 s0.0 block
                stage 1.0 failed: s0.0 is missing
            at 200
                stage 0.1 of job 0 submitted: 1 tasks
                launch TID 3 on a: task 0.0 in stage 0.1
            ok 3
                stage 0.1 succeeded
                stage 1.1 of job 0 submitted: 2 tasks
                launch TID 4 on a: task 0.0 in stage 1.1
            ok 2
                result 1 of job 0 is that of TID 2
        "#]],
    );
}

#[test]
fn an_indeterminate_stage_runs_again_with_all_its_readers() {
    check(
        "executor a on h1 with 2
         job 0
           map 0 x2 indeterminate
           map 1 x2 < 0
           result 2 x1 < 1
         ok 0 1
         ok 2
         fetch 3 s0.0 block
         at 200
         ok 4 5 6 7 8",
        expect![[r#"
            executor a on h1 with 2
            job 0
              map 0 x2 indeterminate
              map 1 x2 < 0
              result 2 x1 < 1
                stage 0.0 of job 0 submitted: 2 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on a: task 1.0 in stage 0.0
            ok 0 1
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 2 tasks
                launch TID 2 on a: task 0.0 in stage 1.0
                launch TID 3 on a: task 1.0 in stage 1.0
            ok 2
            fetch 3 s0.0 block
                stage 1.0 failed: s0.0 is missing
            at 200
                stage 0.1 of job 0 submitted: 2 tasks
                launch TID 4 on a: task 0.0 in stage 0.1
                launch TID 5 on a: task 1.0 in stage 0.1
            ok 4 5 6 7 8
                stage 0.1 succeeded
                stage 1.1 of job 0 submitted: 2 tasks
                launch TID 6 on a: task 0.0 in stage 1.1
                launch TID 7 on a: task 1.0 in stage 1.1
                stage 1.1 succeeded
                stage 2.0 of job 0 submitted: 1 tasks
                launch TID 8 on a: task 0.0 in stage 2.0
                result 0 of job 0 is that of TID 8
                stage 2.0 succeeded
                job 0 succeeded
                stage 2 released
                shuffle 1 released
                stage 1 released
                shuffle 0 released
                stage 0 released
        "#]],
    );
}

#[test]
fn results_made_from_indeterminate_output_cannot_be_taken_back() {
    check(
        "executor a on h1 with 1
         job 0
           map 0 x1 indeterminate
           result 1 x2 < 0
         ok 0
         ok 1
         fetch 2 s0.0 block
         at 200",
        expect![[r#"
            executor a on h1 with 1
            job 0
              map 0 x1 indeterminate
              result 1 x2 < 0
                stage 0.0 of job 0 submitted: 1 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
            ok 0
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 2 tasks
                launch TID 1 on a: task 0.0 in stage 1.0
            ok 1
                result 0 of job 0 is that of TID 1
                launch TID 2 on a: task 1.0 in stage 1.0
            fetch 2 s0.0 block
                stage 1.0 failed: s0.0 is missing
            at 200
                job 0 failed: Job aborted due to stage failure: A shuffle map stage with indeterminate output was failed and retried. However, Spark cannot rollback the ResultStage 1 to re-process the input data, and has to fail this job. Please eliminate the indeterminacy by checkpointing the RDD before repartition and try again.
                stage 1 released
                shuffle 0 released
                stage 0 released
        "#]],
    );
}

#[test]
fn map_output_that_a_shuffle_service_keeps_is_not_recomputed() {
    check(
        "executor a on h1 with 2
         job 0
           map 0 x2
           result 1 x1 < 0
         ok 0 1
         lose a kept
         executor b on h1 with 1
         ok 3",
        expect![[r#"
            executor a on h1 with 2
            job 0
              map 0 x2
              result 1 x1 < 0
                stage 0.0 of job 0 submitted: 2 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on a: task 1.0 in stage 0.0
            ok 0 1
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 1 tasks
                launch TID 2 on a: task 0.0 in stage 1.0
            lose a kept
            executor b on h1 with 1
                launch TID 3 on b: task 0.1 in stage 1.0
            ok 3
                result 0 of job 0 is that of TID 3
                stage 1.0 succeeded
                job 0 succeeded
                stage 1 released
                shuffle 0 released
                stage 0 released
        "#]],
    );
}

#[test]
fn a_map_stage_job_keeps_its_shuffle_for_later_jobs() {
    check(
        "executor a on h1 with 2
         job 0 retain
           map 0 x2
         ok 0 1
         job 1
           map 0 x2
           result 1 x1 < 0
         ok 2
         release 0",
        expect![[r#"
            executor a on h1 with 2
            job 0 retain
              map 0 x2
                stage 0.0 of job 0 submitted: 2 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on a: task 1.0 in stage 0.0
            ok 0 1
                stage 0.0 succeeded
                job 0 succeeded
            job 1
              map 0 x2
              result 1 x1 < 0
                stage 1.0 of job 1 submitted: 1 tasks
                launch TID 2 on a: task 0.0 in stage 1.0
            ok 2
                result 0 of job 1 is that of TID 2
                stage 1.0 succeeded
                job 1 succeeded
                stage 1 released
            release 0
                shuffle 0 released
                stage 0 released
        "#]],
    );
}

#[test]
fn earlier_jobs_go_first_and_groups_and_tags_are_cancelled() {
    check(
        "executor a on h1 with 1
         job 0 group=g
           result 0 x2
         job 1 tag=t
           result 1 x2
         job 2
           result 2 x1
         cancel group g
         killed 0
         cancel tag t
         killed 1
         cancel stage 2
         killed 2
         cancel 2",
        expect![[r#"
            executor a on h1 with 1
            job 0 group=g
              result 0 x2
                stage 0.0 of job 0 submitted: 2 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
            job 1 tag=t
              result 1 x2
                stage 1.0 of job 1 submitted: 2 tasks
            job 2
              result 2 x1
                stage 2.0 of job 2 submitted: 1 tasks
            cancel group g
                stage 0.0 failed: job cancelled
                kill TID 0 on a: job cancelled
                job 0 ended: Job 0 cancelled part of cancelled job group g
                stage 0 released
            killed 0
                launch TID 1 on a: task 0.0 in stage 1.0
            cancel tag t
                stage 1.0 failed: job cancelled
                kill TID 1 on a: job cancelled
                job 1 ended: Job 1 cancelled part of cancelled job tag t
                stage 1 released
            killed 1
                launch TID 2 on a: task 0.0 in stage 2.0
            cancel stage 2
                stage 2.0 failed: job cancelled
                kill TID 2 on a: job cancelled
                job 2 ended: Job 2 cancelled because Stage 2 was cancelled
                stage 2 released
            killed 2
            cancel 2
        "#]],
    );
}

#[test]
fn an_end_reported_twice_or_by_a_lost_executor_is_dropped() {
    check(
        "executor a on h1 with 1
         job 0
           result 0 x2
         ok 0
         ok 0
         lose a
         ok 1
         executor b on h1 with 1
         ok 2",
        expect![[r#"
            executor a on h1 with 1
            job 0
              result 0 x2
                stage 0.0 of job 0 submitted: 2 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
            ok 0
                result 0 of job 0 is that of TID 0
                launch TID 1 on a: task 1.0 in stage 0.0
            ok 0
            lose a
            ok 1
            executor b on h1 with 1
                launch TID 2 on b: task 1.1 in stage 0.0
            ok 2
                result 1 of job 0 is that of TID 2
                stage 0.0 succeeded
                job 0 succeeded
                stage 0 released
        "#]],
    );
}

#[test]
fn a_task_waits_three_seconds_for_its_host_and_then_goes_anywhere() {
    check(
        "executor a on h1 with 1
         executor b on h2 with 1
         job 0
           result 0 x3 prefers h1 h1 -
         why 0
         at 2999
         ok 1
         why 0
         at 3000",
        expect![[r#"
            executor a on h1 with 1
            executor b on h2 with 1
            job 0
              result 0 x3 prefers h1 h1 -
                stage 0.0 of job 0 submitted: 3 tasks
                launch TID 0 on a: task 0.0 in stage 0.0 NODE_LOCAL
                launch TID 1 on b: task 2.0 in stage 0.0
            why 0
                Some(AllSlotsTaken)
            at 2999
            ok 1
                result 2 of job 0 is that of TID 1
            why 0
                Some(LocalityWait(Time(3s)))
            at 3000
                launch TID 2 on b: task 1.0 in stage 0.0 ANY
        "#]],
    );
}

#[test]
fn one_attempt_at_a_time_may_commit_a_partition() {
    check(
        "executor a on h1 with 1
         job 0
           result 0 x1
         commit 0
         commit 0
         fail 0 after commit was allowed
         commit 1",
        expect![[r#"
            executor a on h1 with 1
            job 0
              result 0 x1
                stage 0.0 of job 0 submitted: 1 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
            commit 0
                TID 0 on a may commit
            commit 0
                TID 0 on a may commit
            fail 0 after commit was allowed
                launch TID 1 on a: task 0.1 in stage 0.0
            commit 1
                TID 1 on a may commit
        "#]],
    );
}

#[test]
fn what_cannot_run_says_why_it_waits() {
    check(
        "job 0
           result 0 x2 cpus 2
         why 0
         executor a on h1 with 1
         why 0
         executor b on h2 with 2
         why 0
         drain b
         ok 0
         why 0",
        expect![[r#"
            job 0
              result 0 x2 cpus 2
                stage 0.0 of job 0 submitted: 2 tasks
            why 0
                Some(NoExecutors)
            executor a on h1 with 1
            why 0
                Some(ExecutorsTooSmall)
            executor b on h2 with 2
                launch TID 0 on b: task 0.0 in stage 0.0
            why 0
                Some(AllSlotsTaken)
            drain b
            ok 0
                result 0 of job 0 is that of TID 0
            why 0
                Some(AllSlotsTaken)
        "#]],
    );
}

#[test]
fn a_job_that_does_not_fit_together_is_refused() {
    check(
        "job 0
           result 1 x1 < 7
         job 1
           map 2 x1
           result 3 x0",
        expect![[r#"
            job 0
              result 1 x1 < 7
                job 0 failed: Job 0 refused: stage 1 reads shuffles [7], of which one is made by no stage
            job 1
              map 2 x1
              result 3 x0
                shuffle 2 released
                stage 2 released
                job 1 succeeded
                stage 3 released
        "#]],
    );
}

#[test]
fn fair_pools_share_by_weight_and_fifo_inside() {
    let pool = PoolOptions { weight: 2, ..PoolOptions::default() };
    let options = SchedulerOptions {
        mode: SchedulingMode::Fair,
        pools: [("heavy".into(), pool)].into(),
        ..SchedulerOptions::default()
    };
    // Six slots, weights 2 : 1, so four and two.
    expect![[r#"
        job 0 pool=light
          result 0 x4
            stage 0.0 of job 0 submitted: 4 tasks
        job 1 pool=heavy
          result 1 x3
            stage 1.0 of job 1 submitted: 3 tasks
        job 2 pool=heavy
          result 2 x4
            stage 2.0 of job 2 submitted: 4 tasks
        executor a on h1 with 6
            launch TID 0 on a: task 0.0 in stage 1.0
            launch TID 1 on a: task 0.0 in stage 0.0
            launch TID 2 on a: task 1.0 in stage 1.0
            launch TID 3 on a: task 2.0 in stage 1.0
            launch TID 4 on a: task 1.0 in stage 0.0
            launch TID 5 on a: task 0.0 in stage 2.0
        ok 0
            result 0 of job 1 is that of TID 0
            launch TID 6 on a: task 1.0 in stage 2.0
        ok 1
            result 0 of job 0 is that of TID 1
            launch TID 7 on a: task 2.0 in stage 0.0
    "#]]
    .assert_eq(&play(
        options,
        "job 0 pool=light
           result 0 x4
         job 1 pool=heavy
           result 1 x3
         job 2 pool=heavy
           result 2 x4
         executor a on h1 with 6
         ok 0
         ok 1",
    ));
}

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
