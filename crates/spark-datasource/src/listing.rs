//! Which files a read is about: paths, globs, directories, and the partition columns in directory names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use datafusion::scalar::ScalarValue;
use spark_sql_parser::error::{ErrorKind, SparkError};
use spark_sql_parser::types::{DataType, Field, Schema};

use crate::error::{self, Result};
use crate::options::Options;
use crate::partitions;
use crate::path;
use crate::values::zone::Zone;

/// One file of a data source.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    /// One value per partition column.
    pub(crate) partition_values: Vec<ScalarValue>,
    /// The same as the directories have them.
    pub(crate) partition_texts: Vec<String>,
}

/// All files of a read and what their directories say.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) files: Vec<DataFile>,
    pub(crate) partition_columns: Vec<Field>,
}

/// What decides over partition columns beside the paths.
pub(crate) struct ListingOptions<'a> {
    pub(crate) options: &'a Options,
    /// The user's schema: the types of its partition columns hold.
    pub(crate) schema: Option<&'a Schema>,
    pub(crate) infer_types: bool,
    pub(crate) case_sensitive: bool,
    pub(crate) zone: Zone,
}

/// Lists the files of `paths`.
///
/// # Errors
/// PATH_NOT_FOUND for a path or glob that matches nothing, and conflicts between partition directories.
pub(crate) fn list(paths: &[String], options: &ListingOptions<'_>) -> Result<Listing> {
    let mut roots = Vec::new();
    for text in paths {
        expand(text, &mut roots)?;
    }
    let recursive = options.options.bool("recursiveFileLookup", false)?;
    let name_filter = options
        .options
        .get("pathGlobFilter")
        .map(|text| {
            glob::Pattern::new(text)
                .map_err(|e| error::bad_option("pathGlobFilter", text, &e.to_string()))
        })
        .transpose()?;

    let mut found = Vec::new();
    for root in &roots {
        walk(root, root, &mut found)?;
    }
    if let Some(filter) = &name_filter {
        found.retain(|file| filter.matches(&file_name(&file.path)));
    }
    if recursive {
        let files = found.into_iter().map(Found::plain).collect();
        return Ok(Listing { files, partition_columns: Vec::new() });
    }

    let bases = base_paths(&roots, options.options)?;
    let parsed: Vec<Option<ParsedDirectory>> =
        found.iter().map(|file| parse_directory(&file.path, &bases)).collect();
    if parsed.iter().all(Option::is_none) {
        // Only direct children of a root count when no directory name is a partition.
        let files = found
            .into_iter()
            .filter(|file| file.path == file.root || file.path.parent() == Some(&file.root))
            .map(Found::plain)
            .collect();
        return Ok(Listing { files, partition_columns: Vec::new() });
    }
    partitioned(found, parsed, options)
}

struct Found {
    root: PathBuf,
    path: PathBuf,
    size: u64,
    modified: SystemTime,
}

impl Found {
    fn plain(self) -> DataFile {
        self.with(Vec::new(), Vec::new())
    }

    fn with(self, partition_values: Vec<ScalarValue>, partition_texts: Vec<String>) -> DataFile {
        let Self { path, size, modified, .. } = self;
        DataFile { path, size, modified, partition_values, partition_texts }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `HadoopFSUtils.shouldFilterOutPathName`.
fn is_hidden(name: &str) -> bool {
    let hidden = (name.starts_with('_') && !name.contains('='))
        || name.starts_with('.')
        || name.ends_with("._COPYING_");
    hidden && !name.starts_with("_common_metadata") && !name.starts_with("_metadata")
}

fn expand(text: &str, roots: &mut Vec<PathBuf>) -> Result<()> {
    let local = path::to_local(text)?;
    if local.exists() {
        roots.push(local);
        return Ok(());
    }
    let pattern = local.to_string_lossy();
    if !pattern.contains(['*', '?', '[', '{']) {
        return Err(error::path_not_found(&path::to_uri(&local)));
    }
    let mut matched = BTreeSet::new();
    for alternative in expand_braces(&pattern) {
        let alternative = alternative.replace("[^", "[!");
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let paths = glob::glob_with(&alternative, options)
            .map_err(|e| error::bad_option("path", text, &e.to_string()))?;
        matched.extend(paths.filter_map(std::result::Result::ok));
    }
    if matched.is_empty() {
        return Err(error::path_not_found(&path::to_uri(&local)));
    }
    roots.extend(matched.into_iter().filter(|path| !is_hidden(&file_name(path))));
    Ok(())
}

/// Hadoop's `{a,b}` alternatives, which may nest.
fn expand_braces(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else { return vec![pattern.to_owned()] };
    let mut depth = 0;
    let mut cuts = vec![open];
    for (at, c) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => cuts.push(at),
            _ => {}
        }
        if depth == 0 {
            cuts.push(at);
            break;
        }
    }
    if depth != 0 {
        return vec![pattern.to_owned()];
    }
    let close = cuts[cuts.len() - 1];
    cuts.windows(2)
        .flat_map(|pair| {
            let middle = &pattern[pair[0] + 1..pair[1]];
            expand_braces(&format!("{}{middle}{}", &pattern[..open], &pattern[close + 1..]))
        })
        .collect()
}

/// Collects the files below `path`, in the order of their names.
fn walk(root: &Path, path: &Path, found: &mut Vec<Found>) -> Result<()> {
    let read_error = |e: std::io::Error| error::io(&path::to_uri(path), &e);
    let metadata = fs::metadata(path).map_err(read_error)?;
    if metadata.is_file() {
        if !is_hidden(&file_name(path)) {
            found.push(Found {
                root: root.to_owned(),
                path: path.to_owned(),
                size: metadata.len(),
                modified: metadata.modified().map_err(read_error)?,
            });
        }
        return Ok(());
    }
    if !metadata.is_dir() {
        return Ok(());
    }
    let mut children = fs::read_dir(path)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<std::io::Result<Vec<_>>>()
        })
        .map_err(read_error)?;
    children.sort();
    for child in children {
        if !is_hidden(&file_name(&child)) {
            walk(root, &child, found)?;
        }
    }
    Ok(())
}

/// The directories where partition columns begin.
fn base_paths(roots: &[PathBuf], options: &Options) -> Result<Vec<PathBuf>> {
    if let Some(text) = options.get("basePath") {
        let base = path::to_local(text)?;
        if !base.is_dir() {
            return Err(error::bad_option("basePath", text, "it must be a directory"));
        }
        return Ok(vec![base]);
    }
    Ok(roots
        .iter()
        .map(|root| {
            if root.is_dir() {
                root.clone()
            } else {
                root.parent().map_or_else(|| root.clone(), Path::to_owned)
            }
        })
        .collect())
}

struct ParsedDirectory {
    base: PathBuf,
    columns: Vec<(String, String)>,
}

/// `PartitioningUtils.parsePartition`: reads `k=v` directories from the file upwards.
fn parse_directory(file: &Path, bases: &[PathBuf]) -> Option<ParsedDirectory> {
    let mut columns = Vec::new();
    let mut current = file.parent()?;
    while !bases.iter().any(|base| base == current) {
        let name = file_name(current);
        if name.eq_ignore_ascii_case("_temporary") {
            return None;
        }
        match name.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                columns.push((path::unescape(key), path::unescape(value)));
            }
            _ if columns.is_empty() => {}
            _ => break,
        }
        current = current.parent()?;
    }
    columns.reverse();
    (!columns.is_empty()).then(|| ParsedDirectory { base: current.to_owned(), columns })
}

fn partitioned(
    found: Vec<Found>,
    parsed: Vec<Option<ParsedDirectory>>,
    options: &ListingOptions<'_>,
) -> Result<Listing> {
    let rows: Vec<(Found, ParsedDirectory)> = found
        .into_iter()
        .zip(parsed)
        .filter_map(|(file, parsed)| parsed.map(|parsed| (file, parsed)))
        .collect();
    let bases: BTreeSet<&PathBuf> = rows.iter().map(|(_, parsed)| &parsed.base).collect();
    if bases.len() > 1 {
        return Err(conflicting_bases(&bases));
    }
    let names: Vec<String> = rows[0].1.columns.iter().map(|(name, _)| name.clone()).collect();
    let same = |a: &str, b: &str| {
        if options.case_sensitive { a == b } else { a.eq_ignore_ascii_case(b) }
    };
    for (file, parsed) in &rows {
        let fits = parsed.columns.len() == names.len()
            && parsed.columns.iter().zip(&names).all(|((name, _), expected)| same(name, expected));
        if !fits {
            return Err(conflicting_columns(&names, &parsed.columns, &file.path));
        }
    }

    let mut partition_columns = Vec::with_capacity(names.len());
    let mut values: Vec<Vec<ScalarValue>> = vec![Vec::new(); rows.len()];
    for (index, name) in names.iter().enumerate() {
        let texts: Vec<&str> =
            rows.iter().map(|(_, parsed)| parsed.columns[index].1.as_str()).collect();
        let wanted = options
            .schema
            .and_then(|schema| schema.fields.iter().find(|field| same(&field.name, name)));
        let data_type = match wanted {
            Some(field) => field.data_type.clone(),
            None if options.infer_types => partitions::infer(&texts, options.zone),
            None => DataType::String,
        };
        for (row, text) in values.iter_mut().zip(&texts) {
            row.push(partitions::value(name, text, &data_type, options.zone)?);
        }
        partition_columns.push(Field {
            name: wanted.map_or_else(|| name.clone(), |field| field.name.clone()),
            data_type,
            nullable: true,
            metadata: None,
        });
    }
    let files = rows
        .into_iter()
        .zip(values)
        .map(|((file, parsed), values)| {
            file.with(values, parsed.columns.into_iter().map(|(_, text)| text).collect())
        })
        .collect();
    Ok(Listing { files, partition_columns })
}

fn conflicting_bases(bases: &BTreeSet<&PathBuf>) -> SparkError {
    let list: Vec<String> = bases.iter().map(|base| path::to_uri(base)).collect();
    SparkError::new(
        ErrorKind::Analysis,
        "CONFLICTING_DIRECTORY_STRUCTURES",
        "KD009",
        format!(
            "Conflicting directory structures detected. Suspicious paths: {}. If provided paths are \
             partition directories, please set \"basePath\" in the options of the data source to specify \
             the root directory of the table. If there are multiple root directories, please load them \
             separately and then union them.",
            list.join(", ")
        ),
    )
    .with("discoveredBasePaths", list.join("\n\t"))
}

fn conflicting_columns(names: &[String], columns: &[(String, String)], file: &Path) -> SparkError {
    let other: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let directory = path::to_uri(file.parent().unwrap_or(file));
    SparkError::new(
        ErrorKind::Analysis,
        "CONFLICTING_PARTITION_COLUMN_NAMES",
        "KD009",
        format!(
            "Conflicting partition column names detected: ({}) and ({}) in {directory}. For partitioned \
             table directories, data files should only live in leaf directories. And directories at the \
             same level should have the same partition column name.",
            names.join(", "),
            other.join(", ")
        ),
    )
    .with("distinctPartColLists", format!("{}; {}", names.join(", "), other.join(", ")))
    .with("suspiciousPaths", directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_become_alternatives() {
        assert_eq!(expand_braces("/a/{b,c{d,e}}/f"), ["/a/b/f", "/a/cd/f", "/a/ce/f"]);
        assert_eq!(expand_braces("/a/{b"), ["/a/{b"]);
    }

    #[test]
    fn hidden_names_are_hadoops() {
        for (name, hidden) in [
            ("_SUCCESS", true),
            (".crc", true),
            ("a._COPYING_", true),
            ("_k=1", false),
            ("_metadata", false),
            ("part", false),
        ] {
            assert_eq!(is_hidden(name), hidden, "{name}");
        }
    }
}
