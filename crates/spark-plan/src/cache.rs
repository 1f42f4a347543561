//! What `cache`, `persist`, `CACHE TABLE` and `localCheckpoint` keep (Spark's `CacheManager`).
//!
//! A kept relation is known by its unresolved form: wherever the same relation stands in a later
//! query, the rows kept for it are scanned instead. Spark compares analysed plans, which finds a few
//! more. Names inside it are remembered with what they stood for, so that a view or a table replaced
//! since is not taken for the old one. The rows are computed at first use, by whoever runs plans:
//! [`KeptExec`] has a slot for them, and lets go of them when the last plan that reads it is gone.

mod exec;
mod store;

pub use exec::{KeptExec, KeptSize, Slot};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session as DataFusionSession, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, lit};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use parking_lot::RwLock;
use spark_sql_parser::ast::{Relation, RelationKind};

use crate::catalog::{CATALOG, Entry, GLOBAL_TEMP};
use crate::errors::{Result, from_datafusion};
use crate::field::{Rel, ResolvedPlan};
use crate::physical::plan_physical;
use crate::resolver::{QueryRunner, Resolver};
use crate::session::Session;
use crate::visit;
use exec::Slots;

/// Where the rows of a kept relation may lie (Spark's `StorageLevel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageLevel {
    pub use_disk: bool,
    pub use_memory: bool,
    pub use_off_heap: bool,
    pub deserialized: bool,
    pub replication: i32,
}

impl StorageLevel {
    /// `NONE`: what is not kept has it.
    pub const NONE: Self = Self {
        use_disk: false,
        use_memory: false,
        use_off_heap: false,
        deserialized: false,
        replication: 1,
    };
    /// `MEMORY_AND_DISK_DESER`, the default of `cache()`.
    pub const MEMORY_AND_DISK: Self = Self {
        use_disk: true,
        use_memory: true,
        use_off_heap: false,
        deserialized: true,
        replication: 1,
    };
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One kept relation.
#[derive(Debug)]
pub struct Kept {
    id: u64,
    level: StorageLevel,
    plan: ResolvedPlan,
    slots: RwLock<Arc<Slots>>,
    dropped: AtomicBool,
}

impl Kept {
    /// Keeps the rows of a plan from its first use on.
    #[must_use]
    pub fn new(plan: ResolvedPlan, level: StorageLevel) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            level,
            plan: ResolvedPlan { render: None, ..plan },
            slots: RwLock::default(),
            dropped: AtomicBool::new(false),
        })
    }

    /// Where its rows may lie.
    #[must_use]
    pub fn level(&self) -> StorageLevel {
        self.level
    }

    /// Lets go of the rows: plans that still name it compute theirs without keeping them.
    fn drop_rows(&self) {
        self.dropped.store(true, Ordering::Relaxed);
        *self.slots.write() = Arc::default();
    }

    /// A relation that scans the kept rows, under new internal names.
    pub(crate) fn scan(self: &Arc<Self>) -> Result<Rel> {
        let schema = crate::field::schema_of(&self.plan.fields);
        let table = Arc::new(KeptTable { kept: Arc::clone(self) });
        let mut rel = crate::resolver::scan(table, &schema.fields, &[])?;
        for (field, kept) in rel.fields.iter_mut().zip(&self.plan.fields) {
            field.qualifier.clone_from(&kept.qualifier);
            field.plan_ids.clone_from(&kept.plan_ids);
        }
        Ok(rel)
    }

    /// The kept rows as a plan of their own.
    ///
    /// # Errors
    /// When the scan cannot be planned.
    pub fn resolved(self: &Arc<Self>) -> Result<ResolvedPlan> {
        let rel = self.scan()?;
        Ok(ResolvedPlan { plan: rel.plan, fields: rel.fields, render: None })
    }

    /// Computes the rows now (`CACHE TABLE` without LAZY, an eager checkpoint), as Spark does: by
    /// counting them.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn compute(
        self: &Arc<Self>,
        session: &Session,
        runner: &dyn QueryRunner,
    ) -> Result<()> {
        let count = datafusion::functions_aggregate::expr_fn::count(lit(1_i64));
        let plan = LogicalPlanBuilder::from(self.scan()?.plan)
            .aggregate(Vec::<Expr>::new(), [count])
            .and_then(LogicalPlanBuilder::build)
            .map_err(from_datafusion)?;
        let counted = ResolvedPlan { plan, fields: Vec::new(), render: None };
        let mode = runner.mode(session);
        let physical = plan_physical(session, &counted, mode).await?;
        let stream = runner.run(physical, &session.state(mode)).await?;
        collect(stream).await.map_err(from_datafusion)?;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        tracing::debug!(id = self.id, "a kept relation is let go");
    }
}

/// The table a kept relation is scanned as.
#[derive(Debug)]
struct KeptTable {
    kept: Arc<Kept>,
}

#[async_trait]
impl TableProvider for KeptTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.kept.plan.plan.schema().inner())
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn get_logical_plan(&self) -> Option<std::borrow::Cow<'_, LogicalPlan>> {
        None
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let input = state.create_physical_plan(&self.kept.plan.plan).await?;
        if self.kept.dropped.load(Ordering::Relaxed) {
            return projected(input, projection);
        }
        let slots = Arc::clone(&self.kept.slots.read());
        let level = self.kept.level;
        Ok(Arc::new(KeptExec::new(input, self.schema(), projection.cloned(), level, slots)))
    }
}

fn projected(
    input: Arc<dyn ExecutionPlan>,
    projection: Option<&Vec<usize>>,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let Some(projection) = projection else { return Ok(input) };
    let schema = input.schema();
    let columns = projection.iter().map(|index| {
        let name = schema.field(*index).name();
        ProjectionExpr { expr: Arc::new(Column::new(name, *index)), alias: name.clone() }
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), input)?))
}

/// The relations kept for all sessions of a driver.
#[derive(Debug, Default)]
pub struct CacheManager {
    entries: RwLock<Vec<CacheEntry>>,
}

#[derive(Debug, Clone)]
struct CacheEntry {
    key: Key,
    /// The session whose views it names; `None` is for all.
    session: Option<String>,
    /// What the names in it stood for.
    names: BTreeMap<Vec<String>, Identity>,
    /// The settings it was resolved under.
    settings: Settings,
    /// The files and directories it reads.
    paths: Vec<String>,
    relation: Arc<Relation>,
    level: StorageLevel,
    /// Files changed: it must be analysed anew, which lists them.
    stale: bool,
    kept: Arc<Kept>,
}

#[derive(Debug, Clone, PartialEq)]
enum Key {
    /// A table or view as such.
    Name(Identity),
    Relation(Arc<Relation>),
}

/// What a name stands for; another one when it is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    View { generation: u64 },
    Table { database: String, name: String, location: String },
    PersistentView { database: String, name: String, text: String },
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Settings {
    ansi: bool,
    time_zone: String,
    case_sensitive: bool,
}

impl Settings {
    fn of(session: &Session) -> Self {
        Self {
            ansi: session.ansi(),
            time_zone: session.time_zone(),
            case_sensitive: session.case_sensitive(),
        }
    }
}

fn identity(session: &Session, name: &[String]) -> Identity {
    let view = match name {
        [view] => session.temp_view(view),
        [database, view] if database.eq_ignore_ascii_case(GLOBAL_TEMP) => session.global_view(view),
        _ => None,
    };
    if let Some(view) = view {
        return Identity::View { generation: view.generation };
    }
    let (database, table) = match name {
        [table] => (session.current_database(), table),
        [database, table] => (database.clone(), table),
        [catalog, database, table] if catalog.eq_ignore_ascii_case(CATALOG) => {
            (database.clone(), table)
        }
        _ => return Identity::Unknown,
    };
    match session.shared.catalog.read().entry(&database, table) {
        Some(Entry::Table(table)) => Identity::Table {
            database: table.database.to_lowercase(),
            name: table.name.to_lowercase(),
            location: table.location.clone(),
        },
        Some(Entry::View(view)) => Identity::PersistentView {
            database: view.database.to_lowercase(),
            name: view.name.to_lowercase(),
            text: view.text.clone(),
        },
        None => Identity::Unknown,
    }
}

fn key(session: &Session, relation: &Relation) -> Key {
    match &relation.kind {
        RelationKind::NamedTable { name, options } if options.is_empty() => {
            Key::Name(identity(session, name))
        }
        _ => Key::Relation(Arc::new(relation.clone())),
    }
}

impl CacheEntry {
    /// Whether the entry is what `relation` means in `session` now.
    fn is(&self, session: &Session, relation: &Relation) -> bool {
        let same = match (&self.key, &relation.kind) {
            (Key::Name(name), RelationKind::NamedTable { name: named, options }) => {
                options.is_empty() && *name == identity(session, named)
            }
            (Key::Relation(known), _) => **known == *relation,
            (Key::Name(_), _) => false,
        };
        same && self.session.as_ref().is_none_or(|id| *id == session.id)
            && self.settings == Settings::of(session)
            && self.names.iter().all(|(name, meant)| identity(session, name) == *meant)
    }
}

impl CacheManager {
    /// Keeps a relation from its next use on; says whether it is new (Spark warns otherwise).
    ///
    /// # Errors
    /// What its analysis reports.
    pub async fn persist(
        &self,
        session: &Session,
        runner: &dyn QueryRunner,
        relation: &Relation,
        level: StorageLevel,
    ) -> Result<bool> {
        if self.find(session, relation).is_some() {
            tracing::warn!("asked to keep what is kept already");
            return Ok(false);
        }
        let plan = Resolver::new(session).with_runner(runner).resolve(relation).await?;
        let mut names = BTreeMap::new();
        let mut paths = Vec::new();
        visit::each_relation(relation, &mut |relation| match &relation.kind {
            RelationKind::NamedTable { name, .. } => {
                let identity = identity(session, name);
                if let Identity::Table { location, .. } = &identity {
                    paths.push(location.clone());
                }
                names.insert(name.clone(), identity);
            }
            RelationKind::DataSource { paths: read, options, .. } => {
                paths.extend(read.iter().cloned());
                paths.extend(options.get("path").cloned());
            }
            _ => {}
        });
        let views = names.values().any(|identity| {
            matches!(identity, Identity::View { .. } | Identity::PersistentView { .. })
        });
        if views || names.values().any(|identity| *identity == Identity::Unknown) {
            // What is below a view may be anywhere.
            paths.push(String::new());
        }
        let relation = Arc::new(relation.clone());
        let entry = CacheEntry {
            key: key(session, &relation),
            session: views.then(|| session.id.clone()),
            names,
            settings: Settings::of(session),
            paths: paths.iter().map(|path| plain_path(path)).collect(),
            relation,
            level,
            stale: false,
            kept: Kept::new(plan, level),
        };
        self.entries.write().push(entry);
        Ok(true)
    }

    /// What is kept, or will be at its next use, for a relation.
    #[must_use]
    pub fn find(&self, session: &Session, relation: &Relation) -> Option<Arc<Kept>> {
        let entries = self.entries.read();
        entries.iter().find(|e| e.is(session, relation)).map(|e| Arc::clone(&e.kept))
    }

    /// What may be scanned in the place of a relation.
    pub(crate) fn current(&self, session: &Session, relation: &Relation) -> Option<Arc<Kept>> {
        let entries = self.entries.read();
        let current = |entry: &&CacheEntry| !entry.stale && entry.is(session, relation);
        entries.iter().find(current).map(|entry| Arc::clone(&entry.kept))
    }

    /// Analyses anew what this session may use and whose files have changed.
    pub(crate) async fn renew(&self, session: &Session, runner: Option<&dyn QueryRunner>) {
        let Some(runner) = runner else { return };
        let mut stale = Vec::new();
        self.entries.write().retain(|entry| {
            let mine = entry.stale && entry.is(session, &entry.relation);
            if mine {
                stale.push((Arc::clone(&entry.relation), entry.level));
            }
            !mine
        });
        for (relation, level) in stale {
            let renewed = Box::pin(self.persist(session, runner, &relation, level)).await;
            // A relation that is no more is kept no more.
            if let Err(error) = renewed {
                tracing::debug!(%error, "a kept relation cannot be analysed again");
            }
        }
    }

    /// Whether nothing is kept at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.read().is_empty()
    }

    /// Lets go of a relation; says whether it was kept.
    pub fn unpersist(&self, session: &Session, relation: &Relation) -> bool {
        self.remove(|entry| entry.is(session, relation))
    }

    /// `CLEAR CACHE`.
    pub fn clear(&self) {
        self.remove(|_| true);
    }

    /// A table or view is dropped or replaced.
    pub fn forget_name(&self, session: &Session, name: &[String]) {
        let gone = identity(session, name);
        if gone != Identity::Unknown {
            self.remove(|entry| entry.names.values().any(|identity| *identity == gone));
        }
    }

    /// A session ended, and its views with it.
    pub fn forget_session(&self, session: &str) {
        self.remove(|entry| entry.session.as_deref() == Some(session));
    }

    /// Files changed: what was read from them is computed anew at its next use.
    pub fn forget_rows_of(&self, path: &str) {
        let changed = plain_path(path);
        for entry in self.entries.write().iter_mut() {
            let touched = |read: &String| is_below(read, &changed) || is_below(&changed, read);
            if entry.paths.iter().any(touched) {
                entry.stale = true;
                entry.kept.drop_rows();
            }
        }
    }

    fn remove(&self, gone: impl Fn(&CacheEntry) -> bool) -> bool {
        let mut removed = Vec::new();
        self.entries.write().retain(|entry| {
            let gone = gone(entry);
            if gone {
                removed.push(Arc::clone(&entry.kept));
            }
            !gone
        });
        for kept in &removed {
            kept.drop_rows();
        }
        !removed.is_empty()
    }
}

/// A path without scheme and closing slash.
fn plain_path(path: &str) -> String {
    let path = path.strip_prefix("file:").unwrap_or(path);
    let path = if path.starts_with("//") { path.trim_start_matches('/') } else { path };
    let path = path.trim_matches('/');
    match std::env::current_dir() {
        // A relative path and an absolute one are told apart by nothing but the working directory.
        Ok(directory) if !path.is_empty() => {
            let below = directory.to_string_lossy().trim_matches('/').to_owned();
            path.strip_prefix(&format!("{below}/")).unwrap_or(path).to_owned()
        }
        _ => path.to_owned(),
    }
}

fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty()
        || path == directory
        || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
        // A pattern reads what its fixed beginning contains.
        || directory.split(['*', '?', '[', '{']).next().is_some_and(|fixed| {
            fixed.len() < directory.len() && path.starts_with(fixed)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_without_scheme_and_as_directories() {
        assert_eq!(plain_path("file:///data/t/"), "data/t");
        assert_eq!(plain_path("/data/t"), "data/t");
        assert!(is_below("data/t/part-0", "data/t"));
        assert!(!is_below("data/table", "data/t"));
        assert!(is_below("data/2026/x", "data/2*"));
        assert!(is_below("anything", ""));
    }
}
