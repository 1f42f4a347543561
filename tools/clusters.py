"""Mesos clusters on loopback for benchmarks and long runs: our own programs, or genuine Apache Mesos."""

import json
import os
import signal
import socket
import subprocess
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


def wait_for(what, ready, limit=60.0):
    """Polls until `ready` gives something true, and gives it back."""
    end = time.monotonic() + limit
    while True:
        found = ready()
        if found:
            return found
        assert time.monotonic() < end, f"waited {limit:g} s for {what}"
        time.sleep(0.02)


class Cluster:
    """A master and agents; `agents` are lists of flags, which both kinds know under Mesos' names."""

    def __init__(self, folder, agents, master=()):
        self.folder = Path(folder)
        self.port = free_port()
        self.master_flags = list(master)
        self.agent_flags = [list(flags) for flags in agents]
        self.agent_ports = [free_port() for _ in agents]
        self.start_master()
        for number in range(len(agents)):
            self.start_agent(number)
        wait_for("the agents", lambda: len(self.get("/slaves").get("slaves", [])) == len(agents))

    @property
    def url(self):
        return f"mesos://127.0.0.1:{self.port}"

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return {}

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
        with open(self.folder / f"{name}.log", "a") as log:
            process = subprocess.Popen(
                [PROGRAM, part, "--ip=127.0.0.1", f"--work_dir={self.folder}/{name}", *flags],
                env={**os.environ, "FERROSPARK_READY_FILE": str(ready)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        self.processes[name] = process
        while not ready.exists():
            assert process.poll() is None, f"{name} ended; see {self.folder}/{name}.log"
            time.sleep(0.02)

    def start_master(self):
        self.start("master", "master", [f"--port={self.port}", *self.master_flags])

    def start_agent(self, number):
        flags = [f"--port={self.agent_ports[number]}", f"--master=127.0.0.1:{self.port}", "--hostname=127.0.0.1"]
        self.start(f"agent-{number}", "agent", flags + self.agent_flags[number])

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

    def start_master(self):
        self.call("start-master", "--port", str(self.port), "--", *self.master_flags)

    def start_agent(self, number):
        where = ["--port", str(self.agent_ports[number]), "--name", f"agent-{number}"]
        self.call("start-agent", *where, "--master", f"127.0.0.1:{self.port}", "--", *self.agent_flags[number])

    def pid(self, name):
        return int((self.folder / f"run/{name}.pid").read_text())

    def kill(self, name):
        """`kill -9`."""
        self.call("stop", "-9", name)

    def stop(self):
        self.call("stop", "all")


KINDS = {"ours": Ours, "genuine": Genuine}


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def submit(cluster, settings, *words, **more):
    """`bin/spark-submit` in client mode."""
    flags = [word for setting in settings for word in ("--conf", setting)]
    return subprocess.Popen(
        ["bin/spark-submit", "--master", cluster.url, *flags, *map(str, words)],
        cwd=HOME, stdin=subprocess.DEVNULL, text=True, **more,
    )
