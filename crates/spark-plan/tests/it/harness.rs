//! A session over a few small tables, and SQL in, text out.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use spark_plan::{
    Mode, QueryRunner, ResolvedPlan, Resolver, Session, SharedState, plan_physical, show_string,
};
use spark_sql_parser::ast::{Relation, Statement};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::{ParserOptions, parse_statement};

pub(crate) struct InProcess;

#[async_trait]
impl QueryRunner for InProcess {
    fn mode(&self, _session: &Session) -> Mode {
        Mode::Local { cores: 2 }
    }

    async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
    ) -> Result<SendableRecordBatchStream, SparkError> {
        execute_stream(plan, state.task_ctx()).map_err(spark_plan::errors::from_datafusion)
    }
}

pub(crate) fn session() -> Session {
    let runtime = Arc::new(RuntimeEnvBuilder::new().build().unwrap());
    let conf: BTreeMap<String, String> = [
        ("spark.sql.session.timeZone".to_owned(), "UTC".to_owned()),
        ("spark.sql.shuffle.partitions".to_owned(), "4".to_owned()),
    ]
    .into();
    Session::new(SharedState::new(runtime, conf), "test", "tester")
}

pub(crate) fn parse(sql: &str) -> Result<Statement, SparkError> {
    parse_statement(sql, &ParserOptions::default())
}

pub(crate) async fn run_plan(
    session: &Session,
    resolved: &ResolvedPlan,
    mode: Mode,
) -> Result<String, SparkError> {
    let plan = plan_physical(session, resolved, mode).await?;
    let stream = InProcess.run(plan, &session.state(mode)).await?;
    let batches = collect(stream).await.map_err(spark_plan::errors::from_datafusion)?;
    let zone = session.time_zone();
    match &resolved.render {
        Some(render) => {
            let batch = render.finish(&batches)?;
            let column = batch.column(0);
            Ok(arrow::util::display::array_value_to_string(column, 0).unwrap())
        }
        None => Ok(show_string(&batches, &resolved.fields, 1000, 0, false, &zone)),
    }
}

pub(crate) async fn resolve(
    session: &Session,
    relation: &Relation,
) -> Result<ResolvedPlan, SparkError> {
    Resolver::new(session).with_runner(&InProcess).resolve(relation).await
}

/// The answer of one query in both modes, which must agree, or its error.
pub(crate) async fn query(session: &Session, sql: &str) -> String {
    let relation = match parse(sql) {
        Ok(Statement::Query(relation)) => relation,
        Ok(Statement::Command(command)) => panic!("not a query: {command:?}"),
        Err(error) => return format!("{error}\n"),
    };
    let answer = answer(session, &relation).await;
    assert!(!answer.contains("modes differ"), "{sql}: {answer}");
    answer
}

/// The plan of a query.
pub(crate) async fn resolve_sql(session: &Session, sql: &str) -> ResolvedPlan {
    let Ok(Statement::Query(relation)) = parse(sql) else { panic!("not a query: {sql}") };
    resolve(session, &relation).await.unwrap()
}

/// The answer of a relation in both modes, which must agree, or its error.
pub(crate) async fn answer(session: &Session, relation: &Relation) -> String {
    let resolved = match resolve(session, relation).await {
        Ok(resolved) => resolved,
        Err(error) => return format!("{error}\n"),
    };
    let local = run_plan(session, &resolved, Mode::Local { cores: 2 }).await;
    let staged = run_plan(session, &resolved, Mode::Staged { shuffle_partitions: 4 }).await;
    match (local, staged) {
        (Ok(local), Ok(staged)) => {
            if sorted(&local) != sorted(&staged) {
                return format!("modes differ:\n{local}{staged}");
            }
            local
        }
        (Err(local), Err(staged)) => {
            assert_eq!(local.condition, staged.condition);
            format!("{local}\n")
        }
        (local, staged) => format!("modes differ: {local:?} {staged:?}\n"),
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Runs queries and compares all answers at once.
pub(crate) async fn check(queries: &[&str], expected: expect_test::Expect) {
    let session = session();
    setup(&session).await;
    let mut out = String::new();
    for sql in queries {
        out.push_str(&format!("> {sql}\n{}", query(&session, sql).await));
    }
    expected.assert_eq(&out);
}

pub(crate) async fn view(session: &Session, name: &str, sql: &str) {
    let Ok(Statement::Query(relation)) = parse(sql) else { panic!("not a query: {sql}") };
    let plan = resolve(session, &relation).await.unwrap();
    session.create_temp_view(name, plan, None, true, false).unwrap();
}

/// The tables of the tests.
pub(crate) async fn setup(session: &Session) {
    view(
        session,
        "people",
        "SELECT * FROM VALUES (1, 'Ann', 30, 'A'), (2, 'Bob', NULL, 'B'), (3, 'Cid', 25, 'A'), \
         (4, NULL, 41, NULL) AS people(id, name, age, team)",
    )
    .await;
    view(
        session,
        "teams",
        "SELECT * FROM VALUES ('A', 'Alpha'), ('B', 'Beta'), ('C', 'Gamma') AS teams(code, title)",
    )
    .await;
}
