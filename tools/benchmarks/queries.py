"""Runs TPC-H in one engine, round by round as told on standard input; a JSON line of seconds per query each round.

    queries.py spark DATA        (under spark-submit)
    queries.py datafusion DATA   (with PyPI's datafusion)
"""

import json
import sys
import time
from pathlib import Path

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
QUERIES = Path(__file__).resolve().parents[2] / "examples" / "tpch"


def spark(data):
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("bench").getOrCreate()
    for table in TABLES:
        session.read.parquet(f"{data}/{table}").createOrReplaceTempView(table)
    return lambda text: session.sql(text).toArrow()


def datafusion(data):
    from datafusion import SessionConfig, SessionContext

    context = SessionContext(SessionConfig().with_target_partitions(2))
    for table in TABLES:
        context.register_parquet(table, f"{data}/{table}/")
    return lambda text: context.sql(text).to_arrow_table()


def main():
    run = {"spark": spark, "datafusion": datafusion}[sys.argv[1]](sys.argv[2])
    texts = [(path.stem, path.read_text()) for path in sorted(QUERIES.glob("q*.sql"))]
    print("ready", flush=True)
    for _ in sys.stdin:
        times = {}
        for name, text in texts:
            started = time.monotonic()
            run(text)
            times[name] = time.monotonic() - started
        print(json.dumps(times), flush=True)


main()
