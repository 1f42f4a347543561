//! Writing a query's rows to files and tables.

use std::collections::BTreeMap;

use datafusion::logical_expr::Expr;
use datafusion::physical_plan::common::collect;
use datafusion::scalar::ScalarValue;
use spark_datasource::{SaveMode, WriteSpec, prepare_write};
use spark_functions::FunctionContext;
use spark_sql_parser::ast::{self, Insert};
use spark_sql_parser::types::{Field, Schema};

use super::table::{default_location, find, partitions_last, register, remove_directory};
use super::{CommandOutput, object_name};
use crate::catalog::{Entry, Table};
use crate::errors::{self, Result, analysis, from_datafusion, internal};
use crate::field::{OutputField, ResolvedPlan};
use crate::physical::plan_physical;
use crate::resolver::{QueryRunner, Resolver, fresh_name, project};
use crate::session::Session;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableMode {
    /// `saveAsTable` by default, `writeTo(t).create()`.
    ErrorIfExists,
    Append,
    /// Replaces table and schema, or makes it.
    Overwrite,
    Ignore,
    /// `writeTo(t).replace()`: the table must exist.
    Replace,
    /// `insertInto`: columns by position, the table must exist.
    InsertInto {
        overwrite: bool,
    },
}

/// What `df.write.…saveAsTable(name)` asks for.
#[derive(Debug, Clone)]
pub struct TableWrite {
    pub format: Option<String>,
    pub mode: TableMode,
    pub partition_by: Vec<String>,
    /// `path` makes the table external.
    pub options: BTreeMap<String, String>,
}

/// Runs the plan and writes its rows as the spec says.
///
/// # Errors
/// What checking, running or committing the write reports; nothing stays behind then.
pub async fn save(
    session: &Session,
    runner: &dyn QueryRunner,
    plan: &ResolvedPlan,
    spec: &WriteSpec,
) -> Result<()> {
    let context = session.source_context();
    let Some(prepared) = prepare_write(spec, &plan.schema(), &context).await? else {
        return Ok(());
    };
    let mode = runner.mode(session);
    let written = async {
        let input = plan_physical(session, plan, mode).await?;
        let stream = runner.run(prepared.plan(input)?, &session.state(mode)).await?;
        collect(stream).await.map_err(from_datafusion)
    }
    .await;
    match written {
        Ok(rows) => {
            let committed = prepared.commit(rows).await;
            session.shared.cache.forget_rows_of(&spec.path);
            committed
        }
        Err(error) => {
            prepared.abort().await;
            Err(error)
        }
    }
}

/// Writes the plan's rows to a table of the catalog.
///
/// # Errors
/// TABLE_OR_VIEW_ALREADY_EXISTS, TABLE_OR_VIEW_NOT_FOUND, and what [`save`] reports.
pub async fn save_as_table(
    session: &Session,
    runner: &dyn QueryRunner,
    plan: &ResolvedPlan,
    name: &[String],
    write: &TableWrite,
) -> Result<()> {
    let object = object_name(session, name)?;
    let existing = match find(session, &object) {
        Some(Entry::Table(table)) => Some(*table),
        Some(Entry::View(_)) => return Err(errors::table_exists(&object.parts())),
        None => None,
    };
    match (write.mode, existing) {
        (TableMode::ErrorIfExists, Some(_)) => Err(errors::table_exists(&object.parts())),
        (TableMode::Ignore, Some(_)) => Ok(()),
        (TableMode::Append, Some(table)) => {
            let aligned = by_name(session, plan, &table)?;
            append(session, runner, &aligned, &table, false).await
        }
        (TableMode::InsertInto { overwrite }, Some(table)) => {
            let aligned = by_position(session, plan, &table)?;
            append(session, runner, &aligned, &table, overwrite).await
        }
        (TableMode::InsertInto { .. } | TableMode::Replace, None) => {
            Err(errors::table_not_found(name))
        }
        (TableMode::Overwrite | TableMode::Replace, Some(table)) => {
            if !table.external && write.options.get("path").is_none_or(|p| *p != table.location) {
                let spec = WriteSpec {
                    format: format_of(session, write),
                    path: table.location.clone(),
                    mode: SaveMode::Overwrite,
                    partition_by: write.partition_by.clone(),
                    options: write.options.clone(),
                };
                save(session, runner, plan, &spec).await?;
                return make(session, plan, write, &object, table.location, false);
            }
            create(session, runner, plan, write, &object, SaveMode::Overwrite).await
        }
        (_, None) => create(session, runner, plan, write, &object, SaveMode::ErrorIfExists).await,
    }
}

fn format_of(session: &Session, write: &TableWrite) -> String {
    write.format.clone().unwrap_or_else(|| {
        session.get("spark.sql.sources.default").unwrap_or_else(|| "parquet".to_owned())
    })
}

async fn create(
    session: &Session,
    runner: &dyn QueryRunner,
    plan: &ResolvedPlan,
    write: &TableWrite,
    object: &super::ObjectName,
    mode: SaveMode,
) -> Result<()> {
    if !super::database_exists(session, &object.database) {
        return Err(errors::schema_not_found(&object.parts()[..2]));
    }
    let path = write.options.get("path").cloned();
    let external = path.is_some();
    let location = path.unwrap_or_else(|| default_location(session, object));
    let spec = WriteSpec {
        format: format_of(session, write),
        path: location.clone(),
        mode: if external { SaveMode::Overwrite } else { mode },
        partition_by: write.partition_by.clone(),
        options: write.options.clone(),
    };
    save(session, runner, plan, &spec).await?;
    make(session, plan, write, object, location, external)
}

fn make(
    session: &Session,
    plan: &ResolvedPlan,
    write: &TableWrite,
    object: &super::ObjectName,
    location: String,
    external: bool,
) -> Result<()> {
    let schema = partitions_last(&plan.schema(), &write.partition_by);
    let fields = schema.fields.into_iter().map(|f| Field { nullable: true, ..f }).collect();
    let mut options = write.options.clone();
    options.remove("path");
    register(
        session,
        Table {
            database: object.database.clone(),
            name: object.name.clone(),
            format: format_of(session, write).to_lowercase(),
            location,
            schema: Schema { fields },
            partition_by: write.partition_by.clone(),
            options,
            comment: None,
            external,
        },
    )
}

async fn append(
    session: &Session,
    runner: &dyn QueryRunner,
    plan: &ResolvedPlan,
    table: &Table,
    overwrite: bool,
) -> Result<()> {
    let spec = WriteSpec {
        format: table.format.clone(),
        path: table.location.clone(),
        mode: if overwrite { SaveMode::Overwrite } else { SaveMode::Append },
        partition_by: table.partition_by.clone(),
        options: table.options.clone(),
    };
    save(session, runner, plan, &spec).await
}

fn arity_error(table: &Table, plan: &ResolvedPlan) -> spark_sql_parser::error::SparkError {
    let (kind, word) = if plan.fields.len() < table.schema.fields.len() {
        ("NOT_ENOUGH_DATA_COLUMNS", "not enough data columns")
    } else {
        ("TOO_MANY_DATA_COLUMNS", "too many data columns")
    };
    let list = |names: Vec<&str>| {
        names.into_iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
    };
    let name = errors::quoted(&[
        crate::catalog::CATALOG.to_owned(),
        table.database.clone(),
        table.name.clone(),
    ]);
    let table_columns = list(table.schema.fields.iter().map(|f| f.name.as_str()).collect());
    let data_columns = list(plan.fields.iter().map(|f| f.name.as_str()).collect());
    analysis(
        &format!("INSERT_COLUMN_ARITY_MISMATCH.{kind}"),
        "21S01",
        format!(
            "Cannot write to {name}, the reason is {word}:\nTable columns: {table_columns}.\nData columns: \
             {data_columns}."
        ),
    )
    .with("tableName", name)
    .with("tableColumns", table_columns)
    .with("dataColumns", data_columns)
}

/// The plan's columns as the table's, by position.
fn by_position(session: &Session, plan: &ResolvedPlan, table: &Table) -> Result<ResolvedPlan> {
    if plan.fields.len() != table.schema.fields.len() {
        return Err(arity_error(table, plan));
    }
    let sources = plan.fields.iter().map(|f| Some(f.column())).collect();
    aligned(session, plan, &table.schema, sources)
}

/// The plan's columns as the table's, by name.
fn by_name(session: &Session, plan: &ResolvedPlan, table: &Table) -> Result<ResolvedPlan> {
    if plan.fields.len() != table.schema.fields.len() {
        return Err(arity_error(table, plan));
    }
    let mut sources = Vec::with_capacity(table.schema.fields.len());
    for field in &table.schema.fields {
        let found = plan
            .fields
            .iter()
            .find(|f| crate::field::same_name(&f.name, &field.name, session.case_sensitive()));
        match found {
            Some(found) => sources.push(Some(found.column())),
            None => {
                let candidates: Vec<Vec<String>> =
                    plan.fields.iter().map(OutputField::path).collect();
                return Err(errors::unresolved_column(
                    std::slice::from_ref(&field.name),
                    &candidates,
                ));
            }
        }
    }
    aligned(session, plan, &table.schema, sources)
}

/// One cast column per table column; columns without a source are null.
fn aligned(
    session: &Session,
    plan: &ResolvedPlan,
    schema: &Schema,
    sources: Vec<Option<Expr>>,
) -> Result<ResolvedPlan> {
    let zone = session.time_zone();
    let database = session.current_database();
    let input = plan.plan.schema().clone();
    let context = FunctionContext {
        ansi: session.ansi(),
        time_zone: &zone,
        now_micros: chrono::Utc::now().timestamp_micros(),
        user: &session.user,
        catalog: crate::catalog::CATALOG,
        database: &database,
        ..FunctionContext::new(&input)
    };
    let mut exprs = Vec::with_capacity(schema.fields.len());
    let mut fields = Vec::with_capacity(schema.fields.len());
    for (field, source) in schema.fields.iter().zip(sources) {
        let source = source.unwrap_or(Expr::Literal(ScalarValue::Null, None));
        let expr =
            spark_functions::cast(source, &field.data_type, ast::CastMode::Session, &context)?;
        let internal = fresh_name(&field.name);
        exprs.push(expr.alias(internal.clone()));
        fields.push(OutputField {
            name: field.name.clone(),
            data_type: field.data_type.clone(),
            nullable: true,
            qualifier: Vec::new(),
            plan_ids: Vec::new(),
            internal,
            metadata: field.metadata.clone(),
        });
    }
    Ok(ResolvedPlan { plan: project(plan.plan.clone(), exprs)?, fields, render: None })
}

/// INSERT INTO and INSERT OVERWRITE.
pub(super) async fn insert(
    session: &Session,
    insert: &Insert,
    runner: &dyn QueryRunner,
) -> Result<CommandOutput> {
    let object = object_name(session, &insert.table)?;
    let Some(Entry::Table(table)) = find(session, &object) else {
        return Err(errors::table_not_found(&insert.table));
    };
    let plan = Resolver::new(session).with_runner(runner).resolve(&insert.query).await?;
    let constants = partition_values(session, insert, runner).await?;
    let fixed = |name: &str| {
        constants.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)).map(|c| &c.1)
    };
    let open: Vec<&Field> =
        table.schema.fields.iter().filter(|f| fixed(&f.name).is_none()).collect();
    let order: Vec<String> = if insert.by_name {
        plan.fields.iter().map(|f| f.name.clone()).collect()
    } else if insert.columns.is_empty() {
        open.iter().map(|f| f.name.clone()).collect()
    } else {
        insert.columns.clone()
    };
    if order.len() != plan.fields.len() {
        return Err(arity_error(&table, &plan));
    }
    let mut sources = Vec::with_capacity(table.schema.fields.len());
    for field in &table.schema.fields {
        let at = order.iter().position(|n| n.eq_ignore_ascii_case(&field.name));
        sources.push(match (fixed(&field.name), at) {
            (Some(value), _) => Some(Expr::Literal(value.clone(), None)),
            (None, Some(index)) => Some(plan.fields[index].column()),
            (None, None) => None,
        });
    }
    for name in &order {
        if !table.schema.fields.iter().any(|f| f.name.eq_ignore_ascii_case(name)) {
            let candidates: Vec<Vec<String>> =
                table.schema.fields.iter().map(|f| vec![f.name.clone()]).collect();
            return Err(errors::unresolved_column(std::slice::from_ref(name), &candidates));
        }
    }
    let aligned = aligned(session, &plan, &table.schema, sources)?;
    let all_fixed =
        !table.partition_by.is_empty() && table.partition_by.iter().all(|p| fixed(p).is_some());
    if insert.overwrite && all_fixed {
        // Only the named partition is replaced.
        let mut directory = table.location.clone();
        for column in &table.partition_by {
            let text = fixed(column).map(ToString::to_string).unwrap_or_default();
            directory = format!("{directory}/{column}={text}");
        }
        remove_directory(&directory)?;
        append(session, runner, &aligned, &table, false).await?;
        return Ok(CommandOutput::empty());
    }
    append(session, runner, &aligned, &table, insert.overwrite).await?;
    Ok(CommandOutput::empty())
}

/// The constants of PARTITION (p = v).
async fn partition_values(
    session: &Session,
    insert: &Insert,
    runner: &dyn QueryRunner,
) -> Result<Vec<(String, ScalarValue)>> {
    let mut constants = Vec::new();
    for (column, value) in &insert.partition {
        let Some(value) = value else { continue };
        let row = ast::Relation::from(ast::RelationKind::OneRow);
        let query: ast::Relation = ast::RelationKind::Project {
            input: Box::new(row),
            exprs: vec![value.clone().alias("value")],
        }
        .into();
        let plan = Resolver::new(session).with_runner(runner).resolve(&query).await?;
        let mode = runner.mode(session);
        let physical = plan_physical(session, &plan, mode).await?;
        let stream = runner.run(physical, &session.state(mode)).await?;
        let batches = collect(stream).await.map_err(from_datafusion)?;
        let Some(batch) = batches.iter().find(|b| b.num_rows() > 0) else {
            return Err(internal("a partition value has no value"));
        };
        let value = ScalarValue::try_from_array(batch.column(0), 0).map_err(from_datafusion)?;
        constants.push((column.clone(), value));
    }
    Ok(constants)
}
