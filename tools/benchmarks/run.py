"""The benchmarks: engines side by side in one run, so that ratios mean something on a noisy machine.

    run.py DATA DATAFUSION_PYTHON ROUNDS [PART…]

Parts: start, first, idle, tpch; all when none is named. Part cluster is of tpch only DataFusion and our cluster mode, with
every query's times: for scales at which all engines would take too long.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
QUERIES = str(HOME / "tools/benchmarks/queries.py")
TICKS = os.sysconf("SC_CLK_TCK")
STAGED = ["--conf", "spark.ferrospark.localExecution.enabled=false", "--conf", "spark.sql.shuffle.partitions=200"]
FIXED = [*STAGED, "--conf", "spark.sql.adaptive.coalescePartitions.enabled=false"]
CLUSTER = ["--conf", "spark.ferrospark.localExecution.enabled=false"]


def say(name, value, unit, **more):
    line = {"figure": name, "value": round(value, 4), "unit": unit, "load": os.getloadavg()[0], **more}
    print(json.dumps(line), flush=True)


def family(pid):
    """The process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                pass
    return found


def cpu_seconds(pid):
    """CPU seconds of the process and what descends from it and still lives."""
    total = 0
    for member in family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15]))
        except OSError:
            pass
    return total / TICKS


def rss_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


PARTS = {"submit": b"submit", "executor": b"org.apache.spark.executor.CoarseGrainedExecutorBackend"}


def programs(pid, part):
    """Members of the family which run this part of our program."""
    for member in family(pid):
        try:
            words = Path(f"/proc/{member}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"ferrospark") and PARTS[part] in words[1:3]:
            yield member


class Engine:
    def __init__(self, name, command, **environment):
        self.name, self.rounds, self.cpu = name, [], []
        self.process = subprocess.Popen(
            command, cwd=HOME, env={**os.environ, **environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        assert self.process.stdout.readline() == "ready\n", f"{name} did not start"

    def round(self):
        before = cpu_seconds(self.process.pid)
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.rounds.append(json.loads(self.process.stdout.readline()))
        self.cpu.append(cpu_seconds(self.process.pid) - before)

    def best_by_query(self):
        return {query: min(one[query] for one in self.rounds) for query in self.rounds[0]}

    def best(self):
        """Sum over the queries of the best time of each."""
        return sum(self.best_by_query().values())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def submit(master, flags):
    return ["bin/spark-submit", "--master", master, *flags, QUERIES, "spark"]


def in_turn(engines, rounds):
    """All queries in each engine once to warm it, then in rounds."""
    for engine in engines:
        engine.round()
        engine.rounds.clear()
        engine.cpu.clear()
    for _ in range(rounds):
        for engine in engines:
            engine.round()


def cluster(data, peer, rounds):
    engines = [
        Engine("datafusion", [peer, QUERIES, "datafusion", data]),
        Engine("local-cluster[2,1,4096]", [*submit("local-cluster[2,1,4096]", CLUSTER), data]),
    ]
    in_turn(engines, rounds)
    theirs, ours = (engine.best_by_query() for engine in engines)
    for engine in engines:
        say(
            f"TPC-H, 22 queries of {Path(data).name}, {engine.name}",
            engine.best(),
            "s",
            ratio_to_datafusion=round(engine.best() / engines[0].best(), 3),
            cpu_seconds=round(min(engine.cpu), 2),
            rounds=rounds,
        )
    queries = {query: [round(ours[query], 3), round(ours[query] / theirs[query], 2)] for query in ours}
    print(json.dumps({"figure": "seconds in our cluster and ratio to DataFusion", "value": queries}), flush=True)
    for engine in engines:
        engine.end()


def tpch(data, peer, rounds):
    engines = [
        Engine("datafusion", [peer, QUERIES, "datafusion", data]),
        Engine("local[2]", [*submit("local[2]", []), data]),
        Engine("local[2], stages of 200 partitions", [*submit("local[2]", STAGED), data]),
        Engine("local[2], stages of 200 partitions, none joined", [*submit("local[2]", FIXED), data]),
        Engine("local-cluster[2,1,4096]", [*submit("local-cluster[2,1,4096]", CLUSTER), data]),
    ]
    idle = engines[-1].process.pid
    in_turn(engines, rounds)
    base = engines[0].best()
    for engine in engines:
        say(
            f"TPC-H, 22 queries, {engine.name}",
            engine.best(),
            "s",
            ratio_to_datafusion=round(engine.best() / base, 3),
            cpu_seconds=round(min(engine.cpu), 2),
            rounds=rounds,
        )
        worst = sorted(
            ((min(one[q] for one in engine.rounds) / min(one[q] for one in engines[0].rounds), q) for q in engine.rounds[0]),
            reverse=True,
        )[:3]
        print(json.dumps({"figure": f"slowest against DataFusion, {engine.name}", "value": [[q, round(r, 2)] for r, q in worst]}))
    time.sleep(60)
    for number, executor in enumerate(programs(idle, "executor")):
        say(f"VmRSS of executor {number}, 60 s after the queries", rss_mib(executor), "MiB", limit=400)
    for driver in programs(idle, "submit"):
        say("VmRSS of the driver, 60 s after the queries", rss_mib(driver), "MiB", limit=400)
    for engine in engines:
        engine.end()


def start_up():
    times, cpu = [], []
    for _ in range(5):
        before, started = os.times(), time.monotonic()
        subprocess.run(["bin/spark-sql", "--master", "local[2]", "-e", "select 1"], cwd=HOME, check=True, stdout=subprocess.DEVNULL)
        times.append((time.monotonic() - started) * 1000)
        after = os.times()
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
    say("spark-sql -e 'select 1', whole process, best of five", min(times), "ms", limit=150, cpu_seconds=round(min(cpu), 3))


FIRST = """
import time; began = time.time()
from pyspark.sql import SparkSession
import pyspark.sql.connect.session, pyspark.sql.connect.client
imported = time.time()
spark = SparkSession.builder.getOrCreate()
made = time.time()
spark.range(1000).count()
done = time.time()
print(began, imported, made, done)
"""


def first_result(folder):
    script = folder / "first.py"
    script.write_text(FIRST)
    best = None
    for _ in range(5):
        started = time.time()
        output = subprocess.run(
            ["bin/spark-submit", "--master", "local[2]", str(script)], cwd=HOME, check=True, capture_output=True, text=True
        ).stdout
        began, imported, made, done = map(float, output.split())
        found = (done - started, began - started, imported - began, made - imported, done - made)
        best = min(best or found, found)
    whole, before, imports, session, count = (part * 1000 for part in best)
    say(
        "first PySpark result through spark-submit, best of five", whole, "ms",
        before_python_runs_ms=round(before), python_imports_ms=round(imports),
        session_ms=round(session), count_ms=round(count),
    )


IDLE = """
import time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(10).repartition(2).count()
print("ready", flush=True)
time.sleep(600)
"""


def idle(folder):
    script = folder / "idle.py"
    script.write_text(IDLE)
    process = subprocess.Popen(
        ["bin/spark-submit", "--master", "local-cluster[2,1,1024]", *CLUSTER, str(script)],
        cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(5)
    for number, executor in enumerate(programs(process.pid, "executor")):
        say(f"VmRSS of idle executor {number}", rss_mib(executor), "MiB", limit=60)
    for driver in programs(process.pid, "submit"):
        say("VmRSS of the idle driver with an embedded cluster", rss_mib(driver), "MiB", limit=100)
    process.terminate()
    process.wait()


def main():
    import tempfile

    data, peer, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "start": start_up,
            "first": lambda: first_result(Path(folder)),
            "idle": lambda: idle(Path(folder)),
            "tpch": lambda: tpch(data, peer, rounds),
            "cluster": lambda: cluster(data, peer, rounds),
        }
        for part in sys.argv[4:] or ["start", "first", "idle", "tpch"]:
            parts[part]()


if __name__ == "__main__":
    main()
