//! The external shuffle service: what it serves, remembers and removes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use spark_shuffle::*;

use crate::{APPLICATION, block, client, gather, pattern, secret, write};

/// A master that says what the test wants.
#[derive(Clone)]
struct Master(Arc<Mutex<Result<MasterView, String>>>);

impl Master {
    fn listing(applications: &[&str]) -> Self {
        Self(Arc::new(Mutex::new(Ok(MasterView {
            leader: "m".to_owned(),
            recovered: true,
            agent_reregister_timeout: Duration::from_millis(100),
            listed: applications.iter().map(|id| (*id).to_owned()).collect(),
            completed: BTreeSet::new(),
        }))))
    }

    fn say(&self, change: impl FnOnce(&mut MasterView)) {
        if let Ok(view) = &mut *self.0.lock() {
            change(view);
        }
    }

    fn complete(&self, application: &str) {
        self.say(|view| {
            view.listed.remove(application);
            view.completed.insert(application.to_owned());
        });
    }
}

impl MasterWatch for Master {
    fn look(&self) -> BoxFuture<'_, Result<MasterView, String>> {
        let view = self.0.lock().clone();
        Box::pin(async move { view })
    }
}

async fn start(state: &Path, address: &str, master: &Master) -> ShuffleService {
    let mut options = ShuffleServiceOptions::new(address.parse().unwrap(), state);
    options.check_interval = Duration::from_millis(10);
    ShuffleService::start(options, master.clone()).await.unwrap()
}

fn service_client(service: &ShuffleService) -> ShuffleServiceClient {
    ShuffleServiceClient::new(service.address().to_string(), APPLICATION, secret())
}

/// An executor that wrote a block and is gone.
async fn executor_that_died(service: &ShuffleService, local: &Path, map: u32) -> Vec<Vec<u8>> {
    let store = ShuffleStore::in_directory(APPLICATION, local).unwrap();
    service_client(service).register(&store, Duration::ZERO).await.unwrap();
    let segments = vec![pattern(map.into(), 5000), vec![], pattern(9, 300_000)];
    write(&store, block(map), &segments);
    segments
}

async fn fetch(address: &str, map: u32) -> Result<Vec<Vec<u8>>, FetchError> {
    let retry_wait = Duration::from_millis(50);
    let options = FetchOptions { refused_is_final: false, retry_wait, ..FetchOptions::default() };
    let fetcher = BlockFetcher::new(client(), options);
    let location = BlockLocation { block: block(map), address: address.into(), bytes: 1 };
    let found = gather(fetcher.fetch(vec![location], 0..3)).await?;
    Ok(found.into_iter().map(|(_, _, data)| data).collect())
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn blocks_of_executors_that_are_gone_are_served_also_after_a_restart() {
    let (local, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let master = Master::listing(&[APPLICATION]);
    let service = start(state.path(), "127.0.0.1:0", &master).await;
    let address = service.address().to_string();
    let mut written = Vec::new();
    for map in 0..3 {
        written.push(executor_that_died(&service, local.path(), map).await);
    }
    assert_eq!(service.statistics().applications, 1);
    assert_eq!(service.statistics().directories, 3);
    // A store that starts on the same directory sweeps what is stale; this is not.
    drop(ShuffleStore::in_directory("another", local.path()).unwrap());
    let check = async |address: &str| {
        for (map, segments) in (0..).zip(&written) {
            let found = fetch(address, map).await.unwrap();
            assert_eq!(found, [segments[0].clone(), segments[2].clone()]);
        }
    };
    check(&address).await;
    service.shutdown().await;
    // Readers that come while it is down wait for it.
    let early = tokio::spawn({
        let address = address.clone();
        async move { fetch(&address, 0).await }
    });
    let again = start(state.path(), &address, &master).await;
    assert_eq!(early.await.unwrap().unwrap().len(), 2);
    check(&address).await;
    again.shutdown().await;
}

#[tokio::test]
async fn files_go_when_the_framework_is_completed_or_was_absent_too_long() {
    for completed in [true, false] {
        let (local, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let master = Master::listing(&[APPLICATION, "other"]);
        let service = start(state.path(), "127.0.0.1:0", &master).await;
        executor_that_died(&service, local.path(), 0).await;
        let other = ShuffleStore::in_directory("other", local.path()).unwrap();
        let own = Secret::new("another secret");
        let others = ShuffleServiceClient::new(service.address().to_string(), "other", own);
        others.register(&other, Duration::from_secs(3600)).await.unwrap();
        write(&other, block(0), &[pattern(0, 10)]);
        if completed {
            master.complete(APPLICATION);
        } else {
            master.say(|view| view.listed.clear());
        }
        until("removal", || service.statistics().applications == 1).await;
        until("removal of files", || entries(local.path()) == 1).await;
        until("removal of the record", || entries(state.path()) == 1).await;
        // The other one may be away for an hour.
        assert!(other.read(block(0)).is_ok());
        let error = fetch(&service.address().to_string(), 0).await.unwrap_err();
        assert!(matches!(error.kind, FetchErrorKind::Refused(_)), "{error}");
        service.shutdown().await;
    }
}

#[tokio::test]
async fn nothing_is_removed_while_the_master_cannot_be_seen() {
    let (local, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let master = Master::listing(&[APPLICATION]);
    let service = start(state.path(), "127.0.0.1:0", &master).await;
    executor_that_died(&service, local.path(), 0).await;
    *master.0.lock() = Err("connection refused".to_owned());
    // Far longer than the agents' 100 ms.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(fetch(&service.address().to_string(), 0).await.unwrap().len(), 2);
    *master.0.lock() = Master::listing(&[]).0.lock().clone();
    master.say(|view| view.recovered = false);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(service.statistics().applications, 1);
    master.say(|view| view.recovered = true);
    until("removal", || service.statistics().applications == 0).await;
    service.shutdown().await;
}

#[tokio::test]
async fn an_application_removes_its_shuffles_and_itself() {
    let (local, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let service = start(state.path(), "127.0.0.1:0", &Master::listing(&[APPLICATION])).await;
    executor_that_died(&service, local.path(), 0).await;
    let client = service_client(&service);
    client.remove_shuffle(7).await.unwrap();
    assert_eq!(fetch(&service.address().to_string(), 0).await.unwrap().len(), 2);
    client.remove_shuffle(0).await.unwrap();
    let error = fetch(&service.address().to_string(), 0).await.unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Missing(_)), "{error}");
    client.finish().await.unwrap();
    assert_eq!((entries(local.path()), entries(state.path())), (0, 0));
    assert!(matches!(client.finish().await, Err(ServiceError::Refused { .. })));
    service.shutdown().await;
}

#[tokio::test]
async fn a_stranger_can_neither_register_read_nor_remove() {
    let (local, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let service = start(state.path(), "127.0.0.1:0", &Master::listing(&[APPLICATION])).await;
    executor_that_died(&service, local.path(), 0).await;
    let address = service.address().to_string();
    let stranger =
        ShuffleServiceClient::new(address.clone(), APPLICATION, Secret::new("a wrong secret"));
    let refused = |result: Result<(), ServiceError>| {
        assert!(matches!(result, Err(ServiceError::Refused { .. })), "{result:?}");
    };
    refused(stranger.finish().await);
    refused(stranger.remove_shuffle(0).await);
    let elsewhere = tempfile::tempdir().unwrap();
    let store = ShuffleStore::in_directory(APPLICATION, elsewhere.path()).unwrap();
    refused(stranger.register(&store, Duration::ZERO).await);
    // A store that was refused keeps its files, and takes them with it.
    drop(store);
    assert_eq!(entries(elsewhere.path()), 0);
    let options = BlockClientOptions::new(APPLICATION, Secret::new("a wrong secret"));
    let fetcher = BlockFetcher::new(BlockClient::new(options), FetchOptions::default());
    let location = BlockLocation { block: block(0), address: address.as_str().into(), bytes: 1 };
    let error = gather(fetcher.fetch(vec![location], 0..3)).await.unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Refused(_)), "{error}");
    assert_eq!(fetch(&address, 0).await.unwrap().len(), 2);
    service.shutdown().await;
}

#[tokio::test]
async fn a_directory_that_became_anothers_is_not_removed() {
    let (local, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let master = Master::listing(&[APPLICATION]);
    let service = start(state.path(), "127.0.0.1:0", &master).await;
    executor_that_died(&service, local.path(), 0).await;
    let directory = std::fs::read_dir(local.path()).unwrap().flatten().next().unwrap().path();
    let precious = tempfile::tempdir().unwrap();
    std::fs::write(precious.path().join("file"), "precious").unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    std::os::unix::fs::symlink(precious.path(), &directory).unwrap();
    master.complete(APPLICATION);
    until("removal", || service.statistics().applications == 0).await;
    assert_eq!(entries(precious.path()), 1);
    service.shutdown().await;
}

#[tokio::test]
async fn without_a_service_the_error_names_the_script() {
    let local = tempfile::tempdir().unwrap();
    let store = ShuffleStore::in_directory(APPLICATION, local.path()).unwrap();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = ShuffleServiceClient::new(unused.to_string(), APPLICATION, secret());
    let error = client.register(&store, Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().contains("start-mesos-shuffle-service.sh"), "{error}");
}
