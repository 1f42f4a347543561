//! Names of relations: temporary views of a session, global ones of the driver, and the tables of the warehouse.

use std::collections::BTreeMap;

use spark_sql_parser::ast::Relation;
use spark_sql_parser::types::Schema;

use crate::field::ResolvedPlan;

/// The catalog every table of this driver belongs to.
pub const CATALOG: &str = "spark_catalog";
/// The database a session starts in.
pub const DEFAULT_DATABASE: &str = "default";
/// The database of views shared by all sessions.
pub const GLOBAL_TEMP: &str = "global_temp";

/// A persistent table: a directory of files with a known schema.
#[derive(Debug, Clone)]
pub struct Table {
    pub database: String,
    pub name: String,
    pub format: String,
    pub location: String,
    pub schema: Schema,
    pub partition_by: Vec<String>,
    pub options: BTreeMap<String, String>,
    pub comment: Option<String>,
    pub external: bool,
}

/// A persistent view: resolved again at each use.
#[derive(Debug, Clone)]
pub struct View {
    pub database: String,
    pub name: String,
    pub columns: Vec<String>,
    pub query: Relation,
    pub text: String,
}

/// A temporary view: a resolved plan.
#[derive(Debug, Clone)]
pub struct TempView {
    pub name: String,
    pub plan: ResolvedPlan,
    pub text: Option<String>,
    /// Another one whenever a view of the name is made.
    pub generation: u64,
}

/// An object of the persistent catalog.
#[derive(Debug, Clone)]
pub enum Entry {
    Table(Box<Table>),
    View(Box<View>),
}

impl Entry {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(view) => &view.name,
        }
    }
}

/// What all sessions of a driver share: databases with their tables, and global temporary views.
#[derive(Debug, Default)]
pub struct SharedCatalog {
    /// By lower-cased name, then lower-cased table name.
    pub databases: BTreeMap<String, Database>,
    pub global_views: BTreeMap<String, TempView>,
}

#[derive(Debug, Default, Clone)]
pub struct Database {
    pub name: String,
    pub entries: BTreeMap<String, Entry>,
}

impl SharedCatalog {
    #[must_use]
    pub fn new() -> Self {
        let mut catalog = Self::default();
        catalog.databases.insert(
            DEFAULT_DATABASE.to_owned(),
            Database { name: DEFAULT_DATABASE.to_owned(), entries: BTreeMap::new() },
        );
        catalog
    }

    #[must_use]
    pub fn entry(&self, database: &str, name: &str) -> Option<&Entry> {
        self.databases.get(&database.to_lowercase())?.entries.get(&name.to_lowercase())
    }
}

/// Matches SHOW's pattern: `*` is any text, `|` separates alternatives, case does not matter.
#[must_use]
pub fn matches_pattern(name: &str, pattern: Option<&str>) -> bool {
    let Some(pattern) = pattern else { return true };
    let name = name.to_lowercase();
    pattern.split('|').any(|alternative| {
        let alternative = alternative.trim().to_lowercase();
        let parts: Vec<String> = alternative.split('*').map(regex::escape).collect();
        regex::Regex::new(&format!("^{}$", parts.join(".*"))).is_ok_and(|r| r.is_match(&name))
    })
}
