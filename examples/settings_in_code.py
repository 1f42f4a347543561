"""Sets master, cores and memory in the program, which wins over the command line and the defaults.

    bin/spark-submit examples/settings_in_code.py [MASTER]

The master may also come from the environment variable MASTER.
"""

import os
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def main() -> None:
    master = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MASTER", "local[2]")
    spark = (
        SparkSession.builder.master(master)
        .appName("settings in code")
        .config("spark.cores.max", "2")
        .config("spark.executor.memory", "640m")
        .config("spark.sql.shuffle.partitions", "6")
        .getOrCreate()
    )
    started = time.monotonic()
    for key in ["spark.app.name", "spark.cores.max", "spark.executor.memory", "spark.sql.shuffle.partitions"]:
        print(key, "=", spark.conf.get(key))
    numbers = spark.range(0, 10_000, 1, 4).withColumn("bucket", F.col("id") % 7)
    numbers.groupBy("bucket").agg(F.count("*").alias("n"), F.sum("id").alias("sum")).orderBy("bucket").show()
    print(f"{time.monotonic() - started:.2f} s", file=sys.stderr)
    # A program may be asked to stay, so that its framework can be looked at.
    time.sleep(float(os.environ.get("LINGER_SECONDS", "0")))
    spark.stop()


if __name__ == "__main__":
    main()
