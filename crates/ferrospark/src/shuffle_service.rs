//! `ferrospark shuffle-service`: the external shuffle service of an agent, with Mesos's operator API as its witness.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesos_api::json::JsonValue;
use mesos_api::master::{Call, Response, call, response};
use mesos_client::{MasterAddress, MasterDetector, MasterLocation};
use spark_conf::{MasterUrl, SparkConf, table};
use spark_shuffle::{MasterView, MasterWatch, ShuffleService, ShuffleServiceOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A master that is asked must have answered within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest answer read; the frameworks of a large cluster stay below it.
const ANSWER_LIMIT: u64 = 256 * 1024 * 1024;

/// Redirects to the leader followed in a row.
const MOST_REDIRECTS: usize = 3;

/// `--agent_reregister_timeout` of a master that does not tell its flags (Mesos' default).
const REREGISTER_TIMEOUT: Duration = Duration::from_secs(600);

/// Blocks are read in blocking threads; these only move them.
const SERVICE_THREADS: usize = 16;

const USAGE: &str = "\
usage: ferrospark shuffle-service --master URL [OPTION...]

Serves the map output of executors that are gone, and removes it when the master says that the application is over.

  --master URL            mesos://HOST:PORT, of any of the masters, or mesos://zk://HOST:PORT,.../PATH (spark.master)
  --host ADDRESS          address to listen on (0.0.0.0)
  --port PORT             port to listen on (spark.shuffle.service.port, 7337)
  --state-dir DIR         where applications are remembered over a restart
                          (spark-shuffle-service-PORT in the first of SPARK_LOCAL_DIRS)
  --conf PROPERTY=VALUE   any property; spark.mesos.principal and spark.mesos.secret if the operator API asks for them
  --properties-file FILE  properties (conf/spark-defaults.conf)

The principal must be allowed to view all frameworks: one the master does not show is thought gone.";

/// The program.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    let (mut host, mut port, mut state) = (None, None, None);
    let line = crate::settings::parse(words, |flag, value| {
        match flag {
            "--host" => host = Some(value()?),
            "--port" => port = Some(value()?),
            "--state-dir" => state = Some(PathBuf::from(value()?)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if line.help {
        crate::exit::say(USAGE);
        return Ok(ExitCode::SUCCESS);
    }
    crate::settings::start_logging(true);
    let conf = crate::mesos_backend::with_credential_files(&line.configuration()?)?;
    let port = match port {
        Some(text) => text.parse().with_context(|| format!("--port {text:?} is no port"))?,
        None => conf.get(&table::SHUFFLE_SERVICE_PORT)?,
    };
    let host = host.as_deref().unwrap_or("0.0.0.0");
    let ip = host.parse().with_context(|| format!("--host {host:?} is no address"))?;
    let mut options = ShuffleServiceOptions::new(
        SocketAddr::new(ip, port),
        state.unwrap_or_else(|| default_state(&conf, port)),
    );
    options.check_interval = conf.get(&table::SHUFFLE_CLEANER_INTERVAL)?;
    let (location, authorization) = operator(&conf)?;
    crate::daemon::runtime(SERVICE_THREADS)?.block_on(async {
        let master = Operator { masters: Masters::at(location), authorization };
        let state = options.state_directory.display().to_string();
        let service = ShuffleService::start(options, master).await.with_context(|| {
            format!("the shuffle service cannot start at {host}:{port} with {state}")
        })?;
        crate::daemon::ready(&service.address().to_string())?;
        crate::daemon::wait_for_signal().await?;
        service.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// In the first local directory: records are of no use without the files.
fn default_state(conf: &SparkConf, port: u16) -> PathBuf {
    let configured = conf.get(&table::LOCAL_DIR).ok().filter(|_| conf.is_set(&table::LOCAL_DIR));
    let first = configured.and_then(|directories| directories.into_iter().next());
    first
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join(format!("spark-shuffle-service-{port}"))
}

/// Whom to ask, and as whom: the location of the masters, and the value of `Authorization`.
fn operator(conf: &SparkConf) -> anyhow::Result<(MasterLocation, Option<String>)> {
    let url = conf.get(&table::MASTER)?.context(
        "the shuffle service must know the master; give --master mesos://HOST:PORT or set spark.master",
    )?;
    let location = match MasterUrl::parse(&url)? {
        MasterUrl::Mesos { host, port } => MasterAddress::new(host, port).into(),
        MasterUrl::MesosZooKeeper { url } => MasterLocation::parse(&url)?,
        MasterUrl::Local { .. } | MasterUrl::LocalCluster { .. } => {
            anyhow::bail!("master {url:?} has no agents; expected mesos://HOST:PORT")
        }
    };
    let credential = conf.get(&table::MESOS_PRINCIPAL)?.zip(conf.get(&table::MESOS_SECRET)?);
    let authorization = credential.map(|(principal, secret)| {
        let pair = format!("{principal}:{secret}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    });
    Ok((location, authorization))
}

/// Where the leading master is.
enum Masters {
    /// One of them, which sends us on if another one leads.
    At(MasterAddress),
    Followed(MasterDetector),
}

impl Masters {
    /// Inside a runtime: ZooKeeper is followed from now on.
    fn at(location: MasterLocation) -> Self {
        match location {
            MasterLocation::Address(address) => Self::At(address),
            MasterLocation::ZooKeeper(url) => Self::Followed(MasterDetector::start(url)),
        }
    }

    fn address(&self) -> Result<MasterAddress, String> {
        match self {
            Self::At(address) => Ok(address.clone()),
            Self::Followed(detector) => detector.current().address(),
        }
    }
}

/// The master, asked through its operator API.
struct Operator {
    masters: Masters,
    authorization: Option<String>,
}

impl MasterWatch for Operator {
    fn look(&self) -> BoxFuture<'_, Result<MasterView, String>> {
        async move {
            // Of one leader, from before to after: lists of two would not fit together.
            let before = self.ask(call::Type::GetMaster).await?;
            let frameworks = self.ask(call::Type::GetFrameworks).await?;
            let agents = self.ask(call::Type::GetAgents).await?;
            let flags = self.ask(call::Type::GetFlags).await.unwrap_or_default();
            let after = self.ask(call::Type::GetMaster).await?;
            if leader(&before) != leader(&after) {
                return Err("the leading master changed".to_owned());
            }
            view(&before, &frameworks, &agents, &flags)
        }
        .boxed()
    }
}

impl Operator {
    async fn ask(&self, what: call::Type) -> Result<Response, String> {
        let call = Call { r#type: Some(what as i32), ..Call::default() }.to_json().to_string();
        let first = self.masters.address()?;
        let mut address = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = timeout(ANSWER_TIMEOUT, self.post(&address, &call)).await;
            let late = |_| format!("master {address} did not answer within {ANSWER_TIMEOUT:?}");
            let broken = |error| format!("master {address}: {error}");
            match answer.map_err(late)?.map_err(broken)? {
                Answer::Here(body) => {
                    let value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
                    return Response::from_json(&value).map_err(|error| error.to_string());
                }
                Answer::There(location) => {
                    address = MasterAddress::from_location(&location)
                        .ok_or_else(|| format!("master {address} sends us to {location:?}"))?;
                }
                Answer::Refused(status) => return Err(format!("master {address}: {status}")),
            }
        }
        Err(format!("master {first} sends us round in circles"))
    }

    /// One request on a connection of its own, closed by the answer's end.
    async fn post(&self, address: &MasterAddress, body: &str) -> std::io::Result<Answer> {
        let mut socket = TcpStream::connect((&*address.host, address.port)).await?;
        let authorization = self.authorization.as_ref();
        let authorization =
            authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let request = format!(
            "POST /api/v1 HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\n{authorization}Connection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        socket.take(ANSWER_LIMIT).read_to_end(&mut bytes).await?;
        Answer::read(&bytes).ok_or_else(|| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, "it does not speak HTTP")
        })
    }
}

/// What a master said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Here(Vec<u8>),
    /// Another one leads.
    There(String),
    /// The status line.
    Refused(String),
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let body = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.split_once(' ')?.1;
        let header = |name: &str| {
            head.split("\r\n").skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        Some(match status.get(..3)? {
            "200" if header("Transfer-Encoding").is_some_and(|v| v.contains("chunked")) => {
                Self::Here(unchunk(body)?)
            }
            "200" => {
                // An answer that broke off is none.
                let length = header("Content-Length").and_then(|text| text.parse().ok());
                if length.is_some_and(|length: usize| length != body.len()) {
                    return None;
                }
                Self::Here(body.to_vec())
            }
            "307" | "302" => Self::There(header("Location")?),
            _ => Self::Refused(status.to_owned()),
        })
    }
}

/// The body of a chunked answer; `None` if it is not whole.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        let start = end + 2;
        out.extend_from_slice(body.get(start..start.checked_add(size)?)?);
        body = body.get(start + size + 2..)?;
    }
}

/// A master that was elected anew is another one, also at the same address.
fn leader(answer: &Response) -> Option<String> {
    let master = answer.get_master.as_ref()?;
    let info = master.master_info.as_ref()?;
    Some(format!("{}@{:?}", info.id, master.elected_time))
}

fn view(
    master: &Response,
    frameworks: &Response,
    agents: &Response,
    flags: &Response,
) -> Result<MasterView, String> {
    let missing = |what: &str| format!("the master's answer has no {what}");
    let frameworks = frameworks.get_frameworks.as_ref().ok_or_else(|| missing("frameworks"))?;
    let agents = agents.get_agents.as_ref().ok_or_else(|| missing("agents"))?;
    let ids = |found: &[response::get_frameworks::Framework]| -> BTreeSet<String> {
        found.iter().filter_map(|f| Some(f.framework_info.id.as_ref()?.value.clone())).collect()
    };
    let recovered = frameworks.recovered_frameworks.iter();
    let mut listed = ids(&frameworks.frameworks);
    listed.extend(recovered.filter_map(|info| Some(info.id.as_ref()?.value.clone())));
    Ok(MasterView {
        leader: leader(master).ok_or_else(|| missing("master"))?,
        // Agents of its predecessor are registered again, or given up.
        recovered: agents.recovered_agents.is_empty(),
        agent_reregister_timeout: reregister_timeout(flags).unwrap_or(REREGISTER_TIMEOUT),
        listed,
        completed: ids(&frameworks.completed_frameworks),
    })
}

fn reregister_timeout(flags: &Response) -> Option<Duration> {
    let flags = &flags.get_flags.as_ref()?.flags;
    let flag = flags.iter().find(|flag| flag.name == "agent_reregister_timeout")?;
    mesos_api::duration::parse_duration(flag.value.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Response {
        let value = serde_json::from_str(json).unwrap();
        Response::from_json(&value).unwrap()
    }

    fn framework(id: &str) -> String {
        format!(
            r#"{{"framework_info":{{"user":"u","name":"n","id":{{"value":"{id}"}}}},
            "active":true,"connected":true,"recovered":false}}"#
        )
    }

    #[test]
    fn masters_are_named_or_found_in_zookeeper() {
        let of = |url: &str, more: &[(&str, &str)]| {
            let mut conf = SparkConf::new();
            for (key, value) in [("spark.master", url)].iter().chain(more) {
                conf.set(spark_conf::Origin::Program, key, value);
            }
            operator(&conf).map_err(|error| error.to_string())
        };
        let at = MasterLocation::Address(MasterAddress::new("h".to_owned(), 5050));
        assert_eq!(of("mesos://h:5050", &[]), Ok((at.clone(), None)));
        let who = [("spark.mesos.principal", "p"), ("spark.mesos.secret", "s")];
        assert_eq!(of("mesos://h:5050", &who), Ok((at, Some("Basic cDpz".to_owned()))));
        let (found, _) = of("mesos://zk://a:2181,b:2181/mesos", &[]).unwrap();
        assert_eq!(found.to_string(), "zk://a:2181,b:2181/mesos");
        assert!(of("local[2]", &[]).unwrap_err().contains("has no agents"));
    }

    #[test]
    fn answers_are_whole_or_none() {
        let here = |body: &str| Some(Answer::Here(body.as_bytes().to_vec()));
        let read = |text: &str| Answer::read(text.replace('\n', "\r\n").as_bytes());
        assert_eq!(read("HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"), here("{}"));
        assert_eq!(read("HTTP/1.0 200 OK\n\n{}"), here("{}"));
        assert_eq!(read("HTTP/1.1 200 OK\nContent-Length: 3\n\n{}"), None);
        let chunked = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n1\n{\n1\n}\n0\n\n";
        assert_eq!(read(chunked), here("{}"));
        assert_eq!(read(&chunked[..chunked.len() - 4]), None);
        let moved = "HTTP/1.1 307 Temporary Redirect\nLocation: //b:5050/api/v1\n\n";
        assert_eq!(read(moved), Some(Answer::There("//b:5050/api/v1".to_owned())));
        let refused = read("HTTP/1.1 401 Unauthorized\n\n");
        assert_eq!(refused, Some(Answer::Refused("401 Unauthorized".to_owned())));
        assert_eq!(read("SSH-2.0-x\n\n"), None);
    }

    #[test]
    fn the_masters_answers_become_a_view() {
        let master = answer(
            r#"{"type":"GET_MASTER","get_master":{"elected_time":5.0,
            "master_info":{"id":"m-1","ip":0,"port":5050,"hostname":"h"}}}"#,
        );
        let frameworks = answer(&format!(
            r#"{{"type":"GET_FRAMEWORKS","get_frameworks":{{"frameworks":[{}],
            "completed_frameworks":[{}],
            "recovered_frameworks":[{{"user":"u","name":"n","id":{{"value":"f-3"}}}}]}}}}"#,
            framework("f-1"),
            framework("f-2")
        ));
        let agents = answer(r#"{"type":"GET_AGENTS","get_agents":{}}"#);
        let flags = answer(
            r#"{"type":"GET_FLAGS","get_flags":{"flags":[
            {"name":"agent_reregister_timeout","value":"15mins"}]}}"#,
        );
        let seen = view(&master, &frameworks, &agents, &flags).unwrap();
        assert_eq!(seen.listed, ["f-1", "f-3"].map(str::to_owned).into());
        assert_eq!(seen.completed, ["f-2".to_owned()].into());
        assert!(seen.recovered);
        assert_eq!(seen.agent_reregister_timeout, Duration::from_secs(900));
        // Without the right to see flags, and while agents are missing.
        let recovering =
            answer(r#"{"type":"GET_AGENTS","get_agents":{"recovered_agents":[{"hostname":"a"}]}}"#);
        let seen = view(&master, &frameworks, &recovering, &Response::default()).unwrap();
        assert!(!seen.recovered);
        assert_eq!(seen.agent_reregister_timeout, REREGISTER_TIMEOUT);
        assert!(view(&Response::default(), &frameworks, &agents, &flags).is_err());
        assert!(view(&master, &Response::default(), &agents, &flags).is_err());
    }
}
