//! Ports of an executor: the one its block server listens on, and those a Docker bridge maps.
//!
//! The reference takes exactly `spark.blockManager.port` out of an offer and so allows one executor per
//! host; here an executor takes the first free port from there on, as far as `spark.port.maxRetries`.

use mesos_api::container_info::Network;
use mesos_api::{ContainerInfo, Resource};
use spark_conf::{SparkConf, table};

use crate::resources::Pool;
use crate::settings::SettingsError;

/// What the configuration says about ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PortSettings {
    /// Ports of the host the block server may have; `None` for any the system gives.
    window: Option<(u16, u16)>,
    /// Ports of the host that the container's map needs.
    mapped: Vec<u16>,
    /// In a bridged container: the port inside, and the port of the host that leads to it.
    bridged: Option<(u16, u16)>,
}

/// The ports of one executor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ExecutorPorts {
    /// Where the block server listens.
    pub(crate) listen: Option<u16>,
    /// Where others reach it, if elsewhere.
    pub(crate) advertised: Option<u16>,
}

impl PortSettings {
    pub(crate) fn from_conf(
        conf: &SparkConf,
        container: Option<&ContainerInfo>,
    ) -> Result<Self, SettingsError> {
        let first = conf.get(&table::BLOCK_MANAGER_PORT)?;
        let retries = u16::try_from(conf.get(&table::PORT_MAX_RETRIES)?).unwrap_or(u16::MAX);
        let window = (first != 0).then(|| (first, first.saturating_add(retries)));
        let docker = container.and_then(|container| container.docker.as_ref());
        let Some(docker) = docker.filter(|docker| docker.network.is_some()) else {
            return Ok(Self { window, ..Self::default() });
        };
        if docker.network() == Network::Host {
            return Ok(Self { window, ..Self::default() });
        }
        let port = |number: u32| u16::try_from(number).unwrap_or_default();
        let mut mapped: Vec<u16> =
            docker.port_mappings.iter().map(|map| port(map.host_port)).collect();
        mapped.sort_unstable();
        mapped.dedup();
        let inside = docker.port_mappings.iter().find(|map| port(map.container_port) == first);
        let bridged = inside.filter(|_| first != 0).map(|map| (first, port(map.host_port)));
        // Inside a container of its own network every port is free.
        Ok(Self { window: None, mapped, bridged })
    }

    /// The ports of the next executor out of what is offered; the offending port if one is missing.
    pub(crate) fn pick(&self, pool: &Pool) -> Result<ExecutorPorts, (u16, u16)> {
        if let Some(missing) = self.mapped.iter().find(|port| !pool.has_port(**port)) {
            return Err((*missing, *missing));
        }
        if let Some((listen, advertised)) = self.bridged {
            return Ok(ExecutorPorts { listen: Some(listen), advertised: Some(advertised) });
        }
        let Some((first, last)) = self.window else { return Ok(ExecutorPorts::default()) };
        let listen = pool.first_port(first..=last).ok_or((first, last))?;
        Ok(ExecutorPorts { listen: Some(listen), advertised: None })
    }

    /// Takes the ports out of the pool.
    pub(crate) fn take(&self, ports: ExecutorPorts, pool: &mut Pool) -> Vec<Resource> {
        let mut taken: Vec<Resource> =
            self.mapped.iter().flat_map(|port| pool.take_port(*port)).collect();
        if let (Some(listen), Some(_)) = (ports.listen, self.window) {
            taken.extend(pool.take_port(listen));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesos_api::Offer;
    use mesos_api::container_info::{DockerInfo, DockerPortMapping};
    use spark_conf::Origin;

    fn conf(port: &str) -> SparkConf {
        let mut conf = SparkConf::new();
        conf.set(Origin::Program, "spark.blockManager.port", port);
        conf.set(Origin::Program, "spark.port.maxRetries", "2");
        conf
    }

    fn pool(ranges: &[(u64, u64)]) -> Pool {
        let ports = Resource::ranges_of("ports", ranges.iter().copied());
        Pool::of([&Offer { resources: vec![ports], ..Offer::default() }])
    }

    #[test]
    fn each_executor_gets_the_next_free_port_of_the_window() {
        let settings = PortSettings::from_conf(&conf("7000"), None).unwrap();
        let mut pool = pool(&[(7001, 7005)]);
        for expected in [7001, 7002] {
            let ports = settings.pick(&pool).unwrap();
            assert_eq!(ports.listen, Some(expected));
            assert_eq!(settings.take(ports, &mut pool).len(), 1);
        }
        assert_eq!(settings.pick(&pool), Err((7000, 7002)));
    }

    #[test]
    fn without_a_port_none_is_needed() {
        let settings = PortSettings::from_conf(&conf("0"), None).unwrap();
        assert_eq!(settings.pick(&pool(&[])), Ok(ExecutorPorts::default()));
    }

    #[test]
    fn a_bridge_needs_the_ports_of_the_host() {
        let map = DockerPortMapping { host_port: 31_000, container_port: 7000, protocol: None };
        let mut docker = DockerInfo { port_mappings: vec![map], ..DockerInfo::default() };
        docker.set_network(Network::Bridge);
        let container = ContainerInfo { docker: Some(docker), ..ContainerInfo::default() };
        let settings = PortSettings::from_conf(&conf("7000"), Some(&container)).unwrap();
        assert_eq!(settings.pick(&pool(&[(1, 10)])), Err((31_000, 31_000)));
        let mut pool = pool(&[(31_000, 31_001)]);
        let ports = settings.pick(&pool).unwrap();
        assert_eq!(ports, ExecutorPorts { listen: Some(7000), advertised: Some(31_000) });
        assert_eq!(settings.take(ports, &mut pool).len(), 1);
        assert!(!pool.has_port(31_000));
    }
}
