//! The container of an executor: image, volumes, port maps, network.

use mesos_api::container_info::{
    DockerInfo, DockerPortMapping, MesosInfo, Network, Type as ContainerType,
};
use mesos_api::image::{Docker, Type as ImageType};
use mesos_api::volume::Mode;
use mesos_api::{ContainerInfo, Image, NetworkInfo, Parameter, Volume};
use spark_conf::{SparkConf, table};

use crate::forms;
use crate::labels::parse_labels;
use crate::settings::SettingsError;

/// The container the configuration asks for, with these files of secrets; `None` if nothing about one
/// is set.
pub(crate) fn container(
    conf: &SparkConf,
    secrets: &[Volume],
) -> Result<Option<ContainerInfo>, SettingsError> {
    let image = conf.get(&table::MESOS_DOCKER_IMAGE)?;
    if let Some(image) = &image {
        forms::one_word(table::MESOS_DOCKER_IMAGE.name(), image, "an image")?;
    }
    let mut volumes = parse_all(conf, &table::MESOS_DOCKER_VOLUMES, volume)?;
    volumes.extend_from_slice(secrets);
    let network = network(conf)?;
    // Read whether used or not: a malformed entry is refused, not found out about later.
    let port_maps = parse_all(conf, &table::MESOS_DOCKER_PORTMAPS, port_map)?;
    let parameters = parse_all(conf, &table::MESOS_DOCKER_PARAMETERS, parameter)?;
    unique_host_ports(&port_maps)?;
    if image.is_none() && volumes.is_empty() && network.is_none() {
        return Ok(None);
    }
    let by_docker = image.is_some() && conf.get(&table::MESOS_CONTAINERIZER)? == "docker";
    let mut container = ContainerInfo { volumes, ..ContainerInfo::default() };
    container.set_type(if by_docker { ContainerType::Docker } else { ContainerType::Mesos });
    if let Some(image) = image {
        let force_pull = conf.get(&table::MESOS_DOCKER_FORCE_PULL)?;
        if by_docker {
            let network = network.as_ref().and_then(|network| network.name.as_deref());
            container.docker = Some(docker(image, force_pull, network, port_maps, parameters));
        } else {
            container.mesos = Some(MesosInfo { image: Some(docker_image(image, force_pull)) });
        }
    }
    container.network_infos = network.into_iter().collect();
    Ok(Some(container))
}

fn docker_image(name: String, force_pull: bool) -> Image {
    let mut image = Image {
        docker: Some(Docker { name, ..Docker::default() }),
        cached: Some(!force_pull),
        ..Image::default()
    };
    image.set_type(ImageType::Docker);
    image
}

fn docker(
    image: String,
    force_pull: bool,
    network: Option<&str>,
    port_mappings: Vec<DockerPortMapping>,
    parameters: Vec<Parameter>,
) -> DockerInfo {
    let mapped = !port_mappings.is_empty();
    let mut docker = DockerInfo {
        image,
        port_mappings,
        parameters,
        force_pull_image: Some(force_pull),
        ..DockerInfo::default()
    };
    match network {
        // Docker's own networks go by their kind. The reference passes every name as `--net` too, which
        // newer Dockers refuse as a second network; Mesos takes the name from the network info.
        Some("bridge") => docker.set_network(Network::Bridge),
        Some("host") => docker.set_network(Network::Host),
        Some("none") => docker.set_network(Network::None),
        Some(_) => docker.set_network(Network::User),
        // Port maps mean nothing on the host's network, which Mesos takes otherwise.
        None if mapped => docker.set_network(Network::Bridge),
        None => {}
    }
    docker
}

/// Two maps of one port of the host could never both hold.
fn unique_host_ports(port_maps: &[DockerPortMapping]) -> Result<(), SettingsError> {
    for (at, map) in port_maps.iter().enumerate() {
        let same = |other: &&DockerPortMapping| {
            other.host_port == map.host_port && other.protocol == map.protocol
        };
        if let Some(other) = port_maps[..at].iter().find(same) {
            return Err(SettingsError::Value {
                property: table::MESOS_DOCKER_PORTMAPS.name(),
                value: format!("{}:{}", map.host_port, map.container_port),
                problem: format!(
                    "port {} of the host leads to {} already; expected each port once",
                    map.host_port, other.container_port
                ),
            });
        }
    }
    Ok(())
}

fn network(conf: &SparkConf) -> Result<Option<NetworkInfo>, SettingsError> {
    let labels = match conf.get(&table::MESOS_NETWORK_LABELS)? {
        Some(text) => Some(parse_labels(table::MESOS_NETWORK_LABELS.name(), &text)?),
        None => None,
    };
    let Some(name) = conf.get(&table::MESOS_NETWORK_NAME)? else { return Ok(None) };
    forms::one_word(table::MESOS_NETWORK_NAME.name(), &name, "a network")?;
    Ok(Some(NetworkInfo { name: Some(name), labels, ..NetworkInfo::default() }))
}

/// Reads each entry of a list property; the reference drops what it cannot read, we refuse it.
fn parse_all<T>(
    conf: &SparkConf,
    property: &spark_conf::Property<Vec<String>>,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, SettingsError> {
    let entries = conf.get(property)?;
    let read = |entry: String| {
        parse(&entry).map_err(|problem| SettingsError::Value {
            property: property.name(),
            value: entry,
            problem: problem.to_owned(),
        })
    };
    entries.into_iter().map(read).collect()
}

/// `[host_path:]container_path[:ro|:rw]`.
fn volume(entry: &str) -> Result<Volume, &'static str> {
    const FORM: &str = "expected [host_path:]container_path[:ro|:rw]";
    let mut parts: Vec<&str> = entry.split(':').collect();
    let mode = match parts.last() {
        Some(&"ro") => Some(Mode::Ro),
        Some(&"rw") => Some(Mode::Rw),
        Some(_) | None => None,
    };
    if mode.is_some() {
        parts.pop();
    }
    let (host_path, container_path) = match parts[..] {
        [container] => (None, container),
        [host, container] if !host.is_empty() => (Some(host.to_owned()), container),
        _ => return Err(FORM),
    };
    if container_path.is_empty() {
        return Err(FORM);
    }
    let mut volume =
        Volume { container_path: container_path.to_owned(), host_path, ..Volume::default() };
    volume.set_mode(mode.unwrap_or(Mode::Rw));
    Ok(volume)
}

/// `host_port:container_port[:tcp|:udp]`.
fn port_map(entry: &str) -> Result<DockerPortMapping, &'static str> {
    const FORM: &str = "expected host_port:container_port[:tcp|:udp]";
    let parts: Vec<&str> = entry.split(':').collect();
    let (host, container, protocol) = match parts[..] {
        [host, container] => (host, container, "tcp"),
        [host, container, protocol @ ("tcp" | "udp")] => (host, container, protocol),
        _ => return Err(FORM),
    };
    let port = |text: &str| match text.parse::<u16>() {
        Ok(0) | Err(_) => Err(FORM),
        Ok(port) => Ok(u32::from(port)),
    };
    Ok(DockerPortMapping {
        host_port: port(host)?,
        container_port: port(container)?,
        protocol: Some(protocol.to_owned()),
    })
}

/// `key=value`, split at the first mark.
fn parameter(entry: &str) -> Result<Parameter, &'static str> {
    let (key, value) = entry.split_once('=').ok_or("expected key=value")?;
    if key.is_empty() {
        return Err("expected key=value");
    }
    Ok(Parameter { key: key.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spark_conf::Origin;

    fn of(settings: &[(&str, &str)]) -> Result<Option<ContainerInfo>, String> {
        let mut conf = SparkConf::new();
        for (key, value) in settings {
            conf.set(Origin::Program, &format!("spark.mesos.{key}"), value);
        }
        container(&conf, &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_means_no_container() {
        assert_eq!(of(&[]), Ok(None));
    }

    #[test]
    fn docker_with_everything() {
        let container = of(&[
            ("executor.docker.image", "img:1"),
            ("executor.docker.volumes", "/h:/c:ro,/data"),
            ("executor.docker.portmaps", "31000:80,31001:53:udp"),
            ("executor.docker.parameters", "label=a=b"),
            ("network.name", "net"),
            ("network.labels", "k:v"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(container.r#type(), ContainerType::Docker);
        assert_eq!(container.volumes[0].mode(), Mode::Ro);
        assert_eq!(container.volumes[0].host_path.as_deref(), Some("/h"));
        assert_eq!(container.volumes[1].host_path, None);
        let docker = container.docker.unwrap();
        assert_eq!(docker.port_mappings[1].protocol(), "udp");
        assert_eq!(docker.parameters[0].value, "a=b");
        assert_eq!(docker.parameters.len(), 1);
        assert_eq!(docker.network(), Network::User);
        assert_eq!(container.network_infos[0].name(), "net");
        assert_eq!(docker.force_pull_image, Some(false));
    }

    #[test]
    fn port_maps_and_names_choose_the_network() {
        let image = ("executor.docker.image", "img");
        let network = |settings: &[(&str, &str)]| {
            let settings: Vec<_> = [&[image], settings].concat();
            of(&settings).unwrap().unwrap().docker.unwrap().network
        };
        let kind = |network: Network| Some(network.into());
        assert_eq!(network(&[]), None);
        let maps = ("executor.docker.portmaps", "31000:80");
        assert_eq!(network(&[maps]), kind(Network::Bridge));
        assert_eq!(network(&[maps, ("network.name", "mine")]), kind(Network::User));
        assert_eq!(network(&[("network.name", "bridge")]), kind(Network::Bridge));
        assert_eq!(network(&[("network.name", "host")]), kind(Network::Host));
        assert_eq!(network(&[("network.name", "none")]), kind(Network::None));
    }

    #[test]
    fn the_image_is_pulled_when_asked() {
        let force = ("executor.docker.forcePullImage", "true");
        let image = ("executor.docker.image", "img");
        let docker = of(&[image, force]).unwrap().unwrap().docker.unwrap();
        assert_eq!(docker.force_pull_image, Some(true));
        let mesos = of(&[image, force, ("containerizer", "mesos")]).unwrap().unwrap();
        assert_eq!(mesos.mesos.unwrap().image.unwrap().cached, Some(false));
    }

    #[test]
    fn the_mesos_containerizer_takes_the_image_too() {
        let container =
            of(&[("executor.docker.image", "img"), ("containerizer", "mesos")]).unwrap().unwrap();
        assert_eq!(container.r#type(), ContainerType::Mesos);
        assert_eq!(container.mesos.unwrap().image.unwrap().docker.unwrap().name, "img");
    }

    #[test]
    fn bad_entries_are_refused_by_name() {
        for (key, value) in [
            ("executor.docker.volumes", "/h:/c:z"),
            ("executor.docker.volumes", "/a:/b:/c:ro"),
            ("executor.docker.volumes", ":/c"),
            ("executor.docker.portmaps", "80"),
            ("executor.docker.portmaps", "1:2:sctp"),
            ("executor.docker.portmaps", "ip:1:2"),
            ("executor.docker.portmaps", "0:80"),
            ("executor.docker.portmaps", "70000:80"),
            ("executor.docker.parameters", "novalue"),
            ("executor.docker.parameters", "=v"),
            ("network.labels", "k"),
            ("network.name", "a b"),
        ] {
            let error = of(&[("executor.docker.image", "img"), (key, value)]).unwrap_err();
            assert!(error.contains(key) && error.contains(value), "{error}");
        }
        let twice = of(&[("executor.docker.portmaps", "1:2,1:3")]).unwrap_err();
        assert!(twice.contains("portmaps") && twice.contains("expected each port once"), "{twice}");
        let blank = of(&[("executor.docker.image", "a b")]).unwrap_err();
        assert!(blank.contains("docker.image") && blank.contains("expected an image"), "{blank}");
    }
}
