//! The manual of all properties, `docs/configuration.md`.

use std::fmt::Write;

use crate::property::{Preset, PropertyInfo, Scope, Status};
use crate::table;

const INTRODUCTION: &str = "\
# Configuration

*Generated from `crates/spark-conf`; `UPDATE_EXPECT=1 cargo test -p spark-conf` writes it anew.*

A value comes from, highest first: the program (`SparkSession.builder.config`), the command line (`--conf`, named
flags), the file of `--properties-file` or else `conf/spark-defaults.conf`, and the environment
(`conf/spark-env.sh`). Sizes are written as `512m` or `2g`, durations as `100ms`, `30s` or `5min`; a malformed value
is refused at start, naming the property, the value and the expected form. Unknown `spark.mesos.*` keys are warned
about with the nearest known name.

*Since* is the Spark version that introduced a property; properties of our own say `ferrospark`. *State* says whether
a property is acted on: **yes**; **by clients**, which ask for it; **planned** (known and checked, without effect yet); or
why it has no meaning here.
";

const SECTIONS: &[(&str, &[&str])] = &[
    ("Spark on Mesos", &["spark.mesos."]),
    ("Ferrospark's own", &["spark.ferrospark."]),
    ("Spark SQL", &["spark.sql."]),
    ("Application and cluster", &["spark."]),
];

/// The manual as Markdown.
pub fn manual() -> String {
    let mut properties: Vec<&PropertyInfo> = table::all().collect();
    properties.sort_by_key(|info| info.name);
    let mut out = INTRODUCTION.to_owned();
    for (title, prefixes) in SECTIONS {
        let here = |info: &&PropertyInfo| prefixes.iter().any(|p| info.name.starts_with(p));
        let (section, rest): (Vec<_>, Vec<_>) = properties.into_iter().partition(here);
        properties = rest;
        write_section(&mut out, title, &section);
    }
    write_families(&mut out);
    out
}

fn write_families(out: &mut String) {
    out.push_str("\n## Families\n\nKeys whose last part is chosen by who sets them.\n\n");
    out.push_str("| property | since | state | meaning |\n|---|---|---|---|\n");
    for family in table::FAMILIES {
        let table::Family { prefix, chosen, since, status, doc } = family;
        // Writing to a string does not fail.
        let _ = writeln!(out, "| `{prefix}[{chosen}]` | {since} | {} | {doc} |", state(*status));
    }
}

fn write_section(out: &mut String, title: &str, section: &[&PropertyInfo]) {
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "\n## {title}\n\n| property | type | default | since | state | meaning |\n|---|---|---|---|---|---|\n"
    );
    for info in section {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} |",
            info.name,
            info.kind.name(),
            default(info),
            info.since,
            state(info.status),
            meaning(info)
        );
    }
}

fn default(info: &PropertyInfo) -> String {
    match info.preset {
        Preset::None | Preset::Value("") => "–".to_owned(),
        Preset::Value(text) => format!("`{}`", escape(text)),
        Preset::SameAs(other) => format!("that of `{other}`"),
        Preset::Computed(words) => escape(words),
    }
}

fn state(status: Status) -> String {
    match status {
        Status::Honoured => "yes".to_owned(),
        Status::Client => "by clients".to_owned(),
        Status::Planned => "planned".to_owned(),
        Status::Ignored(why) => format!("none: {why}"),
    }
}

fn meaning(info: &PropertyInfo) -> String {
    let mut text = escape(info.doc);
    if info.scope == Scope::Session {
        text.push_str(" (may change between queries)");
    }
    for alias in info.aliases {
        let _ = write!(text, "; also `{alias}`");
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_manual_is_up_to_date() {
        expect_test::expect_file!["../../../docs/configuration.md"].assert_eq(&super::manual());
    }
}
