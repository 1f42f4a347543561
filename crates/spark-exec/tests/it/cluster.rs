//! Engines with executors for tests, and tables to ask about.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::TryStreamExt;
use spark_exec::backend::attach_local;
use spark_exec::{
    Engine, EngineOptions, ExecutorOptions, LocalBackend, PlanRunner, RunOptions, run_executor,
};

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    pub(crate) engine: Engine,
    pub(crate) directory: tempfile::TempDir,
    children: Vec<Option<Child>>,
    /// Whether questions are asked with adaptive execution.
    pub(crate) adaptive: bool,
}

impl Cluster {
    async fn empty() -> Self {
        Self::with(|_| {}).await
    }

    /// Without executors, the engine's options changed.
    pub(crate) async fn with(change: impl FnOnce(&mut EngineOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = EngineOptions::new("app-test", "s3cret");
        options.local_dirs = vec![directory.path().to_owned()];
        change(&mut options);
        let engine = Engine::start(options).await.unwrap();
        Self { engine, directory, children: Vec::new(), adaptive: false }
    }

    /// One executor inside the process.
    pub(crate) async fn local(cores: usize) -> Self {
        let cluster = Self::empty().await;
        let backend = LocalBackend {
            cores,
            memory_bytes: None,
            local_dirs: vec![cluster.directory.path().to_owned()],
        };
        cluster.engine.start_backend(Arc::new(backend)).await.unwrap();
        cluster
    }

    /// Two executors inside the process that share nothing but the driver.
    pub(crate) async fn two() -> Self {
        Self::two_with(|_| {}).await
    }

    pub(crate) async fn two_with(change: impl FnOnce(&mut EngineOptions)) -> Self {
        let cluster = Self::with(change).await;
        for id in ["0", "1"] {
            let options = cluster.executor_options(id);
            attach_local(&cluster.engine, &options).await.unwrap();
        }
        cluster
    }

    /// Executors in processes of their own.
    pub(crate) async fn processes(count: usize) -> Self {
        Self::processes_with(count, |_| {}).await
    }

    pub(crate) async fn processes_with(
        count: usize,
        change: impl FnOnce(&mut EngineOptions),
    ) -> Self {
        let mut cluster = Self::with(change).await;
        for _ in 0..count {
            cluster.start_process().await;
        }
        cluster
    }

    pub(crate) async fn start_process(&mut self) {
        let id = self.children.len().to_string();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cluster::executor_process", "--nocapture"])
            .env("TEST_EXECUTOR_ID", &id)
            .env("TEST_DRIVER_URL", self.engine.driver_url())
            .env("TEST_LOCAL_DIR", self.directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.children.push(Some(child));
        let engine = self.engine.clone();
        tokio::time::timeout(PATIENCE, async move {
            while !engine.executors().contains(&id) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the executor registers");
    }

    /// The processor time all executor processes have used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let ticks = |child: &Child| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            // utime and stime, the 12th and 13th after the name, in hundredths of a second.
            let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().collect::<Vec<_>>();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        let ticks: u64 = self.children.iter().flatten().map(ticks).sum();
        Duration::from_millis(ticks * 10)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, executor: usize) {
        if let Some(mut child) = self.children[executor].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self, executor: usize) {
        let id = self.children[executor].as_ref().unwrap().id();
        let told = Command::new("kill").arg(id.to_string()).status().unwrap();
        assert!(told.success());
    }

    /// How an executor process ended by itself.
    pub(crate) fn ended(&mut self, executor: usize, limit: Duration) -> std::process::ExitStatus {
        let until = std::time::Instant::now() + limit;
        loop {
            if let Some(status) = self.children[executor].as_mut().unwrap().try_wait().unwrap() {
                self.children[executor] = None;
                return status;
            }
            assert!(std::time::Instant::now() < until, "executor {executor} still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn executor_options(&self, id: &str) -> ExecutorOptions {
        ExecutorOptions {
            driver_url: self.engine.driver_url(),
            executor_id: id.to_owned(),
            app_id: "app-test".to_owned(),
            cores: 2,
            hostname: "127.0.0.1".to_owned(),
            bind_address: "127.0.0.1".to_owned(),
            block_port: 0,
            advertised_port: None,
            secret: "s3cret".to_owned(),
            memory_bytes: None,
            local_dirs: vec![self.directory.path().to_owned()],
        }
    }

    /// Runs a plan on the stages path.
    pub(crate) async fn run(
        &self,
        session: &SessionContext,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<Vec<RecordBatch>> {
        self.run_with(session, plan, RunOptions::default()).await
    }

    pub(crate) async fn run_with(
        &self,
        session: &SessionContext,
        plan: Arc<dyn ExecutionPlan>,
        options: RunOptions,
    ) -> Result<Vec<RecordBatch>> {
        let query = self.engine.run(plan, &session.state(), options).await?;
        query.stream.try_collect().await
    }

    /// Whether both ways give the same rows; what differs otherwise.
    pub(crate) async fn check(&self, question: &Question) -> std::result::Result<(), String> {
        let Question { name, partitions, ordered, ask } = question;
        let staged = session(*partitions);
        let plan = ask(&staged).await.create_physical_plan().await;
        let plan = plan.map_err(|error| format!("{name}: not planned: {error}"))?;
        let shown = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
        let mut options = RunOptions::default();
        if !self.adaptive {
            options.conf.insert("spark.sql.adaptive.enabled".to_owned(), "false".to_owned());
        }
        let answer = self.run_with(&staged, plan, options).await;
        let answer = answer.map_err(|error| format!("{name}: {error}\n{shown}"))?;

        let plain = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        register(&plain);
        let expected = ask(&plain).await.collect().await.unwrap();
        let (answer, expected) = (rows(&answer, *ordered), rows(&expected, *ordered));
        if answer == expected {
            return Ok(());
        }
        let first = answer.iter().zip(&expected).find(|(a, b)| a != b);
        let (got, wanted) = (answer.len(), expected.len());
        Err(format!("{name}: {got} rows instead of {wanted}, first difference {first:?}\n{shown}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for executor in 0..self.children.len() {
            if let Some(mut child) = self.children[executor].take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// The body of an executor process; an empty test otherwise.
#[test]
fn executor_process() {
    let Ok(executor_id) = std::env::var("TEST_EXECUTOR_ID") else { return };
    crate::random::register();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let options = ExecutorOptions {
        driver_url: std::env::var("TEST_DRIVER_URL").unwrap(),
        executor_id,
        app_id: "app-test".to_owned(),
        cores: 2,
        hostname: "127.0.0.1".to_owned(),
        bind_address: "127.0.0.1".to_owned(),
        block_port: 0,
        advertised_port: None,
        secret: "s3cret".to_owned(),
        memory_bytes: Some(512 << 20),
        local_dirs: vec![std::env::var("TEST_LOCAL_DIR").unwrap().into()],
    };
    runtime.block_on(run_executor(options)).unwrap();
}

/// A query and how its answers compare.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) partitions: usize,
    pub(crate) ordered: bool,
    pub(crate) ask: fn(&SessionContext) -> futures::future::BoxFuture<'_, DataFrame>,
}

/// A session planned for stages, with the tables.
pub(crate) fn session(partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_round_robin_repartition(false)
        .with_repartition_file_scans(false);
    config.options_mut().optimizer.enable_join_dynamic_filter_pushdown = false;
    let context = SessionContext::new_with_config(config);
    register(&context);
    context
}

/// `facts` (skewed, with nulls and an empty partition), `names`, `empty`.
pub(crate) fn register(context: &SessionContext) {
    let facts = (0..5).map(|partition| match partition {
        2 => vec![],
        _ => (0..3).map(|batch| fact_batch(partition * 3 + batch)).collect(),
    });
    let facts = facts.collect::<Vec<_>>();
    let schema = fact_batch(0).schema();
    let table = MemTable::try_new(schema, facts).unwrap();
    context.register_table("facts", Arc::new(table)).unwrap();
    let names = name_batch();
    let halves = vec![vec![names.slice(0, 20)], vec![names.slice(20, names.num_rows() - 20)]];
    let table = MemTable::try_new(names.schema(), halves).unwrap();
    context.register_table("names", Arc::new(table)).unwrap();
    let table = MemTable::try_new(names.schema(), vec![vec![], vec![]]).unwrap();
    context.register_table("empty", Arc::new(table)).unwrap();
}

fn fact_batch(seed: i64) -> RecordBatch {
    let rows = 0..500;
    let id = Int64Array::from_iter_values(rows.clone().map(|row| seed * 1000 + row));
    let key: Int32Array = rows
        .clone()
        .map(|row| match (row * 7 + seed) % 11 {
            0 => None,
            // Half of all rows have one key.
            n if n < 6 => Some(1),
            _ => Some(((row * 31 + seed * 17) % 60) as i32),
        })
        .collect();
    let text: StringArray = rows
        .clone()
        .map(|row| (row % 13 != 0).then(|| format!("t{}", (row + seed) % 29)))
        .collect();
    let amount: Float64Array =
        rows.map(|row| (row % 17 != 3).then_some(((row * seed) % 97) as f64 * 0.5)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(id) as ArrayRef, false),
        ("key", Arc::new(key), true),
        ("text", Arc::new(text), true),
        ("amount", Arc::new(amount), true),
    ])
    .unwrap()
}

fn name_batch() -> RecordBatch {
    let key: Int32Array = (0..50).map(|n| (n % 10 != 9).then_some(n / 2 + 5)).collect();
    let name: StringArray = (0..50).map(|n| (n % 7 != 0).then(|| format!("name {n}"))).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("nkey", Arc::new(key) as ArrayRef, true),
        ("name", Arc::new(name), true),
    ])
    .unwrap()
}

/// The rows as text, sorted unless their order is asked for.
pub(crate) fn rows(batches: &[RecordBatch], ordered: bool) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect::<Vec<_>>();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| column.value(row).to_string());
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    if !ordered {
        rows.sort();
    }
    rows
}
