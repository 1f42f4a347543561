//! CREATE VIEW and DROP VIEW.

use spark_sql_parser::ast::CreateView;

use super::{CommandOutput, object_name};
use crate::catalog::{Entry, GLOBAL_TEMP, View};
use crate::errors::{self, Result, analysis};
use crate::resolver::{QueryRunner, Resolver};
use crate::session::Session;

pub(super) async fn create(
    session: &Session,
    create: &CreateView,
    runner: &dyn QueryRunner,
) -> Result<CommandOutput> {
    let mut plan = Resolver::new(session).with_runner(runner).resolve(&create.query).await?;
    if !create.columns.is_empty() && create.columns.len() != plan.fields.len() {
        let (kind, word) = if create.columns.len() > plan.fields.len() {
            ("NOT_ENOUGH_DATA_COLUMNS", "not enough data columns")
        } else {
            ("TOO_MANY_DATA_COLUMNS", "too many data columns")
        };
        let data: Vec<&str> = plan.fields.iter().map(|f| f.name.as_str()).collect();
        return Err(analysis(
            &format!("CREATE_VIEW_COLUMN_ARITY_MISMATCH.{kind}"),
            "21S01",
            format!(
                "Cannot create view {}, the reason is {word}:\nView columns: {}.\nData columns: {}.",
                errors::quoted(&create.name),
                create.columns.join(", "),
                data.join(", ")
            ),
        ));
    }
    let name = create.name.last().cloned().unwrap_or_default();
    if create.temporary || create.global {
        for (field, column) in plan.fields.iter_mut().zip(&create.columns) {
            field.name.clone_from(column);
        }
        if create.if_not_exists {
            let there = if create.global {
                session.global_view(&name).is_some()
            } else {
                session.temp_view(&name).is_some()
            };
            if there {
                return Ok(CommandOutput::empty());
            }
        }
        let text = Some(create.text.clone());
        session.create_temp_view(&name, plan, text, create.replace, create.global)?;
        return Ok(CommandOutput::empty());
    }
    let object = object_name(session, &create.name)?;
    let columns = if create.columns.is_empty() {
        plan.fields.iter().map(|f| f.name.clone()).collect()
    } else {
        create.columns.clone()
    };
    let mut catalog = session.shared.catalog.write();
    let Some(database) = catalog.databases.get_mut(&object.database.to_lowercase()) else {
        return Err(errors::schema_not_found(&object.parts()[..2]));
    };
    let key = object.name.to_lowercase();
    match database.entries.get(&key) {
        Some(Entry::View(_)) if create.replace => {}
        Some(_) if create.if_not_exists => return Ok(CommandOutput::empty()),
        Some(_) => return Err(errors::table_exists(&object.parts())),
        None => {}
    }
    let view = View {
        database: object.database,
        name: object.name,
        columns,
        query: create.query.clone(),
        text: create.text.clone(),
    };
    database.entries.insert(key, Entry::View(Box::new(view)));
    Ok(CommandOutput::empty())
}

pub(super) fn drop(session: &Session, name: &[String], if_exists: bool) -> Result<CommandOutput> {
    let dropped = match name {
        [view] if session.drop_temp_view(view) => true,
        [database, view] if database.eq_ignore_ascii_case(GLOBAL_TEMP) => {
            session.drop_global_view(view)
        }
        _ => {
            let object = object_name(session, name)?;
            let mut catalog = session.shared.catalog.write();
            let database = catalog.databases.get_mut(&object.database.to_lowercase());
            let key = object.name.to_lowercase();
            match database {
                Some(database) => match database.entries.get(&key) {
                    Some(Entry::View(_)) => database.entries.remove(&key).is_some(),
                    Some(Entry::Table(_)) => {
                        return Err(analysis(
                            "EXPECT_VIEW_NOT_TABLE.NO_ALTERNATIVE",
                            "42809",
                            format!(
                                "'DROP VIEW' expects a view but {} is a table.",
                                errors::quoted(&object.parts())
                            ),
                        ));
                    }
                    None => false,
                },
                None => false,
            }
        }
    };
    if !dropped && !if_exists {
        return Err(errors::table_not_found(name));
    }
    Ok(CommandOutput::empty())
}
