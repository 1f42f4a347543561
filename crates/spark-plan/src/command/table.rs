//! Tables and databases of the warehouse.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use spark_functions::types::simple_name;
use spark_sql_parser::ast::{CreateTable, Relation, RelationKind};
use spark_sql_parser::types::{Field, Schema};

use super::write::{TableMode, TableWrite, save_as_table};
use super::{Column, CommandOutput, ObjectName, database_exists, database_name, object_name};
use crate::catalog::{CATALOG, DEFAULT_DATABASE, Database, Entry, Table};
use crate::errors::{self, Result, analysis, internal};
use crate::resolver::{QueryRunner, Resolver};
use crate::session::Session;

/// The directory of a managed table.
pub(super) fn default_location(session: &Session, object: &ObjectName) -> String {
    let warehouse =
        session.get("spark.sql.warehouse.dir").unwrap_or_else(|| "spark-warehouse".to_owned());
    let warehouse = warehouse.trim_end_matches('/');
    let warehouse = warehouse.strip_prefix("file:").unwrap_or(warehouse);
    let base = if Path::new(warehouse).is_absolute() {
        warehouse.to_owned()
    } else {
        let here = std::env::current_dir().unwrap_or_default();
        here.join(warehouse).to_string_lossy().into_owned()
    };
    let name = object.name.to_lowercase();
    if object.database.eq_ignore_ascii_case(DEFAULT_DATABASE) {
        format!("{base}/{name}")
    } else {
        format!("{base}/{}.db/{name}", object.database.to_lowercase())
    }
}

pub(super) fn find(session: &Session, object: &ObjectName) -> Option<Entry> {
    session.shared.catalog.read().entry(&object.database, &object.name).cloned()
}

pub(super) fn register(session: &Session, table: Table) -> Result<()> {
    let mut catalog = session.shared.catalog.write();
    let Some(database) = catalog.databases.get_mut(&table.database.to_lowercase()) else {
        return Err(errors::schema_not_found(&[CATALOG.to_owned(), table.database]));
    };
    database.entries.insert(table.name.to_lowercase(), Entry::Table(Box::new(table)));
    Ok(())
}

pub(super) async fn create(
    session: &Session,
    create: &CreateTable,
    runner: &dyn QueryRunner,
) -> Result<CommandOutput> {
    let object = object_name(session, &create.name)?;
    if !database_exists(session, &object.database) {
        return Err(errors::schema_not_found(&object.parts()[..2]));
    }
    if find(session, &object).is_some() {
        if create.if_not_exists {
            return Ok(CommandOutput::empty());
        }
        if !create.replace {
            return Err(errors::table_exists(&object.parts()));
        }
    }
    if let Some(query) = &create.query {
        let plan = Resolver::new(session).with_runner(runner).resolve(query).await?;
        let mut options = create.options.clone();
        if let Some(location) = &create.location {
            options.insert("path".to_owned(), location.clone());
        }
        let write = TableWrite {
            format: create.format.clone(),
            mode: if create.replace { TableMode::Overwrite } else { TableMode::ErrorIfExists },
            partition_by: create.partition_by.clone(),
            options,
        };
        save_as_table(session, runner, &plan, &create.name, &write).await?;
        return Ok(CommandOutput::empty());
    }
    if create.replace {
        drop(session, &create.name, true)?;
    }
    let format = create.format.clone().unwrap_or_else(|| {
        session.get("spark.sql.sources.default").unwrap_or_else(|| "parquet".to_owned())
    });
    let external = create.location.is_some() || create.options.contains_key("path");
    let location = create
        .location
        .clone()
        .or_else(|| create.options.get("path").cloned())
        .unwrap_or_else(|| default_location(session, &object));
    let mut options = create.options.clone();
    options.remove("path");
    let schema = match &create.schema {
        Some(schema) => partitions_last(schema, &create.partition_by),
        None => {
            crate::sources::open(
                session,
                Some(&format),
                None,
                options.clone(),
                vec![location.clone()],
            )
            .await?
            .schema
        }
    };
    if !external {
        fs::create_dir_all(&location)
            .map_err(|e| internal(format!("the directory {location} cannot be made: {e}")))?;
    }
    register(
        session,
        Table {
            database: object.database,
            name: object.name,
            format: format.to_lowercase(),
            location,
            schema,
            partition_by: create.partition_by.clone(),
            options,
            comment: create.comment.clone(),
            external,
        },
    )?;
    Ok(CommandOutput::empty())
}

/// Partition columns come last in a table's schema.
pub(super) fn partitions_last(schema: &Schema, partition_by: &[String]) -> Schema {
    let position = |f: &Field| partition_by.iter().position(|p| p.eq_ignore_ascii_case(&f.name));
    let mut data: Vec<Field> =
        schema.fields.iter().filter(|f| position(f).is_none()).cloned().collect();
    for name in partition_by {
        data.extend(schema.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)).cloned());
    }
    Schema { fields: data }
}

pub(super) fn drop(session: &Session, name: &[String], if_exists: bool) -> Result<CommandOutput> {
    if let [view] = name
        && session.temp_view(view).is_some()
    {
        session.drop_temp_view(view);
        return Ok(CommandOutput::empty());
    }
    let object = object_name(session, name)?;
    match find(session, &object) {
        Some(Entry::Table(table)) => {
            session.shared.cache.forget_name(session, name);
            if !table.external {
                remove_directory(&table.location)?;
            }
        }
        Some(Entry::View(_)) => {
            return Err(analysis(
                "WRONG_COMMAND_FOR_OBJECT_TYPE",
                "42809",
                format!(
                    "The operation DROP TABLE requires a EXTERNAL or MANAGED. But {} is a VIEW. Use DROP VIEW \
                     instead.",
                    errors::quoted(&object.parts())
                ),
            ));
        }
        None if if_exists => return Ok(CommandOutput::empty()),
        None => return Err(errors::table_not_found(name)),
    }
    let mut catalog = session.shared.catalog.write();
    if let Some(database) = catalog.databases.get_mut(&object.database.to_lowercase()) {
        database.entries.remove(&object.name.to_lowercase());
    }
    Ok(CommandOutput::empty())
}

pub(super) fn remove_directory(location: &str) -> Result<()> {
    let path = location.strip_prefix("file:").unwrap_or(location);
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(internal(format!("the directory {path} cannot be removed: {e}"))),
    }
}

pub(super) fn truncate(session: &Session, name: &[String]) -> Result<CommandOutput> {
    let object = object_name(session, name)?;
    let Some(Entry::Table(table)) = find(session, &object) else {
        return Err(errors::table_not_found(name));
    };
    remove_directory(&table.location)?;
    session.shared.cache.forget_rows_of(&table.location);
    let path = table.location.strip_prefix("file:").unwrap_or(&table.location);
    fs::create_dir_all(path)
        .map_err(|e| internal(format!("the directory {path} cannot be made: {e}")))?;
    Ok(CommandOutput::empty())
}

/// The columns of a table or view.
pub(super) async fn schema_of(
    session: &Session,
    name: &[String],
    runner: &dyn QueryRunner,
) -> Result<Schema> {
    let relation: Relation =
        RelationKind::NamedTable { name: name.to_vec(), options: BTreeMap::new() }.into();
    Ok(Resolver::new(session).with_runner(runner).resolve(&relation).await?.schema())
}

/// `col_name`, `data_type`, `comment`.
pub(super) fn column_rows(schema: &Schema) -> Result<CommandOutput> {
    description(schema.fields.iter().map(row_of).collect())
}

fn row_of(field: &Field) -> (String, String, Option<String>) {
    let comment = field.metadata.as_deref().and_then(|json| {
        let value: serde_json::Value = serde_json::from_str(json).ok()?;
        value.get("comment")?.as_str().map(str::to_owned)
    });
    (field.name.clone(), simple_name(&field.data_type), comment)
}

fn description(rows: Vec<(String, String, Option<String>)>) -> Result<CommandOutput> {
    let count = rows.len();
    let columns = vec![
        Column::Text("col_name", rows.iter().map(|r| Some(r.0.clone())).collect(), false),
        Column::Text("data_type", rows.iter().map(|r| Some(r.1.clone())).collect(), false),
        Column::Text("comment", rows.into_iter().map(|r| r.2).collect(), true),
    ];
    CommandOutput::of(columns, count)
}

pub(super) async fn describe(
    session: &Session,
    name: &[String],
    extended: bool,
    runner: &dyn QueryRunner,
) -> Result<CommandOutput> {
    let schema = schema_of(session, name, runner).await?;
    let mut rows: Vec<(String, String, Option<String>)> =
        schema.fields.iter().map(row_of).collect();
    let temporary = matches!(name, [view] if session.temp_view(view).is_some());
    let entry = if temporary { None } else { find(session, &object_name(session, name)?) };
    if let Some(Entry::Table(table)) = entry {
        let line = |a: &str, b: &str| (a.to_owned(), b.to_owned(), Some(String::new()));
        if !table.partition_by.is_empty() {
            rows.push(line("# Partition Information", ""));
            rows.push((
                "# col_name".to_owned(),
                "data_type".to_owned(),
                Some("comment".to_owned()),
            ));
            for column in &table.partition_by {
                rows.extend(
                    schema.fields.iter().find(|f| f.name.eq_ignore_ascii_case(column)).map(row_of),
                );
            }
        }
        if extended {
            rows.push(line("", ""));
            rows.push(line("# Detailed Table Information", ""));
            rows.push(line("Catalog", CATALOG));
            rows.push(line("Database", &table.database));
            rows.push(line("Table", &table.name));
            rows.push(line("Type", if table.external { "EXTERNAL" } else { "MANAGED" }));
            rows.push(line("Provider", &table.format));
            if let Some(comment) = &table.comment {
                rows.push(line("Comment", comment));
            }
            rows.push(line("Location", &format!("file:{}", table.location)));
        }
    }
    description(rows)
}

pub(super) fn create_database(
    session: &Session,
    name: &[String],
    if_not_exists: bool,
) -> Result<CommandOutput> {
    let database = database_name(name)?;
    let key = database.to_lowercase();
    let mut catalog = session.shared.catalog.write();
    if catalog.databases.contains_key(&key) {
        if if_not_exists {
            return Ok(CommandOutput::empty());
        }
        return Err(analysis(
            "SCHEMA_ALREADY_EXISTS",
            "42P06",
            format!(
                "Cannot create schema `{database}` because it already exists.\nChoose a different name, drop the \
                 existing schema, or add the IF NOT EXISTS clause to tolerate pre-existing schema."
            ),
        )
        .with("schemaName", format!("`{database}`")));
    }
    catalog.databases.insert(key, Database { name: database, entries: BTreeMap::new() });
    Ok(CommandOutput::empty())
}

pub(super) fn drop_database(
    session: &Session,
    name: &[String],
    if_exists: bool,
    cascade: bool,
) -> Result<CommandOutput> {
    let database = database_name(name)?;
    let key = database.to_lowercase();
    let removed = {
        let mut catalog = session.shared.catalog.write();
        match catalog.databases.get(&key) {
            None if if_exists => return Ok(CommandOutput::empty()),
            None => return Err(errors::schema_not_found(&[CATALOG.to_owned(), database])),
            Some(found) if !found.entries.is_empty() && !cascade => {
                return Err(analysis(
                    "SCHEMA_NOT_EMPTY",
                    "2BP01",
                    format!(
                        "Cannot drop a schema `{database}` because it contains objects.\nUse DROP SCHEMA ... CASCADE \
                         to drop the schema and all its objects."
                    ),
                )
                .with("schemaName", format!("`{database}`")));
            }
            Some(_) => catalog.databases.remove(&key),
        }
    };
    for entry in removed.into_iter().flat_map(|d| d.entries.into_values()) {
        if let Entry::Table(table) = entry
            && !table.external
        {
            remove_directory(&table.location)?;
        }
    }
    if session.current_database().eq_ignore_ascii_case(&database) {
        session.set_current_database(DEFAULT_DATABASE);
    }
    Ok(CommandOutput::empty())
}

fn existing_table(session: &Session, name: &[String]) -> Result<Table> {
    match find(session, &object_name(session, name)?) {
        Some(Entry::Table(table)) => Ok(*table),
        _ => Err(errors::table_not_found(name)),
    }
}

pub(super) fn describe_database(session: &Session, name: &[String]) -> Result<CommandOutput> {
    let database = database_name(name)?;
    if !database_exists(session, &database) {
        return Err(errors::schema_not_found(&[CATALOG.to_owned(), database]));
    }
    let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
    let rows = vec![row("Catalog Name", CATALOG), row("Namespace Name", &database)];
    CommandOutput::texts(&["info_name", "info_value"], rows)
}

pub(super) fn show_create(session: &Session, name: &[String]) -> Result<CommandOutput> {
    let object = object_name(session, name)?;
    let text = match find(session, &object) {
        Some(Entry::Table(table)) => {
            let columns: Vec<String> = table
                .schema
                .fields
                .iter()
                .map(|f| format!("  {} {}", f.name, spark_functions::types::sql_name(&f.data_type)))
                .collect();
            let mut text = format!(
                "CREATE TABLE {CATALOG}.{}.{} (\n{})\nUSING {}\n",
                table.database,
                table.name,
                columns.join(",\n"),
                table.format
            );
            if !table.partition_by.is_empty() {
                text.push_str(&format!("PARTITIONED BY ({})\n", table.partition_by.join(", ")));
            }
            if table.external {
                text.push_str(&format!("LOCATION 'file:{}'\n", table.location));
            }
            text
        }
        Some(Entry::View(view)) => format!(
            "CREATE VIEW {}.{} (\n  {})\nAS {}\n",
            view.database,
            view.name,
            view.columns.join(",\n  "),
            view.text
        ),
        None => return Err(errors::table_not_found(name)),
    };
    CommandOutput::texts(&["createtab_stmt"], vec![vec![text]])
}

pub(super) fn properties(
    session: &Session,
    name: &[String],
    key: Option<&str>,
) -> Result<CommandOutput> {
    let table = existing_table(session, name)?;
    let rows = table
        .options
        .iter()
        .filter(|(k, _)| key.is_none_or(|wanted| wanted == k.as_str()))
        .map(|(k, v)| vec![k.clone(), v.clone()])
        .collect();
    CommandOutput::texts(&["key", "value"], rows)
}

/// SHOW PARTITIONS: the directories below the table's.
pub(super) fn partitions(session: &Session, name: &[String]) -> Result<CommandOutput> {
    let table = existing_table(session, name)?;
    if table.partition_by.is_empty() {
        return Err(analysis(
            "INVALID_PARTITION_OPERATION.PARTITION_SCHEMA_IS_EMPTY",
            "42601",
            format!(
                "The partition command is invalid. Table {} is not partitioned.",
                errors::quoted(&[CATALOG.to_owned(), table.database, table.name])
            ),
        ));
    }
    let root = table.location.strip_prefix("file:").unwrap_or(&table.location);
    let mut found = vec![String::new()];
    for _ in &table.partition_by {
        let mut next = Vec::new();
        for path in &found {
            let Ok(entries) = fs::read_dir(Path::new(root).join(path)) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.contains('=') && entry.path().is_dir() {
                    next.push(if path.is_empty() { name } else { format!("{path}/{name}") });
                }
            }
        }
        found = next;
    }
    found.sort();
    CommandOutput::texts(&["partition"], found.into_iter().map(|p| vec![p]).collect())
}

pub(super) fn rename(
    session: &Session,
    from: &[String],
    to: &[String],
    view: bool,
) -> Result<CommandOutput> {
    if let ([old], [new]) = (from, to)
        && let Some(found) = session.temp_view(old)
    {
        session.create_temp_view(new, found.plan, found.text, false, false)?;
        session.drop_temp_view(old);
        return Ok(CommandOutput::empty());
    }
    let source = object_name(session, from)?;
    let target = match to {
        [name] => ObjectName { database: source.database.clone(), name: name.clone() },
        other => object_name(session, other)?,
    };
    let Some(mut entry) = find(session, &source) else {
        return Err(errors::table_not_found(from));
    };
    if find(session, &target).is_some() {
        return Err(errors::table_exists(&target.parts()));
    }
    match &mut entry {
        Entry::Table(table) if !view => {
            if !table.external {
                let location = default_location(session, &target);
                fs::rename(&table.location, &location).map_err(|e| {
                    internal(format!("the directory {} cannot be moved: {e}", table.location))
                })?;
                table.location = location;
            }
            table.database.clone_from(&target.database);
            table.name.clone_from(&target.name);
        }
        Entry::View(found) => {
            found.database.clone_from(&target.database);
            found.name.clone_from(&target.name);
        }
        Entry::Table(_) => return Err(errors::table_not_found(from)),
    }
    let mut catalog = session.shared.catalog.write();
    if let Some(database) = catalog.databases.get_mut(&source.database.to_lowercase()) {
        database.entries.remove(&source.name.to_lowercase());
    }
    match catalog.databases.get_mut(&target.database.to_lowercase()) {
        Some(database) => {
            database.entries.insert(target.name.to_lowercase(), entry);
            Ok(CommandOutput::empty())
        }
        None => Err(errors::schema_not_found(&target.parts()[..2])),
    }
}
