//! CACHE TABLE, UNCACHE TABLE and what makes kept rows stale.

use std::collections::BTreeMap;

use spark_sql_parser::ast::{Relation, RelationKind};
use spark_sql_parser::error::{ErrorKind, SparkError};

use super::{CommandOutput, table};
use crate::cache::StorageLevel;
use crate::errors::Result;
use crate::resolver::{QueryRunner, Resolver};
use crate::session::Session;

fn named(name: &[String]) -> Relation {
    RelationKind::NamedTable { name: name.to_vec(), options: BTreeMap::new() }.into()
}

/// CACHE [LAZY] TABLE: keeps a table, a view, or the rows of a query under a new view's name.
pub(super) async fn table(
    session: &Session,
    runner: &dyn QueryRunner,
    name: &[String],
    lazy: bool,
    options: &BTreeMap<String, String>,
    query: Option<&Relation>,
) -> Result<CommandOutput> {
    let level = options.iter().find(|(key, _)| key.eq_ignore_ascii_case("storageLevel"));
    let level = match level {
        Some((_, level)) => storage_level(level)?,
        None => StorageLevel::MEMORY_AND_DISK,
    };
    match query {
        Some(query) => {
            let plan = Resolver::new(session).with_runner(runner).resolve(query).await?;
            let view = name.last().map(String::as_str).unwrap_or_default();
            session.create_temp_view(view, plan, None, false, false)?;
        }
        None => {
            table::schema_of(session, name, runner).await?;
        }
    }
    keep(session, runner, name, level, lazy).await?;
    Ok(CommandOutput::empty())
}

async fn keep(
    session: &Session,
    runner: &dyn QueryRunner,
    name: &[String],
    level: StorageLevel,
    lazy: bool,
) -> Result<()> {
    let relation = named(name);
    let cache = &session.shared.cache;
    cache.persist(session, runner, &relation, level).await?;
    match cache.find(session, &relation) {
        Some(kept) if !lazy => {
            let computed = kept.compute(session, runner).await;
            if computed.is_err() {
                cache.unpersist(session, &relation);
            }
            computed
        }
        _ => Ok(()),
    }
}

/// UNCACHE TABLE.
pub(super) async fn uncache(
    session: &Session,
    runner: &dyn QueryRunner,
    name: &[String],
    if_exists: bool,
) -> Result<CommandOutput> {
    if !if_exists {
        table::schema_of(session, name, runner).await?;
    }
    session.shared.cache.unpersist(session, &named(name));
    Ok(CommandOutput::empty())
}

/// REFRESH TABLE: its files may have changed.
pub(super) fn refresh(session: &Session, name: &[String]) {
    let Ok(object) = super::object_name(session, name) else { return };
    if let Some(crate::catalog::Entry::Table(found)) = table::find(session, &object) {
        session.shared.cache.forget_rows_of(&found.location);
    }
}

/// A storage level by Spark's name for it.
fn storage_level(name: &str) -> Result<StorageLevel> {
    let upper = name.trim().to_uppercase();
    let (kind, replication) = match upper.rsplit_once('_') {
        Some((kind, "2")) => (kind, 2),
        Some((kind, "3")) if kind == "DISK_ONLY" => (kind, 3),
        _ => (upper.as_str(), 1),
    };
    let level = |use_disk, use_memory, deserialized| StorageLevel {
        use_disk,
        use_memory,
        use_off_heap: false,
        deserialized,
        replication,
    };
    Ok(match kind {
        "NONE" => StorageLevel::NONE,
        "DISK_ONLY" => level(true, false, false),
        "MEMORY_ONLY" => level(false, true, true),
        "MEMORY_ONLY_SER" => level(false, true, false),
        "MEMORY_AND_DISK" => level(true, true, true),
        "MEMORY_AND_DISK_SER" => level(true, true, false),
        "OFF_HEAP" => StorageLevel { use_off_heap: true, ..level(true, true, false) },
        _ => {
            return Err(SparkError::new(
                ErrorKind::IllegalArgument,
                "INVALID_STORAGE_LEVEL",
                "22023",
                format!("Invalid StorageLevel: {name}"),
            )
            .with("storageLevel", name));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_levels_have_sparks_names() {
        let text = |name: &str| {
            let level = storage_level(name).unwrap();
            let StorageLevel { use_disk, use_memory, use_off_heap, deserialized, replication } =
                level;
            format!("{use_disk} {use_memory} {use_off_heap} {deserialized} {replication}")
        };
        assert_eq!(text("MEMORY_AND_DISK"), "true true false true 1");
        assert_eq!(text("memory_only_2"), "false true false true 2");
        assert_eq!(text("DISK_ONLY_3"), "true false false false 3");
        assert_eq!(text("OFF_HEAP"), "true true true false 1");
        assert_eq!(storage_level("DISK").unwrap_err().condition, "INVALID_STORAGE_LEVEL");
    }
}
