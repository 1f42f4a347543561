"""Mesos clusters on loopback for benchmarks and long runs: our own programs, or genuine Apache Mesos."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
PROGRAM = str(HOME / "libexec/ferrospark")
GENUINE = HOME / "tools/apache-mesos"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def settled_ports(count):
    """Free ports that the system gives to no connection of its own, so that they stay free until all are used."""
    found, port = [], 15000 + os.getpid() % 10000
    while len(found) < count:
        port += 1
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                pass
    return found


def wait_for(what, ready, limit=60.0):
    """Polls until `ready` gives something true, and gives it back. Time in which this process was stopped does not count."""
    waited, last = 0.0, time.monotonic()
    while True:
        found = ready()
        if found:
            return found
        assert waited < limit, f"waited {limit:g} s for {what}"
        time.sleep(0.02)
        now = time.monotonic()
        waited, last = waited + min(now - last, 10.0), now


def output(process, limit):
    """What a child prints up to its end, for which it has `limit` seconds; time in which this process was stopped does not
    count."""
    waited = 0.0
    while True:
        started = time.monotonic()
        try:
            return process.communicate(timeout=5)[0]
        except subprocess.TimeoutExpired:
            waited += min(time.monotonic() - started, 10.0)
            if waited >= limit:
                raise


def end(process, grace=20):
    """Ends a child by SIGTERM, and by SIGKILL if it takes longer than `grace` seconds; says how it ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


class Cluster:
    """Masters and agents; `agents` are lists of flags, which both kinds know under Mesos' names. More than one master
    elect a leader in a ZooKeeper of their own."""

    # Where the masters listen, and `principal:secret` for their operator API if they ask for it.
    host = "127.0.0.1"
    credential = None

    def __init__(self, folder, agents, master=(), masters=1):
        self.folder = Path(folder)
        self.ports = {("master" if n == 0 else f"master-{n}"): free_port() for n in range(masters)}
        self.master_flags = list(master)
        self.agent_flags = [list(flags) for flags in agents]
        self.agent_ports = [free_port() for _ in agents] if len(agents) < 20 else settled_ports(len(agents))
        self.zookeeper = None
        if masters > 1:
            self.start_zookeeper()
        for name in self.ports:
            self.start_master(name)
        wait_for("a leader", self.leader)
        for number in range(len(agents)):
            self.start_agent(number)
        wait_for("the agents", lambda: len(self.get("/slaves").get("slaves", [])) == len(agents))

    def start_zookeeper(self):
        subprocess.run([HOME / "tools/zookeeper/setup"], check=True, stdout=subprocess.DEVNULL)
        started = subprocess.run(
            [HOME / "tools/zookeeper/start", self.folder / "zookeeper"], check=True, stdout=subprocess.PIPE, text=True)
        port, self.zookeeper_pid = map(int, started.stdout.split())
        self.zookeeper = f"zk://127.0.0.1:{port}/mesos"
        self.master_flags.append(f"--zk={self.zookeeper}")

    def stop_zookeeper(self):
        if self.zookeeper:
            os.kill(self.zookeeper_pid, signal.SIGKILL)

    @property
    def url(self):
        return f"mesos://{self.address}"

    @property
    def address(self):
        """Where frameworks and agents find the leading master."""
        return self.zookeeper or f"{self.host}:{self.ports['master']}"

    def leader(self):
        """The name of the master that leads, if one does."""
        for name, port in self.ports.items():
            leader = self.get("/state", port).get("leader_info") or {}
            if leader.get("port") == port:
                return name
        return None

    def get(self, path, port=None):
        for port in [port] if port else self.ports.values():
            try:
                with self.ask(port, path) as answer:
                    return json.load(answer)
            except OSError:
                pass
        return {}

    def ask(self, port, path, call=None):
        """A request to one master, with a body if it is a call."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"} if call else {}
        if self.credential:
            headers["Authorization"] = "Basic " + base64.b64encode(self.credential.encode()).decode()
        body = json.dumps(call).encode() if call else None
        return urllib.request.urlopen(urllib.request.Request(f"http://{self.host}:{port}{path}", body, headers), timeout=10)

    def operate(self, call):
        """An operator call to the leading master."""
        self.ask(self.ports[self.leader()], "/api/v1", call).close()

    def frameworks(self):
        return self.get("/state").get("frameworks", [])

    def metric(self, name):
        return self.get("/metrics/snapshot").get(name, 0)


class Ours(Cluster):
    name = "ours"

    def __init__(self, *words, **more):
        self.processes = {}
        super().__init__(*words, **more)

    def start(self, name, part, flags):
        ready = self.folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        where = [] if any(flag.startswith("--ip=") for flag in flags) else ["--ip=127.0.0.1"]
        with open(self.folder / f"{name}.log", "a") as log:
            process = subprocess.Popen(
                [PROGRAM, part, *where, f"--work_dir={self.folder}/{name}", *flags],
                env={**os.environ, "FERROSPARK_READY_FILE": str(ready)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        self.processes[name] = process
        while not ready.exists():
            assert process.poll() is None, f"{name} ended; see {self.folder}/{name}.log"
            time.sleep(0.02)

    def start_master(self, name="master"):
        self.start(name, "master", [f"--port={self.ports[name]}", *self.master_flags])

    def start_agent(self, number):
        flags = [f"--port={self.agent_ports[number]}", f"--master={self.address}", *self.agent_flags[number]]
        if not any(flag.startswith("--hostname=") for flag in flags):
            flags.append("--hostname=127.0.0.1")
        self.start(f"agent-{number}", "agent", flags)

    def pid(self, name):
        return self.processes[name].pid

    def kill(self, name):
        """`kill -9`."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self):
        for name in sorted(self.processes):  # agents first
            self.processes[name].send_signal(signal.SIGTERM)
            self.processes[name].wait()
        self.stop_zookeeper()


class Genuine(Cluster):
    name = "genuine"

    def __init__(self, folder, *words, **more):
        self.environment = {**os.environ, "APACHE_MESOS_RUN": f"{folder}/run"}
        self.call("setup")
        super().__init__(folder, *words, **more)

    def call(self, script, *words):
        return subprocess.run(
            [GENUINE / script, *words], env=self.environment, check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True,
        ).stdout

    def start_master(self, name="master"):
        quorum = ["--quorum=1"] if self.zookeeper else []
        self.call("start-master", "--port", str(self.ports[name]), "--name", name, "--", *self.master_flags, *quorum)

    def start_agent(self, number):
        where = ["--port", str(self.agent_ports[number]), "--name", f"agent-{number}"]
        self.call("start-agent", *where, "--master", self.address, "--", *self.agent_flags[number])

    def pid(self, name):
        return int((self.folder / f"run/{name}.pid").read_text())

    def kill(self, name):
        """`kill -9`."""
        self.call("stop", "-9", name)

    def stop(self):
        self.call("stop", "all")
        self.stop_zookeeper()


KINDS = {"ours": Ours, "genuine": Genuine}


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def submit(cluster, settings, *words, master=None, **more):
    """`bin/spark-submit` in client mode."""
    flags = [word for setting in settings for word in ("--conf", setting)]
    return subprocess.Popen(
        ["bin/spark-submit", "--master", master or cluster.url, *flags, *map(str, words)],
        cwd=HOME, text=True, **{"stdin": subprocess.DEVNULL, **more},
    )


def run_each(suite, runs, run, clean_up=lambda: None, modes=(), kinds=tuple(KINDS), skip=lambda kind, name: False, word="run"):
    """Runs what the command line names, `[--clusters a,b] [--modes a,b] [RUN...]` (all `runs`, `kinds` and `modes` if it names
    none), with `run(name, kind, mode, folder)`, which answers what more to print. One JSON line each; exits with 1 if one
    failed."""
    words, chosen = sys.argv[1:], []
    while words:
        one = words.pop(0)
        if one == "--clusters":
            kinds = words.pop(0).split(",")
        elif one == "--modes" and modes:
            modes = words.pop(0).split(",")
        else:
            assert one in runs, f"no {word} {one!r}; expected {', '.join(runs)}"
            chosen.append(one)
    bad = 0
    for kind in kinds:
        for name in chosen or runs:
            for mode in modes or [None]:
                if skip(kind, name):
                    continue
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                    started = time.monotonic()
                    try:
                        more, right = run(name, kind, mode, folder) or {}, True
                    except Exception as error:  # one run must not keep the others from running
                        more, right = {"error": f"{type(error).__name__}: {error}"[-2000:]}, False
                    finally:
                        clean_up()
                bad += not right
                line = {"suite": suite, word: name, "cluster": kind, **({"mode": mode} if mode else {}), "right": right}
                print(json.dumps({**line, "seconds": round(time.monotonic() - started, 1), **more}), flush=True)
    sys.exit(1 if bad else 0)
