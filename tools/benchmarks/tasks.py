"""What a task costs, and a small query: one engine, told by SPARK_REMOTE or by spark-submit around it.

    tasks.py NAME [PART…]

Parts: maps (10,000 map tasks), reduces (10,000 reduce tasks), square (100 x 100), small (a query that executes), request
(the same without PySpark's own work, over the bare connection); all when none is named. One JSON line per figure.
"""

import json
import os
import sys
import time

from pyspark.sql import SparkSession

from run import cpu_seconds

TASKS = 10_000
ROUNDS = int(os.environ.get("ROUNDS", "5"))
QUERIES = 300


def busy_seconds():
    """Processor seconds of the program that runs this script and of what it started: driver, agents, executors."""
    return cpu_seconds(os.getppid())


def say(name, value, unit, **more):
    print(json.dumps({"figure": name, "value": round(value, 4), "unit": unit, "load": os.getloadavg()[0], **more}), flush=True)


def per_task(engine, name, query, tasks):
    expected = query()
    times, cpu = [], []
    for _ in range(ROUNDS):
        before, started = busy_seconds(), time.monotonic()
        assert query() == expected
        times.append(time.monotonic() - started)
        cpu.append(busy_seconds() - before)
    say(
        f"one of {tasks} {name}, end to end, {engine}", min(times) / tasks * 1000, "ms",
        limit=0.3, cpu_ms=round(min(cpu) / tasks * 1000, 4),
    )


def maps(spark, engine):
    frame = spark.range(0, 1_000_000, 1, TASKS).selectExpr("sum(hash(id))")
    per_task(engine, "map tasks", lambda: frame.collect()[0][0], TASKS)


def grouped(spark, maps, reduces):
    spark.conf.set("spark.sql.shuffle.partitions", reduces)
    spark.conf.set("spark.sql.adaptive.coalescePartitions.enabled", "false")
    groups = spark.range(0, 200_000, 1, maps).selectExpr("hash(id) % 100000 k").groupBy("k").count()
    frame = groups.selectExpr("sum(hash(k) * count)")
    return lambda: frame.collect()[0][0]


def reduces(spark, engine):
    per_task(engine, "reduce tasks", grouped(spark, 2, TASKS), TASKS)


def square(spark, engine):
    per_task(engine, "map and reduce tasks with 40,000 blocks", grouped(spark, 200, 200), 400)


def latencies(engine, name, query, **limits):
    for _ in range(30):
        query()
    times, before = [], busy_seconds()
    for _ in range(QUERIES):
        started = time.monotonic()
        query()
        times.append((time.monotonic() - started) * 1000)
    cpu_ms = round((busy_seconds() - before) / QUERIES * 1000, 3)
    times.sort()
    say(f"{name}, p50, {engine}", times[len(times) // 2], "ms", cpu_ms=cpu_ms, **({"limit": limits["p50"]} if limits else {}))
    say(f"{name}, p99, {engine}", times[len(times) * 99 // 100], "ms", **({"limit": limits["p99"]} if limits else {}))


def small(spark, engine):
    frame = spark.range(0, 1000, 1, 1).selectExpr("sum(hash(id))")
    latencies(engine, "small query through PySpark", frame.collect)


def request(spark, engine):
    frame = spark.range(0, 1000, 1, 1).selectExpr("sum(hash(id))")
    client = spark.client
    made = client._execute_plan_request_with_metadata()
    made.plan.CopyFrom(frame._plan.to_proto(client))
    stub, metadata = client._stub, client._builder.metadata()

    def query():
        batches = sum(answer.HasField("arrow_batch") for answer in stub.ExecutePlan(made, metadata=metadata))
        assert batches == 1, batches

    latencies(engine, "small query as bare requests", query, p50=5, p99=20)


def main():
    spark = SparkSession.builder.appName("tasks").getOrCreate()
    parts = {"maps": maps, "reduces": reduces, "square": square, "small": small, "request": request}
    for part in sys.argv[2:] or parts:
        parts[part](spark, sys.argv[1])


main()
