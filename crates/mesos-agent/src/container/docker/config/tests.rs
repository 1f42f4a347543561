//! What Docker is asked for, for what Mesos says.

use mesos_api::container_info::{DockerPortMapping, Type};
use mesos_api::network_info::PortMapping;
use mesos_api::{NetworkInfo, Parameter};

use super::*;

fn spec(program: Program) -> LaunchSpec {
    LaunchSpec {
        container: ("F".into(), "E".into()),
        container_id: "c".into(),
        directory: "/w/s".into(),
        uris: Vec::new(),
        program,
        environment: vec![("A".into(), "1".into())],
        user: None,
        limits: Limits {
            cpus: 0.5,
            cpus_limit: None,
            memory: Some(64 << 20),
            memory_limit: Some(64 << 20),
        },
        checkpoint: None,
        docker: None,
        ports: vec![(31_000, 31_009)],
    }
}

fn container(docker: DockerInfo) -> ContainerInfo {
    ContainerInfo {
        r#type: Type::Docker.into(),
        docker: Some(DockerInfo { image: "image".into(), ..docker }),
        ..ContainerInfo::default()
    }
}

fn made(container: &ContainerInfo) -> Result<HostConfig, String> {
    let body = body(&spec(Program::Shell("true".into())), container, "owner", false)?;
    Ok(body.host_config.unwrap())
}

fn mapping(host_port: u32, protocol: Option<&str>) -> DockerPortMapping {
    DockerPortMapping { host_port, container_port: 80, protocol: protocol.map(str::to_owned) }
}

fn volume(host: &str, inside: &str, mode: Mode) -> Volume {
    Volume {
        mode: mode.into(),
        container_path: inside.into(),
        host_path: Some(host.into()),
        ..Volume::default()
    }
}

#[test]
fn a_container_has_its_sandbox_and_its_limits() {
    let shell = Program::Shell("echo hi".into());
    let body = body(&spec(shell), &container(DockerInfo::default()), "owner", true).unwrap();
    assert_eq!(body.entrypoint.unwrap(), ["/bin/sh"]);
    assert_eq!(body.cmd.unwrap(), ["-c", "echo hi"]);
    assert_eq!(body.env.unwrap(), ["A=1"]);
    assert_eq!(body.labels.unwrap()[OWNER_LABEL], "owner");
    let host = body.host_config.unwrap();
    assert_eq!(host.binds.unwrap(), ["/w/s:/mnt/mesos/sandbox:rw"]);
    assert_eq!(host.network_mode.as_deref(), Some("host"), "as in Mesos, if nothing is said");
    assert_eq!((host.cpu_shares, host.memory), (Some(512), Some(64 << 20)));
    assert_eq!((host.cpu_period, host.cpu_quota), (Some(100_000), Some(50_000)));
}

#[test]
fn commands_reach_the_entry_point_or_replace_it() {
    let direct = |path: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        command(&Program::Direct { path: path.into(), arguments })
    };
    assert_eq!(direct("", &[]), (None, None), "the image's own");
    assert_eq!(direct("", &["-x"]), (None, Some(vec!["-x".into()])));
    assert_eq!(direct("run", &["-x"]), (None, Some(vec!["run".into(), "-x".into()])));
    assert_eq!(command(&Program::Shell(String::new())), (None, None));
}

#[test]
fn volumes_have_modes_and_stay_where_they_belong() {
    let sandbox = Path::new("/w/s");
    for (volume, expected) in [
        (volume("/h", "/c", Mode::Ro), "/h:/c:ro"),
        (volume("/h", "/c", Mode::Rw), "/h:/c:rw"),
        (volume("/h", "c", Mode::Rw), "/h:/mnt/mesos/sandbox/c:rw"),
        (volume("data", "/c", Mode::Rw), "/w/s/data:/c:rw"),
    ] {
        assert_eq!(bind(sandbox, &volume).unwrap(), expected);
    }
    for (volume, expected) in [
        (volume("../../etc", "/c", Mode::Rw), "volume '/c': its host_path leaves the sandbox"),
        (volume("/a:b", "/c", Mode::Rw), "volume '/c': Docker takes no ':' in paths"),
        (volume("", "/c", Mode::Rw), "volume '/c': it has neither host_path nor source"),
        (volume("/h", "", Mode::Rw), "volume '': it has no container_path"),
    ] {
        assert_eq!(bind(sandbox, &volume).unwrap_err(), expected);
    }
}

#[test]
fn ports_are_mapped_if_they_were_granted() {
    let docker = |network: Network, port_mappings: Vec<DockerPortMapping>| {
        container(DockerInfo { network: Some(network.into()), port_mappings, ..Default::default() })
    };
    let host = made(&docker(Network::Bridge, vec![mapping(31_005, Some("UDP"))])).unwrap();
    assert_eq!(host.network_mode.as_deref(), Some("bridge"));
    let bindings = host.port_bindings.unwrap();
    let binding = &bindings["80/udp"].as_ref().unwrap()[0];
    assert_eq!(binding.host_port.as_deref(), Some("31005"));
    let refused = made(&docker(Network::Bridge, vec![mapping(80, None)])).unwrap_err();
    assert_eq!(refused, "Port [ 80 ] not included in resources");
    let refused = made(&docker(Network::Host, vec![mapping(31_005, None)])).unwrap_err();
    assert!(refused.contains("only networks BRIDGE and USER map ports"), "{refused}");
    let refused = made(&docker(Network::Bridge, vec![mapping(31_005, Some("x"))])).unwrap_err();
    assert_eq!(refused, "port 31005: 'x' is not tcp, udp or sctp");
}

#[test]
fn a_network_of_the_user_is_named() {
    let mut user = container(DockerInfo {
        network: Some(Network::User.into()),
        parameters: vec![Parameter { key: "cap-drop".into(), value: "ALL".into() }],
        ..Default::default()
    });
    assert!(made(&user).unwrap_err().contains("exactly one entry"));
    user.network_infos = vec![NetworkInfo {
        name: Some("blue".into()),
        port_mappings: vec![PortMapping::default()],
        ..Default::default()
    }];
    let host = made(&user).unwrap();
    assert_eq!(host.network_mode.as_deref(), Some("blue"));
    assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
}

#[test]
fn images_are_pulled_by_tag() {
    assert_eq!(tagged("busybox"), "busybox:latest");
    assert_eq!(tagged("host:5000/busybox"), "host:5000/busybox:latest");
    assert_eq!(tagged("host:5000/busybox:1"), "host:5000/busybox:1");
    assert_eq!(tagged("busybox@sha256:00"), "busybox@sha256:00");
}
