//! `tpcds-data`: the tables of TPC-DS as Parquet, for the tests.

use std::path::Path;
use std::process::ExitCode;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use tpcdsgen::config::{Session, SessionBuilder};
use tpcdsgen_arrow::{
    CallCenterArrow, CatalogPageArrow, CatalogReturnsArrow, CatalogSalesArrow,
    CustomerAddressArrow, CustomerArrow, CustomerDemographicsArrow, DateDimArrow,
    HouseholdDemographicsArrow, IncomeBandArrow, InventoryArrow, ItemArrow, PromotionArrow,
    ReasonArrow, ShipModeArrow, StoreArrow, StoreReturnsArrow, StoreSalesArrow, TimeDimArrow,
    WarehouseArrow, WebPageArrow, WebReturnsArrow, WebSalesArrow, WebSiteArrow,
};

use crate::table_files::{TableArguments, TableFile, empty_folder, make_tables};

pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    make_tables("tpcds", words, generate)
}

/// Writes the 24 tables of TPC-DS; less than scale factor 1 keeps the small ones and shrinks the sales.
fn generate(arguments: &TableArguments) -> anyhow::Result<()> {
    let session = SessionBuilder::new()
        .with_scale_factor(arguments.scale_factor)
        .build()
        .map_err(|error| anyhow::anyhow!("--scale-factor {}: {error}", arguments.scale_factor))?;
    let output = &arguments.output;
    let small = |name, batches: &mut dyn Iterator<Item = Batch>| table(output, name, 1, batches);
    let large = |name, batches: &mut dyn Iterator<Item = Batch>| {
        table(output, name, arguments.files, batches)
    };
    let session = || -> Session { session.clone() };
    small("call_center", &mut CallCenterArrow::new(session()))?;
    small("catalog_page", &mut CatalogPageArrow::new(session()))?;
    large("catalog_returns", &mut CatalogReturnsArrow::new(session()))?;
    large("catalog_sales", &mut CatalogSalesArrow::new(session()))?;
    small("customer", &mut CustomerArrow::new(session()))?;
    small("customer_address", &mut CustomerAddressArrow::new(session()))?;
    large("customer_demographics", &mut CustomerDemographicsArrow::new(session()))?;
    small("date_dim", &mut DateDimArrow::new(session()))?;
    small("household_demographics", &mut HouseholdDemographicsArrow::new(session()))?;
    small("income_band", &mut IncomeBandArrow::new(session()))?;
    large("inventory", &mut InventoryArrow::new(session()))?;
    small("item", &mut ItemArrow::new(session()))?;
    small("promotion", &mut PromotionArrow::new(session()))?;
    small("reason", &mut ReasonArrow::new(session()))?;
    small("ship_mode", &mut ShipModeArrow::new(session()))?;
    small("store", &mut StoreArrow::new(session()))?;
    large("store_returns", &mut StoreReturnsArrow::new(session()))?;
    large("store_sales", &mut StoreSalesArrow::new(session()))?;
    small("time_dim", &mut TimeDimArrow::new(session()))?;
    small("warehouse", &mut WarehouseArrow::new(session()))?;
    small("web_page", &mut WebPageArrow::new(session()))?;
    large("web_returns", &mut WebReturnsArrow::new(session()))?;
    large("web_sales", &mut WebSalesArrow::new(session()))?;
    small("web_site", &mut WebSiteArrow::new(session()))
}

type Batch = Result<RecordBatch, ArrowError>;

/// Deals the batches out to the files in turn.
fn table(
    output: &Path,
    name: &str,
    files: i32,
    batches: &mut dyn Iterator<Item = Batch>,
) -> anyhow::Result<()> {
    let folder = empty_folder(output, name)?;
    let mut parts: Vec<TableFile> = (0..files).map(|part| TableFile::new(&folder, part)).collect();
    for (number, batch) in batches.enumerate() {
        let part = number % parts.len();
        parts[part].write(&batch?)?;
    }
    parts.into_iter().try_for_each(TableFile::close)
}
