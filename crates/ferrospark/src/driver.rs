//! The driver: session state, the Connect endpoint, and the application behind both.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

use anyhow::Context as _;
use spark_conf::{SparkConf, table};
use spark_connect::{ConnectServer, ServerOptions};
use spark_plan::SharedState;
use tokio::net::TcpListener;

use crate::application::DriverApplication;

/// A running driver.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) application: Arc<DriverApplication>,
    pub(crate) shared: Arc<SharedState>,
    server: ConnectServer,
    token: String,
}

/// What operators in this process run in. `spark.driver.memory` bounds their memory if it is set: a
/// process has no heap whose size must be known before.
fn runtime(conf: &SparkConf) -> anyhow::Result<Arc<RuntimeEnv>> {
    if conf.explicit(table::DRIVER_MEMORY.name()).is_none() {
        return Ok(Arc::new(RuntimeEnv::default()));
    }
    let bytes = usize::try_from(conf.get(&table::DRIVER_MEMORY)?)?;
    // As `spark.memory.fraction`: the rest is for what nobody accounts for.
    let pool = FairSpillPool::new(bytes / 10 * 6);
    Ok(RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?)
}

impl Driver {
    /// Starts the endpoint; the cluster is asked for nothing before a program's settings are known.
    pub(crate) async fn start(conf: SparkConf) -> anyhow::Result<Self> {
        let port = match conf.explicit(table::CONNECT_PORT.name()) {
            Some(_) => conf.get(&table::CONNECT_PORT)?,
            None => 0,
        };
        let token = match conf.text(table::CONNECT_AUTHENTICATE_TOKEN.name()) {
            Some(token) => token,
            None => random_secret(),
        };
        let runtime = runtime(&conf)?;
        let settings: BTreeMap<String, String> =
            conf.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let shared = SharedState::new(runtime, settings);
        let application = DriverApplication::new(conf, Arc::clone(&shared))?;
        // PySpark sends its token without TLS to "localhost" only, which this address is.
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("cannot serve Spark Connect on port {port}"))?;
        let server = ConnectServer::start(
            listener,
            ServerOptions {
                application: Arc::clone(&application) as _,
                shared: Arc::clone(&shared),
                token: Some(token.clone()),
            },
        )?;
        Ok(Self { application, shared, server, token })
    }

    /// The connection string for Connect clients on this machine.
    pub(crate) fn remote(&self) -> String {
        format!("sc://localhost:{}/;token={}", self.server.address().port(), self.token)
    }

    /// The configuration as it is now.
    pub(crate) fn configuration(&self) -> SparkConf {
        self.application.configuration()
    }

    /// Ends sessions, executors and the framework.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
        self.application.stop().await;
    }
}

/// 128 random bits as text.
pub(crate) fn random_secret() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
