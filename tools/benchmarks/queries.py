"""Runs queries in one engine, round by round as told on standard input; a JSON line of seconds per query each round.

    queries.py spark DATA [SUITE]        (under spark-submit, or with SPARK_REMOTE)
    queries.py datafusion DATA [SUITE]   (with PyPI's datafusion)

Suites: tpch (the default), and large: the tables of large.py, grouped, joined and sorted.
"""

import json
import sys
import time
from pathlib import Path

LARGE = {
    "group": "select count(*), sum(s) from (select k % 1000000 g, sum(v) s from big_left group by 1)",
    "join": "select count(*), sum(v + w) from big_left join big_right on big_left.k = big_right.k",
    "sort": "select v from big_left order by v",
}
TPCH = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
QUERIES = Path(__file__).resolve().parents[2] / "examples" / "tpch"


def spark(data, tables):
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("bench").getOrCreate()
    for table in tables:
        session.read.parquet(f"{data}/{table}").createOrReplaceTempView(table)
    return lambda text: session.sql(text).toArrow()


def datafusion(data, tables):
    from datafusion import SessionConfig, SessionContext

    context = SessionContext(SessionConfig().with_target_partitions(2))
    for table in tables:
        context.register_parquet(table, f"{data}/{table}/")
    return lambda text: context.sql(text).to_arrow_table()


def main():
    if sys.argv[3:] == ["large"]:
        tables, texts = ["big_left", "big_right"], LARGE.items()
    else:
        tables = TPCH
        texts = [(path.stem, path.read_text()) for path in sorted(QUERIES.glob("q*.sql"))]
    run = {"spark": spark, "datafusion": datafusion}[sys.argv[1]](sys.argv[2], tables)
    print("ready", flush=True)
    for _ in sys.stdin:
        times = {}
        for name, text in texts:
            started = time.monotonic()
            run(text)
            times[name] = time.monotonic() - started
        print(json.dumps(times), flush=True)


main()
