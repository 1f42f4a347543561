//! Every stage of every question survives the trip: encoded, decoded and encoded again, it is the
//! same bytes, and shows the same plan.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionConfig;
use spark_exec::codec::{decode_context, decode_plan, encode_plan};
use spark_exec::stages::{CutOptions, cut};

use crate::cluster::{Question, session};
use crate::plans;

/// Subqueries are run before the cut; their plans are no part of a stage.
const NOT_CUT_AS_THEY_ARE: [&str; 2] = ["scalar subquery", "scalar subquery of nothing"];

#[tokio::test]
async fn stages_survive_the_trip() {
    let context = decode_context(SessionConfig::new(), Arc::new(RuntimeEnv::default()));
    let mut wrong = Vec::new();
    for Question { name, partitions, ask, .. } in plans::all() {
        if NOT_CUT_AS_THEY_ARE.contains(&name) {
            continue;
        }
        let session = session(partitions);
        let plan = ask(&session).await.create_physical_plan().await.unwrap();
        let options = CutOptions {
            partitions,
            keep_round_robin: true,
            reuse_exchanges: true,
            add_semi_joins: true,
        };
        for stage in cut(plan, &AtomicU64::new(0), options).unwrap().stages {
            let bytes = encode_plan(&stage.plan).unwrap();
            let back = decode_plan(&bytes, &context).unwrap();
            let show = |plan| displayable(plan).indent(true).to_string();
            let (sent, received) = (show(stage.plan.as_ref()), show(back.as_ref()));
            if sent != received || encode_plan(&back).unwrap() != bytes {
                wrong.push(format!("{name}:\n{sent}\n became\n{received}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
