"""What one line each can show: fair pools, a slow executor, a write under kill -9, a result larger than memory.

    lines.py [fair,slow,write,stream]

One JSON line. The driver, the executors and the clients are real processes.
"""

import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import Ours, submit, wait_for  # noqa: E402

COMMON = ["spark.ferrospark.localExecution.enabled=false", "spark.ui.enabled=false", "spark.sql.shuffle.partitions=24",
          "spark.sql.adaptive.coalescePartitions.enabled=false", "spark.executor.memory=1g"]
AGENTS = [[f"--resources=cpus:{{}};mem:4096;disk:8192;ports:[{31000 + n * 1000}-{31999 + n * 1000}]"] for n in range(2)]


def agents(cpus):
    return [[flag.format(cpus) for flag in flags] for flags in AGENTS]


def executors(framework):
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and framework.encode() in (process / "cmdline").read_bytes().split(b"\0") \
                    and os.path.basename(os.readlink(process / "exe")).startswith("ferrospark"):
                found.append(int(process.name))
        except OSError:
            pass
    return sorted(found)


class Application:
    """A script on a cluster; its lines as they come."""

    def __init__(self, cluster, folder, settings, text, *words):
        script = Path(folder) / "app.py"
        script.write_text(text)
        self.cluster, self.lines = cluster, []
        self.said = open(Path(folder) / "said", "w+")
        self.process = submit(cluster, [*COMMON, *settings], script, *words, stdout=subprocess.PIPE, stderr=self.said)
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def line(self, number):
        wait_for(f"line {number}", lambda: len(self.lines) > number or self.process.poll() is not None, 300)
        assert len(self.lines) > number, self.errors()
        return self.lines[number].split()

    def framework(self):
        return wait_for("the framework", lambda: next(iter(self.cluster.frameworks()), None))["id"]

    def errors(self):
        self.said.flush()
        return Path(self.said.name).read_text()[-2000:]

    def end(self):
        code = self.process.wait(600)
        self.reader.join(10)
        assert code == 0, self.errors()
        return [line.split() for line in self.lines]


FAIR = '''
import threading
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
spark.range(0, 100, 1, 12).count()
url = spark.client._builder.url
done = []
def work(pool, tasks):
    session = SparkSession.builder.remote(f"sc://{url.netloc}/;{url.params}").create()
    session.conf.set("spark.scheduler.pool", pool)
    rows = session.range(0, tasks * 4_000_000, 1, tasks).agg(F.max(F.col("id") * 7919 % 1000003)).collect()
    done.append((pool, rows[0][0]))
threads = [threading.Thread(target=work, args=each) for each in (("double", 240), ("single", 120))]
[t.start() for t in threads]
[t.join() for t in threads]
print("done", sorted(done) == [("double", 1000002), ("single", 1000002)], flush=True)
'''


def fair(folder):
    """Task-seconds of two pools of weights 2 and 1, while both have work."""
    cluster = Ours(folder, agents(3))
    try:
        pools, logs = Path(folder) / "pools.xml", Path(folder) / "events"
        logs.mkdir()
        pools.write_text("<allocations>" + "".join(
            f'<pool name="{name}"><schedulingMode>FIFO</schedulingMode><weight>{weight}</weight><minShare>0</minShare></pool>'
            for name, weight in (("double", 2), ("single", 1))) + "</allocations>")
        application = Application(cluster, folder, [
            "spark.scheduler.mode=FAIR", f"spark.scheduler.allocation.file={pools}", "spark.executor.cores=3",
            "spark.eventLog.enabled=true", f"spark.eventLog.dir={logs}"], FAIR)
        assert application.end() == [["done", "True"]], application.errors()
        stage_pool, tasks = {}, collections.defaultdict(list)
        for line in open(next(iter(logs.iterdir()))):
            event = json.loads(line)
            if event["Event"] == "SparkListenerJobStart":
                pool = event["Properties"].get("spark.scheduler.pool")
                stage_pool |= {stage: pool for stage in event["Stage IDs"] if pool}
            elif event["Event"] == "SparkListenerTaskEnd" and event["Stage ID"] in stage_pool:
                info = event["Task Info"]
                tasks[stage_pool[event["Stage ID"]]].append((info["Launch Time"], info["Finish Time"]))
        low = max(min(start for start, _ in one) for one in tasks.values())
        high = min(max(start for start, _ in one) for one in tasks.values())
        assert set(tasks) == {"double", "single"} and high > low, dict(tasks)
        seconds = {pool: sum(max(0, min(end, high) - max(start, low)) for start, end in one) / 1000 for pool, one in tasks.items()}
        ratio = seconds["double"] / seconds["single"]
        return {"task_seconds": {k: round(v, 1) for k, v in seconds.items()}, "ratio": round(ratio, 2), "right": 1.7 <= ratio <= 2.3}
    finally:
        cluster.stop()


SLOW = '''
import sys, time
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
rows = 60_000_000
spark.range(0, 4, 1, 4).groupBy("id").count().collect()
def ask():
    started = time.monotonic()
    keyed = spark.range(0, rows, 1, 150).withColumn("k", F.col("id") * 2654435761 % 100003)
    grouped = keyed.groupBy("k").agg(F.count("*").alias("n"), F.sum("id").alias("s"))
    assert tuple(grouped.agg(F.sum("n"), F.sum("s")).collect()[0]) == (rows, rows * (rows - 1) // 2)
    return time.monotonic() - started
ask()
# Long enough that the time until a slow task is told to be one does not count.
rows = max(rows, int(rows * 5 / ask()))
print("undisturbed", min(ask(), ask()), flush=True)
import pathlib
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
print("slow", ask(), flush=True)
'''


def slow(folder):
    """One of two executors gets a fifth of its time, in periods of a tenth of a second as by a control group's quota, with
    speculation: then two cores are 1.2, and the best that could be is 1.67 times as long."""
    cluster = Ours(folder, agents(1))
    try:
        go = Path(folder) / "go"
        application = Application(cluster, folder, [
            "spark.executor.cores=1", "spark.cores.max=2", "spark.speculation=true", "spark.speculation.multiplier=1.5",
            "spark.speculation.interval=100ms", "spark.speculation.minTaskRuntime=100ms"], SLOW, go)
        undisturbed = float(application.line(0)[1])
        victim = executors(application.framework())[0]
        go.touch()
        while len(application.lines) < 2 and application.process.poll() is None:
            os.kill(victim, signal.SIGSTOP)
            time.sleep(0.08)
            os.kill(victim, signal.SIGCONT)
            time.sleep(0.02)
        disturbed = float(application.end()[1][1])
        ratio = disturbed / undisturbed
        return {"undisturbed": round(undisturbed, 2), "slow": round(disturbed, 2), "ratio": round(ratio, 2), "right": ratio <= 2}
    finally:
        cluster.stop()


WRITE = '''
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
spark.range(0, 4, 1, 4).groupBy("id").count().collect()
print("begun", flush=True)
rows = 20_000_000
table = spark.range(0, rows, 1, 40).withColumn("p", F.col("id") % 5)
table.repartition(30, "id").write.partitionBy("p").parquet(sys.argv[1])
n, s, p = spark.read.parquet(sys.argv[1]).agg(F.count("*"), F.sum("id"), F.countDistinct("p")).collect()[0]
print("right" if (n, s, p) == (rows, rows * (rows - 1) // 2, 5) else "wrong", n, flush=True)
'''


def write(folder):
    """kill -9 of both executors, one after the other, in a partitioned write with speculation."""
    cluster = Ours(folder, agents(1))
    try:
        target = Path(folder) / "table"
        application = Application(cluster, folder, [
            "spark.executor.cores=1", "spark.cores.max=2", "spark.speculation=true", "spark.speculation.multiplier=1.1",
            "spark.speculation.quantile=0.3", "spark.speculation.minTaskRuntime=10ms", "spark.speculation.interval=50ms"],
            WRITE, target)
        application.line(0)
        framework, kills = application.framework(), 0
        for staged in (10, 60):
            # Of 150 files, and as many again as copies of tasks make.
            while sum(1 for _ in target.rglob("_temporary/**/*.parquet")) < staged and len(application.lines) == 1:
                assert application.process.poll() is None, application.errors()
                time.sleep(0.005)
            found = executors(framework)
            if found and len(application.lines) == 1:
                os.kill(found[kills % len(found)], signal.SIGKILL)
                kills += 1
        lines = application.end()
        stray = [str(path.relative_to(target)) for path in target.rglob("*")
                 if path.is_file() and not path.name.endswith(".parquet") and path.name != "_SUCCESS"]
        files = sum(1 for _ in target.rglob("*.parquet"))
        return {"rows": int(lines[1][1]), "kills": kills, "files": files, "stray": stray,
                "right": lines[1][0] == "right" and kills > 0 and not stray and files <= 150}
    finally:
        cluster.stop()


STREAM = '''
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
rows = int(sys.argv[1])
table = spark.range(0, rows, 1, 64).select("id", *[(F.col("id") * n).alias(f"c{n}") for n in range(2, 9)])
count = total = 0
for batch in table._session.client.to_table_as_iterator(table._plan.to_proto(table._session.client), {}):
    if hasattr(batch, "column"):
        count += batch.num_rows
        import pyarrow.compute as pc
        total += pc.sum(batch.column(0)).as_py()
print("right" if (count, total) == (rows, rows * (rows - 1) // 2) else "wrong", count, flush=True)
'''


def stream(folder):
    """2 GiB of result through a driver that has 512 MiB."""
    rows = (2 << 30) // 64
    cluster = Ours(folder, agents(1))
    try:
        application = Application(cluster, folder, ["spark.executor.cores=1", "spark.cores.max=2", "spark.driver.memory=512m"],
                                  STREAM, rows)
        peak = 0
        # spark-submit becomes the driver.
        while application.process.poll() is None:
            try:
                for line in Path(f"/proc/{application.process.pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM"):
                        peak = max(peak, int(line.split()[1]) // 1024)
            except OSError:
                pass
            time.sleep(0.1)
        lines = application.end()
        return {"rows": int(lines[0][1]), "result_mib": rows * 64 >> 20, "driver_peak_mib": peak,
                "right": lines[0][0] == "right" and 0 < peak <= 512}
    finally:
        cluster.stop()


def main():
    names = sys.argv[1].split(",") if len(sys.argv) > 1 else ["fair", "slow", "write", "stream"]
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="ferrospark-lines-", ignore_cleanup_errors=True) as folder:
            started = time.monotonic()
            try:
                found[name] = globals()[name](folder)
            except Exception as error:  # the others are worth knowing
                found[name] = {"right": False, "why": f"{type(error).__name__}: {error}"[-1500:]}
            found[name]["seconds"] = round(time.monotonic() - started, 1)
            print(name, json.dumps(found[name]), file=sys.stderr, flush=True)
    good = all(one["right"] for one in found.values())
    print(json.dumps({"suite": "lines", "right": good, "load": os.getloadavg()[0], **found}), flush=True)
    sys.exit(0 if good else 1)


main()
