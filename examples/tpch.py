"""Runs the queries of TPC-H and prints their results and times.

    bin/spark-submit --master MASTER examples/tpch.py DATA [QUERY…] [--check ANSWERS]

DATA holds one folder of Parquet files for each table, as `ferrospark tpch-data` writes them. Queries are numbers; all
22 without any. With --check the results are compared with stored answers of Apache Spark: names and types of the
columns, values, and the order of the rows where the query settles it; a difference makes the exit code 1.
"""

import argparse
import datetime
import decimal
import json
import math
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
QUERIES = Path(__file__).resolve().parent / "tpch"
SHOWN_ROWS = 20
# Sums of doubles depend on the order in which partitions arrive.
DOUBLE_TOLERANCE = 1e-12


def text_of(value):
    """A value as the stored answers write it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    return str(value)


def same(found, expected, type_name):
    if found == expected:
        return True
    if found is None or expected is None or type_name not in ("double", "float"):
        return False
    return math.isclose(float(found), float(expected), rel_tol=DOUBLE_TOLERANCE)


def sort_key(row):
    return [(value is None, value or "") for value in row]


def differences(answer, schema, rows):
    """What is wrong with a result, as sentences; empty when it is right."""
    if schema != answer["schema"]:
        return [f"columns are {schema}, expected {answer['schema']}"]
    expected = answer["rows"]
    if len(rows) != len(expected):
        return [f"{len(rows)} rows, expected {len(expected)}"]
    if not answer["ordered"]:
        rows, expected = sorted(rows, key=sort_key), sorted(expected, key=sort_key)
    types = [column["type"] for column in schema]
    wrong = [
        f"row {number} is {found}, expected {wanted}"
        for number, (found, wanted) in enumerate(zip(rows, expected), 1)
        if not all(map(same, found, wanted, types))
    ]
    return wrong[:3] + ([f"… and {len(wrong) - 3} more"] if len(wrong) > 3 else [])


def print_table(columns, rows):
    """Prints rows as DataFrame.show does."""
    texts = [["NULL" if value is None else str(value) for value in row] for row in rows[:SHOWN_ROWS]]
    cut = [[text if len(text) <= 20 else text[:17] + "..." for text in row] for row in texts]
    widths = [max([3, len(name)] + [len(row[i]) for row in cut]) for i, name in enumerate(columns)]
    line = "+" + "+".join("-" * width for width in widths) + "+"
    print(line)
    print("|" + "|".join(name.rjust(width) for name, width in zip(columns, widths)) + "|")
    print(line)
    for row in cut:
        print("|" + "|".join(text.rjust(width) for text, width in zip(row, widths)) + "|")
    print(line)
    if len(rows) > SHOWN_ROWS:
        print(f"only showing top {SHOWN_ROWS} rows")
    else:
        print()


def query_number(text):
    # `choices` refuses the empty list that stands for all queries.
    number = int(text)
    if not 1 <= number <= 22:
        raise argparse.ArgumentTypeError(f"{number} is no query; expected 1 to 22")
    return number


def arguments():
    parser = argparse.ArgumentParser(description="Runs the queries of TPC-H.")
    parser.add_argument("data", help="directory with one folder of Parquet files for each table")
    parser.add_argument("queries", nargs="*", type=query_number, metavar="QUERY")
    parser.add_argument("--check", type=Path, metavar="ANSWERS", help="directory of stored answers")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    spark = SparkSession.builder.appName("tpch").getOrCreate()
    for table in TABLES:
        spark.read.parquet(f"{options.data}/{table}").createOrReplaceTempView(table)
    times, wrong = [], {}
    for number in options.queries or range(1, 23):
        name = f"q{number:02}"
        print(f"== {name}", flush=True)
        started = time.monotonic()
        frame = spark.sql((QUERIES / f"{name}.sql").read_text())
        if options.check:
            rows = frame.collect()
            elapsed = time.monotonic() - started
            print_table(frame.columns, rows)
            answer = json.loads((options.check / f"{name}.json").read_text())
            schema = [{"name": field.name, "type": field.dataType.simpleString()} for field in frame.schema]
            found = differences(answer, schema, [[text_of(value) for value in row] for row in rows])
            if found:
                wrong[name] = found
                print("\n".join(f"{name} differs: {text}" for text in found), file=sys.stderr)
        else:
            frame.show(SHOWN_ROWS)
            elapsed = time.monotonic() - started
        times.append((name, elapsed))
        print(f"{name} {elapsed:.2f} s", file=sys.stderr, flush=True)
    total = sum(elapsed for _, elapsed in times)
    print(f"{len(times)} queries in {total:.2f} s", file=sys.stderr)
    if options.check:
        print(f"{len(times) - len(wrong)} of {len(times)} answers are right")
    spark.stop()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
