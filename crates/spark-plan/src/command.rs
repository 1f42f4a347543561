//! Statements that act at once: views, tables, settings, SHOW and DESCRIBE, EXPLAIN, writes.

mod cache;
mod show;
mod table;
mod view;
mod write;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use spark_sql_parser::ast::{Command, Statement};
use spark_sql_parser::types::{DataType, Field, Schema};

use crate::catalog::{CATALOG, GLOBAL_TEMP};
use crate::errors::{Result, internal};
use crate::resolver::{QueryRunner, Resolver};
use crate::session::Session;

pub use write::{TableMode, TableWrite, save, save_as_table};

/// The rows a command answers.
#[derive(Debug, Clone)]
pub struct CommandOutput {
    pub schema: Schema,
    pub batches: Vec<RecordBatch>,
}

impl CommandOutput {
    /// No columns, no rows: most commands.
    #[must_use]
    pub fn empty() -> Self {
        Self { schema: Schema::default(), batches: Vec::new() }
    }

    /// Text columns that are never null.
    pub(crate) fn texts(names: &[&str], rows: Vec<Vec<String>>) -> Result<Self> {
        let columns = names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                Column::Text(name, rows.iter().map(|r| r.get(index).cloned()).collect(), false)
            })
            .collect();
        Self::of(columns, rows.len())
    }

    fn of(columns: Vec<Column<'_>>, rows: usize) -> Result<Self> {
        let mut fields = Vec::with_capacity(columns.len());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for column in columns {
            let (name, data_type, nullable, array): (_, _, _, ArrayRef) = match column {
                Column::Text(name, values, nullable) => {
                    (name, DataType::String, nullable, Arc::new(StringArray::from(values)))
                }
                Column::Flag(name, values) => {
                    (name, DataType::Boolean, false, Arc::new(BooleanArray::from(values)))
                }
            };
            fields.push(Field { name: name.to_owned(), data_type, nullable, metadata: None });
            arrays.push(array);
        }
        let schema = Schema { fields };
        let arrow = Arc::new(spark_functions::types::schema_to_arrow(&schema));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(arrow, arrays, &options)
            .map_err(|e| internal(e.to_string()))?;
        Ok(Self { schema, batches: vec![batch] })
    }
}

enum Column<'a> {
    /// Values, and whether the column may be null.
    Text(&'a str, Vec<Option<String>>, bool),
    Flag(&'a str, Vec<bool>),
}

/// A persistent name: database and object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) database: String,
    pub(crate) name: String,
}

impl ObjectName {
    pub(crate) fn parts(&self) -> Vec<String> {
        vec![CATALOG.to_owned(), self.database.clone(), self.name.clone()]
    }
}

/// Completes a name with the session's database.
pub(crate) fn object_name(session: &Session, name: &[String]) -> Result<ObjectName> {
    let (database, name) = match name {
        [name] => (session.current_database(), name.clone()),
        [database, name] => (database.clone(), name.clone()),
        [catalog, database, name] if catalog.eq_ignore_ascii_case(CATALOG) => {
            (database.clone(), name.clone())
        }
        _ => return Err(crate::errors::table_not_found(name)),
    };
    Ok(ObjectName { database, name })
}

/// The database part of a name that may be prefixed by the catalog.
pub(crate) fn database_name(name: &[String]) -> Result<String> {
    match name {
        [database] => Ok(database.clone()),
        [catalog, database] if catalog.eq_ignore_ascii_case(CATALOG) => Ok(database.clone()),
        _ => Err(crate::errors::schema_not_found(name)),
    }
}

pub(crate) fn database_exists(session: &Session, name: &str) -> bool {
    name.eq_ignore_ascii_case(GLOBAL_TEMP)
        || session.shared.catalog.read().databases.contains_key(&name.to_lowercase())
}

/// Carries a command out.
///
/// # Errors
/// Spark's conditions for the command; what its query reports.
pub async fn execute_command(
    session: &Session,
    command: &Command,
    runner: &dyn QueryRunner,
) -> Result<CommandOutput> {
    match command {
        Command::CreateView(create) => view::create(session, create, runner).await,
        Command::CreateViewUsing { name, replace, global, source } => {
            let plan = Resolver::new(session).with_runner(runner).resolve(source).await?;
            let name = name.last().map(String::as_str).unwrap_or_default();
            session.create_temp_view(name, plan, None, *replace, *global)?;
            Ok(CommandOutput::empty())
        }
        Command::DropView { name, if_exists } => view::drop(session, name, *if_exists),
        Command::CreateTable(create) => table::create(session, create, runner).await,
        Command::DropTable { name, if_exists, purge: _ } => table::drop(session, name, *if_exists),
        Command::Insert(insert) => write::insert(session, insert, runner).await,
        Command::InsertOverwriteDirectory { path, format, options, query } => {
            let plan = Resolver::new(session).with_runner(runner).resolve(query).await?;
            let spec = spark_datasource::WriteSpec {
                format: format.clone(),
                path: path.clone(),
                mode: spark_datasource::SaveMode::Overwrite,
                partition_by: Vec::new(),
                options: options.clone(),
            };
            save(session, runner, &plan, &spec).await?;
            Ok(CommandOutput::empty())
        }
        Command::Set { key, value } => show::set(session, key.as_deref(), value.as_deref()),
        Command::Reset { key } => {
            match key {
                Some(key) => session.unset(key)?,
                None => session.unset_all(),
            }
            Ok(CommandOutput::empty())
        }
        Command::SetTimeZone(zone) => {
            session.set("spark.sql.session.timeZone", zone)?;
            let row = vec!["spark.sql.session.timeZone".to_owned(), zone.clone()];
            CommandOutput::texts(&["key", "value"], vec![row])
        }
        Command::Explain { mode, statement } => {
            let text = match statement.as_ref() {
                Statement::Query(relation) => {
                    let plan = Resolver::new(session).with_runner(runner).resolve(relation).await?;
                    crate::physical::explain(session, &plan, runner.mode(session), *mode).await?
                }
                Statement::Command(command) => {
                    format!("== Physical Plan ==\nExecute {}\n", show::command_word(command))
                }
            };
            CommandOutput::texts(&["plan"], vec![vec![text]])
        }
        Command::DescribeTable { name, extended } => {
            table::describe(session, name, *extended, runner).await
        }
        Command::DescribeQuery(relation) => {
            let plan = Resolver::new(session).with_runner(runner).resolve(relation).await?;
            table::column_rows(&plan.schema())
        }
        Command::DescribeFunction { name, extended: _ } => show::describe_function(name),
        Command::ShowTables { database, pattern } => {
            show::tables(session, database.as_deref(), pattern.as_deref(), false)
        }
        Command::ShowViews { database, pattern } => {
            show::tables(session, database.as_deref(), pattern.as_deref(), true)
        }
        Command::ShowDatabases { pattern } => show::databases(session, pattern.as_deref()),
        Command::ShowFunctions { pattern } => show::functions(pattern.as_deref()),
        Command::ShowColumns { table } => {
            let schema = table::schema_of(session, table, runner).await?;
            let rows = schema.fields.into_iter().map(|f| vec![f.name]).collect();
            CommandOutput::texts(&["col_name"], rows)
        }
        Command::ShowCatalogs => CommandOutput::texts(&["catalog"], vec![vec![CATALOG.to_owned()]]),
        Command::UseDatabase(name) => {
            if matches!(name.as_slice(), [only] if only.eq_ignore_ascii_case(CATALOG)) {
                return Ok(CommandOutput::empty());
            }
            let database = database_name(name)?;
            if !database_exists(session, &database) {
                return Err(crate::errors::schema_not_found(&[CATALOG.to_owned(), database]));
            }
            session.set_current_database(&database);
            Ok(CommandOutput::empty())
        }
        Command::CreateDatabase { name, if_not_exists } => {
            table::create_database(session, name, *if_not_exists)
        }
        Command::DropDatabase { name, if_exists, cascade } => {
            table::drop_database(session, name, *if_exists, *cascade)
        }
        Command::CacheTable { name, lazy, options, query } => {
            cache::table(session, runner, name, *lazy, options, query.as_ref()).await
        }
        Command::UncacheTable { name, if_exists } => {
            cache::uncache(session, runner, name, *if_exists).await
        }
        Command::ClearCache => {
            session.shared.cache.clear();
            Ok(CommandOutput::empty())
        }
        Command::RefreshTable { name } => {
            table::schema_of(session, name, runner).await?;
            cache::refresh(session, name);
            Ok(CommandOutput::empty())
        }
        Command::Analyze { name } => {
            table::schema_of(session, name, runner).await?;
            Ok(CommandOutput::empty())
        }
        Command::TruncateTable { name } => table::truncate(session, name),
        Command::SetCatalog(name) => {
            if name.eq_ignore_ascii_case(CATALOG) {
                return Ok(CommandOutput::empty());
            }
            Err(crate::errors::analysis(
                "CATALOG_NOT_FOUND",
                "42P08",
                format!(
                    "The catalog `{name}` not found. Consider to set the SQL config \"spark.sql.catalog.{name}\" to a \
                     catalog plugin."
                ),
            )
            .with("catalogName", format!("`{name}`")))
        }
        Command::DescribeDatabase { name, extended: _ } => table::describe_database(session, name),
        Command::ShowCreateTable { table } => table::show_create(session, table),
        Command::ShowTableProperties { table, key } => {
            table::properties(session, table, key.as_deref())
        }
        Command::ShowPartitions { table } => table::partitions(session, table),
        Command::ShowCurrentNamespace => {
            let row = vec![session.current_catalog(), session.current_database()];
            CommandOutput::texts(&["catalog", "namespace"], vec![row])
        }
        Command::RenameTable { from, to, view } => table::rename(session, from, to, *view),
        Command::RefreshPath(path) => {
            session.shared.cache.forget_rows_of(path);
            Ok(CommandOutput::empty())
        }
    }
}
