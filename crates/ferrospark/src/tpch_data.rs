//! `tpch-data`: the tables of TPC-H as Parquet, for the demo, the tests and the benchmarks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use clap::Parser;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

use crate::table_files::{TableFile, empty_folder};

/// Writes the eight tables of TPC-H.
#[derive(Debug, Parser)]
#[command(name = "tpch-data")]
struct Arguments {
    /// 1 makes about 1 GB of raw data.
    #[arg(long, default_value_t = 0.1)]
    scale_factor: f64,
    /// Directory that gets one folder a table; complete data of the same scale is left alone.
    #[arg(long)]
    output: PathBuf,
    /// Files of each large table.
    #[arg(long, default_value_t = 4)]
    files: i32,
}

pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    let arguments =
        Arguments::parse_from(std::iter::once("tpch-data".to_owned()).chain(words.iter().cloned()));
    anyhow::ensure!(
        arguments.scale_factor > 0.0 && arguments.scale_factor <= 1000.0,
        "--scale-factor {} is out of range; expected more than 0 and at most 1000",
        arguments.scale_factor
    );
    anyhow::ensure!(
        (1..=1000).contains(&arguments.files),
        "--files {} is out of range; expected 1 to 1000",
        arguments.files
    );
    let stamp = arguments.output.join("_COMPLETE");
    let wanted = format!("tpchgen sf={} files={}\n", arguments.scale_factor, arguments.files);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(ExitCode::SUCCESS);
    }
    generate(&arguments)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn generate(arguments: &Arguments) -> anyhow::Result<()> {
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
