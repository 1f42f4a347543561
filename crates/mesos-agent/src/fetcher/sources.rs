//! Where files come from: the machine itself, http, object stores, HDFS, and what the programs `curl`
//! and `hadoop` know besides.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use futures::StreamExt as _;
use hdfs_native_object_store::HdfsObjectStoreBuilder;
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use url::Url;

/// A server must accept a connection within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects followed for one address.
const MAXIMUM_REDIRECTS: usize = 10;

/// What the sources have to be told.
#[derive(Clone, Debug)]
pub(crate) struct SourceSettings {
    /// Where relative paths start.
    pub(crate) frameworks_home: Option<PathBuf>,
    /// A download that moves nothing for so long is given up.
    pub(crate) stall_timeout: Duration,
    /// Where Hadoop is installed.
    pub(crate) hadoop_home: Option<PathBuf>,
    /// Where S3 is, if it is not Amazon's.
    pub(crate) s3_endpoint: Option<String>,
    /// In which region.
    pub(crate) s3_region: Option<String>,
    /// Name and secret for it; the environment's by default.
    pub(crate) s3_credential: Option<(String, String)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sources {
    settings: SourceSettings,
    /// Made when it is needed first: it carries the certificates of all authorities.
    http: OnceLock<reqwest::Client>,
}

/// What went wrong, for people.
type Problem = String;

impl Sources {
    pub(super) fn new(settings: SourceSettings) -> Self {
        Self { settings, http: OnceLock::new() }
    }

    /// Brings what an address names into a file.
    pub(super) async fn bring(&self, address: &str, target: &Path) -> Result<(), Problem> {
        match address.split_once("://") {
            None => self.copy(Path::new(address), target).await,
            Some(("file", path)) => {
                // `file://host/path` may name this host.
                let path = path.strip_prefix("localhost").unwrap_or(path);
                self.copy(Path::new(path), target).await
            }
            Some(("http" | "https", _)) => self.download(address, target).await,
            Some(("s3" | "s3a" | "s3n", _)) => self.fetch_s3(address, target).await,
            Some(("hdfs" | "viewfs", _)) => self.fetch_hdfs(address, target).await,
            Some(("ftp" | "ftps", _)) => {
                let arguments = ["-fsSL", "--retry", "2", "-o"];
                run("curl".as_ref(), &arguments, &[target.as_os_str(), address.as_ref()]).await
            }
            Some(_) => {
                let hadoop = match &self.settings.hadoop_home {
                    Some(home) => home.join("bin/hadoop"),
                    None => PathBuf::from("hadoop"),
                };
                let last = [address.as_ref(), target.as_os_str()];
                run(&hadoop, &["fs", "-copyToLocal"], &last).await
            }
        }
    }

    async fn copy(&self, source: &Path, target: &Path) -> Result<(), Problem> {
        let source = match &self.settings.frameworks_home {
            Some(home) if source.is_relative() => home.join(source),
            _ => source.to_owned(),
        };
        if source.is_relative() {
            return Err("relative paths need --frameworks_home; use an absolute one".to_owned());
        }
        tokio::fs::copy(&source, target).await.map(drop).map_err(|error| error.to_string())
    }

    fn http(&self) -> Result<&reqwest::Client, Problem> {
        if let Some(client) = self.http.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(self.settings.stall_timeout)
            .redirect(reqwest::redirect::Policy::limited(MAXIMUM_REDIRECTS))
            .build()
            .map_err(|error| chain(&error))?;
        Ok(self.http.get_or_init(|| client))
    }

    async fn download(&self, address: &str, target: &Path) -> Result<(), Problem> {
        let answer = self.http()?.get(address).send().await.map_err(|error| chain(&error))?;
        if !answer.status().is_success() {
            return Err(format!("the server answered {}", answer.status()));
        }
        let promised = answer.content_length();
        let mut body = answer.bytes_stream();
        let mut file = create(target).await?;
        let mut received = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| chain(&error))?;
            received += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(|error| error.to_string())?;
        }
        file.flush().await.map_err(|error| error.to_string())?;
        match promised {
            Some(promised) if promised != received => {
                Err(format!("it broke off after {received} of {promised} bytes"))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn fetch_s3(&self, address: &str, target: &Path) -> Result<(), Problem> {
        let url = Url::parse(address).map_err(|error| error.to_string())?;
        let bucket = url.host_str().ok_or("it names no bucket")?;
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        if let Some(endpoint) = &self.settings.s3_endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &self.settings.s3_region {
            builder = builder.with_region(region);
        }
        let in_environment = std::env::var_os("AWS_ACCESS_KEY_ID").is_some();
        if let Some(secret) = url.password() {
            builder = builder.with_access_key_id(url.username()).with_secret_access_key(secret);
        } else if let Some((id, secret)) = &self.settings.s3_credential {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        } else if !in_environment {
            // Public buckets want no name; asking the cloud for one takes long where there is none.
            builder = builder.with_skip_signature(true);
        }
        let plain = self.settings.s3_endpoint.as_ref().is_some_and(|e| e.starts_with("http:"));
        let options = object_store::ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout_disabled()
            .with_allow_http(plain || std::env::var_os("AWS_ALLOW_HTTP").is_some());
        let store = builder.with_client_options(options).build().map_err(|e| chain(&e))?;
        self.fetch_store(&store, url.path(), target).await
    }

    async fn fetch_hdfs(&self, address: &str, target: &Path) -> Result<(), Problem> {
        let url = Url::parse(address).map_err(|error| error.to_string())?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let place = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default());
        let store = HdfsObjectStoreBuilder::new().with_url(place).build();
        let store = store.map_err(|error| chain(&error))?;
        self.fetch_store(&store, url.path(), target).await
    }

    async fn fetch_store(
        &self,
        store: &dyn ObjectStore,
        path: &str,
        target: &Path,
    ) -> Result<(), Problem> {
        let path = object_store::path::Path::from_url_path(path).map_err(|e| chain(&e))?;
        let patience = self.settings.stall_timeout;
        let stalled = |_| format!("nothing came for {} s", patience.as_secs());
        let found = tokio::time::timeout(patience, store.get(&path)).await.map_err(stalled)?;
        let mut body = found.map_err(|error| chain(&error))?.into_stream();
        let mut file = create(target).await?;
        while let Some(chunk) =
            tokio::time::timeout(patience, body.next()).await.map_err(stalled)?
        {
            let chunk = chunk.map_err(|error| chain(&error))?;
            file.write_all(&chunk).await.map_err(|error| error.to_string())?;
        }
        file.flush().await.map_err(|error| error.to_string())
    }
}

async fn create(target: &Path) -> Result<tokio::fs::File, Problem> {
    let told = |error| format!("cannot write {}: {error}", target.display());
    tokio::fs::File::create(target).await.map_err(told)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// Runs a program that fetches.
async fn run(program: &Path, arguments: &[&str], last: &[&std::ffi::OsStr]) -> Result<(), Problem> {
    let output = Command::new(program).args(arguments).args(last).kill_on_drop(true).output().await;
    let shown = program.display();
    let output = output.map_err(|error| format!("'{shown}' cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{shown}: {}", said.trim().lines().last().unwrap_or("it failed")))
}
