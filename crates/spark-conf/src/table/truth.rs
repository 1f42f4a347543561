//! Is what the table says true? Each property marked as honoured is read by name in some crate.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::property::{Preset, Status};

/// Where names stand without being read: the table itself, the variables that set properties, and the
/// defaults told to clients.
const NO_READERS: &[&str] =
    &["spark-conf/src/table", "spark-conf/src/environment.rs", "spark-plan/src/settings.rs"];
/// The defaults told to clients.
const TOLD: &str = "spark-plan/src/settings.rs";

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            collect(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "simulation.rs" {
            files.push(path);
        }
    }
}

/// The code of all crates without their tests.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(crates()).unwrap() {
        let folder = entry.unwrap().path().join("src");
        if folder.is_dir() {
            collect(&folder, &mut files);
        }
    }
    let read = |path: PathBuf| {
        let name = path.strip_prefix(crates()).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
        (name, code)
    };
    files.into_iter().map(read).collect()
}

/// Words of a text that could be constants, and its string literals that could be properties.
fn names(text: &str) -> BTreeSet<String> {
    let constant =
        |word: &&str| word.len() > 2 && word.starts_with(|c: char| c.is_ascii_uppercase());
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(constant);
    // A flag of the command line sets a property and does not read it.
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("(\"--"));
    let literals = lines.flat_map(|line| line.split('"')).filter(|part| part.starts_with("spark."));
    words.chain(literals).map(str::to_owned).collect()
}

/// Constant and name of each property, from the table's own text.
fn constants() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&crates().join("spark-conf/src/table"), &mut files);
    let mut found = Vec::new();
    for path in files {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let Some((constant, rest)) = line.trim().split_once(": ") else { continue };
            let Some((_, rest)) = rest.split_once(" = \"") else { continue };
            let is_constant = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            if constant.chars().all(is_constant) {
                let name = rest.split('"').next().unwrap_or_default();
                found.push((constant.to_owned(), name.to_owned()));
            }
        }
    }
    found
}

#[test]
fn what_is_said_to_be_honoured_is_read() {
    let constants = constants();
    assert_eq!(constants.len(), all().count(), "the table's text is not understood any more");
    let sources = sources();
    let is_reader = |path: &str| !NO_READERS.iter().any(|no| path.starts_with(no));
    let read: BTreeSet<String> = sources
        .iter()
        .filter(|(path, _)| is_reader(path))
        .flat_map(|(_, text)| names(text))
        .collect();
    let mut idle = Vec::new();
    for (constant, name) in &constants {
        let info = find(name).unwrap();
        // Read in place of another one that is not set.
        let stands_in = all().any(|other| {
            other.preset == Preset::SameAs(info.name) && other.status == Status::Honoured
        });
        let is_read = read.contains(constant) || read.contains(name) || stands_in;
        if info.status == Status::Honoured && !is_read {
            idle.push(name.as_str());
        }
    }
    assert!(idle.is_empty(), "marked as honoured, but nobody reads them: {idle:#?}");
}

/// Where values are checked and kept for what is not there yet: drivers on the cluster.
const CHECKERS: &[&str] = &["spark-mesos/src/driver_task.rs", "spark-mesos/src/secrets.rs"];

#[test]
fn what_is_said_to_be_planned_is_not_read_yet() {
    let sources = sources();
    let is_reader = |path: &str| !NO_READERS.iter().chain(CHECKERS).any(|no| path.starts_with(no));
    // A constant of another module may have the same name, so the table's must be named as such.
    let read: BTreeSet<String> = sources
        .iter()
        .filter(|(path, _)| is_reader(path))
        .flat_map(|(_, text)| {
            let parts = text.split("table::").skip(1);
            parts.filter_map(|part| names(part.lines().next()?).into_iter().next())
        })
        .collect();
    let found: Vec<_> = constants()
        .into_iter()
        .filter(|(constant, name)| {
            find(name).unwrap().status == Status::Planned && read.contains(constant)
        })
        .collect();
    assert!(found.is_empty(), "marked as planned, but somebody reads them: {found:#?}");
}

#[test]
fn what_clients_act_on_is_told_to_them() {
    let sources = sources();
    let (_, told) = sources.iter().find(|(path, _)| path == TOLD).unwrap();
    let told = names(told);
    let silent: Vec<_> = all()
        .filter(|info| info.status == Status::Client && !told.contains(info.name))
        .map(|info| info.name)
        .collect();
    assert!(silent.is_empty(), "clients ask for these and are told nothing: {silent:#?}");
}

#[test]
fn the_page_about_mesos_names_properties_that_exist() {
    let page = crates().parent().unwrap().join("docs/running-on-mesos.md");
    let page = std::fs::read_to_string(page).unwrap();
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || ".*_".contains(c);
    let words = page.split(|c: char| !part_of_name(c)).map(|word| word.trim_end_matches('.'));
    let unknown: BTreeSet<&str> = words
        .filter(|word| word.starts_with("spark."))
        .filter(|word| {
            // `spark.mesos.dispatcher.*` and `spark.executorEnv.NAME` stand for families.
            let family = word.trim_end_matches('*').trim_end_matches("NAME");
            let within = all().any(|info| info.name.starts_with(family))
                || FAMILIES.iter().any(|known| known.prefix == family);
            !(is_known(word) || family.ends_with('.') && within)
        })
        .collect();
    assert!(unknown.is_empty(), "the page names properties nobody knows: {unknown:#?}");
}
