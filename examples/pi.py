"""Estimates pi by counting points of a quarter circle.

    bin/spark-submit --master MASTER examples/pi.py [PARTITIONS]

The points follow a fixed sequence rather than a random one, so that every run prints the same.
"""

import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

POINTS_PER_PARTITION = 100_000


def main() -> None:
    partitions = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    spark = SparkSession.builder.appName("pi").getOrCreate()
    started = time.monotonic()
    points = partitions * POINTS_PER_PARTITION
    inside = (
        spark.range(0, points, 1, partitions)
        .select(
            (F.col("id") * 0.7548776662466927 % 1.0).alias("x"),
            (F.col("id") * 0.5698402909980532 % 1.0).alias("y"),
        )
        .where("x * x + y * y <= 1")
        .count()
    )
    print(f"{inside} of {points} points lie inside")
    print(f"Pi is roughly {4 * inside / points:.5f}")
    print(f"{time.monotonic() - started:.2f} s", file=sys.stderr)
    spark.stop()


if __name__ == "__main__":
    main()
