//! `DockerInfo.parameters`: flags of `docker run` without their dashes, as Docker's API wants them.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HostConfig, PortBinding, ResourcesUlimits,
};
use mesos_api::Parameter;

/// Flags that would take the container away from the agent.
const RESERVED: [&str; 7] = ["name", "detach", "rm", "restart", "cidfile", "interactive", "tty"];

/// Applies one parameter.
pub(super) fn apply(body: &mut ContainerCreateBody, parameter: &Parameter) -> Result<(), String> {
    let (key, value) = (parameter.key.trim_start_matches('-'), parameter.value.as_str());
    let host = body.host_config.get_or_insert_with(HostConfig::default);
    let wrong = |what: &str| format!("parameter '{key}={value}' is not {what}");
    let text = || Some(value.to_owned());
    let number = || value.parse::<i64>().map_err(|_| wrong("a number"));
    let bytes = || parse_bytes(value).ok_or_else(|| wrong("a size, such as 64m"));
    let truth = || match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong("true or false")),
    };
    let pair = || value.split_once('=').ok_or_else(|| wrong("a name and a value around '='"));
    match key {
        "user" | "u" => body.user = text(),
        "workdir" | "w" => body.working_dir = text(),
        "hostname" | "h" => body.hostname = text(),
        "domainname" => body.domainname = text(),
        "entrypoint" => body.entrypoint = Some(vec![value.to_owned()]),
        "stop-signal" => body.stop_signal = text(),
        "stop-timeout" => body.stop_timeout = Some(number()?),
        "env" | "e" => push(&mut body.env, value),
        "label" | "l" => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            insert(&mut body.labels, name, value);
        }
        "expose" => push(&mut body.exposed_ports, &with_protocol(value)),
        "publish" | "p" => {
            publish(body, value).ok_or_else(|| wrong("host:container[/protocol]"))?;
        }
        "volume" | "v" => push(&mut host.binds, value),
        "volume-driver" => host.volume_driver = text(),
        "volumes-from" => push(&mut host.volumes_from, value),
        "net" | "network" => host.network_mode = text(),
        "ipc" => host.ipc_mode = text(),
        "pid" => host.pid_mode = text(),
        "uts" => host.uts_mode = text(),
        "userns" => host.userns_mode = text(),
        "runtime" => host.runtime = text(),
        "cgroup-parent" => host.cgroup_parent = text(),
        "cap-add" => push(&mut host.cap_add, value),
        "cap-drop" => push(&mut host.cap_drop, value),
        "add-host" => push(&mut host.extra_hosts, value),
        "dns" => push(&mut host.dns, value),
        "dns-search" => push(&mut host.dns_search, value),
        "dns-option" | "dns-opt" => push(&mut host.dns_options, value),
        "group-add" => push(&mut host.group_add, value),
        "link" => push(&mut host.links, value),
        "security-opt" => push(&mut host.security_opt, value),
        "privileged" => host.privileged = Some(truth()?),
        "read-only" => host.readonly_rootfs = Some(truth()?),
        "init" => host.init = Some(truth()?),
        "oom-kill-disable" => host.oom_kill_disable = Some(truth()?),
        "publish-all" | "P" => host.publish_all_ports = Some(truth()?),
        "oom-score-adj" => host.oom_score_adj = Some(number()?),
        "pids-limit" => host.pids_limit = Some(number()?),
        "cpu-shares" | "c" => host.cpu_shares = Some(number()?),
        "cpu-period" => host.cpu_period = Some(number()?),
        "cpu-quota" => host.cpu_quota = Some(number()?),
        "cpuset-cpus" => host.cpuset_cpus = text(),
        "cpuset-mems" => host.cpuset_mems = text(),
        "cpus" => {
            let cpus: f64 = value.parse().map_err(|_| wrong("a number"))?;
            host.nano_cpus = Some((cpus * 1e9) as i64);
        }
        "memory" | "m" => host.memory = Some(bytes()?),
        "memory-swap" => host.memory_swap = Some(if value == "-1" { -1 } else { bytes()? }),
        "memory-reservation" => host.memory_reservation = Some(bytes()?),
        "memory-swappiness" => host.memory_swappiness = Some(number()?),
        "shm-size" => host.shm_size = Some(bytes()?),
        "sysctl" => {
            let (name, value) = pair()?;
            insert(&mut host.sysctls, name, value);
        }
        "storage-opt" => {
            let (name, value) = pair()?;
            insert(&mut host.storage_opt, name, value);
        }
        "tmpfs" => {
            let (path, options) = value.split_once(':').unwrap_or((value, ""));
            insert(&mut host.tmpfs, path, options);
        }
        "ulimit" => {
            let ulimit = ulimit(value).ok_or_else(|| wrong("name=soft[:hard]"))?;
            host.ulimits.get_or_insert_with(Vec::new).push(ulimit);
        }
        "device" => {
            let device = device(value).ok_or_else(|| wrong("host[:container[:permissions]]"))?;
            host.devices.get_or_insert_with(Vec::new).push(device);
        }
        "log-driver" => {
            host.log_config.get_or_insert_with(Default::default).typ = text();
        }
        "log-opt" => {
            let (name, value) = pair()?;
            let config = host.log_config.get_or_insert_with(Default::default);
            insert(&mut config.config, name, value);
        }
        reserved if RESERVED.contains(&reserved) => {
            return Err(format!("parameter '{key}' is the agent's own; leave it out"));
        }
        _ => return Err(format!("parameter '{key}' is not known; leave it out")),
    }
    Ok(())
}

fn push(list: &mut Option<Vec<String>>, value: &str) {
    list.get_or_insert_with(Vec::new).push(value.to_owned());
}

fn insert(map: &mut Option<HashMap<String, String>>, name: &str, value: &str) {
    map.get_or_insert_with(HashMap::new).insert(name.to_owned(), value.to_owned());
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// `[ip:][host]:container[/protocol]`, or a container's port alone.
fn publish(body: &mut ContainerCreateBody, value: &str) -> Option<()> {
    let (outside, inside) = value.rsplit_once(':').unwrap_or(("", value));
    let inside = with_protocol(inside);
    inside.split('/').next()?.parse::<u16>().ok()?;
    let (ip, port) = outside.rsplit_once(':').unwrap_or(("", outside));
    if !port.is_empty() {
        port.parse::<u16>().ok()?;
    }
    bind(
        body,
        &inside,
        PortBinding {
            host_ip: (!ip.is_empty()).then(|| ip.to_owned()),
            host_port: Some(port.to_owned()),
        },
    );
    Some(())
}

/// Maps a port of the machine into the container.
pub(super) fn bind(body: &mut ContainerCreateBody, inside: &str, binding: PortBinding) {
    push(&mut body.exposed_ports, inside);
    let host = body.host_config.get_or_insert_with(HostConfig::default);
    let bindings = host.port_bindings.get_or_insert_with(HashMap::new);
    bindings.entry(inside.to_owned()).or_default().get_or_insert_with(Vec::new).push(binding);
}

/// Units are powers of 1024, as Docker has them.
fn parse_bytes(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches('b');
    let (number, shift) = match number.strip_suffix(['k', 'm', 'g']) {
        None => (number, 0),
        Some(digits) if number.ends_with('k') => (digits, 10),
        Some(digits) if number.ends_with('m') => (digits, 20),
        Some(digits) => (digits, 30),
    };
    number.parse::<i64>().ok().filter(|n| *n >= 0)?.checked_mul(1 << shift)
}

fn ulimit(text: &str) -> Option<ResourcesUlimits> {
    let (name, values) = text.split_once('=')?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    Some(ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(soft.parse().ok()?),
        hard: Some(hard.parse().ok()?),
    })
}

fn device(text: &str) -> Option<DeviceMapping> {
    let mut parts = text.split(':');
    let outside = parts.next().filter(|path| path.starts_with('/'))?.to_owned();
    let inside = parts.next().map_or_else(|| outside.clone(), str::to_owned);
    let permissions = parts.next().unwrap_or("rwm").to_owned();
    Some(DeviceMapping {
        path_on_host: Some(outside),
        path_in_container: Some(inside),
        cgroup_permissions: Some(permissions),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(parameters: &[(&str, &str)]) -> Result<ContainerCreateBody, String> {
        let mut body = ContainerCreateBody::default();
        for (key, value) in parameters {
            let (key, value) = ((*key).to_owned(), (*value).to_owned());
            apply(&mut body, &Parameter { key, value })?;
        }
        Ok(body)
    }

    #[test]
    fn flags_find_their_place() {
        let body = applied(&[
            ("user", "nobody"),
            ("env", "A=1"),
            ("env", "B=2"),
            ("shm-size", "64m"),
            ("ulimit", "nofile=1024:2048"),
            ("add-host", "a:1.2.3.4"),
            ("tmpfs", "/run:size=1m"),
            ("publish", "127.0.0.1:31000:80/udp"),
            ("cpus", "0.5"),
        ]);
        let body = body.unwrap();
        assert_eq!(body.user.as_deref(), Some("nobody"));
        assert_eq!(body.env.unwrap(), ["A=1", "B=2"]);
        let host = body.host_config.unwrap();
        assert_eq!(host.shm_size, Some(64 << 20));
        assert_eq!(host.ulimits.unwrap()[0].hard, Some(2048));
        assert_eq!(host.extra_hosts.unwrap(), ["a:1.2.3.4"]);
        assert_eq!(host.tmpfs.unwrap()["/run"], "size=1m");
        assert_eq!(host.nano_cpus, Some(500_000_000));
        let bindings = host.port_bindings.unwrap()["80/udp"].clone().unwrap();
        assert_eq!(bindings[0].host_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(bindings[0].host_port.as_deref(), Some("31000"));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (key, value, told) in [
            ("name", "x", "parameter 'name' is the agent's own; leave it out"),
            ("frobnicate", "1", "parameter 'frobnicate' is not known; leave it out"),
            ("memory", "lots", "parameter 'memory=lots' is not a size, such as 64m"),
            ("privileged", "maybe", "parameter 'privileged=maybe' is not true or false"),
            ("publish", "a:b", "parameter 'publish=a:b' is not host:container[/protocol]"),
        ] {
            assert_eq!(applied(&[(key, value)]).unwrap_err(), told);
        }
    }
}
