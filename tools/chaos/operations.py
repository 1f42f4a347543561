"""What operators do to a cluster under an application: secrets on the operator API, a new leader, an agent drained.

    operations.py [--clusters ours,genuine] [service,drain]

One JSON line a run; fails if one is not as it should be.
"""

import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import KINDS, PROGRAM, end, free_port, submit, wait_for  # noqa: E402

QUERY = '''
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
rows, parts = int(sys.argv[1]), 40
spark.range(0, 4, 1, 4).groupBy("id").count().collect()
print("begun", flush=True)
keyed = spark.range(0, rows, 1, parts).withColumn("k", F.col("id") * 2654435761 % 100003)
grouped = keyed.groupBy("k").agg(F.count("*").alias("n"), F.sum("id").alias("s"))
tens = grouped.groupBy((F.col("k") % 10).alias("d")).agg(F.sum("n").alias("n"), F.sum("s").alias("s"))
row = tens.agg(F.sum("n"), F.sum("s"), F.count("*")).collect()[0]
print("right" if tuple(row) == (rows, rows * (rows - 1) // 2, 10) else "wrong", flush=True)
'''
ROWS = 24_000_000
AGENTS = [[f"--resources=cpus:1;mem:3072;disk:4096;ports:[{31000 + n * 1000}-{31999 + n * 1000}]"] for n in range(2)]
COMMON = [
    "spark.ferrospark.localExecution.enabled=false", "spark.executor.memory=1g", "spark.executor.cores=1", "spark.cores.max=2",
    "spark.ui.enabled=false", "spark.sql.shuffle.partitions=24", "spark.sql.adaptive.coalescePartitions.enabled=false",
    "spark.eventLog.enabled=true", "spark.scheduler.minRegisteredResourcesRatio=1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime=120s",
]


class Application:
    """The query, and what its event log says."""

    def __init__(self, cluster, folder, settings, rows=ROWS):
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        script = self.folder / "query.py"
        script.write_text(QUERY)
        self.cluster = cluster
        self.said, self.out = open(self.folder / "said", "w+"), open(self.folder / "out", "w+")
        known = {one["id"] for one in cluster.frameworks()}
        self.process = submit(
            cluster, [*COMMON, f"spark.eventLog.dir={self.folder}", *settings], script, rows, stdout=self.out, stderr=self.said)
        wait_for("the query", lambda: "begun" in self.lines() or self.process.poll() is not None, 180)
        assert "begun" in self.lines(), self.errors()
        found = wait_for("the framework", lambda: [one for one in cluster.frameworks() if one["id"] not in known])
        self.framework = found[0]["id"]

    def lines(self):
        return (self.folder / "out").read_text().split()

    def errors(self):
        return (self.folder / "said").read_text()[-3000:]

    def events(self):
        for log in [*self.folder.glob(self.framework), *self.folder.glob(f"{self.framework}.inprogress")]:
            for line in log.read_text().splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    return  # not all there yet

    def maps_done(self):
        return any(event["Event"] == "SparkListenerStageCompleted" and event["Stage Info"]["Number of Tasks"] == 40
                   for event in self.events())

    def executors(self):
        """Process ids of its executors."""
        found = []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and self.framework.encode() in (process / "cmdline").read_bytes() \
                        and os.path.basename(os.readlink(process / "exe")).startswith("ferrospark"):
                    found.append(int(process.name))
            except OSError:
                pass
        return found

    def end(self):
        code = self.process.wait(300)
        assert code == 0 and self.lines() == ["begun", "right"], f"{code} {self.lines()} {self.errors()}"
        made, attempts = collections.Counter(), collections.Counter()
        for event in self.events():
            if event["Event"] == "SparkListenerTaskEnd" and event["Task End Reason"]["Reason"] == "Success" \
                    and event["Task Type"] == "ShuffleMapTask":
                made[event["Stage ID"], event["Task Info"]["Partition ID"]] += 1
            elif event["Event"] == "SparkListenerTaskStart":
                attempts[event["Stage ID"], event["Task Info"]["Partition ID"]] += 1
        return {"maps_again": sum(made.values()) - len(made), "attempts_again": sum(attempts.values()) - len(attempts)}

    def kill(self):
        """`kill -9` of the driver: its executors end by themselves."""
        self.process.kill()
        self.process.wait()

    def clean_up(self):
        end(self.process)


class Service:
    """The external shuffle service."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder, self.port, self.process = cluster, Path(folder), free_port(), None

    def start(self, secret):
        ready, self.log = self.folder / "service.ready", self.folder / f"service-{secret}.log"
        ready.unlink(missing_ok=True)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "shuffle-service", "--master", f"mesos://{self.cluster.address}", "--host", "127.0.0.1", "--port",
                 str(self.port), "--state-dir", str(self.folder / "state"), "--conf", "spark.shuffle.cleaner.interval=1s",
                 "--conf", "spark.mesos.principal=me", "--conf", f"spark.mesos.secret={secret}"],
                env={**os.environ, "FERROSPARK_READY_FILE": str(ready), "RUST_LOG": "info"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the shuffle service", lambda: ready.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()[-2000:]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def service(kind, folder):
    """Two masters that elect a leader and tell nothing without a secret."""
    credentials = Path(folder) / "credentials"
    credentials.write_text(json.dumps({"credentials": [{"principal": "me", "secret": "right"}]}))
    flags = [f"--credentials={credentials}", "--authenticate_http_readonly=true", "--authenticate_http_readwrite=true",
             "--authenticate_http_frameworks=true"]
    if kind == "genuine":
        flags.append("--http_framework_authenticators=basic")
    asked = type("Asked", (KINDS[kind],), {"credential": "me:right"})
    cluster = asked(folder, AGENTS, flags, masters=2)
    local = Path(folder) / "local"
    local.mkdir()
    watcher, applications = Service(cluster, folder), []
    settings = ["spark.mesos.principal=me", "spark.mesos.secret=right", "spark.shuffle.service.enabled=true",
                f"spark.shuffle.service.port={watcher.port}", f"spark.executorEnv.SPARK_EXECUTOR_DIRS={local}"]

    def files():
        return [path for path in local.glob("spark-*") if path.is_dir()]

    def start(rows=ROWS):
        applications.append(Application(cluster, folder, settings, rows))
        return applications[-1]

    def begin_and_die():
        one = start(rows=10 * ROWS)
        wait_for("map output", lambda: any(local.glob("spark-*/shuffle-*/*.data")))
        one.kill()
        wait_for("its executors to go", lambda: not one.executors())
        assert files(), "the files outlive executors"
        return one

    try:
        watcher.start("right")
        # The leader goes, then all executors, between map and reduce.
        one = start()
        wait_for("the maps", lambda: one.maps_done() or one.process.poll() is not None, 120)
        aimed = one.process.poll() is None
        for executor in one.executors():
            os.kill(executor, signal.SIGKILL)
        cluster.kill(cluster.leader())
        found = one.end()
        assert found["maps_again"] == 0, found
        wait_for("another leader", cluster.leader)
        wait_for("the files of an application that ended to go", lambda: not files())
        # The new leader says that a framework is over whose driver died.
        begin_and_die()
        wait_for("the files of an application that died to go", lambda: not files(), 120)
        # Who may not see the frameworks removes nothing, and as soon as he may, does.
        watcher.stop()
        watcher.start("wrong")
        one = begin_and_die()
        wait_for("the master to have it over", lambda: one.framework not in [f["id"] for f in cluster.frameworks()], 120)
        wait_for("a refusal", lambda: "401" in watcher.log.read_text())
        time.sleep(3.5)  # it looks each second
        assert files(), "removed without a witness"
        watcher.stop()
        watcher.start("right")
        wait_for("the files to go", lambda: not files(), 120)
        return {**found, "aimed": aimed, "right": True}
    finally:
        for one in applications:
            one.clean_up()
        watcher.stop()
        cluster.stop()


def drain(kind, folder):
    """DRAIN_AGENT in mid-query: what is on the agent is moved, and nothing is computed again."""
    cluster = KINDS[kind](folder, AGENTS)
    applications = []

    def blocks():
        # The sandboxes of its executors.
        return sum(1 for _ in Path(folder).rglob("spark-*/shuffle-*/*.data"))

    try:
        for rows in ROWS, 4 * ROWS, 16 * ROWS:  # a quick machine has answered before anything can be aimed at it
            one = Application(cluster, folder, ["spark.decommission.enabled=true", "spark.ferrospark.shuffle.heldMemory=0"], rows)
            applications.append(one)
            wait_for("map output", lambda: blocks() >= 12 or one.process.poll() is not None, 120)
            aimed = one.process.poll() is None and len(one.lines()) == 1
            if aimed:
                break
            one.end()
        agent = cluster.get("/slaves")["slaves"][0]["id"]
        cluster.operate({"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": agent}}})
        found = one.end()
        removed = [e for e in one.events() if e["Event"] == "SparkListenerExecutorRemoved"]
        drained = wait_for("the agent to be drained", lambda: next(
            (s for s in cluster.get("/slaves").get("slaves", []) if s["id"] == agent
             and (s.get("drain_info") or {}).get("state") == "DRAINED"), None))
        assert found["attempts_again"] == 0, f"{found} {one.errors()}"
        return {**found, "aimed": aimed, "executors_removed": len(removed), "agent": drained["drain_info"]["state"],
                "right": aimed and len(removed) >= 1}
    finally:
        for one in applications:
            one.clean_up()
        cluster.stop()


def main():
    words, kinds, chosen = sys.argv[1:], list(KINDS), ["service", "drain"]
    if words[:1] == ["--clusters"]:
        kinds, words = words[1].split(","), words[2:]
    if words:
        chosen = words[0].split(",")
    bad = 0
    for kind in kinds:
        for name in chosen:
            with tempfile.TemporaryDirectory(prefix="ferrospark-operations-", ignore_cleanup_errors=True) as folder:
                started = time.monotonic()
                try:
                    line = globals()[name](kind, folder)
                except Exception as error:  # the others are worth knowing
                    line = {"right": False, "why": f"{type(error).__name__}: {error}"[-2500:]}
                    if os.environ.get("CHAOS_KEEP"):
                        subprocess.run(["cp", "-r", folder, os.environ["CHAOS_KEEP"]], check=False)
                bad += not line["right"]
                print(json.dumps({"suite": "operations", "cluster": kind, "run": name, **line,
                                  "seconds": round(time.monotonic() - started, 1)}), flush=True)
    sys.exit(1 if bad else 0)


main()
