"""Runs the queries of TPC-DS and compares with the stored answers of Apache Spark.

    check.py DATA QUERIES ANSWERS [NAME…]     (under spark-submit)

A query's LIMIT may cut rows apart that its ORDER BY holds for equal, so each query is also run without it: that answer is
compared whole, in any order; with the LIMIT its rows must be among those, and as many as there should be.
"""

import collections
import hashlib
import json
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))
from tpch import text_of  # noqa: E402

TABLES = """call_center catalog_page catalog_returns catalog_sales customer customer_address customer_demographics date_dim
household_demographics income_band inventory item promotion reason ship_mode store store_returns store_sales time_dim
warehouse web_page web_returns web_sales web_site""".split()
LIMIT = re.compile(r"\blimit\s+(\d+)\s*$", re.IGNORECASE)
# Rows of an answer that are stored for people to look at.
SHOWN = 20


def register(spark, data):
    for table in TABLES:
        spark.read.parquet(f"{data}/{table}").createOrReplaceTempView(table)


def canonical(row):
    """The row as texts, doubles to nine digits: their sums depend on the order of the terms."""
    return tuple(f"{value:.9g}" if isinstance(value, float) else text_of(value) for value in row)


def answer(spark, text):
    """What is stored of a query, and its rows."""
    whole = LIMIT.sub("", text)
    frame = spark.sql(whole)
    rows = sorted((canonical(row) for row in frame.collect()), key=lambda row: [(v is None, v or "") for v in row])
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    schema = [[field.name, field.dataType.simpleString()] for field in frame.schema]
    return {"schema": schema, "count": len(rows), "digest": digest, "first": [list(row) for row in rows[:SHOWN]]}, rows


def differences(found, expected):
    for part in ("schema", "count", "first", "digest"):
        if found[part] != expected[part]:
            if part in ("schema", "first"):
                pairs = zip(found[part], expected[part])
                return next((f"{part}: {f} instead of {e}" for f, e in pairs if f != e), f"{part}: too short or too long")
            return f"{part}: {found[part]} instead of {expected[part]}"
    return None


def check(spark, text, expected):
    found, rows = answer(spark, text)
    problem = differences(found, expected)
    limit = LIMIT.search(text)
    if problem or not limit:
        return problem
    limited = collections.Counter(canonical(row) for row in spark.sql(text).collect())
    if limited.total() != min(int(limit[1]), len(rows)):
        return f"{limited.total()} rows with the LIMIT, of {len(rows)}"
    strange = limited - collections.Counter(rows)
    return f"with the LIMIT: {next(iter(strange))}" if strange else None


def main():
    from pyspark.sql import SparkSession

    data, queries, answers = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    names = sys.argv[4:] or sorted(path.stem for path in queries.glob("q*.sql"))
    spark = SparkSession.builder.appName("TPC-DS").getOrCreate()
    register(spark, data)
    right = 0
    for name in names:
        started = time.monotonic()
        try:
            expected = json.loads((answers / f"{name}.json").read_text())
            problem = check(spark, (queries / f"{name}.sql").read_text(), expected)
        except Exception as error:  # noqa: BLE001 - all queries are tried
            problem = str(error).split("\n\n")[0].replace("\n", " ")[:600]
        right += problem is None
        print(f"{name}: {problem or 'right'} ({time.monotonic() - started:.2f} s)", file=sys.stderr if problem is None else sys.stdout)
    print(f"{right} of {len(names)} answers are right")
    spark.stop()
    sys.exit(right != len(names))


if __name__ == "__main__":
    main()
