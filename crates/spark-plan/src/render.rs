//! `DataFrame.show` and its HTML form: rows as text tables (`Dataset.showString`).

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType as Arrow, Field as ArrowField, Schema as ArrowSchema};
use arrow::record_batch::RecordBatch;
use spark_sql_parser::types::{DataType, Field, Schema};

use crate::errors::{Result, internal};
use crate::field::OutputField;
use crate::text::Formatter;

/// What is to be made of the rows of a plan before the client sees them.
#[derive(Debug, Clone, PartialEq)]
pub enum Render {
    /// The plan yields at most `rows + 1` rows; the last tells that there are more.
    Show {
        fields: Vec<OutputField>,
        rows: usize,
        truncate: usize,
        vertical: bool,
        time_zone: String,
    },
    Html {
        fields: Vec<OutputField>,
        rows: usize,
        truncate: usize,
        time_zone: String,
    },
}

impl Render {
    /// The schema of the rendered result: one text column.
    #[must_use]
    pub fn schema(&self) -> Schema {
        let name = match self {
            Self::Show { .. } => "show_string",
            Self::Html { .. } => "html_string",
        };
        Schema {
            fields: vec![Field {
                name: name.to_owned(),
                data_type: DataType::String,
                nullable: false,
                metadata: None,
            }],
        }
    }

    /// Renders the plan's rows to the one-row result.
    ///
    /// # Errors
    /// When the batches do not have the columns of the plan.
    pub fn finish(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let (text, name) = match self {
            Self::Show { fields, rows, truncate, vertical, time_zone } => (
                show_string(batches, fields, *rows, *truncate, *vertical, time_zone),
                "show_string",
            ),
            Self::Html { fields, rows, truncate, time_zone } => {
                (html_string(batches, fields, *rows, *truncate, time_zone), "html_string")
            }
        };
        let schema = ArrowSchema::new(vec![ArrowField::new(name, Arrow::Utf8, false)]);
        let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
        RecordBatch::try_new(Arc::new(schema), vec![column]).map_err(|e| internal(e.to_string()))
    }
}

/// The cells of the first `rows` rows, and whether there are more.
fn cells(
    batches: &[RecordBatch],
    fields: &[OutputField],
    rows: usize,
    truncate: usize,
    time_zone: &str,
) -> (Vec<Vec<String>>, bool) {
    let formatter = Formatter::new(time_zone);
    let mut all = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            if all.len() == rows {
                return (all, true);
            }
            let cells = (0..fields.len().min(batch.num_columns()))
                .map(|c| shorten(escape(&formatter.value(batch.column(c), row)), truncate))
                .collect();
            all.push(cells);
        }
    }
    (all, false)
}

/// `SchemaUtils.escapeMetaCharacters`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{7}' => out.push_str("\\a"),
            other => out.push(other),
        }
    }
    out
}

/// Cuts at `truncate` characters, with an ellipsis where there is room for one.
fn shorten(text: String, truncate: usize) -> String {
    if truncate == 0 || utf16_length(&text) <= truncate {
        return text;
    }
    if truncate < 4 {
        return text.chars().take(truncate).collect();
    }
    let mut cut: String = text.chars().take(truncate - 3).collect();
    cut.push_str("...");
    cut
}

fn utf16_length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// `Utils.stringHalfWidth`: East Asian wide characters count twice.
fn width(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { c.len_utf16() }).sum()
}

fn is_wide(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x115F | 0x2E80..=0x303E | 0x3041..=0x33FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xA000..=0xA4CF | 0xA960..=0xA97F | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE10..=0xFE1F
        | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6)
}

/// The text of `DataFrame.show(rows, truncate, vertical)`.
#[must_use]
pub fn show_string(
    batches: &[RecordBatch],
    fields: &[OutputField],
    rows: usize,
    truncate: usize,
    vertical: bool,
    time_zone: &str,
) -> String {
    let (data, more) = cells(batches, fields, rows, truncate, time_zone);
    let header: Vec<String> = fields.iter().map(|f| shorten(escape(&f.name), truncate)).collect();
    let mut out = String::new();
    if vertical {
        vertical_table(&mut out, &header, &data);
    } else {
        table(&mut out, &header, &data, truncate > 0);
    }
    if vertical && data.is_empty() {
        out.push_str("(0 rows)");
    } else if more {
        let noun = if rows == 1 { "row" } else { "rows" };
        out.push_str(&format!("only showing top {rows} {noun}"));
    }
    out
}

fn table(out: &mut String, header: &[String], data: &[Vec<String>], right: bool) {
    const MINIMUM: usize = 3;
    let mut widths: Vec<usize> = header.iter().map(|h| width(h).max(MINIMUM)).collect();
    for row in data {
        for (cell, w) in row.iter().zip(&mut widths) {
            *w = (*w).max(width(cell));
        }
    }
    let mut line = String::from("+");
    for w in &widths {
        line.push_str(&"-".repeat(*w));
        line.push('+');
    }
    if widths.is_empty() {
        line.push('+');
    }
    line.push('\n');
    out.push_str(&line);
    push_row(out, header, &widths, right);
    out.push_str(&line);
    for row in data {
        push_row(out, row, &widths, right);
    }
    out.push_str(&line);
}

fn push_row(out: &mut String, cells: &[String], widths: &[usize], right: bool) {
    out.push('|');
    for (cell, w) in cells.iter().zip(widths) {
        let padding = " ".repeat(w.saturating_sub(width(cell)));
        if right {
            out.push_str(&padding);
            out.push_str(cell);
        } else {
            out.push_str(cell);
            out.push_str(&padding);
        }
        out.push('|');
    }
    if widths.is_empty() {
        out.push('|');
    }
    out.push('\n');
}

fn vertical_table(out: &mut String, header: &[String], data: &[Vec<String>]) {
    const MINIMUM: usize = 3;
    let names = header.iter().map(|h| width(h)).max().unwrap_or(0).max(MINIMUM);
    let values = data.iter().flatten().map(|c| width(c)).max().unwrap_or(0).max(MINIMUM);
    for (index, row) in data.iter().enumerate() {
        let title = format!("-RECORD {index}");
        let line = names + values + 5;
        out.push_str(&format!("{title:-<line$}\n"));
        for (name, cell) in header.iter().zip(row) {
            out.push(' ');
            out.push_str(name);
            out.push_str(&" ".repeat(names.saturating_sub(width(name))));
            out.push_str(" | ");
            out.push_str(cell);
            out.push_str(&" ".repeat(values.saturating_sub(width(cell))));
            out.push_str(" \n");
        }
    }
}

/// The text of `DataFrame._repr_html_`.
#[must_use]
pub fn html_string(
    batches: &[RecordBatch],
    fields: &[OutputField],
    rows: usize,
    truncate: usize,
    time_zone: &str,
) -> String {
    let escape_html = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;")
    };
    let (data, more) = cells(batches, fields, rows, truncate, time_zone);
    let line = |cells: &[String], tag: &str| {
        let inner: Vec<String> = cells.iter().map(|c| escape_html(c)).collect();
        format!("<tr><{tag}>{}</{tag}></tr>\n", inner.join(&format!("</{tag}><{tag}>")))
    };
    let header: Vec<String> = fields.iter().map(|f| shorten(f.name.clone(), truncate)).collect();
    let mut out = String::from("<table border='1'>\n");
    out.push_str(&line(&header, "th"));
    for row in &data {
        out.push_str(&line(row, "td"));
    }
    out.push_str("</table>\n");
    if more {
        let noun = if rows == 1 { "row" } else { "rows" };
        out.push_str(&format!("only showing top {rows} {noun}\n"));
    }
    out
}

/// `StructType.treeString`.
#[must_use]
pub fn tree_string(schema: &Schema, level: Option<usize>) -> String {
    let mut out = String::from("root\n");
    let level = level.filter(|l| *l > 0).unwrap_or(usize::MAX);
    tree_fields(&mut out, schema, " |", level);
    out
}

fn tree_fields(out: &mut String, schema: &Schema, prefix: &str, level: usize) {
    for field in &schema.fields {
        let name = type_word(&field.data_type);
        out.push_str(&format!(
            "{prefix}-- {}: {name} (nullable = {})\n",
            field.name, field.nullable
        ));
        tree_type(out, &field.data_type, &format!("{prefix}    |"), level);
    }
}

fn tree_type(out: &mut String, data_type: &DataType, prefix: &str, level: usize) {
    if level <= 1 {
        return;
    }
    match data_type {
        DataType::Array { element, contains_null } => {
            out.push_str(&format!(
                "{prefix}-- element: {} (containsNull = {contains_null})\n",
                type_word(element)
            ));
            tree_type(out, element, &format!("{prefix}    |"), level - 1);
        }
        DataType::Map { key, value, value_contains_null } => {
            out.push_str(&format!("{prefix}-- key: {}\n", type_word(key)));
            tree_type(out, key, &format!("{prefix}    |"), level - 1);
            out.push_str(&format!(
                "{prefix}-- value: {} (valueContainsNull = {value_contains_null})\n",
                type_word(value)
            ));
            tree_type(out, value, &format!("{prefix}    |"), level - 1);
        }
        DataType::Struct(schema) => tree_fields(out, schema, prefix, level - 1),
        _ => {}
    }
}

/// `DataType.typeName`, where it differs from the SQL name.
fn type_word(data_type: &DataType) -> String {
    match data_type {
        DataType::Byte => "byte".to_owned(),
        DataType::Short => "short".to_owned(),
        DataType::Integer => "integer".to_owned(),
        DataType::Long => "long".to_owned(),
        DataType::Array { .. } => "array".to_owned(),
        DataType::Map { .. } => "map".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        other => spark_functions::types::simple_name(other),
    }
}
