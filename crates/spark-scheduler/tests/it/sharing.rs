//! Who gets the slots: jobs, pools, places; cancellation; why something waits.

use expect_test::expect;
use spark_scheduler::{PoolOptions, SchedulerOptions, SchedulingMode};

use crate::script::{check, play};

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
