//! Which stage runs when, and what a job keeps of it.

use expect_test::expect;

use crate::script::check;

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
