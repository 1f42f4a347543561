use std::io::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn uri(value: impl Into<String>) -> Uri {
    Uri { value: value.into(), ..Uri::default() }
}

fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut builder =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        // `set_path` would refuse what an attacker writes.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

struct Place {
    folder: tempfile::TempDir,
    fetcher: Fetcher,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sandbox")).unwrap();
        let settings = SourceSettings {
            frameworks_home: None,
            stall_timeout: std::time::Duration::from_secs(60),
            hadoop_home: None,
            s3_endpoint: None,
            s3_region: None,
            s3_credential: None,
        };
        let cache = folder.path().join("cache");
        let fetcher = Fetcher::new(settings, Some((&cache, 1000))).unwrap();
        Self { folder, fetcher }
    }

    fn source(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    async fn fetch(&self, uri: Uri) -> Result<(), String> {
        let sandbox = self.folder.path().join("sandbox");
        self.fetcher.fetch_all(&[uri], &sandbox, None).await.map_err(|error| error.to_string())
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("sandbox").join(name)).ok()
    }
}

#[tokio::test]
async fn files_are_copied_under_their_name_or_another() {
    let place = Place::new();
    let source = place.source("a.txt", b"hello");
    place.fetch(uri(&source)).await.unwrap();
    assert_eq!(place.read("a.txt").as_deref(), Some("hello"));
    let named = Uri { output_file: Some("sub/b.txt".into()), ..uri(format!("file://{source}")) };
    place.fetch(named).await.unwrap();
    assert_eq!(place.read("sub/b.txt").as_deref(), Some("hello"));
}

#[tokio::test]
async fn archives_are_unpacked_unless_told_otherwise() {
    let place = Place::new();
    let source = place.source("a.tar.gz", &archive(&[("in/x", "1"), ("y", "2")]));
    let executable = Uri { executable: Some(true), ..uri(&source) };
    place.fetch(executable).await.unwrap();
    let mode = std::fs::metadata(place.folder.path().join("sandbox/a.tar.gz")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o111, 0o111);
    place.fetch(Uri { extract: Some(false), ..uri(&source) }).await.unwrap();
    assert_eq!(place.read("in/x"), None);
    place.fetch(uri(&source)).await.unwrap();
    assert_eq!((place.read("in/x"), place.read("y")), (Some("1".into()), Some("2".into())));
}

#[tokio::test]
async fn single_compressed_files_are_unpacked() {
    let place = Place::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"data").unwrap();
    let source = place.source("a.csv.gz", &encoder.finish().unwrap());
    place.fetch(uri(source)).await.unwrap();
    assert_eq!(place.read("a.csv").as_deref(), Some("data"));
}

#[tokio::test]
async fn nothing_lands_outside_the_sandbox() {
    let place = Place::new();
    let source = place.source("evil.tar.gz", &archive(&[("../escaped", "1")]));
    let error = place.fetch(uri(&source)).await.unwrap_err();
    assert!(error.contains("lies outside"), "{error}");
    assert!(!place.folder.path().join("escaped").exists());
    for output in ["../x", "/x", "a/../../x", "."] {
        let error = place.fetch(Uri { output_file: Some(output.into()), ..uri(&source) }).await;
        assert!(error.unwrap_err().contains("must stay inside"), "{output}");
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_named() {
    let place = Place::new();
    for (value, message) in [
        ("/no/such/file", "cannot fetch '/no/such/file': No such file"),
        ("relative", "use an absolute one"),
        ("http://127.0.0.1:1/x", "cannot fetch 'http://127.0.0.1:1/x'"),
        ("/", "names no file"),
    ] {
        let error = place.fetch(uri(value)).await.unwrap_err();
        assert!(error.contains(message), "{value}: {error}");
    }
}

#[tokio::test]
async fn downloads_follow_redirects() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        for answer in [
            "HTTP/1.1 302 Found\r\nLocation: /real\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        ] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = socket.read(&mut buffer).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let place = Place::new();
    place.fetch(uri(format!("http://{address}/a.txt?x=1"))).await.unwrap();
    assert_eq!(place.read("a.txt").as_deref(), Some("hello"));
    server.await.unwrap();
}

/// Serves one file as often as it is asked for, and counts how often that was.
async fn serve(body: &'static [u8]) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut buffer = [0; 1024];
            let _ = socket.read(&mut buffer).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = socket.write_all(head.as_bytes()).await;
            let _ = socket.write_all(body).await;
        }
    });
    (address, count)
}

#[tokio::test]
async fn what_is_cached_is_fetched_once() {
    let place = Place::new();
    let (address, count) = serve(b"hello").await;
    let cached = |output: &str| Uri {
        cache: Some(true),
        output_file: Some(output.into()),
        ..uri(format!("{address}/a.txt"))
    };
    let sandbox = place.folder.path().join("sandbox");
    let (first, second) = ([cached("a")], [cached("b")]);
    let (one, two) = tokio::join!(
        place.fetcher.fetch_all(&first, &sandbox, None),
        place.fetcher.fetch_all(&second, &sandbox, None)
    );
    one.unwrap();
    two.unwrap();
    place.fetch(cached("c")).await.unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(place.read(name).as_deref(), Some("hello"));
    }
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_does_not_fit_into_the_cache_is_fetched_all_the_same() {
    let place = Place::new();
    let (address, count) = serve(&[b'x'; 2000]).await;
    let large = Uri { cache: Some(true), ..uri(format!("{address}/large")) };
    place.fetch(large.clone()).await.unwrap();
    place.fetch(large).await.unwrap();
    assert_eq!(place.read("large").unwrap().len(), 2000);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 2);
    let left = std::fs::read_dir(place.folder.path().join("cache")).unwrap().count();
    assert_eq!(left, 0, "nothing stays behind");
}

#[tokio::test]
async fn a_cached_archive_is_not_left_in_the_sandbox() {
    let place = Place::new();
    let source = place.source("a.tar.gz", &archive(&[("in/x", "1")]));
    place.fetch(Uri { cache: Some(true), ..uri(&source) }).await.unwrap();
    assert_eq!((place.read("in/x"), place.read("a.tar.gz")), (Some("1".into()), None));
}

#[tokio::test]
async fn a_wrong_checksum_is_refused() {
    let place = Place::new();
    let (address, _) = serve(b"hello").await;
    let right = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    place.fetch(uri(format!("{address}/a.txt#sha256={right}"))).await.unwrap();
    assert_eq!(place.read("a.txt").as_deref(), Some("hello"));
    let wrong = right.replace('2', "3");
    for cache in [false, true] {
        let wrong = format!("{address}/b.txt#sha256={wrong}");
        let error = place.fetch(Uri { cache: Some(cache), ..uri(wrong) }).await.unwrap_err();
        assert!(error.contains(&format!("its sha256 is {right} and should be")), "{error}");
        assert_eq!(place.read("b.txt"), None);
    }
}

/// An archive may leave links behind for the next file to be written through.
#[tokio::test]
async fn links_in_the_sandbox_lead_nothing_out() {
    let place = Place::new();
    let outside = place.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let sandbox = place.folder.path().join("sandbox");
    std::os::unix::fs::symlink(&outside, sandbox.join("way")).unwrap();
    std::os::unix::fs::symlink(outside.join("victim"), sandbox.join("b.txt")).unwrap();
    let source = place.source("a.txt", b"hello");
    let through = Uri { output_file: Some("way/a.txt".into()), ..uri(&source) };
    assert!(place.fetch(through).await.unwrap_err().contains("must stay inside"));
    place.fetch(Uri { output_file: Some("b.txt".into()), ..uri(&source) }).await.unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(place.read("b.txt").as_deref(), Some("hello"));
}
