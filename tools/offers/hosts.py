"""Several hosts on one machine: a master, two agents and the driver, each in network and mount namespaces of its own and
with its own address; agents see neither the driver's SPARK_HOME nor its files, and fetch the program over HTTP. As root.

    hosts.py [plain] [docker] [partition]

plain      TPC-H queries 1, 3 and 18
docker     the same with executors in bridged Docker containers, one on each agent
partition  30 s without a way between the driver and one agent, in mid-query

Prints one JSON line per run; fails if one is not as it should be.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import HOME, PROGRAM, end, wait_for  # noqa: E402

HUB, NETWORK = "hub", "10.77.0"
HOSTS = {"master": 1, "agent-0": 2, "agent-1": 3, "driver": 4, "files": 5}
PARTITION_SECONDS = 30
LIMIT = float(os.environ.get("LIMIT_SECONDS", 300))
ROWS, PARTS = "400000000", "400"
SHUFFLE = """
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
rows, parts = int(sys.argv[1]), int(sys.argv[2])
print("begun", flush=True)
df = spark.range(0, rows, 1, parts).withColumn("k", F.col("id") * 2654435761 % 100003)
grouped = df.groupBy("k").agg(F.count("*").alias("n"), F.sum("id").alias("s"))
found = tuple(grouped.agg(F.sum("n"), F.sum("s"), F.count("*")).collect()[0])
print("right" if found == (rows, rows * (rows - 1) // 2, 100003) else "wrong", flush=True)
"""


def run(*words, **more):
    return subprocess.run(list(map(str, words)), check=True, stdin=subprocess.DEVNULL, **more)


class Hosts:
    """Namespaces at one bridge, which is in a namespace, too."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.prefix = f"fs{os.getpid()}"
        self.processes = {}
        self.made = []
        # What agents must not see: the repository, the program's place, the driver's folder.
        self.driver_only = [HOME, Path(os.path.realpath(PROGRAM)).parent, self.folder / "driver"]
        (self.folder / "driver").mkdir()

    def connect(self):
        self.add(HUB)
        self.within(HUB, "ip", "link", "add", "bridge", "type", "bridge")
        self.within(HUB, "ip", "link", "set", "bridge", "up")
        for name, number in HOSTS.items():
            self.add(name)
            inside = self.space(name)
            self.within(HUB, "ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", inside)
            self.within(HUB, "ip", "link", "set", f"to-{name}", "master", "bridge", "up")
            self.within(name, "ip", "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            self.within(name, "ip", "link", "set", "eth0", "up")
            self.within(name, "ip", "link", "set", "lo", "up")

    def space(self, name):
        return f"{self.prefix}-{name}"

    def add(self, name):
        run("ip", "netns", "add", self.space(name))
        self.made.append(self.space(name))

    def within(self, name, *words, **more):
        return run("ip", "netns", "exec", self.space(name), *words, **more)

    def start(self, host, name, *words, hide=(), **more):
        """A process on a host, which does not see some folders."""
        hiding = "".join(f"mount -t tmpfs none '{path}' && " for path in hide)
        words = ["ip", "netns", "exec", self.space(host), "unshare", "-m", "--propagation", "private",
                 "sh", "-c", f'{hiding}cd / && exec "$@"', "sh", *map(str, words)]
        if "stdout" not in more:
            log = open(self.folder / f"{name}.log", "w")
            more = {"stdout": log, "stderr": log, **more}
        more = {"stdin": subprocess.DEVNULL, **more}
        process = self.processes[name] = subprocess.Popen(words, text=True, **more)
        return process

    def daemon(self, host, part, *flags, hide=()):
        ready = self.folder / f"{host}.ready"
        process = self.start(
            host, host, self.folder / "program/ferrospark", part, f"--ip={NETWORK}.{HOSTS[host]}",
            f"--work_dir={self.folder}/{host}", *flags, hide=hide,
            env={**os.environ, "FERROSPARK_READY_FILE": str(ready), "SPARK_HOME": "/nowhere"},
        )
        wait_for(f"{host}", lambda: process.poll() is not None or ready.exists())
        assert process.poll() is None, (self.folder / f"{host}.log").read_text()[-2000:]

    def cluster(self, docker=False):
        program = self.folder / "program"
        program.mkdir()
        run("cp", "-L", PROGRAM, program / "ferrospark")
        self.daemon("master", "master", "--port=5050", hide=self.driver_only)
        for name, port in ("agent-0", 31000), ("agent-1", 32000):
            flags = []
            if docker:
                flags = ["--containerizers=docker,mesos", f"--docker_socket={self.docker(name)}"]
            self.daemon(
                name, "agent", "--port=5051", f"--hostname={NETWORK}.{HOSTS[name]}", f"--master={NETWORK}.1:5050",
                f"--resources=cpus:1;mem:3072;disk:8192;ports:[31000-32999]", *flags, hide=self.driver_only)
        served = self.start("files", "files", sys.executable, "-m", "http.server", "--directory", HOME / "dist",
                            "--bind", f"{NETWORK}.5", "8000")
        reached = lambda: self.try_within("driver", "sh", "-c", f": < /dev/tcp/{NETWORK}.5/8000", shell="bash")
        wait_for("the file server", lambda: served.poll() is None and reached())

    def try_within(self, host, *words, shell=None):
        words = [shell or words[0], *words[1:]]
        return subprocess.run(["ip", "netns", "exec", self.space(host), *words], stderr=subprocess.DEVNULL).returncode == 0

    def docker(self, name):
        """A Docker daemon of the host, with an image that has what the program needs and not the program."""
        folder = self.folder / f"docker-{name}"
        # Not by `ip netns exec`, which mounts another /sys, without control groups.
        words = ["nsenter", f"--net=/run/netns/{self.space(name)}", HOME / "tools/docker", folder]
        daemon = self.processes[f"docker-{name}"] = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert daemon.stdout.readline().startswith("ready"), "no Docker daemon"
        socket = folder / "docker.sock"
        root = self.folder / f"image-{name}"
        tools = ["/bin/bash", "/usr/bin/readlink", "/usr/bin/dirname", "/bin/sh"]
        libraries = set()
        for binary in [self.folder / "program/ferrospark", *tools]:
            out = run("ldd", binary, stdout=subprocess.PIPE, text=True).stdout
            libraries |= {word for word in out.split() if word.startswith("/")}
        for path in [*tools, *libraries]:
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            run("cp", "-L", path, target)
        (root / "tmp").mkdir()
        run("bash", "-c", f"tar -C {root} -c . | docker -H unix://{socket} import - ferrospark:test >&2")
        return socket

    def submit(self, *words, **more):
        uri = f"spark.executor.uri=http://{NETWORK}.5:8000/ferrospark-{VERSION}.tgz"
        flags = [
            "--conf", uri, "--conf", f"spark.driver.host={NETWORK}.4", "--conf", "spark.executor.memory=1g",
            "--conf", "spark.ferrospark.localExecution.enabled=false", "--conf", "spark.ui.showConsoleProgress=false",
            "--conf", "spark.executor.cores=1", "--conf", "spark.ferrospark.executorReport.enabled=true",
        ]
        said = open(self.folder / "said", "w")
        return self.start(
            "driver", "application", HOME / "bin/spark-submit", "--master", f"mesos://{NETWORK}.1:5050", *flags, *words,
            stdout=subprocess.PIPE, stderr=said, **more)

    def said(self):
        """What the driver said and, at the end, each executor."""
        files = [self.folder / "said", *self.folder.glob("agent-*/slaves/*/frameworks/*/executors/*/runs/*/stderr")]
        return "\n".join(path.read_text(errors="replace")[-1500:] for path in files if path.is_file())

    def stop(self):
        for process in reversed(self.processes.values()):
            if process.stdin:
                process.stdin.close()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    pass
            end(process)
        for space in self.made:
            subprocess.run(["ip", "netns", "delete", space], stderr=subprocess.DEVNULL)


def workers(said):
    """Executors that ran tasks, by the driver's report."""
    hosts = [line.split(" on ")[1].split(":")[0] for line in said.splitlines() if line.startswith("executor ")]
    return sorted(hosts)


def tpch(hosts, *flags):
    data = DATA
    run(PROGRAM, "tpch-data", "--scale-factor", "0.1", "--output", data, stdout=subprocess.DEVNULL)
    application = hosts.submit(
        *flags, HOME / "examples/tpch.py", data, "1", "3", "18", "--check", HOME / "tests/answers/tpch-sf0.1")
    out = application.communicate(timeout=LIMIT)[0]
    assert application.returncode == 0 and "3 of 3 answers are right" in out, out[-500:] + hosts.said()[-3000:]
    return {"executors": workers(hosts.said())}


def plain(hosts):
    hosts.cluster()
    found = tpch(hosts)
    assert found["executors"] == [f"{NETWORK}.2", f"{NETWORK}.3"], hosts.said()[-2000:]
    return found


def docker(hosts):
    hosts.cluster(docker=True)
    found = tpch(
        hosts, "--conf", "spark.mesos.executor.docker.image=ferrospark:test", "--conf", "spark.blockManager.port=7000",
        "--conf", "spark.mesos.executor.docker.portmaps=31000:7000",
        "--conf", f"spark.mesos.executor.docker.volumes={DATA}:{DATA}:ro")
    assert found["executors"] == [f"{NETWORK}.2", f"{NETWORK}.3"], hosts.said()[-2000:]
    return found


def partition(hosts):
    hosts.cluster()
    script = hosts.folder / "driver/shuffle.py"
    script.write_text(SHUFFLE)
    application = hosts.submit(script, ROWS, PARTS)
    assert application.stdout.readline() == "begun\n", hosts.said()
    state = lambda: hosts.within(
        "driver", "python3", "-c", f"import urllib.request as u; print(u.urlopen('http://{NETWORK}.1:5050/state').read().decode())",
        stdout=subprocess.PIPE, text=True).stdout
    running = lambda: [task for one in json.loads(state())["frameworks"] for task in one["tasks"] if task["state"] == "TASK_RUNNING"]
    wait_for("both executors", lambda: len(running()) == 2)
    time.sleep(2)
    between = [("driver", 2), ("agent-0", 4)]
    for host, other in between:
        hosts.within(host, "ip", "route", "add", "blackhole", f"{NETWORK}.{other}/32")
    assert not hosts.try_within("driver", "bash", "-c", f": < /dev/tcp/{NETWORK}.2/5051"), "there still is a way"
    started = time.monotonic()
    time.sleep(PARTITION_SECONDS)
    ended = application.poll() is not None
    for host, other in between:
        hosts.within(host, "ip", "route", "del", "blackhole", f"{NETWORK}.{other}/32")
    out = application.communicate(timeout=600)[0]
    assert application.returncode == 0 and out.split() == ["right"], out + hosts.said()[-3000:]
    assert not ended, "the query was over before the partition was"
    return {"after_partition_seconds": round(time.monotonic() - started - PARTITION_SECONDS, 1), "lost": "is lost" in hosts.said()}


RUNS = {"plain": plain, "docker": docker, "partition": partition}
DATA = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ferrospark/tpch-sf0.1"
VERSION = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[1].strip(",")


def main():
    run(HOME / "tools/dist", os.path.realpath(PROGRAM), VERSION, stdout=subprocess.DEVNULL)
    bad = 0
    for name in sys.argv[1:] or RUNS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.chmod(folder, 0o755)
            hosts, started = None, time.monotonic()
            try:
                hosts = Hosts(folder)
                hosts.connect()
                more, ok = RUNS[name](hosts), True
            except Exception as error:  # one run must not keep the others from running
                said = hosts.said() if hosts else ""
                more, ok = {"error": f"{type(error).__name__}: {error}"[-3000:], "said": said[-3000:]}, False
            finally:
                if hosts:
                    hosts.stop()
            bad += not ok
            line = {"suite": "hosts", "run": name, "right": ok, "seconds": round(time.monotonic() - started, 1)}
            print(json.dumps({**line, **more}), flush=True)
    sys.exit(1 if bad else 0)


main()
