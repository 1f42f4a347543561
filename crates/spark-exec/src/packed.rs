//! Map output of few rows for each of many reduce partitions.
//!
//! A message for each pair of map task and reduce partition is what a shuffle of small pieces spends its time on: 200
//! by 200 make 40,000 messages. So when the pieces are small the map task writes one message with all rows in the
//! order of their reduce partitions, behind the number of rows that each has. It lies in the block's first segment; the
//! others are empty. A reading executor decodes it once, keeps it for its other tasks, and gives each its slice.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::physical_plan::Partitioning;
use std::sync::Arc;

use crate::batches::BatchDecoder;

/// From this many bytes for a reduce partition on, a message of its own is cheap.
const PIECE_BYTES: usize = 4 << 10;

/// The most that all map outputs of a shuffle together should have, so that executors keep them decoded.
const SHUFFLE_BYTES: usize = 32 << 20;

/// The most one packed output has.
const BLOCK_BYTES: usize = 4 << 20;

/// The most an executor keeps of decoded packed output.
pub(crate) const KEPT_BYTES: usize = 2 * SHUFFLE_BYTES;

/// Whether the output of one of `maps` tasks, of so many bytes, is to be packed.
pub(crate) fn is_worth_it(bytes: usize, routing: &Partitioning, maps: usize) -> bool {
    let partitions = routing.partition_count();
    partitions > 1
        && bytes < partitions.saturating_mul(PIECE_BYTES)
        && bytes <= BLOCK_BYTES.min(SHUFFLE_BYTES / maps.max(1))
}

/// What stands before the message: the rows of each reduce partition.
pub(crate) fn head(counts: &[u32]) -> Vec<u8> {
    counts.iter().flat_map(|count| count.to_le_bytes()).collect()
}

/// Each reduce partition's part of the bytes stored; it has some exactly if it has rows.
pub(crate) fn shares(counts: &[u32], stored: u64) -> Vec<u64> {
    let rows = counts.iter().copied().map(u64::from).sum::<u64>().max(1);
    counts.iter().map(|count| (u64::from(*count) * stored).div_ceil(rows)).collect()
}

/// Decodes packed output of so many reduce partitions: the ends of their rows, and the rows.
///
/// # Errors
/// If the bytes are not what a map task wrote.
pub(crate) fn decode(
    schema: &SchemaRef,
    bytes: Bytes,
    partitions: usize,
) -> Result<[RecordBatch; 2]> {
    let corrupt = || exec_datafusion_err!("a block of rows is corrupt: its counts do not fit");
    let mut rows = bytes;
    if rows.len() < partitions * 4 {
        return Err(corrupt());
    }
    let head = rows.split_to(partitions * 4);
    let mut end = 0_u32;
    let mut ends = Vec::with_capacity(partitions);
    for count in head.chunks_exact(4) {
        let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]);
        end = end.checked_add(count).ok_or_else(corrupt)?;
        ends.push(end);
    }
    let mut batches = BatchDecoder::new(Arc::clone(schema), rows);
    let rows = batches.next().ok_or_else(corrupt)??;
    if rows.num_rows() != end as usize || batches.next().is_some() {
        return Err(corrupt());
    }
    let ends: ArrayRef = Arc::new(UInt32Array::from(ends));
    Ok([RecordBatch::try_from_iter([("ends", ends)])?, rows])
}

/// The rows of some reduce partitions, if they have any.
pub(crate) fn rows(packed: &[RecordBatch], segments: &Range<u32>) -> Option<RecordBatch> {
    let [ends, rows] = packed else { return None };
    let ends = ends.column(0).as_any().downcast_ref::<UInt32Array>()?.values();
    let before = |segment: u32| match segment {
        0 => Some(0),
        _ => ends.get(segment as usize - 1).map(|end| *end as usize),
    };
    let (start, end) = (before(segments.start)?, before(segments.end)?);
    (end > start).then(|| rows.slice(start, end - start))
}
