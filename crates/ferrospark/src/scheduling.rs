//! The scheduler's settings from the configuration, and the file of FAIR pools.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use spark_conf::{SparkConf, table};
use spark_scheduler::{
    ExclusionOptions, PoolOptions, SchedulerOptions, SchedulingMode, SpeculationOptions,
};

/// Fills in what is not about failures of tasks.
///
/// # Errors
/// When a value is not valid or the file of pools cannot be read.
pub(crate) fn configure(options: &mut SchedulerOptions, conf: &SparkConf) -> anyhow::Result<()> {
    let wait = conf.get(&table::LOCALITY_WAIT)?;
    options.locality_wait_process = conf.get(&table::LOCALITY_WAIT_PROCESS)?.unwrap_or(wait);
    options.locality_wait_node = conf.get(&table::LOCALITY_WAIT_NODE)?.unwrap_or(wait);
    options.mode = mode(&conf.get(&table::SCHEDULER_MODE)?)?;
    let usual =
        crate::settings::configuration_folder().map(|folder| folder.join("fairscheduler.xml"));
    if let Some(path) = allocation_file(conf.get(&table::SCHEDULER_ALLOCATION_FILE)?, usual) {
        let shown = path.display();
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("spark.scheduler.allocation.file: {shown} cannot be read"))?;
        options.pools = pools(&text)
            .with_context(|| format!("spark.scheduler.allocation.file: {shown} is not valid"))?;
    }
    if conf.get(&table::SPECULATION)? {
        options.speculation = Some(SpeculationOptions {
            interval: conf.get(&table::SPECULATION_INTERVAL)?,
            multiplier: conf.get(&table::SPECULATION_MULTIPLIER)?,
            quantile: conf.get(&table::SPECULATION_QUANTILE)?.min(1.0),
            min_task_runtime: conf.get(&table::SPECULATION_MIN_RUNTIME)?,
        });
    }
    if conf.get(&table::EXCLUDE_ON_FAILURE)? {
        let count = |property| -> anyhow::Result<u32> { Ok(u32::try_from(conf.get(property)?)?) };
        options.exclusion = Some(ExclusionOptions {
            max_task_attempts_per_executor: count(&table::EXCLUDE_TASK_ATTEMPTS_EXECUTOR)?,
            max_task_attempts_per_host: count(&table::EXCLUDE_TASK_ATTEMPTS_NODE)?,
            max_failed_tasks_per_executor_stage: count(&table::EXCLUDE_STAGE_TASKS_EXECUTOR)?,
            max_failed_executors_per_host_stage: count(&table::EXCLUDE_STAGE_EXECUTORS_NODE)?,
            max_failed_tasks_per_executor: count(&table::EXCLUDE_APP_TASKS_EXECUTOR)?,
            max_failed_executors_per_host: count(&table::EXCLUDE_APP_EXECUTORS_NODE)?,
            timeout: conf.get(&table::EXCLUDE_ON_FAILURE_TIMEOUT)?,
            ..ExclusionOptions::default()
        });
    }
    Ok(())
}

/// The file that is named, or Spark's usual one, `fairscheduler.xml` among the configuration, if it is there.
fn allocation_file(named: Option<String>, usual: Option<PathBuf>) -> Option<PathBuf> {
    match named {
        Some(file) => Some(PathBuf::from(file.strip_prefix("file:").unwrap_or(&file))),
        None => usual.filter(|path| path.is_file()),
    }
}

fn mode(text: &str) -> anyhow::Result<SchedulingMode> {
    match text.trim().to_ascii_uppercase().as_str() {
        "FIFO" => Ok(SchedulingMode::Fifo),
        "FAIR" => Ok(SchedulingMode::Fair),
        other => bail!("the scheduling mode {other:?} is neither FIFO nor FAIR"),
    }
}

/// Reads the `<pool>` elements of Spark's `fairscheduler.xml`.
fn pools(text: &str) -> anyhow::Result<BTreeMap<Arc<str>, PoolOptions>> {
    let text = without_comments(text);
    let mut pools = BTreeMap::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find("<pool") {
        let element = &rest[start + "<pool".len()..];
        let end = element.find("</pool>").context("a <pool> is not closed")?;
        let (attributes, body) = element[..end].split_once('>').context("a <pool> has no end")?;
        let name = attribute(attributes, "name").context("a <pool> has no name")?;
        let number = |tag: &str, default: u32| -> anyhow::Result<u32> {
            match content(body, tag) {
                Some(text) => text.parse().with_context(|| {
                    format!("{tag} of pool {name:?}: {text:?} is not a whole number")
                }),
                None => Ok(default),
            }
        };
        let options = PoolOptions {
            mode: content(body, "schedulingMode").map_or(Ok(SchedulingMode::Fifo), mode)?,
            weight: number("weight", 1)?.max(1),
            minimum_share: number("minShare", 0)?,
        };
        pools.insert(Arc::from(name), options);
        rest = &element[end + "</pool>".len()..];
    }
    Ok(pools)
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        out.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, rest)| rest);
    }
    out + rest
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let value = attributes.split_once(name)?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split_once(quote).map(|(value, _)| value)
}

fn content<'a>(body: &'a str, tag: &str) -> Option<&'a str> {
    let after = body.split_once(&format!("<{tag}>"))?.1;
    Some(after.split_once("</")?.0.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_read_as_spark_writes_them() {
        let pools = pools(
            r#"<?xml version="1.0"?>
            <allocations>
              <!-- <pool name="old"></pool> -->
              <pool name="production">
                <schedulingMode>FAIR</schedulingMode>
                <weight>2</weight>
                <minShare>3</minShare>
              </pool>
              <pool name='test'></pool>
            </allocations>"#,
        )
        .unwrap();
        let production = PoolOptions { mode: SchedulingMode::Fair, weight: 2, minimum_share: 3 };
        assert_eq!(pools.len(), 2);
        assert_eq!(pools["production"], production);
        assert_eq!(pools["test"], PoolOptions::default());
    }

    #[test]
    fn the_usual_file_is_read_if_it_is_there_and_no_other_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let usual = folder.path().join("fairscheduler.xml");
        assert_eq!(allocation_file(None, Some(usual.clone())), None);
        std::fs::write(&usual, "<allocations/>").unwrap();
        assert_eq!(allocation_file(None, Some(usual.clone())), Some(usual.clone()));
        let named = allocation_file(Some("file:/x.xml".to_owned()), Some(usual));
        assert_eq!(named, Some(PathBuf::from("/x.xml")));
    }

    #[test]
    fn a_malformed_file_is_refused_with_the_value() {
        let error = pools(r#"<pool name="a"><weight>two</weight></pool>"#).unwrap_err();
        assert!(format!("{error:#}").contains("\"two\""), "{error:#}");
        assert!(pools("<pool name=\"a\"><weight>").is_err());
    }
}
