//! Tasks that fail: what counts, what is tried again, who may commit.

use expect_test::expect;
use spark_scheduler::SchedulerOptions;

use crate::script::{check, play};

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
