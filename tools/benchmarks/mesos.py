"""Figures of the Mesos backend, on our own cluster and on genuine Apache Mesos: what a task costs in fine- and in
coarse-grained mode, and how soon an executor is there.

    mesos.py [ours] [genuine]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import KINDS, cpu_seconds, submit  # noqa: E402

TASKS = 2000
# Two slots beside the fine-grained executor.
AGENT = "--resources=cpus:3;mem:4096;disk:4096;ports:[31000-31999]"
LIMITS = {"ours": {"fine": 3.0, "first": 300}, "genuine": {"fine": 10.0, "first": 1000}}

TASK_COST = """
import json, os, sys, time
from pyspark.sql import SparkSession
tasks = int(sys.argv[1])
spark = SparkSession.builder.getOrCreate()
spark.range(0, 20, 1, 20).filter("id < 0").collect()
best = None
for _ in range(3):
    started = time.monotonic()
    spark.range(0, tasks, 1, tasks).filter("id < 0").collect()
    best = min(best or 1e9, time.monotonic() - started)
# Tasks of about 100 ms: as many rows as take so long.
def busy(tasks, rows):
    started = time.monotonic()
    spark.range(0, tasks * rows, 1, tasks).selectExpr("max(sha2(cast(id as string), 256))").collect()
    return time.monotonic() - started
rows = int(sys.argv[2])
if not rows:
    rows = 20000
    rows = int(rows * 0.1 / max(busy(8, rows) / 4, 1e-3))
print(json.dumps({"empty": best, "busy": min(busy(40, rows) for _ in range(2)), "rows": rows}), flush=True)
"""


def say(name, value, unit, **more):
    line = {"figure": name, "value": round(value, 3), "unit": unit, "load": os.getloadavg()[0], **more}
    print(json.dumps(line), flush=True)


COMMON = [
    "spark.ferrospark.localExecution.enabled=false", "spark.executor.memory=1g", "spark.ui.showConsoleProgress=false",
    "spark.ui.port=0", "spark.sql.adaptive.enabled=false",
]
MODES = {
    "coarse": ["spark.cores.max=2", "spark.executor.cores=2"],
    "fine": ["spark.mesos.coarse=false", "spark.cores.max=3"],
}


def task_cost(cluster, script):
    found, rows = {}, 0
    for mode, settings in MODES.items():
        before = cpu_seconds(cluster.pid("master"))
        process = submit(cluster, COMMON + settings, script, str(TASKS), str(rows), stdout=subprocess.PIPE)
        out = process.communicate()[0]
        assert process.returncode == 0, f"{mode} failed"
        found[mode] = json.loads(out.splitlines()[-1])
        rows = found[mode]["rows"]
        found[mode]["master_cpu"] = cpu_seconds(cluster.pid("master")) - before
    fine, coarse = found["fine"], found["coarse"]
    say(
        f"fine-grained cost of an empty task, two slots, {cluster.name}", fine["empty"] * 1000 / TASKS, "ms",
        coarse=round(coarse["empty"] * 1000 / TASKS, 3), limit=LIMITS[cluster.name]["fine"], tasks=TASKS,
        cpu_seconds=round(fine["master_cpu"], 2),
    )
    say(
        f"fine- over coarse-grained with tasks of 100 ms, {cluster.name}", fine["busy"] / coarse["busy"], "ratio",
        limit=1.1, seconds=round(fine["busy"], 2),
    )


def first_executor(cluster, folder):
    """From the start of spark-submit to the driver's word that an executor has registered."""
    statements = Path(folder) / "first.sql"
    statements.write_text("select count(*) from range(0, 10, 1, 2);\n")
    times = []
    for _ in range(5):
        started = time.monotonic()
        process = submit(
            cluster, COMMON + MODES["coarse"], str(statements), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, "FERROSPARK_LOG": "warn,spark_exec=info"},
        )
        for line in process.stderr:
            if "executor registered" in line:
                times.append((time.monotonic() - started) * 1000)
                break
        process.stderr.read()
        assert process.wait() == 0
    say(
        f"spark-submit to first executor, coarse-grained, best of five, {cluster.name}", min(times), "ms",
        limit=LIMITS[cluster.name]["first"], all=[round(t) for t in times],
    )


def main():
    kinds = sys.argv[1:] or ["ours", "genuine"]
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "cost.py"
            script.write_text(TASK_COST)
            cluster = KINDS[kind](folder, [[AGENT]])
            try:
                first_executor(cluster, folder)
                task_cost(cluster, str(script))
            finally:
                cluster.stop()


main()
