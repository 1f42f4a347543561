//! What tasks have fetched into their sandboxes: from http, an S3 server of the tests' own (moto, which
//! `tools/s3` installs), the cache; and what is not let in.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use mesos_agent::AgentOptions;
use mesos_api::command_info::Uri;
use mesos_api::task_status::Reason;
use mesos_api::{CommandInfo, TaskState, TaskStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Scheduler, command, framework, send, task};
use crate::cluster::{Cluster, skip};

/// An S3 server, which stops when this is dropped.
struct S3 {
    process: Child,
    address: String,
}

impl S3 {
    /// None, said so, if there can be none here; a failure where everything is required.
    fn start() -> Option<Self> {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/s3");
        let mut process = Command::new(tool)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if let Some(address) = line.trim().strip_prefix("http://") {
            return Some(Self { process, address: address.to_owned() });
        }
        let mut told = String::new();
        process.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        process.wait().unwrap();
        skip(&format!("no S3 server: {told}"));
        None
    }

    async fn put(&self, path: &str, content: Vec<u8>) {
        let request = Request::put(path)
            .header("Host", &self.address)
            .header(
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request",
            )
            .body(Full::from(Bytes::from(content)))
            .unwrap();
        let answer = send(&self.address, request).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

pub(crate) fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut builder = tar::Builder::new(packer);
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    // `set_path` would refuse what an attacker writes.
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    builder.append(&header, content).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

/// Serves files by their path, and counts the requests.
async fn serve(files: Vec<(&'static str, Vec<u8>)>) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let read = socket.read(&mut buffer).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&buffer[..read]).into_owned();
            let path = asked.split_whitespace().nth(1).unwrap_or_default().to_owned();
            let found = files.iter().find(|(name, _)| *name == path);
            let (status, body) =
                found.map_or(("404 Not Found", [].as_slice()), |(_, b)| ("200 OK", b));
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = socket.write_all(head.as_bytes()).await;
            let _ = socket.write_all(body).await;
        }
    });
    (address, count)
}

pub(crate) fn uri(value: impl Into<String>) -> Uri {
    Uri { value: value.into(), ..Uri::default() }
}

/// Runs `text` with these URIs and gives the last update.
pub(crate) async fn run(
    scheduler: &mut Scheduler,
    id: &str,
    uris: Vec<Uri>,
    text: &str,
) -> TaskStatus {
    run_command(scheduler, id, CommandInfo { uris, ..command(text) }).await
}

/// Runs a command and gives the last update.
pub(crate) async fn run_command(
    scheduler: &mut Scheduler,
    id: &str,
    command: CommandInfo,
) -> TaskStatus {
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![task(id, &offer, "cpus:1;mem:64", command)]).await;
    loop {
        let update = scheduler.update().await;
        if update.state().is_terminal() {
            return update;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_find_what_they_asked_for_in_their_sandbox() {
    let Some(s3) = S3::start() else { return };
    s3.put("/bucket", Vec::new()).await;
    s3.put("/bucket/dir/app.tgz", archive("app/run", b"#!/bin/sh\necho runs\n")).await;
    s3.put("/bucket/a%20file.txt", b"text\n".to_vec()).await;
    let (http, count) = serve(vec![("/once.txt", b"once\n".to_vec())]).await;
    let mut cluster = Cluster::start(0).await;
    let options = AgentOptions {
        s3_endpoint: Some(format!("http://{}", s3.address)),
        s3_region: Some("us-east-1".into()),
        s3_credential: Some("{\"principal\": \"key\", \"secret\": \"secret\"}".into()),
        ..cluster.agent_options()
    };
    cluster.add_agent_with(options).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let uris = vec![
        uri("s3://bucket/dir/app.tgz"),
        Uri { output_file: Some("n/text".into()), ..uri("s3n://bucket/a%20file.txt") },
        Uri { cache: Some(true), ..uri("s3a://bucket/a%20file.txt") },
        Uri { cache: Some(true), ..uri(format!("{http}/once.txt")) },
    ];
    let text = "app/run && cat n/text 'a%20file.txt' once.txt";
    for id in ["t1", "t2"] {
        let end = run(&mut scheduler, id, uris.clone(), text).await;
        assert_eq!(end.state(), TaskState::Finished, "{}", end.message());
        let stdout = std::fs::read_to_string(cluster.sandbox(id).join("stdout")).unwrap();
        assert_eq!(stdout, "runs\ntext\ntext\nonce\n");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "the second task found it in the cache");
    let missing = run(&mut scheduler, "t3", vec![uri("s3://bucket/missing")], "true").await;
    assert!(
        missing.message().contains("cannot fetch 's3://bucket/missing'"),
        "{}",
        missing.message()
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_do_harm_is_not_let_in() {
    // More than its size allows, but not much in absolute terms: 300 MB of zeros in 300 kB.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..300).for_each(|_| packer.write_all(&zeros).unwrap());
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let (http, _) = serve(vec![
        ("/evil.tgz", archive("../../../../escaped", b"x")),
        ("/bomb.gz", bomb),
        ("/fine.txt", b"fine".to_vec()),
    ])
    .await;
    let cluster = Cluster::start(1).await;
    let mut scheduler = Scheduler::subscribe(&cluster.address, framework()).await;
    let wrong = "0".repeat(64);
    let refused = [
        (uri(format!("{http}/evil.tgz")), "entry '../../../../escaped' lies outside"),
        (uri(format!("{http}/bomb.gz")), "bytes come out of it, which is too much for its size"),
        (uri(format!("{http}/fine.txt#sha256={wrong}")), "its sha256 is"),
        (uri(format!("{http}/none")), "the server answered 404"),
        (
            Uri { output_file: Some("../x".into()), ..uri(format!("{http}/fine.txt")) },
            "must stay inside the sandbox",
        ),
    ];
    for (number, (uri, told)) in refused.into_iter().enumerate() {
        let end = run(&mut scheduler, &format!("t{number}"), vec![uri], "true").await;
        assert_eq!((end.state(), end.reason()), (TaskState::Failed, Reason::ContainerLaunchFailed));
        let message = end.message();
        assert!(
            message.starts_with("Failed to launch container: Failed to fetch all URIs"),
            "{message}"
        );
        assert!(message.contains(told), "{message} is not {told}");
    }
    assert!(crate::cluster::find(cluster.folder.path(), "escaped").is_none());
    cluster.stop().await;
}
