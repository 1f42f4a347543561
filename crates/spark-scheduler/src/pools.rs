//! Which task set is served next in FAIR mode (Spark's `FairSchedulingAlgorithm`).

use std::cmp::Ordering;
use std::sync::Arc;

use crate::options::PoolOptions;

/// The pool of jobs that name none.
pub(crate) const DEFAULT_POOL: &str = "default";

/// What a pool, or a task set in a FAIR pool, has and is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) name: Arc<str>,
    pub(crate) running: u32,
    pub(crate) options: PoolOptions,
}

impl Share {
    /// Which is served first: who is below its minimum share, by how much of it is there; then by
    /// how much runs for each unit of weight; then by name.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let needy = |share: &Self| share.running < share.options.minimum_share;
        match (needy(self), needy(other)) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) => ratio(self, other, |share| share.options.minimum_share),
            (false, false) => ratio(self, other, |share| share.options.weight),
        }
        .then_with(|| self.name.cmp(&other.name))
    }
}

/// Compares what runs relative to `unit`, without fractions.
fn ratio(a: &Share, b: &Share, unit: impl Fn(&Share) -> u32) -> Ordering {
    let of = |running: u32, other: &Share| u64::from(running) * u64::from(unit(other).max(1));
    of(a.running, b).cmp(&of(b.running, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SchedulingMode;

    fn share(name: &str, running: u32, weight: u32, minimum_share: u32) -> Share {
        let options = PoolOptions { mode: SchedulingMode::Fifo, weight, minimum_share };
        Share { name: name.into(), running, options }
    }

    /// Gives 30 slots to pools that always want more.
    fn split(mut shares: Vec<Share>) -> Vec<u32> {
        for _ in 0..30 {
            let next = (0..shares.len()).min_by(|a, b| shares[*a].compare(&shares[*b]));
            shares[next.expect("pools")].running += 1;
        }
        shares.iter().map(|share| share.running).collect()
    }

    #[test]
    fn slots_go_by_weight() {
        // 30 slots, weights 2 : 1, so 20 and 10.
        assert_eq!(split(vec![share("a", 0, 2, 0), share("b", 0, 1, 0)]), [20, 10]);
        assert_eq!(split(vec![share("a", 0, 1, 0), share("b", 0, 1, 0)]), [15, 15]);
    }

    #[test]
    fn minimum_shares_come_first() {
        // b gets its 18 first; then a is behind by weight and takes the other 12.
        assert_eq!(split(vec![share("a", 0, 1, 0), share("b", 0, 1, 18)]), [12, 18]);
    }
}
