//! CREATE and DROP.

use std::collections::BTreeMap;

use super::statement::data_source;
use super::{Parsed, Parser};
use crate::ast::{Command, CreateTable, CreateView, Expr, Literal};
use crate::lexer::TokenKind;
use crate::types::{Field, Schema};

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Parsed<Command> {
        self.expect_word("CREATE")?;
        let replace = self.take_words(&["OR", "REPLACE"]);
        let global = self.take_word("GLOBAL");
        let temporary = self.take_any(&["TEMPORARY", "TEMP"]).is_some();
        match self.word(0) {
            Some("VIEW") => self.create_view(replace, global, temporary),
            Some("TABLE") | Some("EXTERNAL") if !global && !temporary => self.create_table(replace),
            Some("DATABASE" | "SCHEMA" | "NAMESPACE") => self.create_database(),
            Some("FUNCTION" | "TABLE" | "INDEX" | "ROLE" | "MACRO" | "VARIABLE") => {
                let what = format!("CREATE {}", self.word(0).unwrap_or_default());
                Err(self.unsupported(&what))
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn replace_table(&mut self) -> Parsed<Command> {
        self.expect_word("REPLACE")?;
        self.create_table(true)
    }

    fn if_not_exists(&mut self) -> bool {
        self.take_words(&["IF", "NOT", "EXISTS"])
    }

    fn create_view(&mut self, replace: bool, global: bool, temporary: bool) -> Parsed<Command> {
        self.expect_word("VIEW")?;
        let if_not_exists = self.if_not_exists();
        let name = self.multipart_identifier()?;
        if temporary && (self.at_word("USING") || self.at_symbol("(")) {
            let at = self.at;
            if let Some(command) = self.view_using(&name, replace, global)? {
                return Ok(command);
            }
            self.at = at;
        }
        let columns = if self.at_symbol("(") { self.view_columns()? } else { Vec::new() };
        self.view_clauses()?;
        self.expect_word("AS")?;
        let start = self.at;
        let query = self.query()?;
        let text = self.source_between(start, self.at).to_owned();
        let view =
            CreateView { name, columns, temporary, global, replace, if_not_exists, query, text };
        Ok(Command::CreateView(view))
    }

    /// `[(schema)] USING format [OPTIONS (…)]`.
    fn view_using(
        &mut self,
        name: &[String],
        replace: bool,
        global: bool,
    ) -> Parsed<Option<Command>> {
        let schema = if self.at_symbol("(") {
            match self.attempt(|p| p.parenthesized(Self::schema)) {
                Some(schema) => Some(schema),
                None => return Ok(None),
            }
        } else {
            None
        };
        if !self.take_word("USING") {
            return Ok(None);
        }
        let format = self.multipart_identifier()?.join(".");
        let options =
            if self.take_word("OPTIONS") { self.property_list()? } else { BTreeMap::new() };
        let source = data_source(format, schema, options);
        Ok(Some(Command::CreateViewUsing { name: name.to_vec(), replace, global, source }))
    }

    fn view_columns(&mut self) -> Parsed<Vec<String>> {
        self.parenthesized(|p| {
            p.comma_separated(|p| {
                let name = p.strict_identifier()?;
                if p.take_word("COMMENT") {
                    p.expect_string()?;
                }
                Ok(name)
            })
        })
    }

    fn view_clauses(&mut self) -> Parsed<()> {
        loop {
            if self.take_word("COMMENT") {
                self.expect_string()?;
            } else if self.take_word("TBLPROPERTIES") {
                self.property_list()?;
            } else if self.take_words(&["WITH", "SCHEMA"]) {
                self.take_word("TYPE");
                self.identifier()?;
            } else {
                return Ok(());
            }
        }
    }

    fn create_table(&mut self, replace: bool) -> Parsed<Command> {
        let external = self.take_word("EXTERNAL");
        self.expect_word("TABLE")?;
        let if_not_exists = self.if_not_exists();
        let name = self.multipart_identifier()?;
        if self.at_word("LIKE") {
            return Err(self.unsupported("CREATE TABLE LIKE"));
        }
        let mut table = CreateTable {
            name,
            schema: None,
            format: None,
            options: BTreeMap::new(),
            partition_by: Vec::new(),
            location: None,
            comment: None,
            external,
            if_not_exists,
            replace,
            query: None,
        };
        if self.at_symbol("(") && !self.at_query_ahead(1) {
            table.schema = Some(self.parenthesized(Self::table_columns)?);
        }
        self.table_clauses(&mut table)?;
        if self.take_word("AS") || self.at_query() || self.at_symbol("(") {
            table.query = Some(self.query()?);
        }
        Ok(Command::CreateTable(Box::new(table)))
    }

    fn table_columns(&mut self) -> Parsed<Schema> {
        let fields = self.comma_separated(|p| {
            let name = p.strict_identifier()?;
            let mut field = Field::new(name, p.data_type()?);
            loop {
                if p.take_words(&["NOT", "NULL"]) {
                    field.nullable = false;
                } else if p.take_word("COMMENT") {
                    field = field.with_comment(&p.expect_string()?);
                } else if p.at_word("DEFAULT") || p.at_words(&["GENERATED", "ALWAYS"]) {
                    return Err(p.unsupported("default and generated columns"));
                } else {
                    return Ok(field);
                }
            }
        })?;
        Ok(Schema { fields })
    }

    fn table_clauses(&mut self, table: &mut CreateTable) -> Parsed<()> {
        loop {
            if self.take_word("USING") {
                table.format = Some(self.multipart_identifier()?.join("."));
            } else if self.take_words(&["STORED", "AS"]) {
                table.format = Some(self.identifier()?.to_lowercase());
            } else if self.take_word("OPTIONS") || self.take_word("TBLPROPERTIES") {
                table.options.extend(self.property_list()?);
            } else if self.take_words(&["PARTITIONED", "BY"]) {
                self.partitioning(table)?;
            } else if self.take_word("LOCATION") {
                table.location = Some(self.expect_string()?);
            } else if self.take_word("COMMENT") {
                table.comment = Some(self.expect_string()?);
            } else if self.at_any(&["CLUSTER", "CLUSTERED", "SKEWED", "ROW"]) {
                let what = format!("CREATE TABLE with {}", self.word(0).unwrap_or_default());
                return Err(self.unsupported(&what));
            } else {
                return Ok(());
            }
        }
    }

    /// Names of columns, or columns with their types, which are then added to the schema.
    fn partitioning(&mut self, table: &mut CreateTable) -> Parsed<()> {
        let columns = self.parenthesized(|p| {
            p.comma_separated(|p| {
                let name = p.strict_identifier()?;
                if p.at_symbol("(") || p.at_symbol(".") {
                    return Err(p.unsupported("partitioning by an expression"));
                }
                let typed = !p.at_symbol(",") && !p.at_symbol(")");
                Ok(if typed { (name.clone(), Some(p.column_rest(name)?)) } else { (name, None) })
            })
        })?;
        for (name, field) in columns {
            table.partition_by.push(name);
            if let Some(field) = field {
                table.schema.get_or_insert_default().fields.push(field);
            }
        }
        Ok(())
    }

    fn create_database(&mut self) -> Parsed<Command> {
        self.advance();
        let if_not_exists = self.if_not_exists();
        let name = self.multipart_identifier()?;
        loop {
            if self.take_word("COMMENT") || self.take_word("LOCATION") {
                self.expect_string()?;
            } else if self.take_words(&["WITH", "DBPROPERTIES"])
                || self.take_words(&["WITH", "PROPERTIES"])
            {
                self.property_list()?;
            } else {
                return Ok(Command::CreateDatabase { name, if_not_exists });
            }
        }
    }

    pub(super) fn drop(&mut self) -> Parsed<Command> {
        self.expect_word("DROP")?;
        let kind = self.word(0).unwrap_or_default().to_owned();
        match kind.as_str() {
            "VIEW" => {
                self.advance();
                let if_exists = self.take_words(&["IF", "EXISTS"]);
                Ok(Command::DropView { name: self.multipart_identifier()?, if_exists })
            }
            "TABLE" => {
                self.advance();
                let if_exists = self.take_words(&["IF", "EXISTS"]);
                let name = self.multipart_identifier()?;
                Ok(Command::DropTable { name, if_exists, purge: self.take_word("PURGE") })
            }
            "DATABASE" | "SCHEMA" | "NAMESPACE" => {
                self.advance();
                let if_exists = self.take_words(&["IF", "EXISTS"]);
                let name = self.multipart_identifier()?;
                let cascade = self.take_any(&["RESTRICT", "CASCADE"]) == Some("CASCADE");
                Ok(Command::DropDatabase { name, if_exists, cascade })
            }
            "FUNCTION" | "TEMPORARY" | "TEMP" | "INDEX" | "ROLE" => {
                Err(self.unsupported(&format!("DROP {kind}")))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `(key = 'value', a.b 1, flag true)`.
    pub(super) fn property_list(&mut self) -> Parsed<BTreeMap<String, String>> {
        let properties = self.parenthesized(|p| {
            p.comma_separated(|p| {
                let key = p.property_key()?;
                p.take_symbol("=");
                let value = if p.at_symbol(",") || p.at_symbol(")") {
                    String::new()
                } else {
                    p.property_value()?
                };
                Ok((key, value))
            })
        })?;
        Ok(properties.into_iter().collect())
    }

    pub(super) fn property_key(&mut self) -> Parsed<String> {
        if let TokenKind::String(key) = self.peek().clone() {
            self.advance();
            return Ok(key);
        }
        Ok(self.multipart_identifier()?.join("."))
    }

    fn property_value(&mut self) -> Parsed<String> {
        let start = self.at;
        let written = self.token(0).start;
        Ok(match self.primary()? {
            Expr::Literal(Literal::String(text)) => text,
            Expr::Literal(Literal::Boolean(value)) => value.to_string(),
            Expr::Literal(_) => self.sql[written..self.tokens[self.at - 1].end].to_owned(),
            _ => {
                self.at = start;
                return Err(self.unexpected());
            }
        })
    }
}
