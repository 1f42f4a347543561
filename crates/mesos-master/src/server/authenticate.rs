//! Who is it? Principals and secrets of `--credentials`, asked for in Basic authentication.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use mesos_api::agent_protocol::Register;
use mesos_api::json::JsonValue as _;

use super::{Body, Server, text};

/// Secrets by principal.
pub(crate) type Credentials = BTreeMap<String, String>;

/// Why the credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("cannot read credentials of {path}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is neither JSON nor lines of pairs.
    #[error("credentials of {path} are malformed at {at:?}, write 'principal secret' on each line")]
    Malformed {
        /// Which file.
        path: String,
        /// The part that cannot be read.
        at: String,
    },
    /// Authentication is asked for without credentials.
    #[error("authentication needs --credentials")]
    None,
}

/// Reads JSON `{"credentials":[{"principal":…,"secret":…}]}` or lines `principal secret`.
pub(crate) fn read_credentials(path: &str) -> Result<Credentials, CredentialError> {
    let file = path.strip_prefix("file://").unwrap_or(path);
    let content = std::fs::read_to_string(Path::new(file))
        .map_err(|source| CredentialError::Read { path: path.to_owned(), source })?;
    let malformed =
        |at: &str| CredentialError::Malformed { path: path.to_owned(), at: at.to_owned() };
    if content.trim_start().starts_with('{') {
        let json = serde_json::from_str(&content).map_err(|error| malformed(&error.to_string()))?;
        let credentials = mesos_api::Credentials::from_json(&json)
            .map_err(|error| malformed(&error.to_string()))?;
        return Ok(credentials
            .credentials
            .into_iter()
            .map(|credential| (credential.principal, credential.secret.unwrap_or_default()))
            .collect());
    }
    content
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some(principal), Some(secret), None) => {
                    Ok((principal.to_owned(), secret.to_owned()))
                }
                // The secret is not repeated in the message.
                (principal, _, _) => Err(malformed(principal.unwrap_or_default())),
            }
        })
        .collect()
}

/// Compares without telling by its duration where two secrets differ.
fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

impl Server {
    /// The framework's principal; `None` if nobody must say who he is.
    pub(crate) fn authenticate_framework(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<String>, Response<Body>> {
        self.authenticate(self.options.authenticate_http_frameworks, headers, "scheduler")
    }

    /// The principal of who asks something.
    pub(crate) fn authenticate_readonly(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<String>, Response<Body>> {
        self.authenticate(self.options.authenticate_http_readonly, headers, "readonly")
    }

    /// The principal of who changes something.
    pub(crate) fn authenticate_readwrite(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<String>, Response<Body>> {
        self.authenticate(self.options.authenticate_http_readwrite, headers, "readwrite")
    }

    fn authenticate(
        &self,
        required: bool,
        headers: &HeaderMap,
        realm: &str,
    ) -> Result<Option<String>, Response<Body>> {
        if !required {
            return Ok(None);
        }
        let claim =
            headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(basic);
        match claim {
            Some((principal, secret)) if self.knows(&principal, &secret) => Ok(Some(principal)),
            Some(_) | None => {
                let mut refused = text(StatusCode::UNAUTHORIZED, "");
                let realm = format!("Basic realm=\"mesos-master-{realm}\"");
                if let Ok(realm) = HeaderValue::from_str(&realm) {
                    refused.headers_mut().insert(WWW_AUTHENTICATE, realm);
                }
                Err(refused)
            }
        }
    }

    /// Whether an agent may join.
    pub(crate) fn authenticates_agent(&self, register: &Register) -> bool {
        !self.options.authenticate_agents
            || register
                .principal
                .as_deref()
                .zip(register.secret.as_deref())
                .is_some_and(|(principal, secret)| self.knows(principal, secret))
    }

    fn knows(&self, principal: &str, secret: &str) -> bool {
        self.credentials.get(principal).is_some_and(|known| same_secret(known, secret))
    }
}

fn basic(header: &str) -> Option<(String, String)> {
    let encoded = header.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (principal, secret) = decoded.split_once(':')?;
    Some((principal.to_owned(), secret.to_owned()))
}
