//! `spark.catalog`: each call is a relation whose rows are known at once.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, ListBuilder, RecordBatch, RecordBatchOptions, StringArray,
    StringBuilder,
};
use arrow::datatypes::Schema as ArrowSchema;
use spark_connect_proto as sc;
use spark_plan::cache::StorageLevel;
use spark_plan::catalog::{CATALOG, Entry, GLOBAL_TEMP, matches_pattern};
use spark_sql_parser::ast::{Command, Relation, RelationKind};
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::{DataType, Field, Schema};

use crate::application::OperationRunner;
use crate::arrow_ipc::local_data;
use crate::convert::{missing, unsupported};
use crate::errors::from_datafusion;
use crate::execute::storage_level;
use crate::session::ConnectSession;

type Result<T> = std::result::Result<T, SparkError>;

/// Answers a call.
pub(crate) async fn answer(
    session: &ConnectSession,
    runner: &OperationRunner,
    catalog: &sc::Catalog,
) -> Result<Relation> {
    use sc::catalog::CatType;
    let plan = &session.plan;
    match catalog.cat_type.as_ref().ok_or_else(|| missing("catalog call"))? {
        CatType::CurrentDatabase(_) => text(&plan.current_database()),
        CatType::CurrentCatalog(_) => text(&plan.current_catalog()),
        CatType::SetCurrentCatalog(set) if set.catalog_name == CATALOG => nothing(),
        CatType::SetCurrentCatalog(set) => Err(SparkError::new(
            ErrorKind::Analysis,
            "CATALOG_NOT_FOUND",
            "42P08",
            format!("The catalog `{}` not found. There is only `{CATALOG}`.", set.catalog_name),
        )
        .with("catalogName", format!("`{}`", set.catalog_name))),
        CatType::SetCurrentDatabase(set) => {
            command(session, runner, Command::UseDatabase(name(&set.db_name)?)).await
        }
        CatType::ListCatalogs(list) => rows(
            &["name", "description"],
            &[Some(CATALOG)]
                .into_iter()
                .flatten()
                .filter(|name| matches_pattern(name, list.pattern.as_deref()))
                .map(|name| vec![Some(name.to_owned()), None])
                .collect::<Vec<_>>(),
        ),
        CatType::ListDatabases(list) => databases(session, list.pattern.as_deref()),
        CatType::DatabaseExists(exists) => {
            let wanted = exists.db_name.rsplit('.').next().unwrap_or_default().to_lowercase();
            flag(plan.shared.catalog.read().databases.contains_key(&wanted))
        }
        CatType::ListTables(list) => {
            tables(session, list.db_name.as_deref(), list.pattern.as_deref())
        }
        CatType::TableExists(exists) => {
            let mut path = name(&exists.table_name)?;
            if let Some(database) = &exists.db_name
                && path.len() == 1
            {
                path.insert(0, database.clone());
            }
            flag(table_exists(session, &path))
        }
        CatType::FunctionExists(exists) => {
            let function = exists.function_name.rsplit('.').next().unwrap_or_default();
            let function = function.to_lowercase();
            flag(
                spark_functions::is_scalar(&function)
                    || spark_functions::is_aggregate(&function)
                    || spark_functions::is_window(&function)
                    || spark_functions::is_generator(&function),
            )
        }
        CatType::DropTempView(drop) => flag(plan.drop_temp_view(&drop.view_name)),
        CatType::DropGlobalTempView(drop) => flag(plan.drop_global_view(&drop.view_name)),
        CatType::DropTable(drop) => {
            let (name, if_exists, purge) = (name(&drop.table_name)?, drop.if_exists, drop.purge);
            command(session, runner, Command::DropTable { name, if_exists, purge }).await
        }
        CatType::DropView(drop) => {
            let (name, if_exists) = (name(&drop.view_name)?, drop.if_exists);
            command(session, runner, Command::DropView { name, if_exists }).await
        }
        CatType::CreateDatabase(create) => {
            let (name, if_not_exists) = (name(&create.db_name)?, create.if_not_exists);
            command(session, runner, Command::CreateDatabase { name, if_not_exists }).await
        }
        CatType::DropDatabase(drop) => {
            let (name, if_exists, cascade) = (name(&drop.db_name)?, drop.if_exists, drop.cascade);
            command(session, runner, Command::DropDatabase { name, if_exists, cascade }).await
        }
        CatType::RefreshTable(refresh) => {
            command(session, runner, Command::RefreshTable { name: name(&refresh.table_name)? })
                .await
        }
        CatType::RefreshByPath(refresh) => {
            command(session, runner, Command::RefreshPath(refresh.path.clone())).await
        }
        CatType::IsCached(cached) => {
            let name = name(&cached.table_name)?;
            let options = std::collections::BTreeMap::new();
            let relation: Relation = RelationKind::NamedTable { name, options }.into();
            flag(plan.shared.cache.find(plan, &relation).is_some())
        }
        CatType::CacheTable(cache) => {
            let name = name(&cache.table_name)?;
            let options = std::collections::BTreeMap::new();
            let relation: Relation = RelationKind::NamedTable { name, options }.into();
            let level = cache.storage_level.as_ref();
            let level = level.map_or(StorageLevel::MEMORY_AND_DISK, storage_level);
            plan.shared.cache.persist(plan, runner, &relation, level).await?;
            nothing()
        }
        CatType::UncacheTable(uncache) => {
            let (name, if_exists) = (name(&uncache.table_name)?, false);
            command(session, runner, Command::UncacheTable { name, if_exists }).await
        }
        CatType::ClearCache(_) => command(session, runner, Command::ClearCache).await,
        CatType::TruncateTable(truncate) => {
            let name = name(&truncate.table_name)?;
            command(session, runner, Command::TruncateTable { name }).await
        }
        other => {
            let debug = format!("{other:?}");
            let call = debug.split(['(', ' ', '{']).next().unwrap_or_default();
            Err(unsupported(&format!("The catalog call {call}")))
        }
    }
}

fn name(text: &str) -> Result<Vec<String>> {
    spark_sql_parser::parse_multipart_identifier(text)
}

async fn command(
    session: &ConnectSession,
    runner: &OperationRunner,
    command: Command,
) -> Result<Relation> {
    spark_plan::execute_command(&session.plan, &command, runner).await?;
    nothing()
}

fn table_exists(session: &ConnectSession, path: &[String]) -> bool {
    let plan = &session.plan;
    match path {
        [table] => {
            plan.temp_view(table).is_some()
                || plan.shared.catalog.read().entry(&plan.current_database(), table).is_some()
        }
        [database, table] if database.eq_ignore_ascii_case(GLOBAL_TEMP) => {
            plan.global_view(table).is_some()
        }
        [database, table] => plan.shared.catalog.read().entry(database, table).is_some(),
        [catalog, database, table] => {
            catalog == CATALOG && plan.shared.catalog.read().entry(database, table).is_some()
        }
        _ => false,
    }
}

fn databases(session: &ConnectSession, pattern: Option<&str>) -> Result<Relation> {
    let catalog = session.plan.shared.catalog.read();
    let listed: Vec<Vec<Option<String>>> = catalog
        .databases
        .values()
        .filter(|database| matches_pattern(&database.name, pattern))
        .map(|database| {
            vec![
                Some(database.name.clone()),
                Some(CATALOG.to_owned()),
                Some(format!("{} database", database.name)),
                session.plan.get("spark.sql.warehouse.dir"),
            ]
        })
        .collect();
    rows(&["name", "catalog", "description", "locationUri"], &listed)
}

/// name, catalog, namespace, description, tableType, isTemporary: tables of the database, then temporary views.
fn tables(
    session: &ConnectSession,
    database: Option<&str>,
    pattern: Option<&str>,
) -> Result<Relation> {
    let plan = &session.plan;
    let current = plan.current_database();
    let database = database.unwrap_or(&current).to_lowercase();
    let mut names = Vec::new();
    let mut kinds = Vec::new();
    if let Some(found) = plan.shared.catalog.read().databases.get(&database) {
        for entry in found.entries.values().filter(|e| matches_pattern(e.name(), pattern)) {
            names.push(entry.name().to_owned());
            kinds.push(match entry {
                Entry::Table(table) if table.external => "EXTERNAL",
                Entry::Table(_) => "MANAGED",
                Entry::View(_) => "VIEW",
            });
        }
    }
    let permanent = names.len();
    for view in plan.temp_views().iter().filter(|view| matches_pattern(&view.name, pattern)) {
        names.push(view.name.clone());
        kinds.push("TEMPORARY");
    }
    let mut namespaces = ListBuilder::new(StringBuilder::new());
    for at in 0..names.len() {
        if at < permanent {
            namespaces.values().append_value(&database);
        }
        namespaces.append(true);
    }
    let is_permanent = |at: usize| at < permanent;
    let count = names.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names)),
        Arc::new((0..count).map(|at| is_permanent(at).then_some(CATALOG)).collect::<StringArray>()),
        Arc::new(namespaces.finish()),
        Arc::new((0..count).map(|_| None::<&str>).collect::<StringArray>()),
        Arc::new(StringArray::from(kinds)),
        Arc::new((0..count).map(|at| Some(!is_permanent(at))).collect::<BooleanArray>()),
    ];
    let namespace = DataType::Array { element: Box::new(DataType::String), contains_null: true };
    local(
        &[
            ("name", DataType::String),
            ("catalog", DataType::String),
            ("namespace", namespace),
            ("description", DataType::String),
            ("tableType", DataType::String),
            ("isTemporary", DataType::Boolean),
        ],
        columns,
    )
}

fn nothing() -> Result<Relation> {
    local(&[], Vec::new())
}

fn text(value: &str) -> Result<Relation> {
    local(&[("value", DataType::String)], vec![Arc::new(StringArray::from(vec![value]))])
}

fn flag(value: bool) -> Result<Relation> {
    local(&[("value", DataType::Boolean)], vec![Arc::new(BooleanArray::from(vec![value]))])
}

fn rows(names: &[&str], rows: &[Vec<Option<String>>]) -> Result<Relation> {
    let fields: Vec<(&str, DataType)> =
        names.iter().map(|name| (*name, DataType::String)).collect();
    let columns = (0..names.len())
        .map(|at| {
            let column: StringArray =
                rows.iter().map(|row| row.get(at).cloned().flatten()).collect();
            Arc::new(column) as ArrayRef
        })
        .collect();
    local(&fields, columns)
}

fn local(fields: &[(&str, DataType)], columns: Vec<ArrayRef>) -> Result<Relation> {
    let schema = Schema {
        fields: fields
            .iter()
            .map(|(name, data_type)| Field {
                name: (*name).to_owned(),
                data_type: data_type.clone(),
                nullable: true,
                metadata: None,
            })
            .collect(),
    };
    let arrow: Vec<arrow::datatypes::Field> = fields
        .iter()
        .zip(&columns)
        .map(|((name, _), column)| {
            arrow::datatypes::Field::new(*name, column.data_type().clone(), true)
        })
        .collect();
    let arrow = ArrowSchema::new(arrow);
    let rows = columns.first().map_or(0, |column| column.len());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let data = RecordBatch::try_new_with_options(Arc::new(arrow), columns, &options)
        .and_then(|batch| local_data(&schema, &[batch]))
        .map_err(|error| from_datafusion(&error.into()))?;
    Ok(RelationKind::LocalRelation { data: Some(data), schema: Some(schema) }.into())
}
