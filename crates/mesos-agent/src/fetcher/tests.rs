use std::io::Write as _;

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
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sandbox")).unwrap();
        Self { folder }
    }

    fn source(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    async fn fetch(&self, uri: Uri) -> Result<(), String> {
        let sandbox = self.folder.path().join("sandbox");
        fetch_all(&[uri], &sandbox, None).await.map_err(|error| error.to_string())
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
        ("/no/such/file", "cannot copy '/no/such/file'"),
        ("relative", "use an absolute one"),
        ("http://127.0.0.1:1/x", "cannot download 'http://127.0.0.1:1/x'"),
        ("/", "names no file"),
    ] {
        let error = place.fetch(uri(value)).await.unwrap_err();
        assert!(error.contains(message), "{value}: {error}");
    }
}

#[tokio::test]
async fn downloads_follow_redirects() {
    use tokio::io::AsyncReadExt as _;
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
