//! Lost executors and lost map output: what is computed again.

use expect_test::expect;

use crate::script::check;

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
fn the_holder_of_a_bad_block_names_the_others() {
    check(
        "executor a on h1 with 1
         executor b on h2 with 1
         job 0
           map 0 x6
           result 1 x2 < 0
         ok 0 1 2 3 4 5
         fetch 6 s0.0 block
         damaged s0.0 s0.2
         at 200",
        expect![[r#"
            executor a on h1 with 1
            executor b on h2 with 1
            job 0
              map 0 x6
              result 1 x2 < 0
                stage 0.0 of job 0 submitted: 6 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on b: task 1.0 in stage 0.0
            ok 0 1 2 3 4 5
                launch TID 2 on a: task 2.0 in stage 0.0
                launch TID 3 on b: task 3.0 in stage 0.0
                launch TID 4 on a: task 4.0 in stage 0.0
                launch TID 5 on b: task 5.0 in stage 0.0
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 2 tasks
                launch TID 6 on a: task 0.0 in stage 1.0
                launch TID 7 on b: task 1.0 in stage 1.0
            fetch 6 s0.0 block
                stage 1.0 failed: s0.0 is missing
            damaged s0.0 s0.2
            at 200
                stage 0.1 of job 0 submitted: 2 tasks
                launch TID 8 on a: task 0.0 in stage 0.1
        "#]],
    );
}

/// Two bad blocks are two blocks; a third is one too many for the attempts that are left.
#[test]
fn a_server_is_believed_in_nothing_before_the_last_attempt() {
    check(
        "executor a on h1 with 1
         job 0
           map 0 x3
           result 1 x1 < 0
         ok 0 1 2
         fetch 3 s0.0 block
         at 200
         ok 4
         fetch 5 s0.1 block
         at 400
         ok 6
         fetch 7 s0.2 block
         at 600",
        expect![[r#"
            executor a on h1 with 1
            job 0
              map 0 x3
              result 1 x1 < 0
                stage 0.0 of job 0 submitted: 3 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
            ok 0 1 2
                launch TID 1 on a: task 1.0 in stage 0.0
                launch TID 2 on a: task 2.0 in stage 0.0
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 1 tasks
                launch TID 3 on a: task 0.0 in stage 1.0
            fetch 3 s0.0 block
                stage 1.0 failed: s0.0 is missing
            at 200
                stage 0.1 of job 0 submitted: 1 tasks
                launch TID 4 on a: task 0.0 in stage 0.1
            ok 4
                stage 0.1 succeeded
                stage 1.1 of job 0 submitted: 1 tasks
                launch TID 5 on a: task 0.0 in stage 1.1
            fetch 5 s0.1 block
                stage 1.1 failed: s0.1 is missing
            at 400
                stage 0.2 of job 0 submitted: 1 tasks
                launch TID 6 on a: task 1.0 in stage 0.2
            ok 6
                stage 0.2 succeeded
                stage 1.2 of job 0 submitted: 1 tasks
                launch TID 7 on a: task 0.0 in stage 1.2
            fetch 7 s0.2 block
                stage 1.2 failed: s0.2 is missing
            at 600
                stage 0.3 of job 0 submitted: 3 tasks
                launch TID 8 on a: task 0.0 in stage 0.3
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
fn output_moved_off_a_leaving_executor_is_not_recomputed() {
    check(
        "executor a on h1 with 2
         job 0
         map 0 x2
         result 1 x1 < 0
         drain a
         ok 0 1
         executor b on h2 with 1
         move s0.0 b
         lose a
         fetch 2 s0.1 block
         at 200",
        expect![[r#"
            executor a on h1 with 2
            job 0
              map 0 x2
              result 1 x1 < 0
                stage 0.0 of job 0 submitted: 2 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on a: task 1.0 in stage 0.0
            drain a
            ok 0 1
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 1 tasks
            executor b on h2 with 1
                launch TID 2 on b: task 0.0 in stage 1.0
            move s0.0 b
            lose a
            fetch 2 s0.1 block
                stage 1.0 failed: s0.1 is missing
            at 200
                stage 0.1 of job 0 submitted: 1 tasks
                launch TID 3 on b: task 1.0 in stage 0.1
        "#]],
    );
}

#[test]
fn a_shuffle_service_that_is_gone_loses_the_output_of_all_its_executors_at_once() {
    check(
        "executor a on h1 with 1
         executor b on h1 with 1
         job 0
         map 0 x2 served
         result 1 x1 < 0
         ok 0 1
         lose a kept
         lose b kept
         executor c on h2 with 2
         fetch 4 s0.0 address
         at 200",
        expect![[r#"
            executor a on h1 with 1
            executor b on h1 with 1
            job 0
              map 0 x2 served
              result 1 x1 < 0
                stage 0.0 of job 0 submitted: 2 tasks
                launch TID 0 on a: task 0.0 in stage 0.0
                launch TID 1 on b: task 1.0 in stage 0.0
            ok 0 1
                stage 0.0 succeeded
                stage 1.0 of job 0 submitted: 1 tasks
                launch TID 2 on a: task 0.0 in stage 1.0
            lose a kept
                launch TID 3 on b: task 0.1 in stage 1.0
            lose b kept
            executor c on h2 with 2
                launch TID 4 on c: task 0.2 in stage 1.0
            fetch 4 s0.0 address
                stage 1.0 failed: s0.0 is missing
            at 200
                stage 0.1 of job 0 submitted: 2 tasks
                launch TID 5 on c: task 0.0 in stage 0.1
                launch TID 6 on c: task 1.0 in stage 0.1
        "#]],
    );
}
