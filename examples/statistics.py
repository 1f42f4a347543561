"""Statistics beside the rows: observed metrics, quantiles, stratified samples, and the files that rows come from."""

import tempfile

from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as F

spark = SparkSession.builder.appName("statistics").getOrCreate()
numbers = spark.range(0, 1000, 1, 3).select(
    "id", (F.col("id") % 7).alias("k"), F.when(F.col("id") % 10 != 0, F.col("id") * 1.5).alias("v")
)

observation = Observation("seen")
seen = numbers.filter("k < 5").observe(
    observation, F.count(F.lit(1)).alias("rows"), F.sum("v").alias("sum"), F.max("k").alias("largest")
)
print("rows above:", seen.filter("id % 2 = 0").count())
print("observed:", sorted(observation.get.items()))

print("quantiles:", numbers.approxQuantile("v", [0.0, 0.25, 0.5, 1.0], 0.0))
print("of several:", numbers.approxQuantile(["id", "k"], [0.1, 0.9], 0.0))
print("sample:", numbers.sampleBy("k", {0: 0.5, 3: 1.0}, seed=11).groupBy("k").count().orderBy("k").collect())

with tempfile.TemporaryDirectory() as folder:
    numbers.write.partitionBy("k").parquet(f"{folder}/numbers")
    read = spark.read.parquet(f"{folder}/numbers")
    named = read.select("k", F.regexp_extract(F.input_file_name(), "k=([0-9]+)/part-[^/]*parquet$", 1).alias("of"))
    print("from their own files:", named.filter("k = of").count())
    files = read.groupBy(F.input_file_name().alias("file")).count()
    print("files:", files.select(F.sum("count")).first()[0], files.filter("file like 'file:///%'").count() >= 7)
    print("after a shuffle:", read.groupBy("k").count().select(F.input_file_name()).distinct().collect())

spark.stop()
