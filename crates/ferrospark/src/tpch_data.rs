//! `tpch-data`: the tables of TPC-H as Parquet, for the demo, the tests and the benchmarks.

use std::path::Path;
use std::process::ExitCode;

use arrow::array::RecordBatch;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

use crate::table_files::{TableArguments, TableFile, empty_folder, make_tables};

pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    make_tables("tpch", words, generate)
}

/// Writes the eight tables of TPC-H.
fn generate(arguments: &TableArguments) -> anyhow::Result<()> {
    let (scale, files) = (arguments.scale_factor, arguments.files);
    let output = &arguments.output;
    let few = (files / 2).max(1);
    table(output, "region", 1, |part, parts| {
        RegionArrow::new(RegionGenerator::new(scale, part, parts))
    })?;
    table(output, "nation", 1, |part, parts| {
        NationArrow::new(NationGenerator::new(scale, part, parts))
    })?;
    table(output, "supplier", 1, |part, parts| {
        SupplierArrow::new(SupplierGenerator::new(scale, part, parts))
    })?;
    table(output, "customer", few, |part, parts| {
        CustomerArrow::new(CustomerGenerator::new(scale, part, parts))
    })?;
    table(output, "part", few, |part, parts| {
        PartArrow::new(PartGenerator::new(scale, part, parts))
    })?;
    table(output, "partsupp", files, |part, parts| {
        PartSuppArrow::new(PartSuppGenerator::new(scale, part, parts))
    })?;
    table(output, "orders", files, |part, parts| {
        OrderArrow::new(OrderGenerator::new(scale, part, parts))
    })?;
    table(output, "lineitem", files, |part, parts| {
        LineItemArrow::new(LineItemGenerator::new(scale, part, parts))
    })
}

fn table<I: Iterator<Item = RecordBatch>>(
    output: &Path,
    name: &str,
    files: i32,
    open: impl Fn(i32, i32) -> I,
) -> anyhow::Result<()> {
    let folder = empty_folder(output, name)?;
    for part in 1..=files {
        let mut file = TableFile::new(&folder, part - 1);
        for batch in open(part, files) {
            file.write(&batch)?;
        }
        file.close()?;
    }
    Ok(())
}
