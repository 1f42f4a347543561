//! `spark.master`.

use std::fmt;

/// Port of a Mesos master when the URL names none.
const DEFAULT_MESOS_PORT: u16 = 5050;

/// Task slots of a local master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// As many as the machine has cores.
    All,
    /// This many.
    Fixed(usize),
}

/// Where an application runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterUrl {
    /// `local`, `local[N]`, `local[*]`, `local[N,F]`: inside the driver.
    Local {
        /// Task slots.
        threads: Threads,
        /// Attempts of a task; `local[N]` gives one.
        max_failures: u32,
    },
    /// `local-cluster[N,cores,MiB]`: an embedded master and N agents with one executor each.
    LocalCluster {
        /// Agents.
        agents: usize,
        /// Cores of each.
        cores: usize,
        /// Executor memory; agents are made with its overhead on top.
        memory_mib: u64,
    },
    /// `mesos://HOST:PORT`.
    Mesos {
        /// Host of the master.
        host: String,
        /// Port of the master.
        port: u16,
    },
    /// `mesos://zk://HOST:PORT,…/PATH`; the path may be missing, and `mesos://` as well.
    MesosZooKeeper {
        /// The ZooKeeper URL, beginning with `zk://`.
        url: String,
    },
}

/// A master URL nobody can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not parse master URL {url:?}: {problem}")]
pub struct MasterUrlError {
    /// The text as given.
    pub url: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

const FORMS: &str = "expected local, local[N], local[*], local[N,maxFailures], local-cluster[agents,cores,memoryMiB], mesos://HOST:PORT or mesos://zk://HOST:PORT,.../PATH";

impl MasterUrl {
    /// Reads a master URL.
    ///
    /// # Errors
    /// When the form is unknown or a number in it is out of range.
    pub fn parse(url: &str) -> Result<Self, MasterUrlError> {
        Self::parse_form(url.trim())
            .map_err(|problem| MasterUrlError { url: url.to_owned(), problem })
    }

    fn parse_form(url: &str) -> Result<Self, String> {
        if let Some(rest) = url.strip_prefix("mesos://") {
            return parse_mesos(rest);
        }
        // Spark 1.x took the URL of ZooKeeper by itself, too.
        if url.starts_with("zk://") {
            return parse_mesos(url);
        }
        if url == "local" {
            return Ok(Self::Local { threads: Threads::Fixed(1), max_failures: 1 });
        }
        if let Some(arguments) = bracketed(url, "local-cluster") {
            return parse_local_cluster(arguments);
        }
        if let Some(arguments) = bracketed(url, "local") {
            return parse_local(arguments);
        }
        let other = ["spark://", "yarn", "k8s://"].into_iter().find(|p| url.starts_with(*p));
        Err(match other {
            Some(prefix) => format!("{prefix} masters are not served here; {FORMS}"),
            None => FORMS.to_owned(),
        })
    }

    /// Whether tasks run inside the driver process.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local { .. })
    }
}

fn bracketed<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    url.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')
}

fn parse_local(arguments: &str) -> Result<MasterUrl, String> {
    let (threads, failures) = match arguments.split_once(',') {
        Some((threads, failures)) => (threads.trim(), Some(failures.trim())),
        None => (arguments.trim(), None),
    };
    let threads = match threads {
        "*" => Threads::All,
        number => Threads::Fixed(positive(number, "the number of threads")?),
    };
    let max_failures = match failures {
        Some(number) => positive(number, "maxFailures")?,
        None => 1,
    };
    Ok(MasterUrl::Local { threads, max_failures })
}

fn parse_local_cluster(arguments: &str) -> Result<MasterUrl, String> {
    let parts: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let [agents, cores, memory] = parts[..] else {
        return Err(
            "expected local-cluster[agents,cores,memoryMiB], for example local-cluster[2,1,1024]"
                .to_owned(),
        );
    };
    Ok(MasterUrl::LocalCluster {
        agents: positive(agents, "the number of agents")?,
        cores: positive(cores, "the number of cores")?,
        memory_mib: positive(memory, "the memory in MiB")?,
    })
}

fn positive<T: std::str::FromStr + Default + PartialOrd>(
    text: &str,
    what: &str,
) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(number) if number > T::default() => Ok(number),
        _ => Err(format!("{what} must be a positive whole number, not {text:?}")),
    }
}

fn parse_mesos(rest: &str) -> Result<MasterUrl, String> {
    if let Some(hosts) = rest.strip_prefix("zk://") {
        let servers = hosts.split('/').next().unwrap_or_default();
        if servers.is_empty() {
            return Err("expected mesos://zk://HOST:PORT,.../PATH".to_owned());
        }
        return Ok(MasterUrl::MesosZooKeeper { url: rest.to_owned() });
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(',') {
        return Err("several masters need ZooKeeper: mesos://zk://HOST:PORT,.../PATH".to_owned());
    }
    if rest.contains(['/', '@', '?', ' ']) {
        return Err("expected mesos://HOST:PORT".to_owned());
    }
    let (host, port) = split_host_port(rest)?;
    if host.is_empty() {
        return Err("the host is missing; expected mesos://HOST:PORT".to_owned());
    }
    Ok(MasterUrl::Mesos { host: host.to_owned(), port })
}

/// Splits `host:port`, `host`, `[v6]:port`.
fn split_host_port(text: &str) -> Result<(&str, u16), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let Some(port) = port else { return Ok((host, DEFAULT_MESOS_PORT)) };
    match port.parse::<u16>() {
        Ok(number) if number > 0 => Ok((host, number)),
        _ => Err(format!("{port:?} is not a port from 1 to 65535")),
    }
}

impl fmt::Display for MasterUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { threads, max_failures } => {
                match threads {
                    Threads::All => write!(out, "local[*")?,
                    Threads::Fixed(number) => write!(out, "local[{number}")?,
                }
                if *max_failures != 1 {
                    write!(out, ",{max_failures}")?;
                }
                write!(out, "]")
            }
            Self::LocalCluster { agents, cores, memory_mib } => {
                write!(out, "local-cluster[{agents},{cores},{memory_mib}]")
            }
            Self::Mesos { host, port } if host.contains(':') => {
                write!(out, "mesos://[{host}]:{port}")
            }
            Self::Mesos { host, port } => write!(out, "mesos://{host}:{port}"),
            Self::MesosZooKeeper { url } => write!(out, "mesos://{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(urls: &[&str], expected: Expect) {
        let mut out = String::new();
        for url in urls {
            match MasterUrl::parse(url) {
                Ok(master) => out.push_str(&format!("{url} -> {master} {master:?}\n")),
                Err(error) => out.push_str(&format!("{error}\n")),
            }
        }
        expected.assert_eq(&out);
    }

    #[test]
    fn accepted() {
        check(
            &[
                "local",
                "local[4]",
                "local[*]",
                "local[*, 3]",
                "local-cluster[2, 1, 1024]",
                "mesos://127.0.0.1:5050",
                "mesos://master.example",
                "mesos://[::1]:5051/",
                "mesos://zk://h1:2181,h2:2181/mesos",
                "mesos://zk://host:2181",
                "zk://host:2181/mesos",
            ],
            expect![[r#"
                local -> local[1] Local { threads: Fixed(1), max_failures: 1 }
                local[4] -> local[4] Local { threads: Fixed(4), max_failures: 1 }
                local[*] -> local[*] Local { threads: All, max_failures: 1 }
                local[*, 3] -> local[*,3] Local { threads: All, max_failures: 3 }
                local-cluster[2, 1, 1024] -> local-cluster[2,1,1024] LocalCluster { agents: 2, cores: 1, memory_mib: 1024 }
                mesos://127.0.0.1:5050 -> mesos://127.0.0.1:5050 Mesos { host: "127.0.0.1", port: 5050 }
                mesos://master.example -> mesos://master.example:5050 Mesos { host: "master.example", port: 5050 }
                mesos://[::1]:5051/ -> mesos://[::1]:5051 Mesos { host: "::1", port: 5051 }
                mesos://zk://h1:2181,h2:2181/mesos -> mesos://zk://h1:2181,h2:2181/mesos MesosZooKeeper { url: "zk://h1:2181,h2:2181/mesos" }
                mesos://zk://host:2181 -> mesos://zk://host:2181 MesosZooKeeper { url: "zk://host:2181" }
                zk://host:2181/mesos -> mesos://zk://host:2181/mesos MesosZooKeeper { url: "zk://host:2181/mesos" }
            "#]],
        );
    }

    #[test]
    fn refused() {
        check(
            &[
                "",
                "locl",
                "local[0]",
                "local[x]",
                "local-cluster[2,1]",
                "local-cluster[2,1,-5]",
                "spark://h:7077",
                "mesos://",
                "mesos://h:99999",
                "mesos://a:1,b:2",
                "mesos://zk:///x",
            ],
            expect![[r#"
                could not parse master URL "": expected local, local[N], local[*], local[N,maxFailures], local-cluster[agents,cores,memoryMiB], mesos://HOST:PORT or mesos://zk://HOST:PORT,.../PATH
                could not parse master URL "locl": expected local, local[N], local[*], local[N,maxFailures], local-cluster[agents,cores,memoryMiB], mesos://HOST:PORT or mesos://zk://HOST:PORT,.../PATH
                could not parse master URL "local[0]": the number of threads must be a positive whole number, not "0"
                could not parse master URL "local[x]": the number of threads must be a positive whole number, not "x"
                could not parse master URL "local-cluster[2,1]": expected local-cluster[agents,cores,memoryMiB], for example local-cluster[2,1,1024]
                could not parse master URL "local-cluster[2,1,-5]": the memory in MiB must be a positive whole number, not "-5"
                could not parse master URL "spark://h:7077": spark:// masters are not served here; expected local, local[N], local[*], local[N,maxFailures], local-cluster[agents,cores,memoryMiB], mesos://HOST:PORT or mesos://zk://HOST:PORT,.../PATH
                could not parse master URL "mesos://": the host is missing; expected mesos://HOST:PORT
                could not parse master URL "mesos://h:99999": "99999" is not a port from 1 to 65535
                could not parse master URL "mesos://a:1,b:2": several masters need ZooKeeper: mesos://zk://HOST:PORT,.../PATH
                could not parse master URL "mesos://zk:///x": expected mesos://zk://HOST:PORT,.../PATH
            "#]],
        );
    }
}
