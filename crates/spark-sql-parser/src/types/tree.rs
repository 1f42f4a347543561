//! `printSchema`'s tree.

use std::fmt::Write;

use super::{DataType, Schema};

impl Schema {
    /// The text `DataFrame.printSchema` prints, down to `max_depth` levels if given.
    #[must_use]
    pub fn tree_string(&self, max_depth: Option<usize>) -> String {
        let mut out = String::from("root\n");
        let depth = max_depth.filter(|depth| *depth > 0).unwrap_or(usize::MAX);
        self.write_fields(&mut out, " |", depth);
        out
    }

    fn write_fields(&self, out: &mut String, prefix: &str, depth: usize) {
        if depth == 0 {
            return;
        }
        for field in &self.fields {
            let name = escape_control(&field.name);
            let nullable = ("nullable", field.nullable);
            field.data_type.write_tree(out, prefix, &name, Some(nullable), depth);
        }
    }
}

impl DataType {
    fn write_tree(
        &self,
        out: &mut String,
        prefix: &str,
        name: &str,
        note: Option<(&str, bool)>,
        depth: usize,
    ) {
        let note = note.map(|(key, value)| format!(" ({key} = {value})")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{prefix}-- {name}: {}{note}", self.tree_name());
        let depth = depth - 1;
        if depth == 0 {
            return;
        }
        let below = format!("{prefix}    |");
        match self {
            Self::Array { element, contains_null } => {
                element.write_tree(
                    out,
                    &below,
                    "element",
                    Some(("containsNull", *contains_null)),
                    depth,
                );
            }
            Self::Map { key, value, value_contains_null } => {
                key.write_tree(out, &below, "key", None, depth);
                let note = Some(("valueContainsNull", *value_contains_null));
                value.write_tree(out, &below, "value", note, depth);
            }
            Self::Struct(schema) => schema.write_fields(out, &below, depth),
            _ => {}
        }
    }

    /// `typeName`, in which numbers have Spark's JSON names (`integer`, `long`).
    fn tree_name(&self) -> String {
        self.json_name().unwrap_or_else(|| self.type_name())
    }
}

fn escape_control(name: &str) -> String {
    name.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}
