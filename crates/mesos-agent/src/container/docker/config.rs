//! A container as Docker's API wants it, made of what Mesos says about it.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding};
use mesos_api::container_info::{DockerInfo, Network};
use mesos_api::volume::{Mode, SourceType};
use mesos_api::{ContainerInfo, Volume};

use super::parameters;
use crate::core::{DOCKER_SANDBOX, LaunchSpec, Limits, Program};

/// Shares of one processor, and the fewest there are.
const SHARES_PER_CPU: f64 = 1024.0;
const LEAST_SHARES: f64 = 2.0;

/// The bandwidth controller counts in such periods.
const PERIOD_MICROSECONDS: f64 = 100_000.0;

/// Docker's own copy of the output, which ends in the sandbox: twice as much stays at most.
const LOG_BYTES: &str = "64m";

/// Label of an agent's containers.
pub(super) const OWNER_LABEL: &str = "mesos.agent";

/// The name of a container, by which a later agent finds it.
pub(super) fn name(container_id: &str) -> String {
    format!("mesos-{container_id}")
}

/// Builds what Docker is to create, or says why it cannot be.
pub(super) fn body(
    spec: &LaunchSpec,
    container: &ContainerInfo,
    owner: &str,
    cfs: bool,
) -> Result<ContainerCreateBody, String> {
    let docker = container.docker.as_ref().ok_or("ContainerInfo 'docker' is not set")?;
    let (entrypoint, cmd) = command(&spec.program);
    let mut body = ContainerCreateBody {
        image: Some(docker.image.clone()),
        entrypoint,
        cmd,
        env: Some(spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        hostname: container.hostname.clone(),
        labels: Some(HashMap::from([(OWNER_LABEL.to_owned(), owner.to_owned())])),
        host_config: Some(HostConfig {
            binds: Some(binds(&spec.directory, &container.volumes)?),
            network_mode: Some(network(docker, container)?),
            privileged: docker.privileged.filter(|privileged| *privileged),
            volume_driver: docker.volume_driver.clone(),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), LOG_BYTES.to_owned()),
                    ("max-file".to_owned(), "2".to_owned()),
                ])),
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    if let Some(host) = &mut body.host_config {
        limit(host, &spec.limits, cfs);
    }
    map_ports(&mut body, docker, &spec.ports)?;
    for parameter in &docker.parameters {
        parameters::apply(&mut body, parameter)?;
    }
    Ok(body)
}

/// With `shell` the image's entry point gives way to a shell; without, a value and arguments are what
/// the entry point is given, and nothing leaves the image's own command.
fn command(program: &Program) -> (Option<Vec<String>>, Option<Vec<String>>) {
    match program {
        Program::Shell(text) if text.is_empty() => (None, None),
        Program::Shell(text) => {
            (Some(vec!["/bin/sh".to_owned()]), Some(vec!["-c".to_owned(), text.clone()]))
        }
        Program::Direct { path, arguments } => {
            let value = Some(path.clone()).filter(|path| !path.is_empty());
            let words: Vec<_> = value.into_iter().chain(arguments.iter().cloned()).collect();
            (None, Some(words).filter(|words| !words.is_empty()))
        }
    }
}

/// The sandbox, and the volumes with their modes.
fn binds(sandbox: &Path, volumes: &[Volume]) -> Result<Vec<String>, String> {
    let mut binds = vec![format!("{}:{DOCKER_SANDBOX}:rw", sandbox.display())];
    for volume in volumes {
        binds.push(bind(sandbox, volume)?);
    }
    Ok(binds)
}

fn bind(sandbox: &Path, volume: &Volume) -> Result<String, String> {
    let inside = &volume.container_path;
    let refused = |why: &str| Err(format!("volume '{inside}': {why}"));
    if inside.is_empty() {
        return refused("it has no container_path");
    }
    if volume.image.is_some() {
        return refused("images are no volumes here");
    }
    let place =
        if inside.starts_with('/') { inside.clone() } else { format!("{DOCKER_SANDBOX}/{inside}") };
    let source = volume.source.as_ref();
    let outside = match source.map(mesos_api::volume::Source::r#type) {
        None => volume.host_path.clone().unwrap_or_default(),
        Some(SourceType::DockerVolume) => {
            let named = source.and_then(|source| source.docker_volume.as_ref());
            match named {
                Some(named) if !named.name.is_empty() && !named.name.contains('/') => {
                    named.name.clone()
                }
                _ => return refused("it names no Docker volume"),
            }
        }
        Some(SourceType::HostPath) => {
            let path = source.and_then(|source| source.host_path.as_ref());
            path.map(|path| path.path.clone()).unwrap_or_default()
        }
        Some(SourceType::SandboxPath | SourceType::Secret | SourceType::Unknown) => {
            return refused("only host paths and Docker volumes can be mounted");
        }
    };
    let named = source.is_some_and(|source| source.r#type() == SourceType::DockerVolume);
    let outside = match outside.as_str() {
        "" => return refused("it has neither host_path nor source"),
        path if path.starts_with('/') || named => outside,
        // A path in the sandbox, which it must not leave.
        path if path.split('/').any(|part| part == "..") => {
            return refused("its host_path leaves the sandbox");
        }
        path => sandbox.join(path).display().to_string(),
    };
    if outside.contains(':') || place.contains(':') {
        return refused("Docker takes no ':' in paths");
    }
    let mode = match volume.mode() {
        Mode::Ro => "ro",
        Mode::Rw => "rw",
    };
    Ok(format!("{outside}:{place}:{mode}"))
}

fn network(docker: &DockerInfo, container: &ContainerInfo) -> Result<String, String> {
    let mode = docker.network.map_or(Network::Host, |_| docker.network());
    match mode {
        Network::Host => Ok("host".to_owned()),
        Network::Bridge => Ok("bridge".to_owned()),
        Network::None => Ok("none".to_owned()),
        Network::User => match container.network_infos.as_slice() {
            [network] if network.name.as_ref().is_some_and(|name| !name.is_empty()) => {
                Ok(network.name.clone().unwrap_or_default())
            }
            [_] => Err("network USER wants the name of a network in network_infos".to_owned()),
            other => Err(format!(
                "network USER wants exactly one entry in network_infos, not {}",
                other.len()
            )),
        },
    }
}

fn map_ports(
    body: &mut ContainerCreateBody,
    docker: &DockerInfo,
    granted: &[(u64, u64)],
) -> Result<(), String> {
    let mode = docker.network.map_or(Network::Host, |_| docker.network());
    if let Some(mapping) = docker.port_mappings.first()
        && !matches!(mode, Network::Bridge | Network::User)
    {
        return Err(format!(
            "port {} cannot be mapped: only networks BRIDGE and USER map ports",
            mapping.host_port
        ));
    }
    for mapping in &docker.port_mappings {
        let wanted = u64::from(mapping.host_port);
        if !granted.iter().any(|(begin, end)| (*begin..=*end).contains(&wanted)) {
            return Err(format!("Port [ {wanted} ] not included in resources"));
        }
        let protocol = mapping.protocol.as_deref().unwrap_or("tcp").to_ascii_lowercase();
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(format!("port {wanted}: '{protocol}' is not tcp, udp or sctp"));
        }
        let inside = format!("{}/{protocol}", mapping.container_port);
        let binding = PortBinding { host_ip: None, host_port: Some(wanted.to_string()) };
        parameters::bind(body, &inside, binding);
    }
    Ok(())
}

/// Docker's names of limits.
pub(super) fn limit(host: &mut HostConfig, limits: &Limits, cfs: bool) {
    host.cpu_shares = Some(shares(limits));
    let bound = limits.cpus_limit.or(cfs.then_some(limits.cpus)).filter(|cpus| cpus.is_finite());
    if let Some(cpus) = bound {
        host.cpu_period = Some(PERIOD_MICROSECONDS as i64);
        host.cpu_quota = Some((cpus * PERIOD_MICROSECONDS) as i64);
    }
    host.memory = limits.memory_limit.and_then(|bytes| i64::try_from(bytes).ok());
    let granted = limits.memory.filter(|granted| Some(*granted) != limits.memory_limit);
    host.memory_reservation = granted.and_then(|bytes| i64::try_from(bytes).ok());
}

/// Shares of processors.
pub(super) fn shares(limits: &Limits) -> i64 {
    (limits.cpus * SHARES_PER_CPU).max(LEAST_SHARES) as i64
}

/// An image's name with a tag: without one, Docker would pull them all.
pub(super) fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains(':') || last.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

#[cfg(test)]
mod tests;
