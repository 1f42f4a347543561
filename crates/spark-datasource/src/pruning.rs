//! Leaving out files whose partition values a filter refuses.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

use crate::listing::DataFile;

/// The files that may hold rows which pass `filters`. A filter that is not about partition columns alone, or that
/// cannot be evaluated, keeps every file: the filter stays above the scan anyway.
pub(crate) fn prune(
    files: &[DataFile],
    partition_schema: &SchemaRef,
    filters: &[Expr],
    state: &dyn Session,
) -> Vec<DataFile> {
    let names: Vec<&str> =
        partition_schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut keep = vec![true; files.len()];
    for filter in filters {
        let columns = filter.column_refs();
        let only_partitions =
            !columns.is_empty() && columns.iter().all(|column| names.contains(&column.name()));
        if !only_partitions || filter.is_volatile() {
            continue;
        }
        if let Some(passes) = evaluate(files, partition_schema, filter, state) {
            for (keep, pass) in keep.iter_mut().zip(passes.iter()) {
                *keep &= pass == Some(true);
            }
        }
    }
    files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file.clone()).collect()
}

fn evaluate(
    files: &[DataFile],
    schema: &SchemaRef,
    filter: &Expr,
    state: &dyn Session,
) -> Option<BooleanArray> {
    let columns = (0..schema.fields().len())
        .map(|index| {
            ScalarValue::iter_to_array(
                files.iter().map(|file| file.partition_values[index].clone()),
            )
            .ok()
        })
        .collect::<Option<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).ok()?;
    let unqualified = datafusion::common::tree_node::TransformedResult::data(
        datafusion::common::tree_node::TreeNode::transform(filter.clone(), |node| {
            Ok(match node {
                Expr::Column(mut column) => {
                    column.relation = None;
                    datafusion::common::tree_node::Transformed::yes(Expr::Column(column))
                }
                other => datafusion::common::tree_node::Transformed::no(other),
            })
        }),
    )
    .ok()?;
    let df_schema = DFSchema::try_from(Arc::clone(schema)).ok()?;
    let physical = state.create_physical_expr(unqualified, &df_schema).ok()?;
    let result = physical.evaluate(&batch).ok()?.into_array(files.len()).ok()?;
    result.as_any().downcast_ref::<BooleanArray>().cloned()
}
