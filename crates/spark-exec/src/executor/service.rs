//! An executor and its host's shuffle service.

use std::sync::Arc;
use std::time::Duration;

use spark_shuffle::{Secret, ServiceError, ShuffleServiceClient};

use super::Shared;

/// Registrations tried, and the time between, as Spark does.
const ATTEMPTS: u32 = 3;
const WAIT: Duration = Duration::from_secs(5);

/// The service, if the application uses one (`spark.shuffle.service.enabled`).
pub(super) fn client(
    shared: &Shared,
    application: &str,
    secret: &str,
) -> Option<ShuffleServiceClient> {
    let port = shared.settings.service_port?;
    let host = shared.block_address.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
    let address = format!("{host}:{port}");
    Some(ShuffleServiceClient::new(address, application, Secret::new(secret)))
}

/// Registers the executor's directories; an executor without its service would lose what others
/// think safe, so it ends if that fails.
pub(super) async fn register(
    client: ShuffleServiceClient,
    shared: Arc<Shared>,
    failover_timeout: Duration,
) -> Result<(), ServiceError> {
    let mut attempt = 1;
    loop {
        match client.register(&shared.store, failover_timeout).await {
            Ok(()) => {
                tracing::info!("registered with the shuffle service");
                return Ok(());
            }
            Err(error) if attempt >= ATTEMPTS => return Err(error),
            Err(error) => {
                tracing::warn!(%error, attempt, "not registered with the shuffle service yet");
                attempt += 1;
                tokio::time::sleep(WAIT).await;
            }
        }
    }
}
