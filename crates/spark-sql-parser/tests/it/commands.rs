//! Commands.

use std::fmt::Write;

use expect_test::expect;
use spark_sql_parser::ast::{Command, ExplainMode, RelationKind, Statement};
use spark_sql_parser::{ParserOptions, parse_statement};

fn command(sql: &str) -> Command {
    match parse_statement(sql, &ParserOptions::default()) {
        Ok(Statement::Command(command)) => command,
        Ok(Statement::Query(_)) => panic!("{sql} is a query"),
        Err(error) => panic!("{sql}\n{error}"),
    }
}

#[test]
fn small_commands() {
    let mut out = String::new();
    for sql in [
        "drop view if exists a.b",
        "drop table t purge",
        "set",
        "set spark.sql.shuffle.partitions = 7 ;",
        "set a.b",
        "SET `k k`=`v;`",
        "set time zone 'Europe/Berlin'",
        "set time zone local",
        "set time zone interval 2 hours",
        "set catalog spark_catalog",
        "reset",
        "reset a.b",
        "describe t",
        "desc table extended a.t",
        "desc extended t",
        "desc extended",
        "describe function extended sum",
        "desc function '+'",
        "desc database d",
        "show tables",
        "show tables in d like 'a*'",
        "show tables 'x'",
        "show views",
        "show databases like 'd*'",
        "show schemas",
        "show functions like 'a*'",
        "show user functions",
        "show columns in t in d",
        "show catalogs",
        "show create table t",
        "show tblproperties t ('k')",
        "show partitions t",
        "show current namespace",
        "use d",
        "use database d",
        "use catalog c",
        "create database if not exists d comment 'x' location '/tmp'",
        "drop schema d cascade",
        "uncache table if exists t",
        "clear cache",
        "refresh table t",
        "refresh '/tmp/x'",
        "truncate table t",
        "analyze table t compute statistics for columns a, b",
        "alter table a.t rename to a.u",
    ] {
        writeln!(out, "{:?}", command(sql)).unwrap();
    }
    expect![[r#"
        DropView { name: ["a", "b"], if_exists: true }
        DropTable { name: ["t"], if_exists: false, purge: true }
        Set { key: None, value: None }
        Set { key: Some("spark.sql.shuffle.partitions"), value: Some("7") }
        Set { key: Some("a.b"), value: None }
        Set { key: Some("k k"), value: Some("v;") }
        SetTimeZone("Europe/Berlin")
        SetTimeZone("LOCAL")
        SetTimeZone("+02:00")
        SetCatalog("spark_catalog")
        Reset { key: None }
        Reset { key: Some("a.b") }
        DescribeTable { name: ["t"], extended: false }
        DescribeTable { name: ["a", "t"], extended: true }
        DescribeTable { name: ["t"], extended: true }
        DescribeTable { name: ["extended"], extended: false }
        DescribeFunction { name: ["sum"], extended: true }
        DescribeFunction { name: ["+"], extended: false }
        DescribeDatabase { name: ["d"], extended: false }
        ShowTables { database: None, pattern: None }
        ShowTables { database: Some(["d"]), pattern: Some("a*") }
        ShowTables { database: None, pattern: Some("x") }
        ShowViews { database: None, pattern: None }
        ShowDatabases { pattern: Some("d*") }
        ShowDatabases { pattern: None }
        ShowFunctions { pattern: Some("a*") }
        ShowFunctions { pattern: None }
        ShowColumns { table: ["d", "t"] }
        ShowCatalogs
        ShowCreateTable { table: ["t"] }
        ShowTableProperties { table: ["t"], key: Some("k") }
        ShowPartitions { table: ["t"] }
        ShowCurrentNamespace
        UseDatabase(["d"])
        UseDatabase(["d"])
        SetCatalog("c")
        CreateDatabase { name: ["d"], if_not_exists: true }
        DropDatabase { name: ["d"], if_exists: false, cascade: true }
        UncacheTable { name: ["t"], if_exists: true }
        ClearCache
        RefreshTable { name: ["t"] }
        RefreshPath("/tmp/x")
        TruncateTable { name: ["t"] }
        Analyze { name: ["t"] }
        RenameTable { from: ["a", "t"], to: ["a", "u"], view: false }
    "#]]
    .assert_eq(&out);
}

#[test]
fn views() {
    let Command::CreateView(view) =
        command("create or replace temp view v (a, b comment 'x') as select 1, /* two */ 2 ;")
    else {
        panic!()
    };
    assert_eq!(
        (view.name, view.columns),
        (vec!["v".to_owned()], vec!["a".to_owned(), "b".to_owned()])
    );
    assert!(view.temporary && view.replace && !view.global);
    assert_eq!(view.text, "select 1, /* two */ 2");
    let Command::CreateViewUsing { source, global: true, .. } = command(
        "create global temporary view v (a int) using csv options (path '/x', header true, sep = '|')",
    ) else {
        panic!()
    };
    let RelationKind::DataSource { format, schema, options, .. } = source.kind else { panic!() };
    assert_eq!(format.as_deref(), Some("csv"));
    assert_eq!(schema.unwrap().fields.len(), 1);
    assert_eq!(options["header"], "true");
    assert_eq!(options["sep"], "|");
}

#[test]
fn tables_and_inserts() {
    let Command::CreateTable(table) = command(
        "create table if not exists d.t (a int not null, b string comment 'x') using parquet options ('k' 'v', n 3) \
         partitioned by (b) location '/tmp/t' comment 'c'",
    ) else {
        panic!()
    };
    assert_eq!(table.schema.unwrap().fields.len(), 2);
    assert_eq!(table.partition_by, ["b"]);
    assert_eq!(table.options["n"], "3");
    let Command::CreateTable(table) = command("create table t using csv as select 1 a") else {
        panic!()
    };
    assert!(table.query.is_some());
    let Command::Insert(insert) =
        command("insert into table t partition (p = 1, q) (a, b) values (1, 2)")
    else {
        panic!()
    };
    assert_eq!((insert.columns.len(), insert.partition.len(), insert.overwrite), (2, 2, false));
    let Command::Insert(insert) =
        command("with x as (select 1) insert overwrite t select * from x")
    else {
        panic!()
    };
    assert!(insert.overwrite && matches!(insert.query.kind, RelationKind::With { .. }));
    let Command::InsertOverwriteDirectory { path, format, .. } =
        command("insert overwrite directory '/x' using parquet select 1")
    else {
        panic!()
    };
    assert_eq!((path.as_str(), format.as_str()), ("/x", "parquet"));
    let Command::Insert(insert) = command("insert into t (select 1)") else { panic!() };
    assert!(insert.columns.is_empty());
}

#[test]
fn explain_and_cache() {
    let Command::Explain { mode, .. } = command("explain formatted select 1") else { panic!() };
    assert_eq!(mode, ExplainMode::Formatted);
    let Command::CacheTable { lazy: true, query: Some(_), .. } =
        command("cache lazy table t as select 1")
    else {
        panic!()
    };
    let Command::DescribeQuery(_) = command("describe query select 1") else { panic!() };
}
