"""Counts words of text files.

    bin/spark-submit --master MASTER examples/wordcount.py [PATH]
"""

import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

DATA = Path(__file__).resolve().parent / "data" / "words"


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else str(DATA)
    spark = SparkSession.builder.appName("wordcount").getOrCreate()
    started = time.monotonic()
    words = (
        spark.read.text(path)
        .select(F.explode(F.split(F.lower("value"), r"[^a-z']+")).alias("word"))
        .where(F.col("word") != "")
    )
    counts = words.groupBy("word").count().orderBy(F.desc("count"), "word")
    counts.show(15)
    by_length = (
        counts.groupBy(F.length("word").alias("length"))
        .agg(F.count("*").alias("words"), F.sum("count").alias("uses"), F.min("word").alias("first"))
        .orderBy("length")
    )
    by_length.show()
    total = words.count()
    print(f"{total} words, {counts.count()} different ones")
    print(f"{time.monotonic() - started:.2f} s", file=sys.stderr)
    spark.stop()


if __name__ == "__main__":
    main()
