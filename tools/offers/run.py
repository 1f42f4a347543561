"""Real runs against real clusters: placement, roles, authentication, packages, and what dies in mid-query.

    run.py [--clusters ours,genuine] [--modes coarse,fine] [SCENARIO...]

Prints one JSON line per run; fails if one is not as it should be.
"""

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from application import LARGE, MODES, Application, executors_of  # noqa: E402
from clusters import HOME, KINDS, PROGRAM, run_each, wait_for  # noqa: E402

AGENTS = [
    ["--resources=cpus:3;mem:3072;disk:4096;ports:[31000-31999]", "--attributes=zone:a;rack:r1"],
    ["--resources=cpus:3;mem:3072;disk:4096;ports:[32000-32999]", "--attributes=zone:b;rack:r1"],
]


def attributes(cluster):
    return {slave["id"]: slave["attributes"] for slave in cluster.get("/slaves")["slaves"]}


def plain(cluster, mode, folder):
    application = Application(cluster, mode, folder)
    assert application.answer().split() == ["begun", "right"]
    wait_for("the framework to be gone", lambda: not cluster.frameworks())


def tpch(cluster, mode, folder):
    """All queries of TPC-H at SF 0.1, with the stored answers of Apache Spark."""
    data = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ferrospark/tpch-sf0.1"
    subprocess.run([PROGRAM, "tpch-data", "--scale-factor", "0.1", "--output", data], check=True, stdout=subprocess.DEVNULL)
    settings = ["spark.ferrospark.executorReport.enabled=true"]
    application = Application(cluster, mode, folder, settings=settings, script=[
        HOME / "examples/tpch.py", data, "--check", HOME / "tests/answers/tpch-sf0.1"])
    code, out = application.end(600)
    assert code == 0 and "22 of 22 answers are right" in out, f"{code} {out[-1000:]} {application.errors()[-1000:]}"
    report = re.findall(r"^executor .*?: (\d+) tasks, (\d+) bytes of shuffle", application.errors(), re.M)
    # With the first executor alone the queries would be as right.
    assert len(report) >= 2 and all(int(number) for pair in report for number in pair), application.errors()
    return {"tasks": [int(tasks) for tasks, _ in report], "remote_shuffle_bytes": [int(remote) for _, remote in report]}


def constraints(cluster, mode, folder):
    """Constraints that hit one agent, none, both."""
    for constraint, wanted in ("zone:b", {"b"}), ("rack:r1", {"a", "b"}):
        application = Application(cluster, mode, folder, settings=[f"spark.mesos.constraints={constraint}"], linger=600)
        application.line("begun")
        application.line("right")
        zones = {attributes(cluster)[agent]["zone"] for agent in application.holding(len(wanted))}
        application.stop()
        assert zones == wanted, f"{constraint}: executors in {zones}"
        wait_for("the framework to be gone", lambda: not cluster.frameworks())
    application = Application(cluster, mode, folder, settings=["spark.mesos.constraints=zone:c"])
    wait_for("the reason", lambda: "2 agents: 2 lack attribute zone=c" in application.errors())
    assert not cluster.get("/state")["frameworks"][0]["tasks"]
    application.stop()
    wait_for("the framework to be gone", lambda: not cluster.frameworks())


def roles(cluster, mode, folder):
    """Resources reserved for a role: taken first by it, by nobody else."""
    application = Application(cluster, mode, folder, settings=["spark.mesos.role=ops"], linger=600)
    application.line("begun")
    application.line("right")
    application.holding(2)
    framework = application.framework()
    used = framework["used_resources"] if "used_resources" in framework else framework["resources"]
    assert used["cpus"] >= 2, used
    application.stop()
    wait_for("the framework to be gone", lambda: not cluster.frameworks())
    application = Application(cluster, mode, folder, settings=["spark.mesos.role=others", "spark.mesos.constraints=kind:kept"])
    wait_for("the reason", lambda: re.search("1 keeps all but .* for role ops", application.errors()))
    application.stop()
    wait_for("the framework to be gone", lambda: not cluster.frameworks())


def authentication(cluster, mode, folder):
    """Right, wrong and missing secret; from a property, a file, the environment."""
    secret = Path(folder) / "secret"
    secret.write_text("right")
    right = [
        (["spark.mesos.principal=me", "spark.mesos.secret=right"], {}),
        (["spark.mesos.principal=me", f"spark.mesos.secret.file={secret}"], {}),
        ([], {"SPARK_MESOS_PRINCIPAL": "me", "SPARK_MESOS_SECRET": "right"}),
    ]
    for settings, variables in right:
        application = Application(cluster, mode, folder, settings=settings, environment={**os.environ, **variables})
        application.answer()
    for settings in [], ["spark.mesos.principal=me", "spark.mesos.secret=wrong"]:
        application = Application(cluster, mode, folder, settings=settings)
        code, _ = application.end()
        assert code != 0 and "spark.mesos.principal and spark.mesos.secret" in application.errors(), application.errors()


def package(cluster, mode, folder):
    """`spark.executor.uri` over HTTP, and no program of ours where the agents would look for it."""
    version = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[1].strip(",")
    subprocess.run([HOME / "tools/dist", os.path.realpath(PROGRAM), version], check=True, stdout=subprocess.DEVNULL)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=HOME / "dist")
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        uri = f"http://127.0.0.1:{server.server_port}/ferrospark-{version}.tgz"
        settings = [f"spark.executor.uri={uri}", "spark.mesos.executor.home=/nowhere", "spark.mesos.fetcherCache.enable=true"]
        application = Application(cluster, mode, folder, settings=settings, linger=600)
        application.line("begun")
        application.line("right")
        programs = {os.readlink(f"/proc/{pid}/exe") for pid in executors_of(application.framework()["id"])}
        assert programs and all(f"/ferrospark-{version}/libexec/" in program for program in programs), programs
        application.stop()
        wait_for("the framework to be gone", lambda: not cluster.frameworks())
        application = Application(cluster, mode, folder, settings=[settings[0].replace(".tgz", ".missing.tgz")])
        wait_for("the word of a package that is not there", lambda: "is lost" in application.errors())
        application.stop()
    finally:
        server.shutdown()


def kill_executor(cluster, mode, folder):
    application = Application(cluster, mode, folder, LARGE)
    application.line("begun")
    application.holding(2)
    time.sleep(1)
    identity = application.framework()["id"]
    os.kill(wait_for("the processes", lambda: executors_of(identity))[0], signal.SIGKILL)
    application.answer()
    assert "is lost" in application.errors(), "no executor was lost"


def kill_agent(cluster, mode, folder):
    application = Application(cluster, mode, folder, LARGE)
    application.line("begun")
    application.holding(2)
    time.sleep(1)
    cluster.kill("agent-0")
    try:
        application.answer()
    finally:
        cluster.start_agent(0)


def kill_master(cluster, mode, folder):
    """Within the failover timeout: nothing is lost."""
    application = Application(cluster, mode, folder, LARGE)
    application.line("begun")
    application.holding(2)
    identity = application.framework()["id"]
    before = wait_for("the processes", lambda: executors_of(identity))
    time.sleep(1)
    cluster.kill("master")
    time.sleep(2)
    cluster.start_master()
    application.answer()
    # One that was idle meanwhile may have been given back.
    lost = [line for line in application.errors().splitlines() if "is lost" in line and "it was idle" not in line]
    return {"executors_lost": lost, "executors_before": len(before)}


def kill_master_late(cluster, mode, folder):
    """After the failover timeout the driver still comes back: a restarted master has no timeout running."""
    application = Application(cluster, mode, folder, LARGE, settings=["spark.mesos.driver.failoverTimeout=2"])
    application.line("begun")
    application.holding(2)
    time.sleep(0.5)
    cluster.kill("master")
    time.sleep(6)
    cluster.start_master()
    application.answer()
    return {"lost": "is lost" in application.errors()}


class Way:
    """A way to the master that can be cut."""

    def __init__(self, port):
        self.master, self.open = port, True
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            near, _ = self.listener.accept()
            if not self.open:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.master))
            self.sockets += [near, far]
            for one, other in (near, far), (far, near):
                threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    def pump(self, one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in one, other:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.open = False
        for end in self.sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def removed(cluster, mode, folder):
    """The driver is cut off for longer than its failover timeout: it goes on as another framework."""
    way = Way(cluster.ports["master"])
    application = Application(
        cluster, mode, folder, LARGE, settings=["spark.mesos.driver.failoverTimeout=2"],
        master=f"mesos://127.0.0.1:{way.port}")
    application.line("begun")
    application.holding(2)
    identity = application.framework()["id"]
    way.cut()
    gone = lambda: any(one["id"] == identity for one in cluster.get("/state").get("completed_frameworks", []))
    wait_for("the framework to be removed", gone, 60)
    way.open = True
    application.answer()
    assert "goes on as framework" in application.errors(), application.errors()
    wait_for("the framework to be gone", lambda: not cluster.frameworks())


def kill_leader(cluster, mode, folder):
    """Two masters: the second takes over, and nothing is lost."""
    application = Application(cluster, mode, folder, LARGE)
    application.line("begun")
    application.holding(2)
    leader = cluster.leader()
    cluster.kill(leader)
    started = time.monotonic()
    wait_for("another leader", lambda: cluster.leader() not in (None, leader))
    took = time.monotonic() - started
    application.answer()
    assert "is lost" not in application.errors(), application.errors()
    return {"leaderless_seconds": round(took, 1)}


def dead_leader(cluster, mode, folder):
    """A driver that starts when ZooKeeper still names a leader that has died."""
    cluster.kill(cluster.leader())
    started = time.monotonic()
    application = Application(cluster, mode, folder)
    application.answer()
    assert "nothing listening" not in application.errors(), application.story()
    return {"answered_after": round(time.monotonic() - started, 1)}


def zookeeper_forms(cluster, mode, folder):
    """A path, none, and no mesos:// before it."""
    servers = cluster.zookeeper.removesuffix("/mesos")
    for url in f"mesos://{servers}", cluster.zookeeper:
        application = Application(cluster, mode, folder, master=url)
        application.answer()


def kill_driver(cluster, mode, folder):
    """Executors end within 10 s, the framework by its timeout, and nothing of theirs stays on disk."""
    local = Path(folder) / "local"
    local.mkdir(exist_ok=True)
    settings = ["spark.mesos.driver.failoverTimeout=5", f"spark.executorEnv.SPARK_LOCAL_DIRS={local}"]
    application = Application(cluster, mode, folder, LARGE, settings=settings)
    application.line("begun")
    application.holding(2)
    time.sleep(1)
    identity = application.framework()["id"]
    for pid in drivers(application.process.pid):
        os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    wait_for("the executors to end", lambda: not executors_of(identity), 10)
    took = time.monotonic() - started
    wait_for("the framework to end", lambda: not cluster.frameworks(), 30)
    left = [path for path in local.rglob("*") if path.is_file()]
    application.process.wait()
    assert not left, f"left on disk: {left[:5]}"
    return {"executors_gone_after": round(took, 2)}


def drivers(pid):
    """The process and what descends from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                pass
    return found


KEPT = [
    ["--resources=cpus(ops):3;mem(ops):3072;disk:4096;ports:[31000-31999]", "--attributes=kind:kept"],
    ["--resources=cpus:3;mem:3072;disk:4096;ports:[32000-32999]", "--attributes=kind:free"],
]
SCENARIOS = {
    "plain": plain, "tpch": tpch, "constraints": constraints, "roles": roles, "authentication": authentication,
    "package": package,
    "kill-executor": kill_executor, "kill-agent": kill_agent, "kill-master": kill_master,
    "kill-master-late": kill_master_late, "removed": removed, "kill-driver": kill_driver,
    "kill-leader": kill_leader, "dead-leader": dead_leader, "zookeeper": zookeeper_forms,
}
# Agents that look for a restarted master soon.
SOON = ["--agent_ping_timeout=3secs", "--max_agent_ping_timeouts=3"]


def cluster_for(scenario, kind, folder):
    if scenario == "roles":
        return KINDS[kind](folder, KEPT)
    if scenario == "authentication":
        credentials = Path(folder) / "credentials"
        credentials.write_text(json.dumps({"credentials": [{"principal": "me", "secret": "right"}]}))
        return KINDS[kind](folder, AGENTS, [f"--credentials={credentials}", "--authenticate_http_frameworks=true"] + (
            ["--http_framework_authenticators=basic"] if kind == "genuine" else []))
    if scenario in ("kill-leader", "dead-leader", "zookeeper"):
        return KINDS[kind](folder, AGENTS, masters=2)
    return KINDS[kind](folder, AGENTS, SOON if scenario in ("kill-master", "kill-master-late") else [])


def run(scenario, kind, mode, folder):
    RUNNING.append(cluster_for(scenario, kind, folder))
    return SCENARIOS[scenario](RUNNING[-1], mode, folder)


RUNNING = []


def clean_up():
    while Application.all:
        Application.all.pop().stop()
    while RUNNING:
        RUNNING.pop().stop()


run_each("offers-real", SCENARIOS, run, clean_up, MODES, word="scenario")
