//! SET without effect, SHOW, and descriptions of functions.

use spark_sql_parser::ast::Command;

use super::{Column, CommandOutput, database_exists, database_name};
use crate::catalog::{CATALOG, Entry, GLOBAL_TEMP, matches_pattern};
use crate::errors::{self, Result, analysis};
use crate::session::Session;

pub(super) fn set(
    session: &Session,
    key: Option<&str>,
    value: Option<&str>,
) -> Result<CommandOutput> {
    let rows = match (key, value) {
        (Some(key), Some(value)) => {
            session.set(key, value)?;
            vec![vec![key.to_owned(), value.to_owned()]]
        }
        (Some(key), None) => {
            let value = session.get(key).unwrap_or_else(|| "<undefined>".to_owned());
            vec![vec![key.to_owned(), value]]
        }
        (None, _) => session.all().into_iter().map(|(k, v)| vec![k, v]).collect(),
    };
    CommandOutput::texts(&["key", "value"], rows)
}

pub(super) fn databases(session: &Session, pattern: Option<&str>) -> Result<CommandOutput> {
    let catalog = session.shared.catalog.read();
    let rows = catalog
        .databases
        .values()
        .filter(|d| matches_pattern(&d.name, pattern))
        .map(|d| vec![d.name.clone()])
        .collect();
    CommandOutput::texts(&["namespace"], rows)
}

/// SHOW TABLES and SHOW VIEWS.
pub(super) fn tables(
    session: &Session,
    database: Option<&[String]>,
    pattern: Option<&str>,
    only_views: bool,
) -> Result<CommandOutput> {
    let database = match database {
        Some(name) => database_name(name)?,
        None => session.current_database(),
    };
    if !database_exists(session, &database) {
        return Err(errors::schema_not_found(&[CATALOG.to_owned(), database]));
    }
    let mut rows: Vec<(String, String, bool)> = Vec::new();
    {
        let catalog = session.shared.catalog.read();
        if let Some(entries) = catalog.databases.get(&database.to_lowercase()) {
            for entry in entries.entries.values() {
                if !only_views || matches!(entry, Entry::View(_)) {
                    rows.push((entries.name.clone(), entry.name().to_owned(), false));
                }
            }
        }
        if database.eq_ignore_ascii_case(GLOBAL_TEMP) {
            for view in catalog.global_views.values() {
                rows.push((GLOBAL_TEMP.to_owned(), view.name.clone(), true));
            }
        }
    }
    for view in session.temp_views() {
        rows.push((String::new(), view.name, true));
    }
    rows.retain(|(_, name, _)| matches_pattern(name, pattern));
    rows.sort_by(|a, b| a.1.cmp(&b.1));
    let count = rows.len();
    let name = if only_views { "viewName" } else { "tableName" };
    let columns = vec![
        Column::Text("namespace", rows.iter().map(|r| Some(r.0.clone())).collect(), false),
        Column::Text(name, rows.iter().map(|r| Some(r.1.clone())).collect(), false),
        Column::Flag("isTemporary", rows.iter().map(|r| r.2).collect()),
    ];
    CommandOutput::of(columns, count)
}

pub(super) fn functions(pattern: Option<&str>) -> Result<CommandOutput> {
    let names = function_names();
    let rows = names.into_iter().filter(|n| matches_pattern(n, pattern)).map(|n| vec![n]).collect();
    CommandOutput::texts(&["function"], rows)
}

fn function_names() -> Vec<String> {
    let scalar = spark_functions::codec::all_scalar().into_iter().map(|f| f.name().to_lowercase());
    let aggregate =
        spark_functions::codec::all_aggregate().into_iter().map(|f| f.name().to_lowercase());
    let mut names: Vec<String> = scalar
        .filter(|n| spark_functions::is_scalar(n))
        .chain(aggregate.filter(|n| spark_functions::is_aggregate(n)))
        .collect();
    names.sort();
    names.dedup();
    names
}

pub(super) fn describe_function(name: &[String]) -> Result<CommandOutput> {
    let function = name.last().map(|n| n.to_lowercase()).unwrap_or_default();
    if !function_names().contains(&function) {
        return Err(analysis(
            "UNRESOLVED_ROUTINE",
            "42883",
            format!(
                "Cannot resolve routine {} on search path [`system`.`builtin`, `system`.`session`, \
                 `spark_catalog`.`default`].",
                errors::quoted(name)
            ),
        )
        .with("routineName", errors::quoted(name)));
    }
    CommandOutput::texts(&["function_desc"], vec![vec![format!("Function: {function}")]])
}

/// What EXPLAIN calls a command.
pub(super) fn command_word(command: &Command) -> String {
    let text = format!("{command:?}");
    let word = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("Command");
    format!("{word}Command")
}
