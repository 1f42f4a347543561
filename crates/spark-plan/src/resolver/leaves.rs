//! What the analysis needs from outside: opened sources, catalog tables, answers of small queries.

use std::collections::HashMap;

use datafusion::physical_plan::common::collect;
use spark_datasource::OpenedSource;
use spark_sql_parser::ast::{Literal, Relation, RelationKind};
use spark_sql_parser::error::SparkError;

use super::{QueryRunner, Resolver};
use crate::catalog::{CATALOG, Entry, GLOBAL_TEMP, Table};
use crate::errors::{Result, from_datafusion, unsupported};
use crate::field::ResolvedPlan;
use crate::physical::plan_physical;
use crate::session::Session;
use crate::visit;

/// What a name or a source turned out to be.
#[derive(Debug, Clone)]
pub(super) enum Leaf {
    /// Files behind a provider; with the names by which columns may be qualified.
    Source { opened: OpenedSource, qualifier: Vec<String> },
    /// A plan resolved before: views.
    Plan { plan: Box<ResolvedPlan>, qualifier: Vec<String> },
}

/// A query whose answer the analysis needs: the distinct values of an expression.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) key: usize,
    pub(super) plan: ResolvedPlan,
    pub(super) limit: usize,
}

/// Everything fetched for one resolution.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    tables: HashMap<Vec<String>, Result<Leaf>>,
    /// By the address of the relation node, which lives as long as the resolution.
    sources: HashMap<usize, Result<Leaf>>,
    pub(super) answers: HashMap<usize, Vec<Vec<Literal>>>,
}

pub(super) fn key_of<T>(node: &T) -> usize {
    std::ptr::from_ref(node) as usize
}

const FILE_FORMATS: &[&str] = &["parquet", "csv", "json", "text", "orc", "avro", "binaryfile"];

impl Leaves {
    /// Opens every source the relation names.
    pub(super) async fn prepare(
        &mut self,
        session: &Session,
        runner: Option<&dyn QueryRunner>,
        relation: &Relation,
    ) -> Result<()> {
        let mut names: Vec<(Vec<String>, &std::collections::BTreeMap<String, String>)> = Vec::new();
        let mut sources: Vec<&RelationKind> = Vec::new();
        let mut ctes: Vec<String> = Vec::new();
        visit::each_relation(relation, &mut |r| match &r.kind {
            RelationKind::NamedTable { name, options } => names.push((name.clone(), options)),
            RelationKind::DataSource { .. } => sources.push(&r.kind),
            RelationKind::With { ctes: with, .. } => {
                ctes.extend(with.iter().map(|c| c.name.to_lowercase()));
            }
            _ => {}
        });
        for (name, options) in names {
            if self.tables.contains_key(&name) {
                continue;
            }
            if let Some(leaf) = Box::pin(named(session, runner, &name, options)).await.transpose() {
                self.tables.insert(name, leaf);
            }
        }
        for source in sources {
            if let RelationKind::DataSource { format, schema, options, paths } = source {
                let leaf = crate::sources::open(
                    session,
                    format.as_deref(),
                    schema.clone(),
                    options.clone(),
                    paths.clone(),
                )
                .await
                .map(|opened| Leaf::Source { opened, qualifier: Vec::new() });
                self.sources.insert(key_of(source), leaf);
            }
        }
        Ok(())
    }

    pub(super) fn table(&self, name: &[String]) -> Option<&Result<Leaf>> {
        self.tables.get(name)
    }

    pub(super) fn source(&self, kind: &RelationKind) -> Option<&Result<Leaf>> {
        self.sources.get(&key_of(kind))
    }

    /// Runs the query that the analysis asked for.
    pub(super) async fn fetch(
        &mut self,
        session: &Session,
        runner: Option<&dyn QueryRunner>,
        need: Need,
    ) -> Result<()> {
        let Some(runner) = runner else {
            return Err(unsupported(
                "a pivot without values where no query can run; name the values",
            ));
        };
        let mode = runner.mode(session);
        let plan = plan_physical(session, &need.plan, mode).await?;
        let stream = runner.run(plan, &session.state(mode)).await?;
        let batches = collect(stream).await.map_err(from_datafusion)?;
        let rows = crate::literals::rows(&batches, &need.plan.fields, need.limit)?;
        self.answers.insert(need.key, rows);
        Ok(())
    }
}

/// Looks a name up in views and tables, and as `` format.`path` ``.
async fn named(
    session: &Session,
    runner: Option<&dyn QueryRunner>,
    name: &[String],
    options: &std::collections::BTreeMap<String, String>,
) -> Result<Option<Leaf>> {
    let view = match name {
        [view] => session.temp_view(view),
        [database, view] if database.eq_ignore_ascii_case(GLOBAL_TEMP) => session.global_view(view),
        _ => None,
    };
    if let Some(view) = view {
        let mut qualifier: Vec<String> = name[..name.len() - 1].to_vec();
        qualifier.push(view.name.clone());
        return Ok(Some(Leaf::Plan { plan: Box::new(view.plan), qualifier }));
    }
    let (database, table) = match name {
        [table] => (session.current_database(), table.clone()),
        [database, table] => (database.clone(), table.clone()),
        [catalog, database, table] if catalog.eq_ignore_ascii_case(CATALOG) => {
            (database.clone(), table.clone())
        }
        _ => return Ok(None),
    };
    let entry = session.shared.catalog.read().entry(&database, &table).cloned();
    let qualifier =
        |database: &str, name: &str| vec![CATALOG.to_owned(), database.to_owned(), name.to_owned()];
    match entry {
        Some(Entry::Table(table)) => {
            let opened = open_table(session, &table, options).await?;
            let qualifier = qualifier(&table.database, &table.name);
            return Ok(Some(Leaf::Source { opened, qualifier }));
        }
        Some(Entry::View(view)) => {
            let mut resolver = Resolver::new(session);
            resolver.runner = runner;
            let mut plan = resolver.resolve(&view.query).await?;
            for (field, name) in plan.fields.iter_mut().zip(&view.columns) {
                field.name.clone_from(name);
            }
            let qualifier = qualifier(&view.database, &view.name);
            return Ok(Some(Leaf::Plan { plan: Box::new(plan), qualifier }));
        }
        None => {}
    }
    if let [format, path] = name
        && FILE_FORMATS.contains(&format.to_lowercase().as_str())
    {
        let opened =
            crate::sources::open(session, Some(format), None, options.clone(), vec![path.clone()])
                .await?;
        return Ok(Some(Leaf::Source { opened, qualifier: Vec::new() }));
    }
    Ok(None)
}

/// Opens the files of a catalog table; a table without files yet is empty.
pub(crate) async fn open_table(
    session: &Session,
    table: &Table,
    options: &std::collections::BTreeMap<String, String>,
) -> Result<OpenedSource, SparkError> {
    let mut all = table.options.clone();
    all.extend(options.clone());
    crate::sources::open(
        session,
        Some(&table.format),
        Some(table.schema.clone()),
        all,
        vec![table.location.clone()],
    )
    .await
}
