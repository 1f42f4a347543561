//! Statements that act at once, and writing.

use expect_test::{Expect, expect};
use spark_plan::{Session, execute_command, show_string};
use spark_sql_parser::ast::Statement;

use crate::harness::{InProcess, parse, query, session, setup};

/// Runs statements, printing what each answers; `$DIR` stands for a directory of the test's own.
async fn check(statements: &[&str], expected: Expect) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_string_lossy().into_owned();
    let session = session();
    session.set_initial("spark.sql.warehouse.dir", &format!("{root}/warehouse"));
    setup(&session).await;
    let mut out = String::new();
    for sql in statements {
        out.push_str(&format!("> {sql}\n"));
        let sql = sql.replace("$DIR", &root);
        let text = run(&session, &sql).await;
        out.push_str(&text.replace(&root, "$DIR"));
    }
    expected.assert_eq(&out);
}

async fn run(session: &Session, sql: &str) -> String {
    match parse(sql) {
        Err(error) => format!("{error}\n"),
        Ok(Statement::Query(_)) => query(session, sql).await,
        Ok(Statement::Command(command)) => {
            match execute_command(session, &command, &InProcess).await {
                Err(error) => format!("{error}\n"),
                Ok(output) if output.schema.fields.is_empty() => String::new(),
                Ok(output) => {
                    let fields: Vec<_> = output
                        .schema
                        .fields
                        .iter()
                        .map(|f| spark_plan::OutputField {
                            name: f.name.clone(),
                            data_type: f.data_type.clone(),
                            nullable: f.nullable,
                            qualifier: Vec::new(),
                            plan_ids: Vec::new(),
                            internal: f.name.clone(),
                            metadata: None,
                        })
                        .collect();
                    show_string(&output.batches, &fields, 1000, 0, false, "UTC")
                }
            }
        }
    }
}

#[tokio::test]
async fn views_and_settings() {
    check(
        &[
            "CREATE OR REPLACE TEMP VIEW adults AS SELECT id, name FROM people WHERE age >= 30",
            "SELECT * FROM adults ORDER BY id",
            "CREATE TEMP VIEW adults AS SELECT 1",
            "CREATE GLOBAL TEMP VIEW g (x) AS SELECT 7",
            "SELECT * FROM global_temp.g",
            "CREATE VIEW kept AS SELECT title FROM teams WHERE code = 'A'",
            "SELECT kept.title FROM kept",
            "SHOW TABLES",
            "SHOW VIEWS LIKE 'k*'",
            "DROP VIEW adults",
            "SELECT * FROM adults",
            "DROP VIEW IF EXISTS adults",
            "SET spark.sql.ansi.enabled = false",
            "SELECT 1 / 0",
            "RESET",
            "SET spark.sql.shuffle.partitions",
            "SET spark.sql.shuffle.partitions = abc",
            "SET spark.executor.memory = 1g",
            "SET spark.scheduler.pool = quick",
            "SHOW DATABASES",
            "CREATE DATABASE d",
            "USE d",
            "SELECT current_database()",
            "USE nowhere",
            "DESCRIBE people",
            "SHOW COLUMNS IN people",
        ],
        expect![[r#"
            > CREATE OR REPLACE TEMP VIEW adults AS SELECT id, name FROM people WHERE age >= 30
            > SELECT * FROM adults ORDER BY id
            +---+----+
            |id |name|
            +---+----+
            |1  |Ann |
            |4  |NULL|
            +---+----+
            > CREATE TEMP VIEW adults AS SELECT 1
            [TEMP_TABLE_OR_VIEW_ALREADY_EXISTS] Cannot create the temporary view `adults` because it already exists.
            Choose a different name, drop or replace the existing view, or add the IF NOT EXISTS clause to tolerate pre-existing views. SQLSTATE: 42P07
            > CREATE GLOBAL TEMP VIEW g (x) AS SELECT 7
            > SELECT * FROM global_temp.g
            +---+
            |x  |
            +---+
            |7  |
            +---+
            > CREATE VIEW kept AS SELECT title FROM teams WHERE code = 'A'
            > SELECT kept.title FROM kept
            +-----+
            |title|
            +-----+
            |Alpha|
            +-----+
            > SHOW TABLES
            +---------+---------+-----------+
            |namespace|tableName|isTemporary|
            +---------+---------+-----------+
            |         |adults   |true       |
            |default  |kept     |false      |
            |         |people   |true       |
            |         |teams    |true       |
            +---------+---------+-----------+
            > SHOW VIEWS LIKE 'k*'
            +---------+--------+-----------+
            |namespace|viewName|isTemporary|
            +---------+--------+-----------+
            |default  |kept    |false      |
            +---------+--------+-----------+
            > DROP VIEW adults
            > SELECT * FROM adults
            [TABLE_OR_VIEW_NOT_FOUND] The table or view `adults` cannot be found. Verify the spelling and correctness of the schema and catalog.
            If you did not qualify the name with a schema, verify the current_schema() output, or qualify the name with the correct schema and catalog.
            To tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS. SQLSTATE: 42P01
            > DROP VIEW IF EXISTS adults
            > SET spark.sql.ansi.enabled = false
            +----------------------+-----+
            |key                   |value|
            +----------------------+-----+
            |spark.sql.ansi.enabled|false|
            +----------------------+-----+
            > SELECT 1 / 0
            +-------+
            |(1 / 0)|
            +-------+
            |NULL   |
            +-------+
            > RESET
            > SET spark.sql.shuffle.partitions
            +----------------------------+-----+
            |key                         |value|
            +----------------------------+-----+
            |spark.sql.shuffle.partitions|4    |
            +----------------------------+-----+
            > SET spark.sql.shuffle.partitions = abc
            [INVALID_CONF_VALUE.TYPE_MISMATCH] The value 'abc' in the config "spark.sql.shuffle.partitions" is invalid. It should be of type int. SQLSTATE: 22022
            > SET spark.executor.memory = 1g
            [CANNOT_MODIFY_CONFIG] Cannot modify the value of the Spark config: "spark.executor.memory".
            See also 'https://spark.apache.org/docs/latest/sql-migration-guide.html#ddl-statements'. SQLSTATE: 46110
            > SET spark.scheduler.pool = quick
            +--------------------+-----+
            |key                 |value|
            +--------------------+-----+
            |spark.scheduler.pool|quick|
            +--------------------+-----+
            > SHOW DATABASES
            +---------+
            |namespace|
            +---------+
            |default  |
            +---------+
            > CREATE DATABASE d
            > USE d
            > SELECT current_database()
            +----------------+
            |current_schema()|
            +----------------+
            |d               |
            +----------------+
            > USE nowhere
            [SCHEMA_NOT_FOUND] The schema `spark_catalog`.`nowhere` cannot be found. Verify the spelling and correctness of the schema and catalog.
            If you did not qualify the name with a catalog, verify the current_schema() output, or qualify the name with the correct catalog.
            To tolerate the error on drop use DROP SCHEMA IF EXISTS. SQLSTATE: 42704
            > DESCRIBE people
            +--------+---------+-------+
            |col_name|data_type|comment|
            +--------+---------+-------+
            |id      |int      |NULL   |
            |name    |string   |NULL   |
            |age     |int      |NULL   |
            |team    |string   |NULL   |
            +--------+---------+-------+
            > SHOW COLUMNS IN people
            +--------+
            |col_name|
            +--------+
            |id      |
            |name    |
            |age     |
            |team    |
            +--------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn tables() {
    check(
        &[
            "CREATE TABLE t (id INT, name STRING) USING parquet",
            "SELECT * FROM t",
            "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
            "INSERT INTO t (name, id) SELECT 'c', 3",
            "SELECT * FROM t ORDER BY id",
            "SELECT t.name FROM default.t WHERE id > 1 ORDER BY spark_catalog.default.t.id",
            "INSERT OVERWRITE t SELECT id, team FROM people WHERE id = 1",
            "SELECT * FROM t",
            "INSERT INTO t VALUES (1)",
            "CREATE TABLE t (x INT)",
            "CREATE TABLE copy USING parquet PARTITIONED BY (team) AS SELECT id, name, team FROM people WHERE team IS NOT NULL",
            "SELECT * FROM copy ORDER BY id",
            "INSERT INTO copy PARTITION (team = 'Z') VALUES (9, 'Zed')",
            "INSERT OVERWRITE copy PARTITION (team = 'A') SELECT 7, 'New'",
            "SELECT name FROM copy WHERE team IN ('A', 'Z') ORDER BY id",
            "SHOW PARTITIONS copy",
            "ALTER TABLE copy RENAME TO moved",
            "SELECT count(*) FROM moved",
            "TRUNCATE TABLE moved",
            "SELECT count(*) FROM moved",
            "CREATE OR REPLACE TABLE moved USING json AS SELECT id FROM people",
            "SELECT id FROM moved ORDER BY id LIMIT 2",
            "SHOW TABLES",
            "DESCRIBE copy",
            "DROP TABLE t",
            "SELECT * FROM t",
            "DROP TABLE t",
            "INSERT OVERWRITE DIRECTORY '$DIR/out' USING csv OPTIONS (header 'true') SELECT id, name FROM people WHERE id < 3",
            "SELECT * FROM csv.`$DIR/out`",
        ],
        expect![[r#"
            > CREATE TABLE t (id INT, name STRING) USING parquet
            > SELECT * FROM t
            +---+----+
            |id |name|
            +---+----+
            +---+----+
            > INSERT INTO t VALUES (1, 'a'), (2, 'b')
            > INSERT INTO t (name, id) SELECT 'c', 3
            > SELECT * FROM t ORDER BY id
            +---+----+
            |id |name|
            +---+----+
            |1  |a   |
            |2  |b   |
            |3  |c   |
            +---+----+
            > SELECT t.name FROM default.t WHERE id > 1 ORDER BY spark_catalog.default.t.id
            +----+
            |name|
            +----+
            |b   |
            |c   |
            +----+
            > INSERT OVERWRITE t SELECT id, team FROM people WHERE id = 1
            > SELECT * FROM t
            +---+----+
            |id |name|
            +---+----+
            |1  |A   |
            +---+----+
            > INSERT INTO t VALUES (1)
            [INSERT_COLUMN_ARITY_MISMATCH.NOT_ENOUGH_DATA_COLUMNS] Cannot write to `spark_catalog`.`default`.`t`, the reason is not enough data columns:
            Table columns: `id`, `name`.
            Data columns: `col1`. SQLSTATE: 21S01
            > CREATE TABLE t (x INT)
            [TABLE_OR_VIEW_ALREADY_EXISTS] Cannot create table or view `spark_catalog`.`default`.`t` because it already exists.
            Choose a different name, drop or replace the existing object, or add the IF NOT EXISTS clause to tolerate pre-existing objects. SQLSTATE: 42P07
            > CREATE TABLE copy USING parquet PARTITIONED BY (team) AS SELECT id, name, team FROM people WHERE team IS NOT NULL
            > SELECT * FROM copy ORDER BY id
            +---+----+----+
            |id |name|team|
            +---+----+----+
            |1  |Ann |A   |
            |2  |Bob |B   |
            |3  |Cid |A   |
            +---+----+----+
            > INSERT INTO copy PARTITION (team = 'Z') VALUES (9, 'Zed')
            > INSERT OVERWRITE copy PARTITION (team = 'A') SELECT 7, 'New'
            > SELECT name FROM copy WHERE team IN ('A', 'Z') ORDER BY id
            +----+
            |name|
            +----+
            |New |
            |Zed |
            +----+
            > SHOW PARTITIONS copy
            +---------+
            |partition|
            +---------+
            |team=A   |
            |team=B   |
            |team=Z   |
            +---------+
            > ALTER TABLE copy RENAME TO moved
            > SELECT count(*) FROM moved
            +--------+
            |count(1)|
            +--------+
            |3       |
            +--------+
            > TRUNCATE TABLE moved
            > SELECT count(*) FROM moved
            +--------+
            |count(1)|
            +--------+
            |0       |
            +--------+
            > CREATE OR REPLACE TABLE moved USING json AS SELECT id FROM people
            > SELECT id FROM moved ORDER BY id LIMIT 2
            +---+
            |id |
            +---+
            |1  |
            |2  |
            +---+
            > SHOW TABLES
            +---------+---------+-----------+
            |namespace|tableName|isTemporary|
            +---------+---------+-----------+
            |default  |moved    |false      |
            |         |people   |true       |
            |default  |t        |false      |
            |         |teams    |true       |
            +---------+---------+-----------+
            > DESCRIBE copy
            [TABLE_OR_VIEW_NOT_FOUND] The table or view `copy` cannot be found. Verify the spelling and correctness of the schema and catalog.
            If you did not qualify the name with a schema, verify the current_schema() output, or qualify the name with the correct schema and catalog.
            To tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS. SQLSTATE: 42P01
            > DROP TABLE t
            > SELECT * FROM t
            [TABLE_OR_VIEW_NOT_FOUND] The table or view `t` cannot be found. Verify the spelling and correctness of the schema and catalog.
            If you did not qualify the name with a schema, verify the current_schema() output, or qualify the name with the correct schema and catalog.
            To tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS. SQLSTATE: 42P01
            > DROP TABLE t
            [TABLE_OR_VIEW_NOT_FOUND] The table or view `t` cannot be found. Verify the spelling and correctness of the schema and catalog.
            If you did not qualify the name with a schema, verify the current_schema() output, or qualify the name with the correct schema and catalog.
            To tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS. SQLSTATE: 42P01
            > INSERT OVERWRITE DIRECTORY '$DIR/out' USING csv OPTIONS (header 'true') SELECT id, name FROM people WHERE id < 3
            > SELECT * FROM csv.`$DIR/out`
            +---+----+
            |_c0|_c1 |
            +---+----+
            |id |name|
            |1  |Ann |
            |2  |Bob |
            +---+----+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn explains() {
    let session = session();
    setup(&session).await;
    let text = run(&session, "EXPLAIN SELECT count(*) FROM range(10) WHERE id > 3").await;
    // The numbers of columns depend on what was resolved before.
    for part in [
        "== Physical Plan ==\\nProjectionExec: expr=[agg#",
        "AggregateExec: mode=Partial, gby=[]",
        "FilterExec: id@0 > 3",
        "RangeExec: start=0, end=10, step=1",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
