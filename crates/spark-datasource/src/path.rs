//! Path texts: URIs, directory names of partitions and their escapes.

use std::path::{Component, Path, PathBuf};

use url::Url;

use crate::error::{self, Result};

/// Directory name of a partition whose value is null or empty.
pub(crate) const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Turns what the user wrote (`/a`, `a/b`, `file:/a`, `file:///a`) into an absolute local path.
pub(crate) fn to_local(text: &str) -> Result<PathBuf> {
    let text = text.trim();
    let path = match scheme(text) {
        None => PathBuf::from(text),
        Some("file") => {
            let rest = &text["file:".len()..];
            // file:///a and file://host/a have an authority, file:/a has none.
            let rest = match rest.strip_prefix("//") {
                Some(with_authority) => match with_authority.find('/') {
                    Some(slash) => &with_authority[slash..],
                    None => "/",
                },
                None => rest,
            };
            PathBuf::from(rest)
        }
        Some(other) => return Err(error::unsupported_scheme(text, other)),
    };
    let absolute = if path.is_absolute() {
        path
    } else {
        std::env::current_dir().map_err(|e| error::io(text, &e))?.join(path)
    };
    Ok(normalise(&absolute))
}

/// The scheme of a URI: letters before a colon that comes ahead of any slash.
fn scheme(text: &str) -> Option<&str> {
    let colon = text.find(':')?;
    let scheme = &text[..colon];
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then_some(scheme)
}

fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The form of a path in messages about directories, as Hadoop prints it: `file:/a/b`.
pub(crate) fn to_uri(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// The form of a path in messages about files and in `input_file_name()`: `file:///a/b%20c`.
pub(crate) fn to_url(path: &Path) -> String {
    Url::from_file_path(path).map_or_else(|()| to_uri(path), |url| url.to_string())
}

/// Characters that Hive and Spark write as `%XX` in partition directories.
fn needs_escape(c: char) -> bool {
    matches!(c, '\u{1}'..='\u{1f}' | '\u{7f}') || "\"#%'*/:=?\\{[]^".contains(c)
}

/// `ExternalCatalogUtils.escapePathName`.
pub(crate) fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if needs_escape(c) {
            out.push_str(&format!("%{:02X}", c as u32));
        } else {
            out.push(c);
        }
    }
    out
}

/// `ExternalCatalogUtils.unescapePathName`: an incomplete escape stays as it is.
pub(crate) fn unescape(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let code = (bytes[index] == b'%')
            .then(|| name.get(index + 1..index + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                let mut buffer = [0; 4];
                out.extend_from_slice(char::from(code).encode_utf8(&mut buffer).as_bytes());
                index += 3;
            }
            None => {
                out.push(bytes[index]);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `name=value` as a directory name.
pub(crate) fn partition_directory(name: &str, value: Option<&str>) -> String {
    match value {
        None | Some("") => format!("{}={DEFAULT_PARTITION}", escape(name)),
        Some(value) => format!("{}={}", escape(name), escape(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_and_plain_paths_are_the_same() {
        for text in ["/a/b", "file:/a/b", "file:///a/b", "file://localhost/a/b", "/a/./c/../b/"] {
            assert_eq!(to_local(text).unwrap(), Path::new("/a/b"), "{text}");
        }
        let error = to_local("hdfs://nn/a").unwrap_err();
        assert!(error.text.contains("\"hdfs\""), "{error}");
    }

    #[test]
    fn escapes_round_trip() {
        let name = "a/b=c:d%e\u{1}é";
        assert_eq!(escape(name), "a%2Fb%3Dc%3Ad%25e%01é");
        assert_eq!(unescape(&escape(name)), name);
        assert_eq!(unescape("100%"), "100%");
        assert_eq!(unescape("%zz"), "%zz");
        assert_eq!(partition_directory("k", None), "k=__HIVE_DEFAULT_PARTITION__");
    }
}
