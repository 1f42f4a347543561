//! A master and some agents on loopback until a signal ends them, to try clients on:
//! `cargo run -p mesos-agent --example cluster -- PORT AGENTS`.
#![expect(clippy::print_stdout, reason = "it tells where the master listens")]

use mesos_agent::AgentOptions;
use mesos_master::MasterOptions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let count: usize = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let master = mesos_master::start(MasterOptions { port, ..MasterOptions::loopback() }).await?;
    let folder = std::env::temp_dir().join(format!("mesos-example-{}", std::process::id()));
    let mut agents = Vec::new();
    for number in 0..count {
        let options = AgentOptions {
            resources: Some("cpus:4;mem:2048;disk:1000;ports:[31000-31009]".to_owned()),
            attributes: Some(format!("rack:r{number}")),
            ..AgentOptions::loopback(master.addr.to_string(), folder.join(number.to_string()))
        };
        let agent = mesos_agent::start(options).await?;
        agent.registered().await?;
        agents.push(agent);
    }
    println!("{}", master.addr);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    for agent in agents {
        agent.shutdown().await;
    }
    master.shutdown().await;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
