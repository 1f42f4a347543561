//! `DataFrameWriter` and `DataFrameWriterV2`.

use std::collections::BTreeMap;

use spark_connect_proto as sc;
use spark_datasource::{SaveMode, WriteSpec};
use spark_plan::{ResolvedPlan, Resolver, TableMode, TableWrite, save, save_as_table};
use spark_sql_parser::ast::Expr;
use spark_sql_parser::error::SparkError;

use crate::application::OperationRunner;
use crate::convert::{expressions, missing, options, storage_relation, unsupported};
use crate::observe::Observing;
use crate::session::ConnectSession;

type Result<T> = std::result::Result<T, SparkError>;

/// `df.write.…save()`, `saveAsTable()`, `insertInto()`.
pub(crate) async fn write_operation(
    session: &ConnectSession,
    runner: &OperationRunner,
    write: sc::WriteOperation,
    lookup: &Observing<'_>,
) -> Result<()> {
    use sc::write_operation::SaveType;
    use sc::write_operation::save_table::TableSaveMethod;
    if write.bucket_by.is_some() {
        return Err(unsupported("bucketBy"));
    }
    let mode = write.mode();
    let plan = input(session, runner, write.input.as_ref(), lookup).await?;
    let mut settings = options(&write.options);
    match &write.save_type {
        Some(SaveType::Table(table)) => {
            let insert = table.save_method() == TableSaveMethod::InsertInto;
            let name = spark_sql_parser::parse_multipart_identifier(&table.table_name)?;
            let write = TableWrite {
                format: write.source.clone(),
                mode: table_mode(mode, insert),
                partition_by: write.partitioning_columns.clone(),
                options: settings,
            };
            save_as_table(&session.plan, runner, &plan, &name, &write).await
        }
        path => {
            let path = match path {
                Some(SaveType::Path(path)) => path.clone(),
                _ => settings.remove("path").unwrap_or_default(),
            };
            let format = format_of(session, write.source.clone());
            let spec = WriteSpec {
                format,
                path,
                mode: save_mode(mode),
                partition_by: write.partitioning_columns.clone(),
                options: settings,
            };
            save(&session.plan, runner, &plan, &spec).await
        }
    }
}

/// `df.writeTo(table)…`.
pub(crate) async fn write_operation_v2(
    session: &ConnectSession,
    runner: &OperationRunner,
    write: sc::WriteOperationV2,
    lookup: &Observing<'_>,
) -> Result<()> {
    use sc::write_operation_v2::Mode;
    let mode = match write.mode() {
        Mode::Create | Mode::Unspecified => TableMode::ErrorIfExists,
        Mode::Append => TableMode::Append,
        Mode::CreateOrReplace => TableMode::Overwrite,
        Mode::Replace => TableMode::Replace,
        Mode::OverwritePartitions => return Err(unsupported("overwritePartitions")),
        Mode::Overwrite => return Err(unsupported("overwrite with a condition")),
    };
    let plan = input(session, runner, write.input.as_ref(), lookup).await?;
    let name = spark_sql_parser::parse_multipart_identifier(&write.table_name)?;
    let mut settings: BTreeMap<String, String> = options(&write.options);
    settings.extend(options(&write.table_properties));
    let write = TableWrite {
        format: write.provider.clone(),
        mode,
        partition_by: partition_columns(session, &write.partitioning_columns)?,
        options: settings,
    };
    save_as_table(&session.plan, runner, &plan, &name, &write).await
}

async fn input(
    session: &ConnectSession,
    runner: &OperationRunner,
    proto: Option<&sc::Relation>,
    lookup: &Observing<'_>,
) -> Result<ResolvedPlan> {
    let relation = storage_relation(proto, lookup)?;
    Resolver::new(&session.plan).with_runner(runner).resolve(&relation).await
}

fn format_of(session: &ConnectSession, source: Option<String>) -> String {
    source
        .filter(|source| !source.is_empty())
        .or_else(|| session.plan.get("spark.sql.sources.default"))
        .unwrap_or_else(|| "parquet".to_owned())
}

fn partition_columns(session: &ConnectSession, protos: &[sc::Expression]) -> Result<Vec<String>> {
    expressions(protos, session)?
        .into_iter()
        .map(|expr| match expr {
            Expr::Attribute { mut name, .. } if name.len() == 1 => Ok(name.remove(0)),
            _ => Err(unsupported("Partitioning by a transform")),
        })
        .collect::<Result<_>>()
        .and_then(|names: Vec<String>| {
            if names.iter().any(String::is_empty) { Err(missing("column name")) } else { Ok(names) }
        })
}

fn save_mode(mode: sc::write_operation::SaveMode) -> SaveMode {
    use sc::write_operation::SaveMode as Wire;
    match mode {
        Wire::Unspecified | Wire::ErrorIfExists => SaveMode::ErrorIfExists,
        Wire::Append => SaveMode::Append,
        Wire::Overwrite => SaveMode::Overwrite,
        Wire::Ignore => SaveMode::Ignore,
    }
}

fn table_mode(mode: sc::write_operation::SaveMode, insert: bool) -> TableMode {
    use sc::write_operation::SaveMode as Wire;
    if insert {
        return TableMode::InsertInto { overwrite: mode == Wire::Overwrite };
    }
    match mode {
        Wire::Unspecified | Wire::ErrorIfExists => TableMode::ErrorIfExists,
        Wire::Append => TableMode::Append,
        Wire::Overwrite => TableMode::Overwrite,
        Wire::Ignore => TableMode::Ignore,
    }
}
