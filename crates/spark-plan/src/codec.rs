//! Bytes of this crate's physical operators, for executors in other processes.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

use crate::operators::{Operator, SparkExec};
use crate::range::{RangeExec, RangeSpec};

const MAGIC: &[u8; 4] = b"FSp1";
const RANGE: u8 = 1;
const COALESCE: u8 = 2;
const TAIL: u8 = 3;

/// Encodes the node itself, without its inputs; `None` when it is not one of ours.
#[must_use]
pub fn encode(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    let node: &dyn ExecutionPlan = plan.as_ref();
    if let Some(range) = node.downcast_ref::<RangeExec>() {
        bytes.push(RANGE);
        bytes.push(u8::from(range.with_id));
        for number in [range.spec.start, range.spec.end, range.spec.step] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend((range.spec.partitions as u64).to_le_bytes());
        return Some(bytes);
    }
    let exec = node.downcast_ref::<SparkExec>()?;
    let (tag, count) = match exec.operator {
        Operator::Coalesce(n) => (COALESCE, n),
        Operator::Tail(n) => (TAIL, n),
        Operator::LocalSort(_) | Operator::Exchange(_) | Operator::JoinHint(_) => return None,
    };
    bytes.push(tag);
    bytes.extend((count as u64).to_le_bytes());
    Some(bytes)
}

/// Decodes what [`encode`] wrote; `None` when the bytes are of another crate.
///
/// # Errors
/// When the bytes are ours but damaged.
pub fn decode(
    bytes: &[u8],
    inputs: &[Arc<dyn ExecutionPlan>],
    _context: &TaskContext,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(rest) = bytes.strip_prefix(MAGIC.as_slice()) else { return Ok(None) };
    let Some((tag, rest)) = rest.split_first() else {
        return datafusion::common::internal_err!("an encoded operator ends after its mark");
    };
    let number = |at: usize| -> Result<u64> {
        match rest.get(at..at + 8).and_then(|b| <[u8; 8]>::try_from(b).ok()) {
            Some(bytes) => Ok(u64::from_le_bytes(bytes)),
            None => datafusion::common::internal_err!("an encoded operator is too short"),
        }
    };
    let input = || match inputs.first() {
        Some(input) => Ok(Arc::clone(input)),
        None => datafusion::common::internal_err!("an encoded operator lost its input"),
    };
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let plan: Arc<dyn ExecutionPlan> = match *tag {
        RANGE => {
            let with_id = rest.first() == Some(&1);
            let spec = RangeSpec {
                start: number(1)?.cast_signed(),
                end: number(9)?.cast_signed(),
                step: number(17)?.cast_signed(),
                partitions: size(number(25)?),
            };
            Arc::new(RangeExec::new(spec, with_id))
        }
        COALESCE => Arc::new(SparkExec::new(Operator::Coalesce(size(number(0)?)), input()?)),
        TAIL => Arc::new(SparkExec::new(Operator::Tail(size(number(0)?)), input()?)),
        other => {
            return datafusion::common::internal_err!(
                "an encoded operator has the unknown tag {other}"
            );
        }
    };
    Ok(Some(plan))
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::{ExecutionPlanProperties, displayable};

    use super::*;

    fn round_trip(plan: &Arc<dyn ExecutionPlan>, inputs: &[Arc<dyn ExecutionPlan>]) {
        let bytes = encode(plan).unwrap();
        let decoded = decode(&bytes, inputs, &TaskContext::default()).unwrap().unwrap();
        let text = |p: &Arc<dyn ExecutionPlan>| displayable(p.as_ref()).indent(true).to_string();
        assert_eq!(text(&decoded), text(plan));
        assert_eq!(decoded.schema(), plan.schema());
        let partitions = |p: &Arc<dyn ExecutionPlan>| p.output_partitioning().partition_count();
        assert_eq!(partitions(&decoded), partitions(plan));
    }

    #[test]
    fn operators_come_back_as_they_were() {
        let spec = RangeSpec { start: -5, end: i64::MAX, step: 7, partitions: 9 };
        let range: Arc<dyn ExecutionPlan> = Arc::new(RangeExec::new(spec, true));
        round_trip(&range, &[]);
        let counted: Arc<dyn ExecutionPlan> = Arc::new(RangeExec::new(spec, false));
        round_trip(&counted, &[]);
        for operator in [Operator::Coalesce(4), Operator::Tail(3)] {
            let plan: Arc<dyn ExecutionPlan> =
                Arc::new(SparkExec::new(operator, Arc::clone(&range)));
            round_trip(&plan, &[Arc::clone(&range)]);
        }
    }

    #[test]
    fn foreign_and_damaged_bytes_are_told_apart() {
        let context = TaskContext::default();
        assert!(decode(b"other", &[], &context).unwrap().is_none());
        assert!(decode(b"FSp1", &[], &context).is_err());
        assert!(decode(b"FSp1\x01\x01\x00", &[], &context).is_err());
        assert!(decode(b"FSp1\x02\x01\x00\x00\x00\x00\x00\x00\x00", &[], &context).is_err());
    }
}
