"""Figures of the Mesos backend, on our own cluster and on genuine Apache Mesos: what a task costs in fine- and in
coarse-grained mode, and how soon an executor is there.

    mesos.py [ours] [genuine]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import KINDS, cpu_seconds, submit  # noqa: E402

TASKS = 2000
# Tasks of 100 ms in a round, and rounds of each mode, in turn: a breath of a busy machine hits both.
BUSY_TASKS, BUSY_ROUNDS = 40, 8
# Two slots beside the fine-grained executor; each mode has an agent of its own.
AGENTS = [
    [f"--resources=cpus:3;mem:4096;disk:4096;ports:[{first}-{first + 999}]", f"--attributes=mode:{mode}"]
    for mode, first in (("coarse", 31000), ("fine", 32000))
]
LIMITS = {"ours": {"fine": 3.0, "first": 300}, "genuine": {"fine": 10.0, "first": 1000}}

# Does what lines of standard input say, and answers each with the seconds it took.
TASK_COST = """
import sys, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
def empty(tasks):
    spark.range(0, tasks, 1, tasks).filter("id < 0").collect()
# As many rows as keep a task busy.
def busy(tasks, rows):
    spark.range(0, tasks * rows, 1, tasks).selectExpr("max(sha2(cast(id as string), 256))").collect()
empty(20)
print("ready", flush=True)
for line in sys.stdin:
    name, *numbers = line.split()
    started = time.monotonic()
    {"empty": empty, "busy": busy}[name](*map(int, numbers))
    print(time.monotonic() - started, flush=True)
"""


def say(name, value, unit, **more):
    line = {"figure": name, "value": round(value, 3), "unit": unit, "load": os.getloadavg()[0], **more}
    print(json.dumps(line), flush=True)


COMMON = [
    "spark.ferrospark.localExecution.enabled=false", "spark.executor.memory=1g", "spark.ui.showConsoleProgress=false",
    "spark.ui.port=0", "spark.sql.adaptive.enabled=false",
]
MODES = {
    "coarse": ["spark.cores.max=2", "spark.executor.cores=2", "spark.mesos.constraints=mode:coarse"],
    "fine": [
        "spark.mesos.coarse=false", "spark.cores.max=3", "spark.mesos.constraints=mode:fine",
        "spark.ferrospark.mesos.fine.executorIdleTimeout=600s",
    ],
}


class Application:
    """One that does what it is told."""

    def __init__(self, cluster, settings, script):
        self.process = submit(
            cluster, COMMON + settings, script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        assert self.process.stdout.readline() == "ready\n", "it did not start"

    def do(self, *words):
        """Seconds it took."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait() == 0, "it failed"


def task_cost(cluster, script):
    applications = {mode: Application(cluster, settings, script) for mode, settings in MODES.items()}
    empty, master = {}, {}
    for mode, application in applications.items():
        before = cpu_seconds(cluster.pid("master"))
        empty[mode] = min(application.do("empty", TASKS) for _ in range(3))
        master[mode] = cpu_seconds(cluster.pid("master")) - before
    coarse, fine = applications["coarse"], applications["fine"]
    rows = 50000
    rows = int(rows * 0.1 / (min(coarse.do("busy", 8, rows) for _ in range(5)) / 4))
    fine.do("busy", 8, rows)
    rounds = [(coarse.do("busy", BUSY_TASKS, rows), fine.do("busy", BUSY_TASKS, rows)) for _ in range(BUSY_ROUNDS)]
    for application in applications.values():
        application.stop()
    say(
        f"fine-grained cost of an empty task, two slots, {cluster.name}", empty["fine"] * 1000 / TASKS, "ms",
        coarse=round(empty["coarse"] * 1000 / TASKS, 3), limit=LIMITS[cluster.name]["fine"], tasks=TASKS,
        cpu_seconds=round(master["fine"], 2),
    )
    slow, quick = sum(fine for _, fine in rounds), sum(coarse for coarse, _ in rounds)
    ratios = [fine / coarse for coarse, fine in rounds]
    say(
        f"fine- over coarse-grained with tasks of 100 ms, {cluster.name}", slow / quick, "ratio",
        limit=1.1, median=round(statistics.median(ratios), 3), tasks=BUSY_TASKS * BUSY_ROUNDS,
        task_ms=round(quick * 2000 / BUSY_TASKS / BUSY_ROUNDS, 1), rounds=[round(ratio, 3) for ratio in ratios],
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
            cluster = KINDS[kind](folder, AGENTS)
            try:
                first_executor(cluster, folder)
                task_cost(cluster, str(script))
            finally:
                cluster.stop()


main()
