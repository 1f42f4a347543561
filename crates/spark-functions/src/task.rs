//! The task that evaluates functions right now: functions such as `rand` and `monotonically_increasing_id` depend on
//! its partition and on the rows it has seen.
//!
//! A plan instance may serve many tasks at once, so their state cannot live in the plan. It lives in a scope that the
//! task's stream enters for every poll.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::{Stream, StreamExt as _};

use crate::math::Random;

/// What one use of a function remembers within a task.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub rows_seen: u64,
    pub random: Option<Random>,
}

#[derive(Debug, Default)]
struct Task {
    partition: usize,
    /// By the identity of the function's use.
    states: Mutex<HashMap<u64, State>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Task>>> = const { RefCell::new(None) };
}

/// Runs with the state of a function's use in the current task; outside any task, with a state of its own that is
/// lost afterwards.
pub(crate) fn with_state<T>(id: u64, run: impl FnOnce(usize, &mut State) -> T) -> T {
    let task = CURRENT.with_borrow(Clone::clone).unwrap_or_default();
    let mut states = task.states.lock().unwrap_or_else(PoisonError::into_inner);
    run(task.partition, states.entry(id).or_default())
}

struct Scoped {
    inner: SendableRecordBatchStream,
    task: Arc<Task>,
}

impl Stream for Scoped {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let outer = CURRENT.replace(Some(Arc::clone(&self.task)));
        let polled = self.inner.poll_next_unpin(cx);
        CURRENT.set(outer);
        polled
    }
}

impl RecordBatchStream for Scoped {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}

/// The stream of one partition of a stage, evaluated as the task of that partition.
///
/// Every runner of plans wraps what it executes in this; without it all partitions count rows and draw random numbers
/// as if they were the first.
#[must_use]
pub fn scoped(stream: SendableRecordBatchStream, partition: usize) -> SendableRecordBatchStream {
    let task = Arc::new(Task { partition, states: Mutex::default() });
    Box::pin(Scoped { inner: stream, task })
}
