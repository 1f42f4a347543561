"""How fast tasks start on an agent, ours and genuine Mesos' beside it; and what an idle agent takes.

    agent.py FERROSPARK [ROUNDS]

One JSON line a figure. The schedulers speak HTTP and JSON themselves, so that no client library is measured. Genuine Mesos runs
if `tools/apache-mesos/setup` can install it; its command executor there is a stand-in in Python, so only tasks on a warm custom
executor are compared.
"""

import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
HARNESS = HOME / "tools/apache-mesos"
TICKS = os.sysconf("SC_CLK_TCK")


def say(name, value, unit, **more):
    line = {"figure": name, "value": round(value, 3), "unit": unit, "load": os.getloadavg()[0], **more}
    print(json.dumps(line), flush=True)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / TICKS


def rss_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Connection:
    """HTTP/1.1 on one socket, as far as it is needed."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.address = address
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, path, call, headers=()):
        body = json.dumps(call).encode()
        lines = [f"POST {path} HTTP/1.1", f"Host: {self.address}", "Content-Type: application/json",
                 "Accept: application/json", f"Content-Length: {len(body)}", *headers]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def answer(self):
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline().strip()):
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        return status, headers

    def call(self, path, call, headers=()):
        self.send(path, call, headers)
        status, answer = self.answer()
        said = self.file.read(int(answer.get("content-length", 0)))
        assert status == 202, (status, said, call)

    def records(self):
        """Events of a subscription whose head has been read."""
        buffer = b""
        while (line := self.file.readline()):
            size = int(line, 16)
            buffer += self.file.read(size)
            self.file.readline()
            while b"\n" in buffer:
                length, rest = buffer.split(b"\n", 1)
                if len(rest) < int(length):
                    break
                yield json.loads(rest[: int(length)])
                buffer = rest[int(length):]


PATH = "/api/v1/scheduler"


class Scheduler:
    def __init__(self, master):
        info = {"user": "root", "name": "bench", "failover_timeout": 0}
        self.stream, self.calls = Connection(master), Connection(master)
        self.stream.send(PATH, {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}})
        status, headers = self.stream.answer()
        assert status == 200, status
        self.headers = [f"Mesos-Stream-Id: {headers['mesos-stream-id']}"]
        self.events, self.offers = self.stream.records(), []
        self.id = self.expect("SUBSCRIBED")["subscribed"]["framework_id"]

    def say(self, kind, **fields):
        self.calls.call(PATH, {"framework_id": self.id, "type": kind, **fields}, self.headers)

    def expect(self, kind):
        for event in self.events:
            if event["type"] == "OFFERS" and kind != "OFFERS":
                self.offers += event["offers"]["offers"]
            if event["type"] == kind:
                return event
        raise EOFError(kind)

    def offer(self):
        while not self.offers:
            self.offers += self.expect("OFFERS")["offers"]["offers"]
        return self.offers.pop(0)

    def launch(self, task):
        """Time from ACCEPT to each state, by its name, of a task that ends by itself."""
        offer = self.offer()
        size = [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}]
        task = {"agent_id": offer["agent_id"], "resources": size, "name": "bench", **task}
        launch = [{"type": "LAUNCH", "launch": {"task_infos": [task]}}]
        accept = {"offer_ids": [offer["id"]], "operations": launch, "filters": {"refuse_seconds": 0}}
        began, seen = time.monotonic(), {}
        self.say("ACCEPT", accept=accept)
        while "TASK_FINISHED" not in seen:
            status = self.expect("UPDATE")["update"]["status"]
            assert status["state"] not in ("TASK_FAILED", "TASK_LOST", "TASK_ERROR", "TASK_DROPPED"), status
            seen.setdefault(status["state"], (time.monotonic() - began) * 1000)
            if "uuid" in status:
                self.say("ACKNOWLEDGE", acknowledge={
                    "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]})
        return seen


EXECUTOR = "/api/v1/executor"


def executor():
    """A custom executor whose tasks end at once."""
    agent = os.environ["MESOS_AGENT_ENDPOINT"]
    ids = {"framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
           "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]}}
    stream, calls = Connection(agent), Connection(agent)
    subscribe = {"unacknowledged_tasks": [], "unacknowledged_updates": []}
    stream.send(EXECUTOR, {**ids, "type": "SUBSCRIBE", "subscribe": subscribe})
    assert stream.answer()[0] == 200
    for event in stream.records():
        if event["type"] == "SHUTDOWN":
            return
        if event["type"] == "LAUNCH":
            for state in ("TASK_RUNNING", "TASK_FINISHED"):
                status = {"task_id": event["launch"]["task"]["task_id"], "state": state, "source": "SOURCE_EXECUTOR",
                          "uuid": base64.b64encode(uuid.uuid4().bytes).decode(), **ids}
                del status["framework_id"]
                calls.call(EXECUTOR, {**ids, "type": "UPDATE", "update": {"status": status}})


def measure(name, master, pid, rounds, commands):
    scheduler = Scheduler(master)
    if commands:
        before = cpu_seconds(pid)
        times = []
        for number in range(rounds):
            task = {"task_id": {"value": f"c{number}"}, "command": {"value": "true"}}
            times.append(scheduler.launch(task)["TASK_RUNNING"])
        say(f"command task, launch to RUNNING, median of {rounds}, {name}", statistics.median(times), "ms",
            p90=round(sorted(times)[rounds * 9 // 10], 3), limit=15, agent_cpu_seconds=cpu_seconds(pid) - before)
    command = {"value": f"exec {sys.executable} {Path(__file__).resolve()} executor"}
    warm = {"executor_id": {"value": "warm"}, "command": command, "resources": [], "framework_id": scheduler.id}
    times = []
    for number in range(rounds + 1):
        task = {"task_id": {"value": f"w{number}"}, "executor": warm}
        times.append(scheduler.launch(task)["TASK_FINISHED"])
    times = times[1:]
    median = statistics.median(times)
    say(f"task on a warm custom executor, launch to FINISHED, median of {rounds}, {name}", median, "ms",
        p90=round(sorted(times)[rounds * 9 // 10], 3))
    scheduler.say("TEARDOWN")
    return median


def ours(program, rounds):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)

        def start(*words):
            ready = folder / words[0]
            with open(folder / f"{words[0]}.log", "w", encoding="utf-8") as log:
                process = subprocess.Popen([program, *words], stdout=log, stderr=log,
                                           env={**os.environ, "FERROSPARK_READY_FILE": str(ready)})
            while not ready.exists():
                assert process.poll() is None, (folder / f"{words[0]}.log").read_text()
                time.sleep(0.02)
            return process, ready.read_text().strip()

        master, address = start("master", "--ip=127.0.0.1", "--port=0", f"--work_dir={folder}/m")
        agent, _ = start("agent", f"--master={address}", "--ip=127.0.0.1", "--port=0", f"--work_dir={folder}/a",
                         "--resources=cpus:4;mem:2048;disk:0")
        time.sleep(60)
        say("VmRSS of an idle agent, 60 s after its start", rss_mib(agent.pid), "MiB", limit=20)
        say("VmRSS of an idle master, 60 s after its start", rss_mib(master.pid), "MiB", limit=25)
        median = measure("ours", address, agent.pid, rounds, True)
        for process in (agent, master):
            process.terminate()
            process.wait()
        return median


def genuine(rounds):
    if subprocess.run([HARNESS / "setup"], stdout=subprocess.DEVNULL, check=False).returncode:
        return None
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "APACHE_MESOS_RUN": folder}
        ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        master, agent = (str(port.getsockname()[1]) for port in ports)
        for port in ports:
            port.close()
        address = f"127.0.0.1:{master}"

        def tool(name, *words):
            return subprocess.run([HARNESS / name, *words], env=environment, check=True, text=True, capture_output=True).stdout

        tool("start-master", "--port", master)
        pid = int(tool("start-agent", "--port", agent, "--master", address, "--", "--resources=cpus:4;mem:2048").split()[-1])
        try:
            return measure("genuine Mesos 1.11.0", address, pid, rounds, False)
        finally:
            tool("stop", "all")


def main():
    if sys.argv[1] == "executor":
        executor()
        return
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    mine = ours(sys.argv[1], rounds)
    other = genuine(rounds)
    if other:
        say("task on a warm custom executor, ours to genuine", mine / other, "ratio", limit=0.333)


main()
