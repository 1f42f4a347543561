//! Cores that come by offers, as in Mesos' fine-grained mode.

use expect_test::expect;
use spark_scheduler::SchedulerOptions;

use crate::script::play;

#[test]
fn offered_cores_are_used_at_once_or_gone() {
    let options = SchedulerOptions { cores_by_offer: true, ..SchedulerOptions::default() };
    expect![[r#"
        executor a on h1 with 0
        executor b on h2 with 0
        job 0
          map 0 x3
          result 1 x1 < 0
            stage 0.0 of job 0 submitted: 3 tasks
        why 0
            Some(AllSlotsTaken)
        offer a 1 b 1 nobody 4
            launch TID 0 on a: task 0.0 in stage 0.0
            launch TID 1 on b: task 1.0 in stage 0.0
        ok 0
        offer a 3
            launch TID 2 on a: task 2.0 in stage 0.0
        ok 1
        lose a
        offer b 2
            launch TID 3 on b: task 2.1 in stage 0.0
            launch TID 4 on b: task 0.1 in stage 0.0
        ok 3 4
            stage 0.0 succeeded
            stage 1.0 of job 0 submitted: 1 tasks
        offer b 1
            launch TID 5 on b: task 0.0 in stage 1.0
        ok 5
            result 0 of job 0 is that of TID 5
            stage 1.0 succeeded
            job 0 succeeded
            stage 1 released
            shuffle 0 released
            stage 0 released
    "#]]
    .assert_eq(&play(
        options,
        "executor a on h1 with 0
         executor b on h2 with 0
         job 0
           map 0 x3
           result 1 x1 < 0
         why 0
         offer a 1 b 1 nobody 4
         ok 0
         offer a 3
         ok 1
         lose a
         offer b 2
         ok 3 4
         offer b 1
         ok 5",
    ));
}
