//! Functions that depend on the task that runs them.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use spark_functions::{scalar, task};
use std::sync::Arc;

use crate::harness::{context, empty_schema};

#[test]
fn each_partition_counts_its_own_rows() {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
    let batch = |values: Vec<i64>| {
        let column = Arc::new(arrow::array::Int64Array::from(values));
        RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap()
    };
    let parts = vec![vec![batch(vec![1, 2]), batch(vec![3])], vec![batch(vec![4, 5])]];
    let provider = MemTable::try_new(Arc::clone(&schema), parts).unwrap();
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    let empty = empty_schema();
    let id = scalar("monotonically_increasing_id", vec![], &context(&empty)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let frame = session.read_table(Arc::new(provider)).unwrap();
        let plan =
            frame.select(vec![id.alias("id")]).unwrap().create_physical_plan().await.unwrap();
        assert_eq!(plan.output_partitioning().partition_count(), 2);
        // The second run shows that nothing of the first stays in the plan.
        for _ in 0..2 {
            let mut seen = vec![];
            for partition in 0..2 {
                let stream = plan.execute(partition, session.task_ctx()).unwrap();
                let stream = task::scoped(stream, partition);
                let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
                for batch in batches {
                    seen.extend(batch.column(0).as_primitive::<Int64Type>().values().to_vec());
                }
            }
            assert_eq!(seen, [0, 1, 2, 1 << 33, (1 << 33) + 1]);
        }
    });
}
