"""A job with a wide and a narrow phase under dynamic allocation, on our cluster and on genuine Mesos.

    elastic.py [ours,genuine]

Prints, per cluster, the executors over time as the master shows them: [seconds, executors]. The application must grow to
its cap in the wide phase, shrink to its minimum in the narrow one, and answer right.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import KINDS, PROGRAM, free_port, submit, wait_for  # noqa: E402

CAP = 4
QUERY = '''
import time
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
rows = 60_000_000
def wide():
    keyed = spark.range(0, rows, 1, 200).withColumn("k", F.col("id") * 2654435761 % 1000003)
    grouped = keyed.groupBy("k").agg(F.sum("id").alias("s"), F.count("*").alias("n"))
    return tuple(grouped.agg(F.sum("s"), F.sum("n")).collect()[0]) == (rows * (rows - 1) // 2, rows)
def narrow():
    # One long task at a time.
    return spark.range(0, 400_000_000, 1, 1).agg(F.max(F.col("id") * 7919 % 1000003)).collect()[0][0] == 1000002
print("wide", flush=True)
good = wide()
print("narrow", flush=True)
until = time.monotonic() + 14
while time.monotonic() < until:
    good = narrow() and good
print("wide", flush=True)
good = wide() and good
print("right" if good else "wrong", flush=True)
'''


def run(kind):
    with tempfile.TemporaryDirectory(prefix="ferrospark-elastic-", ignore_cleanup_errors=True) as folder:
        agents = [[f"--resources=cpus:2;mem:3072;disk:4096;ports:[{31000 + n * 1000}-{31999 + n * 1000}]"] for n in range(2)]
        cluster = KINDS[kind](folder, agents)
        port, service, series, marks, out = free_port(), None, [], [], []
        try:
            ready, local = Path(folder) / "service.ready", Path(folder) / "local"
            local.mkdir()
            with open(Path(folder) / "service.log", "a") as log:
                service = subprocess.Popen(
                    [PROGRAM, "shuffle-service", "--master", cluster.url, "--host", "127.0.0.1", "--port", str(port),
                     "--state-dir", f"{folder}/state"],
                    env={**os.environ, "FERROSPARK_READY_FILE": str(ready)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_for("the shuffle service", ready.exists)
            script = Path(folder) / "query.py"
            script.write_text(QUERY)
            settings = [
                "spark.dynamicAllocation.enabled=true", "spark.dynamicAllocation.minExecutors=1",
                f"spark.dynamicAllocation.maxExecutors={CAP}", "spark.dynamicAllocation.executorIdleTimeout=2s",
                "spark.executor.cores=1", "spark.executor.memory=512m", "spark.shuffle.service.enabled=true",
                f"spark.shuffle.service.port={port}", f"spark.local.dir={local}", "spark.ui.enabled=false",
                "spark.ferrospark.localExecution.enabled=false", "spark.sql.shuffle.partitions=64",
                "spark.sql.adaptive.coalescePartitions.enabled=false"]
            process = submit(cluster, settings, script, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            started = time.monotonic()

            def read():
                for line in process.stdout:
                    marks.append([round(time.monotonic() - started, 1), line.strip()])
            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            errors = threading.Thread(target=lambda: out.append(process.stderr.read()), daemon=True)
            errors.start()
            while process.poll() is None:
                tasks = [t for f in cluster.frameworks() for t in f.get("tasks", []) if t["state"] == "TASK_RUNNING"]
                if not series or series[-1][1] != len(tasks):
                    series.append([round(time.monotonic() - started, 1), len(tasks)])
                time.sleep(0.1)
            reader.join(5)
            errors.join(5)
        finally:
            if service:
                service.terminate()
                service.wait()
            cluster.stop()
        at = [mark[0] for mark in marks]
        right = [mark[1] for mark in marks] == ["wide", "narrow", "wide", "right"]
        phases = {}
        if right:
            # What an executor count was at a phase's end, or its most within.
            within = lambda low, high: [count for second, count in series if low <= second < high] or [0]  # noqa: E731
            phases = {"wide_most": max(within(at[0], at[1])), "narrow_last": within(0, at[2])[-1], "wide_again_most": max(within(at[2], at[3]))}
        good = right and phases == {"wide_most": CAP, "narrow_last": 1, "wide_again_most": CAP}
        left = [str(path) for path in local.glob("spark-*")] if local.exists() else []
        return {"cluster": kind, "right": right, "elastic": good, **phases, "phases": marks, "executors": series, "left": left,
                **({} if good else {"why": "".join(out)[-1500:]})}


def main():
    kinds = sys.argv[1].split(",") if len(sys.argv) > 1 else ["ours", "genuine"]
    results = [run(kind) for kind in kinds]
    print(json.dumps({"suite": "elastic", "right": all(r["elastic"] for r in results), "runs": results}), flush=True)
    sys.exit(0 if all(r["elastic"] for r in results) else 1)


main()
