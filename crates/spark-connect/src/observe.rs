//! `DataFrame.observe`: aggregates over the rows that pass a place in a plan, told to the client with the result.
//!
//! Spark counts the rows as they pass. Here the aggregates are a query of their own over the observed relation, run when
//! the rows have been sent: they are those of all its rows, whatever is above it takes of them.

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use parking_lot::Mutex;
use spark_connect_proto as sc;
use spark_plan::{Resolver, plan_physical};
use spark_sql_parser::ParserOptions;
use spark_sql_parser::ast::{Aggregate, Grouping, Relation, RelationKind};
use spark_sql_parser::error::SparkError;
use spark_sql_parser::types::DataType;

use crate::application::OperationRunner;
use crate::convert::{Lookup, Observed, data_type_to_proto, unsupported};
use crate::errors::from_datafusion;
use crate::session::ConnectSession;

type Result<T> = std::result::Result<T, SparkError>;

/// A session that notes what the plans converted for it observe.
pub(crate) struct Observing<'a> {
    session: &'a ConnectSession,
    found: Mutex<Vec<Observed>>,
}

impl<'a> Observing<'a> {
    pub(crate) fn new(session: &'a ConnectSession) -> Self {
        Self { session, found: Mutex::default() }
    }

    /// What was observed, each name once.
    pub(crate) fn found(self) -> Vec<Observed> {
        let mut found: Vec<Observed> = Vec::new();
        for observed in self.found.into_inner() {
            if found.iter().all(|known| known.name != observed.name) {
                found.push(observed);
            }
        }
        found
    }
}

impl Lookup for Observing<'_> {
    fn cached_artifact(&self, hash: &str) -> Result<Vec<u8>> {
        self.session.cached_artifact(hash)
    }

    fn subquery(&self, plan_id: i64) -> Result<Relation> {
        self.session.subquery(plan_id)
    }

    fn parser_options(&self) -> ParserOptions {
        self.session.parser_options()
    }

    fn observe(&self, observed: Observed) {
        self.found.lock().push(observed);
    }
}

/// The values of an observation, for the client.
pub(crate) async fn metrics(
    session: &ConnectSession,
    runner: &OperationRunner,
    observed: Observed,
) -> Result<sc::execute_plan_response::ObservedMetrics> {
    let Observed { name, plan_id, input, metrics } = observed;
    let relation = Relation {
        plan_id: None,
        kind: RelationKind::Aggregate(Box::new(Aggregate {
            input,
            grouping: Grouping::Expressions(Vec::new()),
            aggregates: metrics,
            select_list: false,
            having: None,
            pivot: None,
        })),
    };
    let resolved = Resolver::new(&session.plan).with_runner(runner).resolve(&relation).await?;
    let schema = resolved.schema();
    let mode = runner.mode_of(&session.plan, &resolved);
    let physical = plan_physical(&session.plan, &resolved, mode).await?;
    let query = runner.start(physical, &session.plan.state(mode), mode).await?;
    let arrow = query.stream.schema();
    let batches: Vec<RecordBatch> =
        query.stream.try_collect().await.map_err(|error| from_datafusion(&error))?;
    let row = concat_batches(&arrow, &batches).map_err(|error| from_datafusion(&error.into()))?;
    let mut values = Vec::with_capacity(schema.fields.len());
    for (column, field) in row.columns().iter().zip(&schema.fields) {
        let value =
            ScalarValue::try_from_array(column, 0).map_err(|error| from_datafusion(&error))?;
        values.push(literal(&value, &field.data_type)?);
    }
    let keys = schema.fields.into_iter().map(|field| field.name).collect();
    Ok(sc::execute_plan_response::ObservedMetrics {
        name,
        plan_id,
        keys,
        values,
        ..Default::default()
    })
}

fn literal(value: &ScalarValue, data_type: &DataType) -> Result<sc::expression::Literal> {
    use sc::expression::literal::LiteralType;
    let kind = match value {
        value if value.is_null() => LiteralType::Null(data_type_to_proto(data_type)),
        ScalarValue::Boolean(Some(value)) => LiteralType::Boolean(*value),
        ScalarValue::Int8(Some(value)) => LiteralType::Byte((*value).into()),
        ScalarValue::Int16(Some(value)) => LiteralType::Short((*value).into()),
        ScalarValue::Int32(Some(value)) => LiteralType::Integer(*value),
        ScalarValue::Int64(Some(value)) => LiteralType::Long(*value),
        ScalarValue::Float32(Some(value)) => LiteralType::Float(*value),
        ScalarValue::Float64(Some(value)) => LiteralType::Double(*value),
        ScalarValue::Decimal128(Some(_), precision, scale) => {
            let array = value.to_array().map_err(|error| from_datafusion(&error))?;
            let value = array_value_to_string(&array, 0);
            LiteralType::Decimal(sc::expression::literal::Decimal {
                value: value.map_err(|error| from_datafusion(&error.into()))?,
                precision: Some((*precision).into()),
                scale: Some((*scale).into()),
            })
        }
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => LiteralType::String(text.clone()),
        ScalarValue::Binary(Some(bytes)) => LiteralType::Binary(bytes.clone().into()),
        ScalarValue::Date32(Some(days)) => LiteralType::Date(*days),
        ScalarValue::TimestampMicrosecond(Some(micros), Some(_)) => LiteralType::Timestamp(*micros),
        ScalarValue::TimestampMicrosecond(Some(micros), None) => LiteralType::TimestampNtz(*micros),
        _ => {
            return Err(unsupported(&format!(
                "An observed metric of the type {}",
                data_type.sql()
            )));
        }
    };
    Ok(sc::expression::Literal { literal_type: Some(kind), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc::expression::literal::LiteralType;

    #[test]
    fn decimals_are_told_as_numbers() {
        let value = ScalarValue::Decimal128(Some(-1205), 10, 2);
        let kind = DataType::Decimal { precision: 10, scale: 2 };
        match literal(&value, &kind).unwrap().literal_type {
            Some(LiteralType::Decimal(decimal)) => assert_eq!(decimal.value, "-12.05"),
            other => panic!("{other:?}"),
        }
    }
}
