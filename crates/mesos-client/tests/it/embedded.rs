//! Against our own master and agent, in this process.

use std::path::Path;

use mesos_agent::{AgentHandle, AgentOptions};
use mesos_client::{MasterAddress, SchedulerClient, SchedulerEvent, SchedulerOptions};
use mesos_master::{MasterHandle, MasterOptions};

use crate::{custom_executor, scenario};

async fn master() -> MasterHandle {
    mesos_master::start(MasterOptions::loopback()).await.unwrap()
}

fn address(master: &MasterHandle) -> MasterAddress {
    MasterAddress::new("127.0.0.1", master.addr.port())
}

async fn agent(master: &MasterHandle, work_dir: &Path) -> AgentHandle {
    let options = AgentOptions {
        resources: Some("cpus:2;mem:1024".to_owned()),
        ..AgentOptions::loopback(master.addr.to_string(), work_dir)
    };
    let agent = mesos_agent::start(options).await.unwrap();
    agent.registered().await.unwrap();
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_life() {
    let work_dir = tempfile::tempdir().unwrap();
    let master = master().await;
    let agent = agent(&master, work_dir.path()).await;
    scenario::whole_life(address(&master)).await;
    custom_executor::scenario(address(&master)).await;
    agent.shutdown().await;
    master.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failover() {
    let master = master().await;
    scenario::failover(address(&master)).await;
    master.shutdown().await;
}

/// A master that comes back at the same address is subscribed to again, with the same id.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_master_is_found_again() {
    let first = master().await;
    let address = address(&first);
    let options = SchedulerOptions::new(address.clone(), scenario::info("survivor"));
    let (handle, mut events) = SchedulerClient::connect(options).await.unwrap();
    let id = handle.framework_id();
    assert!(matches!(events.recv().await, Some(SchedulerEvent::Subscribed { again: false, .. })));
    first.shutdown().await;
    let event = events.recv().await;
    assert!(matches!(event, Some(SchedulerEvent::Disconnected { .. })), "{event:?}");
    let second =
        mesos_master::start(MasterOptions { port: address.port, ..MasterOptions::loopback() });
    let second = second.await.unwrap();
    match events.recv().await {
        Some(SchedulerEvent::Subscribed { framework_id, again: true, .. }) => {
            assert_eq!(Some(framework_id), id);
        }
        other => panic!("{other:?}"),
    }
    handle.teardown().await.unwrap();
    second.shutdown().await;
}
