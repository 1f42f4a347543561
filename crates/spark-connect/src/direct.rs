//! A session without a client: `spark-sql` and `.sql` applications run their statements through it.

use std::sync::Arc;

use futures::StreamExt;
use spark_exec::{RunOptions, RunningQuery};
use spark_plan::{Resolver, Session, SharedState, cell_texts, plan_physical};
use spark_sql_parser::ast::{Relation, Statement};
use spark_sql_parser::error::SparkError;
use tokio_util::sync::CancellationToken;

use crate::application::{Application, OperationRunner};
use crate::errors::from_datafusion;

/// A session of this process.
#[derive(Debug)]
pub struct DirectSession {
    application: Arc<dyn Application>,
    session: Session,
}

impl DirectSession {
    #[must_use]
    pub fn new(application: Arc<dyn Application>, shared: Arc<SharedState>) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        Self { application, session: Session::new(shared, id, "") }
    }

    /// Starts one SQL statement.
    ///
    /// # Errors
    /// What parsing, analysis and a command report.
    pub async fn execute(&self, sql: &str) -> Result<TextRows, SparkError> {
        let runner = OperationRunner {
            application: Arc::clone(&self.application),
            options: RunOptions { description: Some(sql.to_owned()), ..RunOptions::default() },
            cancel: CancellationToken::new(),
        };
        match spark_sql_parser::parse_statement(
            sql,
            &crate::session::parser_options(&self.session),
        )? {
            Statement::Query(relation) => self.query(&runner, &relation).await,
            Statement::Command(command) => {
                let output = spark_plan::execute_command(&self.session, &command, &runner).await?;
                Ok(TextRows {
                    columns: output.schema.fields.iter().map(|f| f.name.clone()).collect(),
                    time_zone: self.session.time_zone(),
                    rows: Rows::Ready(output.batches.into_iter()),
                    _stop: runner.cancel.drop_guard(),
                })
            }
        }
    }

    async fn query(
        &self,
        runner: &OperationRunner,
        relation: &Relation,
    ) -> Result<TextRows, SparkError> {
        let resolved = Resolver::new(&self.session).with_runner(runner).resolve(relation).await?;
        let mode = runner.mode_of(&self.session, &resolved);
        let physical = plan_physical(&self.session, &resolved, mode).await?;
        let query = runner.start(physical, &self.session.state(mode), mode).await?;
        Ok(TextRows {
            columns: resolved.schema().fields.iter().map(|f| f.name.clone()).collect(),
            time_zone: self.session.time_zone(),
            rows: Rows::Running(query),
            _stop: runner.cancel.clone().drop_guard(),
        })
    }
}

/// The rows of a statement as texts; dropping it stops the query.
pub struct TextRows {
    columns: Vec<String>,
    time_zone: String,
    rows: Rows,
    _stop: tokio_util::sync::DropGuard,
}

enum Rows {
    Running(RunningQuery),
    Ready(std::vec::IntoIter<arrow::array::RecordBatch>),
}

impl TextRows {
    /// Names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The next rows, each with its values as Spark's command line prints them; `None` at the end.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn next(&mut self) -> Result<Option<Vec<Vec<String>>>, SparkError> {
        let batch = match &mut self.rows {
            Rows::Running(query) => query.stream.next().await.transpose(),
            Rows::Ready(batches) => Ok(batches.next()),
        };
        let batch = batch.map_err(|error| from_datafusion(&error))?;
        Ok(batch.map(|batch| cell_texts(&batch, &self.time_zone)))
    }
}
