//! Forms of values that Mesos or the fetcher would refuse later, checked at start.

use crate::settings::SettingsError;

/// Longest failover timeout Mesos can hold: it counts nanoseconds in 63 bits.
pub(crate) const FAILOVER_TIMEOUT_MAX: f64 = 9_223_372_036.0;

fn refuse(property: &'static str, value: &str, problem: &str) -> SettingsError {
    SettingsError::Value { property, value: value.to_owned(), problem: problem.to_owned() }
}

/// A role, by the rules of Mesos: `*`, or names joined by slashes.
pub(crate) fn role(property: &'static str, value: &str) -> Result<(), SettingsError> {
    if value == "*" {
        return Ok(());
    }
    let bad = |part: &str| {
        part.is_empty()
            || part == "."
            || part == ".."
            || part == "*"
            || part.starts_with('-')
            || part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
    };
    if value.split('/').any(bad) {
        let problem = "expected * or a role such as dev or eng/dev: no blanks, no backslash, no part \
                       that is empty, . , .. or * or begins with -";
        return Err(refuse(property, value, problem));
    }
    Ok(())
}

/// Something the fetcher can fetch: a URI with a scheme, or a path on the agent.
pub(crate) fn fetchable(property: &'static str, value: &str) -> Result<(), SettingsError> {
    let scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let shaped = match value.split_once("://") {
        Some((before, rest)) => scheme(before) && !rest.is_empty(),
        None => value.starts_with('/') && value.len() > 1,
    };
    if shaped && !value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    Err(refuse(
        property,
        value,
        "expected a URI such as http://host/file.tgz or an absolute path on the agents",
    ))
}

/// A link for people.
pub(crate) fn web_url(property: &'static str, value: &str) -> Result<(), SettingsError> {
    let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    let blank = |text: &str| text.contains(|c: char| c.is_whitespace() || c.is_control());
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !blank(rest) => Ok(()),
        Some(_) | None => {
            Err(refuse(property, value, "expected http://HOST[:PORT][/PATH] or https://…"))
        }
    }
}

/// A name that is not empty and has no blanks: of an image or a network.
pub(crate) fn one_word(
    property: &'static str,
    value: &str,
    what: &str,
) -> Result<(), SettingsError> {
    if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(refuse(property, value, &format!("expected {what} without blanks")));
    }
    Ok(())
}

/// A path on the agents.
pub(crate) fn absolute_path(property: &'static str, value: &str) -> Result<(), SettingsError> {
    if value.starts_with('/') && !value.contains('\0') {
        return Ok(());
    }
    Err(refuse(property, value, "expected an absolute path on the agents"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles() {
        for good in ["*", "dev", "eng/dev", "a.b", "a-b"] {
            assert_eq!(role("p", good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "-a", ".", "..", "a//b", "/a", "a/", "a\\b", "a/*", "a/-b"] {
            let error = role("p", bad).unwrap_err().to_string();
            assert!(error.starts_with("p: ") && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn what_can_be_fetched() {
        for good in ["http://h/x.tgz", "hdfs://nn:8020/x", "file:///x", "/opt/x.tgz", "s3n://b/k"] {
            assert_eq!(fetchable("p", good), Ok(()), "{good}");
        }
        for bad in ["", "x.tgz", "http://", "://h/x", "http://h/a b", "/", "1p://x"] {
            assert!(fetchable("p", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_names_and_paths() {
        assert!(web_url("p", "https://h:1/x").is_ok());
        for bad in ["", "h:80", "http://", "http:///x", "ftp://h", "http://h x"] {
            assert!(web_url("p", bad).is_err(), "{bad}");
        }
        assert!(one_word("p", "img:1", "an image").is_ok());
        assert!(one_word("p", "", "an image").is_err());
        assert!(one_word("p", "a b", "an image").is_err());
        assert!(absolute_path("p", "/opt").is_ok());
        assert!(absolute_path("p", "opt").is_err());
    }
}
