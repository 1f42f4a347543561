"""An application that asks one query of a cluster and says whether the answer is right, for the runs of this folder."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import end, output, submit, wait_for  # noqa: E402

COMMON = [
    "spark.ferrospark.localExecution.enabled=false", "spark.executor.memory=1g", "spark.ui.showConsoleProgress=false",
    "spark.ui.port=0", "spark.ferrospark.waitingReport.delay=1s", "spark.sql.shuffle.partitions=40",
]
MODES = {
    # Offers of the agents may come one after the other, and the first could take both executors.
    "coarse": ["spark.cores.max=2", "spark.executor.cores=1", "spark.ferrospark.mesos.maxExecutorsPerAgent=1"],
    "fine": ["spark.mesos.coarse=false", "spark.cores.max=6"],
}
# Says when it has begun, and whether the answer is right.
QUERY = """
import sys, time
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
parts, rows = int(sys.argv[1]), int(sys.argv[2])
def ask(rows):
    df = spark.range(0, rows, 1, parts).withColumn("k", F.col("id") * 2654435761 % 100003)
    grouped = df.groupBy("k").agg(F.count("*").alias("n"), F.sum("id").alias("s"))
    return tuple(grouped.groupBy((F.col("k") % 10).alias("d")).agg(F.sum("n").alias("n"), F.sum("s").alias("s"))
                 .agg(F.sum("n"), F.sum("s"), F.count("*")).collect()[0])
print("begun", flush=True)
right = ask(rows) == (rows, rows * (rows - 1) // 2, 10)
print("right" if right else "wrong", flush=True)
time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0)
"""
SMALL, LARGE = ("8", "100000"), ("200", "40000000")


class Application:
    """One run of the query."""

    all = []

    def __init__(self, cluster, mode, folder, size=SMALL, settings=(), linger=0, environment=None, master=None, script=None):
        self.cluster = cluster
        query = Path(folder) / "query.py"
        query.write_text(QUERY)
        self.said = open(Path(folder) / f"said-{time.monotonic_ns()}", "w+")
        self.process = submit(
            cluster, [*COMMON, *MODES[mode], *settings], *(script or [query, *size, linger]),
            stdout=subprocess.PIPE, stderr=self.said, env=environment, master=master,
        )
        self.all.append(self)

    def line(self, wanted, limit=180):
        """Waits for a line on standard output."""
        found = []
        reader = threading.Thread(target=lambda: found.append(self.process.stdout.readline()), daemon=True)
        reader.start()
        try:
            wait_for("a line", lambda: not reader.is_alive(), limit)
        except AssertionError:
            pass  # told below
        if not (found and found[0].strip() == wanted):
            raise AssertionError(f"expected {wanted!r}, not {found}; {self.story()}")

    def errors(self):
        self.said.flush()
        return Path(self.said.name).read_text()

    def framework(self):
        return wait_for("the framework", lambda: next(iter(self.cluster.frameworks()), None))

    def holding(self, count):
        """Waits until it holds so many executors; answers where they are."""
        def agents():
            framework = next(iter(self.cluster.frameworks()), {})
            key = "executors" if framework.get("executors") else "tasks"
            held = {one["slave_id"] for one in framework.get(key, []) if one.get("state", "TASK_RUNNING") == "TASK_RUNNING"}
            return sorted(held) if len(held) >= count else None
        return wait_for(f"executors on {count} agents", agents)

    def story(self):
        """How it stands, and what it said: an application that ended without a word is to be told from one that waits."""
        try:
            code = self.process.wait(2)
        except subprocess.TimeoutExpired:
            code = "none yet"
        return f"exit code {code}, it said {self.errors()[-1500:]!r}"

    def end(self, limit=180):
        try:
            out = output(self.process, limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {limit} s; {self.story()}") from None
        return self.process.returncode, out

    def answer(self, limit=180):
        """Waits for its end, which must be that of a right answer; gives what it printed."""
        code, out = self.end(limit)
        assert code == 0 and "right" in out.split(), f"it printed {out[-500:]!r}; {self.story()}"
        return out

    def stop(self):
        return end(self.process)


def executors_of(framework):
    """Processes of our program that serve this application."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            exe = os.readlink(process / "exe")
        except OSError:
            continue
        if process.name.isdigit() and framework.encode() in words and exe.endswith("ferrospark"):
            found.append(int(process.name))
    return found
