//! Line-based formats.
use std::sync::Arc;
use datafusion::catalog::TableProvider;
use spark_sql_parser::types::Schema;
use crate::error::Result;
use crate::source::{Format, Request};
pub(crate) async fn open(format: Format, _request: Request) -> Result<(Schema, Arc<dyn TableProvider>)> {
    Err(crate::error::data_source_not_found(format.name()))
}
