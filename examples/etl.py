"""Reads CSV, joins, ranks, writes partitioned Parquet and reads it back.

    bin/spark-submit --master MASTER examples/etl.py [OUTPUT [INPUT]]
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

DATA = Path(__file__).resolve().parent / "data"


def read(spark: SparkSession, data: Path):
    customers = (
        spark.read.option("header", True)
        .schema("customer_id INT, name STRING, region STRING, since DATE")
        .csv(str(data / "customers.csv"))
    )
    orders = (
        spark.read.option("header", True)
        .option("inferSchema", True)
        .option("escape", '"')
        .csv(str(data / "orders.csv"))
    )
    return customers, orders


def enrich(customers, orders):
    amount = (F.col("quantity") * F.col("price").cast("decimal(8,2)")).cast("decimal(12,2)")
    by_day = Window.partitionBy("region").orderBy("ordered", "order_id")
    return (
        orders.join(customers, "customer_id", "left")
        .na.drop(subset=["quantity"])
        .na.fill({"region": "unknown"})
        .withColumn("amount", amount)
        .withColumn("running", F.sum("amount").over(by_day))
        .withColumn("place", F.rank().over(Window.partitionBy("region").orderBy(F.desc("amount"))))
        .withColumn("month", F.date_format("ordered", "yyyy-MM"))
    )


def main() -> None:
    scratch = None if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="etl-")
    output = scratch or sys.argv[1]
    data = Path(sys.argv[2]) if len(sys.argv) > 2 else DATA
    spark = SparkSession.builder.appName("etl").getOrCreate()
    started = time.monotonic()
    customers, orders = read(spark, data)
    orders.printSchema()
    enriched = enrich(customers, orders)
    enriched.write.mode("overwrite").partitionBy("region").parquet(output)

    back = spark.read.parquet(output)
    back.printSchema()
    regions = [row.region for row in back.select("region").distinct().orderBy("region").collect()]
    print(f"{back.count()} orders in regions {regions}")
    (
        back.groupBy("region")
        .agg(
            F.count("*").alias("orders"),
            F.countDistinct("customer_id").alias("customers"),
            F.sum("amount").alias("amount"),
            F.max("running").alias("running"),
            F.round(F.avg("quantity"), 3).alias("quantity"),
        )
        .orderBy("region")
        .show()
    )
    (
        back.where("place <= 3")
        .select("region", "place", "order_id", "name", "item", "amount", "note")
        .orderBy("region", "place", "order_id")
        .show(30, truncate=False)
    )
    # No order is from the east: its column holds nulls.
    columns = ["east", "north", "south", "unknown", "west"]
    back.groupBy("month").pivot("region", columns).sum("amount").orderBy("month").show()
    print(f"{time.monotonic() - started:.2f} s", file=sys.stderr)
    spark.stop()
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
