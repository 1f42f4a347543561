//! Labels: `key:value,key:value`, with `\,` and `\:` for the marks themselves.

use mesos_api::{Label, Labels};

use crate::settings::SettingsError;

/// Reads labels.
pub(crate) fn parse_labels(property: &'static str, text: &str) -> Result<Labels, SettingsError> {
    let mut labels = Vec::new();
    for entry in split_unescaped(text, ',').into_iter().filter(|entry| !entry.is_empty()) {
        let parts = split_unescaped(&entry, ':');
        let [key, value] = &parts[..] else { return Err(malformed(property, text, &entry)) };
        if value.is_empty() {
            return Err(malformed(property, text, &entry));
        }
        labels.push(Label { key: unescape(key), value: Some(unescape(value)) });
    }
    Ok(Labels { labels })
}

fn malformed(property: &'static str, text: &str, entry: &str) -> SettingsError {
    SettingsError::Value {
        property,
        value: text.to_owned(),
        problem: format!("Malformed label: {entry} (expected key:value)"),
    }
}

/// Splits at the mark where no backslash precedes it; escapes stay as they are.
fn split_unescaped(text: &str, mark: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == mark && !escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

fn unescape(text: &str) -> String {
    text.replace("\\,", ",").replace("\\:", ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
        let labels = parse_labels("spark.mesos.task.labels", text).map_err(|e| e.to_string())?;
        Ok(labels.labels.into_iter().map(|l| (l.key, l.value.unwrap_or_default())).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn labels() {
        assert_eq!(parse(""), pairs(&[]));
        assert_eq!(parse("k:v,k2:v2,"), pairs(&[("k", "v"), ("k2", "v2")]));
        assert_eq!(parse("a\\:b:c\\,d"), pairs(&[("a:b", "c,d")]));
        assert_eq!(parse(":v"), pairs(&[("", "v")]));
        for bad in ["k", "k:", "k:v:w"] {
            assert!(parse(bad).unwrap_err().contains("Malformed label"), "{bad}");
        }
    }
}
