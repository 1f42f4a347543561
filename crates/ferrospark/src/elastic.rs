//! What lets executors come and go, and leaves a record: dynamic allocation, the shuffle service, the event log.

use std::path::PathBuf;

use anyhow::Context as _;
use spark_conf::{SparkConf, table};
use spark_exec::{EngineOptions, EventLogOptions};
use spark_scheduler::{AllocationOptions, ApplicationInfo};

/// Fills in the engine's options of these properties; the application's id is known.
///
/// # Errors
/// On settings that contradict each other, or an event log directory that is not there.
pub(crate) fn apply(
    conf: &SparkConf,
    user: &str,
    options: &mut EngineOptions,
) -> anyhow::Result<()> {
    if conf.get(&table::SHUFFLE_SERVICE_ENABLED)? {
        options.shuffle_service_port = Some(conf.get(&table::SHUFFLE_SERVICE_PORT)?);
    }
    if let Some(cores) = conf.get(&table::EXECUTOR_CORES)? {
        options.executor_cores = number(cores);
    }
    options.allocation = allocation(conf)?;
    options.event_log = event_log(conf, user, &options.app_id)?;
    Ok(())
}

fn number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn allocation(conf: &SparkConf) -> anyhow::Result<Option<AllocationOptions>> {
    if !conf.get(&table::DYNAMIC_ALLOCATION)? {
        return Ok(None);
    }
    let instances = conf.get(&table::EXECUTOR_INSTANCES)?.unwrap_or(0);
    let initial = conf.get(&table::DYNAMIC_ALLOCATION_INITIAL)?.max(instances);
    let set = |name: &str| conf.explicit(name).is_some();
    let backlog = conf.get(&table::DYNAMIC_ALLOCATION_BACKLOG_TIMEOUT)?;
    let options = AllocationOptions {
        min_executors: number(conf.get(&table::DYNAMIC_ALLOCATION_MIN)?),
        max_executors: number(conf.get(&table::DYNAMIC_ALLOCATION_MAX)?),
        initial_executors: number(initial),
        idle_timeout: conf.get(&table::DYNAMIC_ALLOCATION_IDLE_TIMEOUT)?,
        cached_idle_timeout: conf.get(&table::DYNAMIC_ALLOCATION_CACHED_IDLE_TIMEOUT)?,
        shuffle_timeout: conf.get(&table::DYNAMIC_ALLOCATION_SHUFFLE_TIMEOUT)?,
        backlog_timeout: set(table::DYNAMIC_ALLOCATION_BACKLOG_TIMEOUT.name()).then_some(backlog),
        sustained_backlog_timeout: conf.get(&table::DYNAMIC_ALLOCATION_SUSTAINED_TIMEOUT)?,
        allocation_ratio: conf.get(&table::DYNAMIC_ALLOCATION_RATIO)?,
        shuffle_service: conf.get(&table::SHUFFLE_SERVICE_ENABLED)?,
    };
    options.check().map_err(anyhow::Error::msg)?;
    Ok(Some(options))
}

fn event_log(
    conf: &SparkConf,
    user: &str,
    application: &str,
) -> anyhow::Result<Option<EventLogOptions>> {
    if !conf.get(&table::EVENT_LOG_ENABLED)? {
        return Ok(None);
    }
    let text = conf.get(&table::EVENT_LOG_DIR)?;
    let directory = PathBuf::from(text.strip_prefix("file:").map_or(&*text, |path| {
        // file:/path and file:///path name the same.
        path.strip_prefix("//").unwrap_or(path)
    }));
    let found = std::fs::metadata(&directory)
        .with_context(|| format!("{}: cannot use {text}", table::EVENT_LOG_DIR.name()))?;
    anyhow::ensure!(found.is_dir(), "{}: {text} is not a directory", table::EVENT_LOG_DIR.name());
    let application = ApplicationInfo {
        name: conf.get(&table::APP_NAME)?.unwrap_or_else(|| "ferrospark".to_owned()),
        id: application.to_owned(),
        user: user.to_owned(),
        spark_version: spark_conf::SPARK_VERSION.to_owned(),
    };
    Ok(Some(EventLogOptions { directory, application }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spark_conf::Origin;

    use super::*;

    fn options(settings: &[(&str, &str)]) -> anyhow::Result<EngineOptions> {
        let mut conf = SparkConf::new();
        for (key, value) in settings {
            conf.set(Origin::Program, key, value);
        }
        conf.check()?;
        let mut options = EngineOptions::new("f-1", "secret");
        apply(&conf, "me", &mut options).map(|()| options)
    }

    #[test]
    fn nothing_of_it_is_on_by_default() {
        let options = options(&[]).unwrap();
        assert_eq!((options.allocation, options.event_log), (None, None));
        assert_eq!(options.shuffle_service_port, None);
    }

    #[test]
    fn properties_reach_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("file://{}", folder.path().display());
        let options = options(&[
            ("spark.dynamicAllocation.enabled", "true"),
            ("spark.dynamicAllocation.minExecutors", "1"),
            ("spark.dynamicAllocation.maxExecutors", "7"),
            ("spark.dynamicAllocation.executorIdleTimeout", "5s"),
            ("spark.dynamicAllocation.cachedExecutorIdleTimeout", "1h"),
            ("spark.dynamicAllocation.schedulerBacklogTimeout", "2s"),
            ("spark.dynamicAllocation.executorAllocationRatio", "0.5"),
            ("spark.executor.instances", "3"),
            ("spark.executor.cores", "2"),
            ("spark.shuffle.service.enabled", "true"),
            ("spark.shuffle.service.port", "7444"),
            ("spark.eventLog.enabled", "true"),
            ("spark.eventLog.dir", &path),
            ("spark.app.name", "a name"),
        ])
        .unwrap();
        let allocation = options.allocation.unwrap();
        assert_eq!((allocation.min_executors, allocation.max_executors), (1, 7));
        assert_eq!((allocation.initial_executors, options.executor_cores), (3, 2));
        assert_eq!(allocation.idle_timeout, Duration::from_secs(5));
        assert_eq!(allocation.cached_idle_timeout, Some(Duration::from_secs(3600)));
        assert_eq!(allocation.backlog_timeout, Some(Duration::from_secs(2)));
        // As long as that, unless it is set apart.
        assert_eq!(allocation.sustained_backlog_timeout, Duration::from_secs(2));
        assert!(allocation.shuffle_service && allocation.allocation_ratio == 0.5);
        assert_eq!(options.shuffle_service_port, Some(7444));
        let log = options.event_log.unwrap();
        assert_eq!(log.directory, folder.path());
        assert_eq!((&*log.application.id, &*log.application.name), ("f-1", "a name"));
    }

    #[test]
    fn contradictions_and_missing_directories_are_named() {
        for (settings, word) in [
            (
                vec![
                    ("spark.dynamicAllocation.minExecutors", "3"),
                    ("spark.dynamicAllocation.maxExecutors", "2"),
                    ("spark.dynamicAllocation.enabled", "true"),
                ],
                "minExecutors",
            ),
            (
                vec![("spark.eventLog.enabled", "true"), ("spark.eventLog.dir", "/no/such")],
                "spark.eventLog.dir",
            ),
        ] {
            let error = options(&settings).unwrap_err();
            assert!(format!("{error:#}").contains(word), "{error:#}");
        }
    }
}
