//! Stages whose second run gives other rows.

use expect_test::expect;

use crate::script::check;

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
