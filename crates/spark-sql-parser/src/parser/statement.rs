//! Statements: queries and commands.

use std::collections::BTreeMap;

use super::query::with_ctes;
use super::{Parsed, Parser};
use crate::ast::{Command, Cte, ExplainMode, Expr, Insert, Relation, RelationKind, Statement};
use crate::lexer::TokenKind;

type Ctes = Option<(Vec<Cte>, bool)>;

impl Parser<'_> {
    /// `singleStatement` of the grammar, without its end.
    pub(crate) fn statement(&mut self) -> Parsed<Statement> {
        self.nested(Self::statement_here)
    }

    fn statement_here(&mut self) -> Parsed<Statement> {
        if self.at_query() || self.at_symbol("(") || self.at_word("WITH") {
            return self.query_or_insert();
        }
        let command = match self.word(0) {
            Some("SELECT") => return self.query().map(Statement::Query),
            Some("INSERT") => self.insert(None)?,
            Some("CREATE") => self.create()?,
            Some("REPLACE") => self.replace_table()?,
            Some("DROP") => self.drop()?,
            Some("EXPLAIN") => self.explain()?,
            Some("DESCRIBE" | "DESC") => self.describe()?,
            Some("SHOW") => self.show()?,
            Some("USE") => self.use_database()?,
            Some("SET") => self.set()?,
            Some("RESET") => self.reset()?,
            Some("CACHE") => self.cache()?,
            Some("UNCACHE") => {
                self.advance();
                self.expect_word("TABLE")?;
                let if_exists = self.take_words(&["IF", "EXISTS"]);
                Command::UncacheTable { name: self.multipart_identifier()?, if_exists }
            }
            Some("CLEAR") => {
                self.expect_words(&["CLEAR", "CACHE"])?;
                Command::ClearCache
            }
            Some("REFRESH") => self.refresh()?,
            Some("TRUNCATE") => {
                self.expect_words(&["TRUNCATE", "TABLE"])?;
                Command::TruncateTable { name: self.multipart_identifier()? }
            }
            Some("ANALYZE") => self.analyze()?,
            Some("ALTER") => self.alter()?,
            Some(word) if is_other_statement(word) => {
                let what = format!("the statement {word}");
                return Err(self.unsupported(&what));
            }
            _ => return Err(self.unexpected()),
        };
        Ok(Statement::Command(command))
    }

    /// WITH and FROM may begin a query or an INSERT.
    fn query_or_insert(&mut self) -> Parsed<Statement> {
        let ctes = self.ctes()?;
        if self.at_word("INSERT") {
            return self.insert(ctes).map(Statement::Command);
        }
        if self.at_any(&["DELETE", "UPDATE", "MERGE"]) {
            return Err(self.unsupported("changing rows of a table"));
        }
        let query = self.query()?;
        Ok(Statement::Query(with_ctes(ctes, query)))
    }

    fn insert(&mut self, ctes: Ctes) -> Parsed<Command> {
        self.expect_word("INSERT")?;
        let overwrite = match self.take_any(&["INTO", "OVERWRITE"]) {
            Some(word) => word == "OVERWRITE",
            None => return Err(self.unexpected()),
        };
        if overwrite && (self.at_word("DIRECTORY") || self.at_words(&["LOCAL", "DIRECTORY"])) {
            return self.insert_directory(ctes);
        }
        self.take_word("TABLE");
        let table = self.multipart_identifier()?;
        let partition = if self.at_word("PARTITION") && self.symbol_ahead(1, "(") {
            self.partition_spec()?
        } else {
            Vec::new()
        };
        if self.at_words(&["IF", "NOT", "EXISTS"]) {
            self.expect_words(&["IF", "NOT", "EXISTS"])?;
        }
        if self.at_words(&["REPLACE", "WHERE"]) {
            return Err(self.unsupported("INSERT INTO … REPLACE WHERE"));
        }
        let by_name = self.take_words(&["BY", "NAME"]);
        let columns = if !by_name
            && self.at_symbol("(")
            && !self.at_query_ahead(1)
            && !self.symbol_ahead(1, "(")
        {
            self.identifier_list()?
        } else {
            Vec::new()
        };
        let query = with_ctes(ctes, self.query()?);
        Ok(Command::Insert(Box::new(Insert {
            table,
            columns,
            partition,
            overwrite,
            by_name,
            query,
        })))
    }

    fn insert_directory(&mut self, ctes: Ctes) -> Parsed<Command> {
        self.take_word("LOCAL");
        self.expect_word("DIRECTORY")?;
        let path = self.take_string();
        let format = if self.take_word("USING") {
            self.multipart_identifier()?.join(".")
        } else if self.at_words(&["STORED", "AS"]) {
            self.expect_words(&["STORED", "AS"])?;
            self.identifier()?
        } else {
            return Err(self.unexpected());
        };
        let options =
            if self.take_word("OPTIONS") { self.property_list()? } else { BTreeMap::new() };
        let path =
            path.or_else(|| options.get("path").cloned()).ok_or_else(|| self.unexpected())?;
        let query = with_ctes(ctes, self.query()?);
        Ok(Command::InsertOverwriteDirectory { path, format, options, query })
    }

    /// `PARTITION (p = 1, q)`.
    fn partition_spec(&mut self) -> Parsed<Vec<(String, Option<Expr>)>> {
        self.expect_word("PARTITION")?;
        self.parenthesized(|p| {
            p.comma_separated(|p| {
                let name = p.identifier()?;
                let value = if p.take_symbol("=") { Some(p.value(2)?) } else { None };
                Ok((name, value))
            })
        })
    }

    fn explain(&mut self) -> Parsed<Command> {
        self.advance();
        let mode = match self.take_any(&["LOGICAL", "FORMATTED", "EXTENDED", "CODEGEN", "COST"]) {
            Some("FORMATTED") => ExplainMode::Formatted,
            Some("EXTENDED" | "LOGICAL") => ExplainMode::Extended,
            Some("CODEGEN") => ExplainMode::Codegen,
            Some("COST") => ExplainMode::Cost,
            _ => ExplainMode::Simple,
        };
        Ok(Command::Explain { mode, statement: Box::new(self.statement()?) })
    }

    fn describe(&mut self) -> Parsed<Command> {
        self.advance();
        if self.at_word("FUNCTION") && !matches!(self.token(1).kind, TokenKind::End) {
            self.advance();
            let extended = self.take_word("EXTENDED");
            let name = match self.peek().clone() {
                TokenKind::String(name) => {
                    self.advance();
                    vec![name]
                }
                TokenKind::Symbol(symbol) => {
                    self.advance();
                    vec![symbol.to_owned()]
                }
                _ => self.multipart_identifier()?,
            };
            return Ok(Command::DescribeFunction { name, extended });
        }
        if self.at_any(&["DATABASE", "SCHEMA", "NAMESPACE"])
            && !matches!(self.token(1).kind, TokenKind::End)
        {
            self.advance();
            let extended = self.take_word("EXTENDED");
            return Ok(Command::DescribeDatabase { name: self.multipart_identifier()?, extended });
        }
        let query = self.at_query() && !self.at_word("TABLE")
            || self.at_symbol("(")
            || self.at_word("WITH");
        if query || (self.at_word("QUERY") && self.at_query_ahead(1) && self.take_word("QUERY")) {
            return Ok(Command::DescribeQuery(self.query()?));
        }
        if self.at_word("TABLE") && !matches!(self.token(1).kind, TokenKind::End) {
            self.advance();
        }
        let more = !matches!(self.token(1).kind, TokenKind::End | TokenKind::Symbol("."));
        let extended = more && self.take_any(&["EXTENDED", "FORMATTED"]).is_some();
        let name = self.multipart_identifier()?;
        if self.at_word("PARTITION") {
            return Err(self.unsupported("DESCRIBE of a partition"));
        }
        if *self.peek() != TokenKind::End && !self.at_symbol(";") {
            return Err(self.unsupported("DESCRIBE of a column"));
        }
        Ok(Command::DescribeTable { name, extended })
    }

    fn show(&mut self) -> Parsed<Command> {
        self.advance();
        let word = self.word(0).unwrap_or_default().to_owned();
        self.advance();
        match word.as_str() {
            "TABLES" => {
                let (database, pattern) = self.in_and_like()?;
                Ok(Command::ShowTables { database, pattern })
            }
            "VIEWS" => {
                let (database, pattern) = self.in_and_like()?;
                Ok(Command::ShowViews { database, pattern })
            }
            "DATABASES" | "SCHEMAS" | "NAMESPACES" => {
                let (_, pattern) = self.in_and_like()?;
                Ok(Command::ShowDatabases { pattern })
            }
            "CATALOGS" => {
                self.in_and_like()?;
                Ok(Command::ShowCatalogs)
            }
            "FUNCTIONS" => self.show_functions(),
            "USER" | "SYSTEM" | "ALL" if self.take_word("FUNCTIONS") => self.show_functions(),
            "COLUMNS" => {
                self.expect_from()?;
                let mut table = self.multipart_identifier()?;
                if self.take_any(&["FROM", "IN"]).is_some() {
                    let mut qualified = self.multipart_identifier()?;
                    qualified.extend(table.pop());
                    table = qualified;
                }
                Ok(Command::ShowColumns { table })
            }
            "CREATE" if self.take_word("TABLE") => {
                let table = self.multipart_identifier()?;
                self.take_words(&["AS", "SERDE"]);
                Ok(Command::ShowCreateTable { table })
            }
            "TBLPROPERTIES" => {
                let table = self.multipart_identifier()?;
                let key = if self.at_symbol("(") {
                    Some(self.parenthesized(Self::property_key)?)
                } else {
                    None
                };
                Ok(Command::ShowTableProperties { table, key })
            }
            "PARTITIONS" => Ok(Command::ShowPartitions { table: self.multipart_identifier()? }),
            "CURRENT" if self.take_any(&["NAMESPACE", "DATABASE", "SCHEMA"]).is_some() => {
                Ok(Command::ShowCurrentNamespace)
            }
            "TABLE" if self.at_word("EXTENDED") => Err(self.unsupported("SHOW TABLE EXTENDED")),
            _ => {
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    fn expect_from(&mut self) -> Parsed<()> {
        self.take_any(&["FROM", "IN"]).map(|_| ()).ok_or_else(|| self.unexpected())
    }

    fn show_functions(&mut self) -> Parsed<Command> {
        if self.take_any(&["FROM", "IN"]).is_some() {
            self.multipart_identifier()?;
        }
        self.take_word("LIKE");
        let pattern = match self.take_string() {
            Some(pattern) => Some(pattern),
            None if matches!(self.peek(), TokenKind::Word(_) | TokenKind::Quoted(_)) => {
                Some(self.multipart_identifier()?.join("."))
            }
            None => None,
        };
        Ok(Command::ShowFunctions { pattern })
    }

    /// `[IN database] [[LIKE] 'pattern']`.
    fn in_and_like(&mut self) -> Parsed<(Option<Vec<String>>, Option<String>)> {
        let database = if self.take_any(&["FROM", "IN"]).is_some() {
            Some(self.multipart_identifier()?)
        } else {
            None
        };
        let pattern =
            if self.take_word("LIKE") { Some(self.expect_string()?) } else { self.take_string() };
        Ok((database, pattern))
    }

    fn use_database(&mut self) -> Parsed<Command> {
        self.advance();
        if self.at_word("CATALOG")
            && !matches!(self.token(1).kind, TokenKind::End | TokenKind::Symbol(_))
        {
            self.advance();
            return Ok(Command::SetCatalog(self.identifier()?));
        }
        let keyword = self.at_any(&["DATABASE", "SCHEMA", "NAMESPACE"]);
        if keyword && matches!(self.token(1).kind, TokenKind::Word(_) | TokenKind::Quoted(_)) {
            self.advance();
        }
        Ok(Command::UseDatabase(self.multipart_identifier()?))
    }

    /// SET with a key: what stands there is not tokens but text.
    fn set(&mut self) -> Parsed<Command> {
        self.advance();
        if self.at_words(&["TIME", "ZONE"]) {
            self.expect_words(&["TIME", "ZONE"])?;
            return self.set_time_zone();
        }
        if self.at_word("CATALOG") && !self.symbol_ahead(1, "=") && !self.symbol_ahead(1, ".") {
            self.advance();
            let name = match self.take_string() {
                Some(name) => name,
                None => self.identifier()?,
            };
            return Ok(Command::SetCatalog(name));
        }
        if self.at_any(&["VARIABLE", "VAR"])
            && matches!(self.token(1).kind, TokenKind::Word(_) | TokenKind::Quoted(_))
        {
            return Err(self.unsupported("session variables"));
        }
        let text = self.rest_of_statement();
        if text.is_empty() {
            return Ok(Command::Set { key: None, value: None });
        }
        let setting = read_setting(text);
        let (key, value) = setting.ok_or_else(|| self.invalid_set())?;
        Ok(Command::Set { key: Some(key), value })
    }

    fn set_time_zone(&mut self) -> Parsed<Command> {
        if self.take_word("LOCAL") {
            return Ok(Command::SetTimeZone("LOCAL".to_owned()));
        }
        if let Some(zone) = self.take_string() {
            return Ok(Command::SetTimeZone(zone));
        }
        let interval = self.at_word("INTERVAL");
        match if interval { self.interval()? } else { return Err(self.unexpected()) } {
            Expr::Literal(crate::ast::Literal::DayTimeInterval(micros)) => {
                let seconds = micros / 1_000_000;
                let sign = if seconds < 0 { '-' } else { '+' };
                let seconds = seconds.abs();
                Ok(Command::SetTimeZone(format!(
                    "{sign}{:02}:{:02}",
                    seconds / 3600,
                    seconds / 60 % 60
                )))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn reset(&mut self) -> Parsed<Command> {
        self.advance();
        let key = self.rest_of_statement();
        if key.is_empty() {
            return Ok(Command::Reset { key: None });
        }
        let key = setting_key(key).ok_or_else(|| self.invalid_reset())?;
        Ok(Command::Reset { key: Some(key) })
    }

    /// The raw text up to the statement's end.
    fn rest_of_statement(&mut self) -> &str {
        let start = self.token(0).start;
        self.at = self.tokens.len() - 1;
        self.sql[start..].trim().trim_end_matches(';').trim_end()
    }

    fn cache(&mut self) -> Parsed<Command> {
        self.advance();
        let lazy = self.take_word("LAZY");
        self.expect_word("TABLE")?;
        let name = self.multipart_identifier()?;
        let options =
            if self.take_word("OPTIONS") { self.property_list()? } else { BTreeMap::new() };
        let query = if self.take_word("AS") || self.at_query() || self.at_symbol("(") {
            Some(self.query()?)
        } else {
            None
        };
        Ok(Command::CacheTable { name, lazy, options, query })
    }

    fn refresh(&mut self) -> Parsed<Command> {
        self.advance();
        if self.at_word("TABLE") && !matches!(self.token(1).kind, TokenKind::End) {
            self.advance();
            return Ok(Command::RefreshTable { name: self.multipart_identifier()? });
        }
        if self.at_word("FUNCTION") {
            return Err(self.unsupported("REFRESH FUNCTION"));
        }
        if let Some(path) = self.take_string() {
            return Ok(Command::RefreshPath(path));
        }
        let path = self.rest_of_statement().to_owned();
        if path.is_empty() { Err(self.unexpected()) } else { Ok(Command::RefreshPath(path)) }
    }

    fn analyze(&mut self) -> Parsed<Command> {
        self.advance();
        self.expect_word("TABLE")?;
        let name = self.multipart_identifier()?;
        if self.at_word("PARTITION") {
            self.partition_spec()?;
        }
        self.expect_words(&["COMPUTE", "STATISTICS"])?;
        if self.take_words(&["FOR", "ALL", "COLUMNS"]) || self.take_word("NOSCAN") {
            return Ok(Command::Analyze { name });
        }
        if self.take_words(&["FOR", "COLUMNS"]) {
            self.comma_separated(Self::strict_identifier)?;
        }
        Ok(Command::Analyze { name })
    }

    fn alter(&mut self) -> Parsed<Command> {
        self.advance();
        let view = match self.take_any(&["TABLE", "VIEW"]) {
            Some(word) => word == "VIEW",
            None => return Err(self.unsupported("this form of ALTER")),
        };
        let from = self.multipart_identifier()?;
        if !self.take_words(&["RENAME", "TO"]) {
            return Err(self.unsupported("this form of ALTER"));
        }
        Ok(Command::RenameTable { from, to: self.multipart_identifier()?, view })
    }
}

/// Statements of Spark that have no form in the plan language.
fn is_other_statement(word: &str) -> bool {
    matches!(
        word,
        "ADD"
            | "BEGIN"
            | "CALL"
            | "COMMENT"
            | "DECLARE"
            | "DELETE"
            | "EXECUTE"
            | "LIST"
            | "LOAD"
            | "MERGE"
            | "MSCK"
            | "REPAIR"
            | "UPDATE"
            | "EXPORT"
            | "IMPORT"
            | "LOCK"
            | "UNLOCK"
            | "START"
            | "COMMIT"
            | "ROLLBACK"
            | "DFS"
            | "GRANT"
            | "REVOKE"
    )
}

/// `key`, `key=value` or `-v`; keys and values with other characters stand in back-quotes.
fn read_setting(text: &str) -> Option<(String, Option<String>)> {
    if text == "-v" {
        return Some((text.to_owned(), None));
    }
    let Some((key, value)) = text.split_once('=') else {
        return Some((setting_key(text)?, None));
    };
    let value = value.trim();
    let value = match back_quoted(value) {
        Some(inner) => inner,
        None if value.contains([';', '`']) => return None,
        None => value.to_owned(),
    };
    Some((setting_key(key.trim())?, Some(value)))
}

fn setting_key(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '\\' | '-');
    back_quoted(text)
        .or_else(|| (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned()))
}

fn back_quoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('`')?.strip_suffix('`')?;
    Some(inner.replace("``", "`"))
}

/// The relation `SELECT * FROM path` of a file source, for CREATE TEMPORARY VIEW … USING.
pub(super) fn data_source(
    format: String,
    schema: Option<crate::types::Schema>,
    options: BTreeMap<String, String>,
) -> Relation {
    RelationKind::DataSource { format: Some(format), schema, options, paths: Vec::new() }.into()
}
