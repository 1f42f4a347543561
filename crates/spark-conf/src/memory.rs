//! Memory of an executor: what tasks may use, and what the container needs on top.

use crate::conf::SparkConf;
use crate::error::ConfError;
use crate::table;

/// The overhead never falls below this (Spark's `MEMORY_OVERHEAD_MINIMUM`).
const OVERHEAD_MINIMUM_MIB: u64 = 384;

/// Memory of one executor in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorMemory {
    /// `spark.executor.memory`.
    pub heap_mib: u64,
    /// What the container needs on top.
    pub overhead_mib: u64,
}

impl ExecutorMemory {
    /// What is asked of the cluster.
    pub fn total_mib(&self) -> u64 {
        self.heap_mib + self.overhead_mib
    }
}

/// The executor memory a configuration asks for.
///
/// Overhead = `spark.mesos.executor.memoryOverhead`, else `spark.executor.memoryOverhead` (which the
/// reference ignores on Mesos), else `int(max(factor × memory, 384))` MiB; and the budget of map output on
/// a tmpfs (`spark.ferrospark.shuffle.memory`), which the container's limit counts too.
///
/// # Errors
/// When one of these settings is malformed.
pub fn executor_memory(conf: &SparkConf) -> Result<ExecutorMemory, ConfError> {
    let heap_mib = conf.get(&table::EXECUTOR_MEMORY)? >> 20;
    let explicit = match conf.get(&table::MESOS_EXECUTOR_MEMORY_OVERHEAD)? {
        Some(bytes) => Some(bytes),
        None => conf.get(&table::EXECUTOR_MEMORY_OVERHEAD)?,
    };
    let overhead_mib = match explicit {
        Some(bytes) => bytes >> 20,
        None => default_overhead(heap_mib, conf.get(&table::EXECUTOR_MEMORY_OVERHEAD_FACTOR)?),
    };
    let tmpfs_mib = conf.get(&table::SHUFFLE_MEMORY)?.div_ceil(1 << 20);
    Ok(ExecutorMemory { heap_mib, overhead_mib: overhead_mib + tmpfs_mib })
}

fn default_overhead(heap_mib: u64, factor: f64) -> u64 {
    let share = (heap_mib as f64 * factor) as u64;
    share.max(OVERHEAD_MINIMUM_MIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Origin;

    fn total(settings: &[(&str, &str)]) -> u64 {
        let mut conf = SparkConf::new();
        for (key, value) in settings {
            conf.set(Origin::Program, key, value);
        }
        executor_memory(&conf).unwrap().total_mib()
    }

    #[test]
    fn overhead_is_a_tenth_but_at_least_384() {
        assert_eq!(total(&[("spark.executor.memory", "512m")]), 896);
        assert_eq!(total(&[("spark.executor.memory", "4096m")]), 4505);
        assert_eq!(total(&[]), 1408);
    }

    #[test]
    fn explicit_overhead_wins() {
        let overhead = ("spark.mesos.executor.memoryOverhead", "512");
        assert_eq!(total(&[("spark.executor.memory", "1024m"), overhead]), 1536);
        assert_eq!(total(&[("spark.executor.memoryOverhead", "1g"), overhead]), 1536);
        assert_eq!(total(&[("spark.executor.memoryOverhead", "1g")]), 2048);
    }

    #[test]
    fn map_output_on_a_tmpfs_is_asked_for_on_top() {
        let budget = ("spark.ferrospark.shuffle.memory", "256m");
        assert_eq!(total(&[("spark.executor.memory", "512m"), budget]), 896 + 256);
        assert_eq!(total(&[("spark.executor.memoryOverhead", "1g"), budget]), 2048 + 256);
    }

    #[test]
    fn factor_counts() {
        assert_eq!(
            total(&[
                ("spark.executor.memory", "10g"),
                ("spark.executor.memoryOverheadFactor", "0.4")
            ]),
            10240 + 4096
        );
    }
}
