//! Ballista as a peer of our cluster mode: a scheduler in one process and two executors with one task slot each in
//! processes of their own on loopback, which is the shape of `local-cluster[2,1,…]`.
//!
//!     ballista-bench DATA QUERIES WORK_DIR PARTITIONS [KEY=VALUE…]
//!
//! DATA holds a folder of Parquet files per TPC-H table, QUERIES the texts (`q*.sql`). Shuffle files go below WORK_DIR.
//! PARTITIONS is `datafusion.execution.target_partitions`; the other settings are Ballista's or DataFusion's by name.
//! Prints `ready`, then for each line on standard input one round of all queries as a JSON object of seconds by query;
//! the rows that the queries gave in the first round go to standard error.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista::prelude::{SessionConfigExt, SessionContextExt};
use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpSocket;

/// The allocator of Ballista's own programs, and of ours.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LOOPBACK: &str = "127.0.0.1";
const EXECUTORS: usize = 2;
const TABLES: [&str; 8] =
    ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // The stack that Ballista's own scheduler program gives its threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(32 << 20)
        .build()?;
    match words[..] {
        ["--scheduler"] => {
            end_with_parent();
            runtime.block_on(scheduler())
        }
        ["--executor", scheduler, work_dir] => {
            end_with_parent();
            runtime.block_on(executor(scheduler.parse()?, work_dir))
        }
        [data, queries, work_dir, partitions, ref settings @ ..] => runtime.block_on(client(
            Path::new(data),
            Path::new(queries),
            Path::new(work_dir),
            partitions,
            settings,
        )),
        _ => Err("usage: ballista-bench DATA QUERIES WORK_DIR PARTITIONS [KEY=VALUE…]".into()),
    }
}

/// Ends this process when its standard input closes, which it does however the parent ends.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

fn tell(line: &str) -> Outcome<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

async fn scheduler() -> Outcome<()> {
    // Ballista leaves Nagle's algorithm on for its scheduler, which with delayed acknowledgements costs 40 ms a query;
    // accepted sockets take the option from the one that listens.
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let listener = socket.listen(1024)?;
    let port = listener.local_addr()?.port();
    let config = SchedulerConfig {
        external_host: LOOPBACK.to_owned(),
        bind_port: port,
        scheduling_policy: TaskSchedulingPolicy::PushStaged,
        task_distribution: TaskDistributionPolicy::RoundRobin,
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let server =
        create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await?;
    tell(&port.to_string())?;
    Ok(start_grpc_service_with_listener(listener, server).await?)
}

async fn executor(scheduler_port: u16, work_dir: &str) -> Outcome<()> {
    let config = ExecutorProcessConfig {
        external_host: Some(LOOPBACK.to_owned()),
        port: free_port()?,
        grpc_port: free_port()?,
        scheduler_host: LOOPBACK.to_owned(),
        scheduler_port,
        vcores: 1,
        task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
        work_dir: Some(work_dir.to_owned()),
        ..ExecutorProcessConfig::default()
    };
    let health = config.health.clone();
    tokio::spawn(async move {
        while !health.is_ready() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = tell("registered");
    });
    Ok(start_executor_process(Arc::new(config)).await?)
}

fn free_port() -> Outcome<u16> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// One of our processes; it ends when this is dropped.
struct Member {
    process: Child,
    input: Option<ChildStdin>,
}

impl Member {
    /// Starts this program with these words and returns it with the first line that it says.
    fn start(words: &[&str]) -> Outcome<(Self, String)> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take();
        let member = Self { input: process.stdin.take(), process };
        let mut line = String::new();
        std::io::BufReader::new(output.ok_or("no output")?).read_line(&mut line)?;
        if line.is_empty() {
            return Err(format!("{} did not start", words[0]).into());
        }
        Ok((member, line.trim().to_owned()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

async fn client(
    data: &Path,
    queries: &Path,
    work_dir: &Path,
    partitions: &str,
    settings: &[&str],
) -> Outcome<()> {
    let (_scheduler, port) = Member::start(&["--scheduler"])?;
    let mut executors = Vec::new();
    for number in 0..EXECUTORS {
        let folder = work_dir.join(format!("executor-{number}"));
        std::fs::create_dir_all(&folder)?;
        let folder = folder.to_str().ok_or("WORK_DIR is not UTF-8")?;
        executors.push(Member::start(&["--executor", &port, folder])?.0);
    }
    let context = connect(&port, partitions, settings).await?;
    for table in TABLES {
        let folder = data.join(table);
        let folder = folder.to_str().ok_or("DATA is not UTF-8")?;
        context
            .register_parquet(table, format!("{folder}/"), ParquetReadOptions::default())
            .await?;
    }
    let queries = texts(queries)?;
    tell("ready")?;
    for (round, line) in std::io::stdin().lines().enumerate() {
        line?;
        let mut seconds = BTreeMap::new();
        for (name, text) in &queries {
            let started = Instant::now();
            let batches = context
                .sql(text)
                .await?
                .collect()
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            seconds.insert(name, started.elapsed().as_secs_f64());
            if round == 0 {
                let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
                eprintln!("{name}: {rows} rows");
            }
        }
        tell(&serde_json::to_string(&seconds)?)?;
    }
    Ok(())
}

async fn connect(port: &str, partitions: &str, settings: &[&str]) -> Outcome<SessionContext> {
    let mut config = SessionConfig::new_with_ballista();
    config.options_mut().set("datafusion.execution.target_partitions", partitions)?;
    for setting in settings {
        let (key, value) =
            setting.split_once('=').ok_or_else(|| format!("{setting} is not KEY=VALUE"))?;
        config.options_mut().set(key, value)?;
    }
    let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    Ok(SessionContext::remote_with_state(&format!("df://{LOOPBACK}:{port}"), state).await?)
}

fn texts(folder: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('q') && path.extension().is_some_and(|extension| extension == "sql") {
            found.insert(name.to_owned(), std::fs::read_to_string(&path)?);
        }
    }
    Ok(found)
}
