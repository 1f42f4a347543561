//! The 22 TPC-H queries at scale factor 0.1 against the checked-in answers of genuine Spark.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use arrow::ipc::writer::StreamWriter;
use datafusion::physical_plan::common::collect;
use spark_plan::{Mode, QueryRunner, ResolvedPlan, Session, cell_texts, plan_physical};
use spark_sql_parser::ast::{Relation, RelationKind, Statement};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

use crate::harness::{InProcess, parse, resolve, session};

const SCALE: f64 = 0.1;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A table as the client would send it: one Arrow IPC stream of plain types.
fn encoded(batches: impl Iterator<Item = RecordBatch>) -> Vec<u8> {
    let batches: Vec<RecordBatch> = batches.collect();
    let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
    let mut columns = Vec::new();
    let mut fields = Vec::new();
    for (column, field) in batch.columns().iter().zip(batch.schema().fields()) {
        let column = match field.data_type() {
            DataType::Utf8View => cast(column, &DataType::Utf8).unwrap(),
            _ => Arc::clone(column),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let schema = Arc::new(ArrowSchema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &schema).unwrap();
    for start in (0..batch.num_rows()).step_by(8192) {
        writer.write(&batch.slice(start, (batch.num_rows() - start).min(8192))).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

async fn tables(session: &Session) {
    let all = [
        ("customer", encoded(CustomerArrow::new(CustomerGenerator::new(SCALE, 1, 1)))),
        ("lineitem", encoded(LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1)))),
        ("nation", encoded(NationArrow::new(NationGenerator::new(SCALE, 1, 1)))),
        ("orders", encoded(OrderArrow::new(OrderGenerator::new(SCALE, 1, 1)))),
        ("part", encoded(PartArrow::new(PartGenerator::new(SCALE, 1, 1)))),
        ("partsupp", encoded(PartSuppArrow::new(PartSuppGenerator::new(SCALE, 1, 1)))),
        ("region", encoded(RegionArrow::new(RegionGenerator::new(SCALE, 1, 1)))),
        ("supplier", encoded(SupplierArrow::new(SupplierGenerator::new(SCALE, 1, 1)))),
    ];
    for (name, data) in all {
        let relation: Relation =
            RelationKind::LocalRelation { data: Some(data), schema: None }.into();
        let plan = resolve(session, &relation).await.unwrap();
        session.create_temp_view(name, plan, None, true, false).unwrap();
    }
}

async fn rows(
    session: &Session,
    plan: &ResolvedPlan,
    mode: Mode,
) -> Result<Vec<Vec<String>>, String> {
    let physical = plan_physical(session, plan, mode).await.map_err(|e| e.to_string())?;
    let stream = InProcess.run(physical, &session.state(mode)).await.map_err(|e| e.to_string())?;
    let batches = collect(stream).await.map_err(|e| e.to_string())?;
    Ok(batches.iter().flat_map(|b| cell_texts(b, "UTC")).collect())
}

async fn compare(session: &Session, name: &str) -> Result<(), String> {
    let sql = std::fs::read_to_string(repository().join(format!("examples/tpch/{name}.sql")))
        .map_err(|e| e.to_string())?;
    let answer = repository().join(format!("tests/answers/tpch-sf0.1/{name}.json"));
    let answer: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(answer).map_err(|e| e.to_string())?)
            .map_err(|e| e.to_string())?;
    let Statement::Query(relation) = parse(&sql).map_err(|e| e.to_string())? else {
        return Err("not a query".to_owned());
    };
    let plan = resolve(session, &relation).await.map_err(|e| e.to_string())?;
    let schema: Vec<(String, String)> = plan
        .fields
        .iter()
        .map(|f| (f.name.clone(), spark_functions::types::simple_name(&f.data_type)))
        .collect();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("NULL").to_owned();
    let wanted: Vec<(String, String)> = answer["schema"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (text(&f["name"]), text(&f["type"])))
        .collect();
    if schema != wanted {
        return Err(format!("schema {schema:?}, Spark's {wanted:?}"));
    }
    let mut expected: Vec<Vec<String>> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_array().unwrap().iter().map(text).collect())
        .collect();
    let ordered = answer["ordered"].as_bool().unwrap();
    if !ordered {
        expected.sort();
    }
    let local = Mode::Local { cores: 2 };
    for (mode, part_rows) in
        [(local, "65536"), (local, "1000"), (Mode::Staged { shuffle_partitions: 5 }, "0")]
    {
        session
            .set("spark.ferrospark.localExecution.partitionRows", part_rows)
            .map_err(|e| e.to_string())?;
        let mut found = rows(session, &plan, mode).await?;
        if !ordered {
            found.sort();
        }
        if found != expected {
            let at = found.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(0);
            return Err(format!(
                "{mode:?}: {} rows, Spark's {}; at {at}: {:?}, Spark's {:?}",
                found.len(),
                expected.len(),
                found.get(at),
                expected.get(at)
            ));
        }
    }
    Ok(())
}

#[tokio::test]
async fn answers_as_spark() {
    let session = session();
    tables(&session).await;
    let mut failures = Vec::new();
    for number in 1..=22 {
        let name = format!("q{number:02}");
        if let Err(failure) = compare(&session, &name).await {
            failures.push(format!("{name}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
