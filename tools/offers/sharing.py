"""Several frameworks on one cluster, and whether fine-grained mode keeps its word.

    sharing.py [--clusters ours,genuine] [RUN...]

coarse    three coarse-grained applications and a framework of pymesos hold resources at the same time and finish
shares    four fine-grained applications want all they can get for SHARE_SECONDS (60); each gets its DRF share, and a
          framework that joins late gets an offer it can use within LATE_LIMITS
word      Mesos tasks launched are Spark task attempts, and cores go back with the last task
strangers an application waits for an agent that fits while 200 do not: what that costs the master (ours only)

Prints one JSON line per run; fails if one is not as it should be.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import HOME, KINDS, cpu_seconds, end, run_each, submit, wait_for  # noqa: E402

SHARE_SECONDS = float(os.environ.get("SHARE_SECONDS", 60))
LATE_LIMITS = {"ours": 2.0, "genuine": 5.0}
# What one fine-grained application may be away from its share.
TOLERANCE = 0.2
GIVEN_BACK_MILLISECONDS = 50
STRANGERS = 200
COMMON = [
    "spark.ferrospark.localExecution.enabled=false", "spark.executor.memory=512m", "spark.ui.showConsoleProgress=false",
    "spark.ui.port=0", "spark.sql.adaptive.enabled=false",
]
FINE = [*COMMON, "spark.mesos.coarse=false", "spark.mesos.mesosExecutor.cores=0.5"]
# One job of short tasks without an end; between jobs an application would want less than it may have.
DEMAND = """
import sys, threading, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(0, 1, 1, 1).count()
print("ready", flush=True)
sys.stdin.readline()
def job():
    try:
        spark.range(0, 2000000000, 1, 100000).filter("sha2(cast(id as string), 256) = 'none'").collect()
    except Exception:
        pass
asking = threading.Thread(target=job)
asking.start()
time.sleep(float(sys.argv[1]))
spark.interruptAll()
asking.join()
print("done", flush=True)
"""
HOLD = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.range(0, 100000, 1, 200).selectExpr("sum(id)").collect()[0][0], flush=True)
sys.stdin.readline()
"""
PYMESOS = """
import sys, threading, time
from addict import Dict
from pymesos import MesosSchedulerDriver, Scheduler
class Joiner(Scheduler):
    def __init__(self):
        self.began, self.task, self.over = None, None, threading.Event()
    def registered(self, driver, framework_id, master_info):
        self.began = time.monotonic()
    def resourceOffers(self, driver, offers):
        for offer in offers:
            cpus = sum(r.scalar.value for r in offer.resources if r.name == "cpus")
            memory = sum(r.scalar.value for r in offer.resources if r.name == "mem")
            if self.task or cpus < 0.1 or memory < 32:
                driver.declineOffer(offer.id, {"refuse_seconds": 60})
                continue
            print("offer", time.monotonic() - self.began, flush=True)
            task = Dict()
            self.task = task.task_id.value = "held"
            task.agent_id.value = offer.agent_id.value
            task.name = "held"
            task.command.value = "sleep " + sys.argv[2]
            task.resources = [dict(name="cpus", type="SCALAR", scalar={"value": 0.1}),
                              dict(name="mem", type="SCALAR", scalar={"value": 32})]
            driver.launchTasks(offer.id, [task])
    def statusUpdate(self, driver, update):
        if update.state not in ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"):
            print(update.state, flush=True)
            self.over.set()
    def error(self, driver, message):
        print("error", message, flush=True)
        self.over.set()
joiner = Joiner()
driver = MesosSchedulerDriver(joiner, Dict(user="root", name="pymesos", hostname="localhost"), sys.argv[1], use_addict=True)
driver.start()
joiner.over.wait(180)
driver.stop()
driver.join()
"""


def agents(count, cpus):
    return [[f"--resources=cpus:{cpus};mem:8192;disk:4096;ports:[{31000 + n * 100}-{31099 + n * 100}]"] for n in range(count)]


def start(cluster, folder, settings, text, *words):
    script = Path(folder) / f"script-{abs(hash(text))}.py"
    script.write_text(text)
    said = open(Path(folder) / f"said-{time.monotonic_ns()}", "w+")
    process = submit(cluster, settings, script, *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
    process.said = lambda: (said.flush(), Path(said.name).read_text())[1]
    STARTED.append(process)
    return process


STARTED = []


def line(process, wanted, limit=120):
    found = []
    reader = threading.Thread(target=lambda: found.append(process.stdout.readline()), daemon=True)
    reader.start()
    try:
        wait_for("a line", lambda: not reader.is_alive(), limit)
    except AssertionError:
        pass  # told below
    if not (found and re.match(wanted, found[0])):
        try:
            code = process.wait(2)
        except subprocess.TimeoutExpired:
            code = "none yet"
        raise AssertionError(f"expected {wanted!r}, not {found}; exit code {code}, it said {process.said()[-1500:]!r}")
    return found[0]


def tell(process):
    process.stdin.write("\n")
    process.stdin.flush()


def pymesos(cluster, folder, seconds):
    setup = subprocess.run([HOME / "tools/mesos-clients/setup"], check=True, stdout=subprocess.PIPE, text=True)
    script = Path(folder) / "joiner.py"
    script.write_text(PYMESOS)
    process = subprocess.Popen(
        [setup.stdout.split()[-1], script, cluster.address, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True)
    process.said = lambda: ""
    STARTED.append(process)
    return process


def used(cluster):
    """Cpus that each framework holds."""
    return {one["name"] + one["id"]: one["used_resources"]["cpus"] for one in cluster.frameworks() if one["active"]}


def coarse(cluster, folder):
    settings = [*COMMON, "spark.cores.max=2", "spark.executor.cores=1"]
    applications = [start(cluster, folder, settings, HOLD) for _ in range(3)]
    for application in applications:
        line(application, "4999950000")
    other = pymesos(cluster, folder, 8)
    line(other, "offer")
    held = wait_for("all four to hold resources", lambda: (lambda u: u if len(u) == 4 and all(u.values()) else None)(used(cluster)))
    for application in applications:
        tell(application)
        application.communicate(timeout=60)
        assert application.returncode == 0, f"exit code {application.returncode}: {application.said()[-1500:]}"
    line(other, "TASK_FINISHED")
    assert other.wait(60) == 0
    return {"held": sorted(held.values())}


def shares(cluster, folder):
    applications = [start(cluster, folder, FINE, DEMAND, SHARE_SECONDS) for _ in range(4)]
    for application in applications:
        line(application, "ready")
    for application in applications:
        tell(application)
    began = last = time.monotonic()
    held, late = {}, None
    while (now := time.monotonic()) < began + SHARE_SECONDS:
        assert now < last + 10, f"this process was stopped for {now - last:.0f} s: nothing is measured"
        if late is None and now > began + SHARE_SECONDS / 2:
            late = pymesos(cluster, folder, 1)
        for name, cpus in used(cluster).items():
            # Not while they get under way.
            if last > began + 2:
                held[name] = held.get(name, 0.0) + cpus * (now - last)
        last = now
        time.sleep(0.1)
    assert late, "this process was stopped: nothing is measured"
    waited = float(line(late, "offer").split()[1])
    for application in applications:
        line(application, "done", 300)
        application.communicate(timeout=60)
    seconds = sorted(value for name, value in held.items() if not name.startswith("pymesos"))
    fair = sum(seconds) / 4
    found = {"cpu_seconds": [round(one, 1) for one in seconds], "share": round(fair, 1), "late_offer_seconds": round(waited, 3)}
    assert all(abs(one - fair) <= TOLERANCE * fair for one in seconds), found
    assert waited <= LATE_LIMITS[cluster.name], found
    return found


def word(cluster, folder):
    settings = [*FINE, "spark.cores.max=6", "spark.ferrospark.executorReport.enabled=true",
                "spark.ferrospark.mesos.fine.executorIdleTimeout=60s"]
    before = cluster.metric("master/tasks_finished")
    application = start(cluster, folder, settings, HOLD)
    line(application, "4999950000")
    ended = time.monotonic()
    executors = 0
    def back():
        nonlocal executors
        framework = next(iter(cluster.frameworks()), None)
        executors = len(framework["executors"]) if framework and "executors" in framework else 0
        held = framework["used_resources"]["cpus"]
        agents = round(held / 0.5, 3)
        return agents == int(agents) and not framework["tasks"]
    wait_for("the cores to go back", back, 10)
    took = (time.monotonic() - ended) * 1000
    tell(application)
    application.communicate(timeout=60)
    attempts = sum(int(count) for count in re.findall(r"^executor .*?: (\d+) tasks", application.said(), re.M))
    launched = cluster.metric("master/tasks_finished") - before
    found = {"mesos_tasks": int(launched), "attempts": attempts, "given_back_milliseconds": round(took, 1)}
    assert launched == attempts > 0, found
    assert took <= GIVEN_BACK_MILLISECONDS, found
    return found


def strangers(cluster, folder):
    settings = [*FINE, "spark.mesos.constraints=zone:none", "spark.ferrospark.waitingReport.delay=1s"]
    application = start(cluster, folder, settings, HOLD)
    wait_for("the reason", lambda: f"{STRANGERS} lack attribute zone=none" in application.said())
    before, began = cpu_seconds(cluster.pid("master")), time.monotonic()
    time.sleep(10)
    share = (cpu_seconds(cluster.pid("master")) - before) / (time.monotonic() - began)
    found = {"master_cores": round(share, 3)}
    assert share < 0.1, found
    return found


RUNS = {"coarse": coarse, "shares": shares, "word": word, "strangers": strangers}
LAYOUTS = {"coarse": agents(2, 4), "shares": agents(2, 8), "word": agents(2, 3), "strangers": [
    [f"--resources=cpus:1;mem:1024;disk:1;ports:[31000-31001]", "--attributes=zone:other"]] * STRANGERS}


RUNNING = []


def run(name, kind, _mode, folder):
    RUNNING.append(KINDS[kind](folder, LAYOUTS[name]))
    return RUNS[name](RUNNING[-1], folder)


def clean_up():
    while STARTED:
        end(STARTED.pop())
    while RUNNING:
        RUNNING.pop().stop()


run_each("sharing", RUNS, run, clean_up, skip=lambda kind, name: name == "strangers" and kind != "ours")
