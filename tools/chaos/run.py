"""Shuffle-heavy queries on real processes while something is killed, cut, broken, slow or full: by seed.

    run.py [--first SEED] [--seeds N] [--kinds a,b] [--state FILE]

Seed s is the kind s modulo the number of kinds, with times, victims and query of its own. Each run starts a master, two
agents and perhaps a shuffle service, asks one query, and checks the answer, that the event log shows no more work done
again than was lost, and that nothing stays: no process, no file, no port. With --state, runs that were right are not run
again. One line a run on standard error; one JSON line on standard output at the end. What needs root (network
namespaces, mounts) is skipped without it, and says so.
"""

import collections
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import PROGRAM, Ours, end, free_port, submit, wait_for  # noqa: E402

ROOT = os.geteuid() == 0
# How long a run may take before it counts as hung.
LIMIT = 240
QUERIES = '''
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
which, parts, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
numbers = spark.range(0, rows, 1, parts)
spark.range(0, 4, 1, 4).groupBy("id").count().collect()  # the executors are there
print("begun", flush=True)
if which == "groups":
    keyed = numbers.withColumn("k", F.col("id") * 2654435761 % 100003)
    grouped = keyed.groupBy("k").agg(F.count("*").alias("n"), F.sum("id").alias("s"))
    tens = grouped.groupBy((F.col("k") % 10).alias("d")).agg(F.sum("n").alias("n"), F.sum("s").alias("s"))
    right = tuple(tens.agg(F.sum("n"), F.sum("s"), F.count("*")).collect()[0]) == (rows, rows * (rows - 1) // 2, 10)
elif which == "join":
    m = 50021
    n = rows // m * m
    left = spark.range(0, n, 1, parts).withColumn("k", F.col("id") * 7919 % m)
    side = spark.range(0, m, 1, parts).withColumn("v", F.col("id") * 3).withColumnRenamed("id", "k")
    row = left.join(side, "k").groupBy((F.col("k") % 7).alias("d")).agg(F.count("*").alias("n"), F.sum("v").alias("s"))
    right = tuple(row.agg(F.sum("n"), F.sum("s")).collect()[0]) == (n, n // m * 3 * (m * (m - 1) // 2))
else:
    n = rows // 8
    table = spark.range(0, n, 1, parts).withColumn("k", F.col("id") * 2654435761 % 1000003).repartition(parts, "id")
    table = table.orderBy("k", "id").toArrow()
    k, i = table["k"].to_numpy(), table["id"].to_numpy()
    ordered = ((k[1:] > k[:-1]) | ((k[1:] == k[:-1]) & (i[1:] > i[:-1]))).all()
    right = bool(ordered) and len(i) == n and int(i.sum()) == n * (n - 1) // 2
print("right" if right else "wrong", flush=True)
'''
AGENT = "--resources=cpus:2;mem:3072;disk:4096;ports:[{}-{}]"


class Run:
    """One seed."""

    network = None

    def __init__(self, kind, seed, folder):
        self.kind, self.folder, self.random = kind, Path(folder), random.Random(seed)
        self.local = self.folder / "local"
        self.logs = self.folder / "events"
        self.local.mkdir()
        self.logs.mkdir()
        self.query = self.random.choice(["groups", "join", "sort"])
        self.service, self.service_port, self.process = None, None, None
        self.directories = [self.local]
        # Both sides of the join cross the network; progress is seen by the files, and some are damaged.
        self.settings = ["spark.sql.autoBroadcastJoinThreshold=-1", "spark.ferrospark.shuffle.heldMemory=0"]
        # Blocks damaged on disk.
        self.damaged = 0
        # Whether the query still ran when something was aimed at a moment of it.
        self.aimed = None
        self.may_fail = False
        self.mounts = []

    # ---- parts ---------------------------------------------------------------------------------

    def start(self, cluster=Ours):
        self.cluster = cluster(self.folder, [
            [AGENT.format(31000, 31999), "--attributes=zone:a"], [AGENT.format(32000, 32999), "--attributes=zone:b"]])

    def start_service(self):
        if self.service_port is None:
            self.service_port = free_port()
            self.settings += ["spark.shuffle.service.enabled=true", f"spark.shuffle.service.port={self.service_port}"]
        ready = self.folder / "service.ready"
        ready.unlink(missing_ok=True)
        with open(self.folder / "service.log", "a") as log:
            self.service = subprocess.Popen(
                [PROGRAM, "shuffle-service", "--master", self.cluster.url, "--host", "127.0.0.1", "--port",
                 str(self.service_port), "--state-dir", f"{self.folder}/state", "--conf", "spark.shuffle.cleaner.interval=1s"],
                env={**os.environ, "FERROSPARK_READY_FILE": str(ready)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the shuffle service", ready.exists)

    def ask(self, parts=40, rows=24_000_000):
        self.parts = parts
        script = self.folder / "query.py"
        script.write_text(QUERIES)
        self.said = open(self.folder / "said", "w+")
        directories = ":".join(map(str, self.directories))
        settings = [
            "spark.ferrospark.localExecution.enabled=false", "spark.executor.memory=1g", "spark.executor.cores=1",
            "spark.cores.max=2", "spark.ui.enabled=false", "spark.ui.showConsoleProgress=false",
            "spark.sql.shuffle.partitions=24", "spark.sql.adaptive.coalescePartitions.enabled=false",
            f"spark.sql.adaptive.enabled={self.random.choice(['true', 'false'])}", "spark.eventLog.enabled=true",
            f"spark.eventLog.dir={self.logs}", f"spark.executorEnv.SPARK_EXECUTOR_DIRS={directories}", *self.settings]
        self.process = submit(self.cluster, settings, script, self.query, parts, rows,
                              stdout=subprocess.PIPE, stderr=self.said)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()
        wait_for("the query's beginning", lambda: self.lines or self.process.poll() is not None, 120)
        assert self.lines and self.lines[0].strip() == "begun", self.errors()
        self.framework = wait_for("the framework", lambda: next(iter(self.cluster.frameworks()), None))["id"]

    def errors(self):
        self.said.flush()
        return Path(self.said.name).read_text()[-3000:]

    def executors(self):
        return processes_with(self.framework)

    def pause(self, least=0.2, most=2.5):
        time.sleep(self.random.uniform(least, most))

    def progress(self, most=64):
        """Waits for a moment within the query's work: so many map outputs are there, of the stage that has most."""
        wanted = self.random.randint(1, most)
        wait_for("map output", lambda: len(self.blocks()) >= wanted or not self.running() or len(self.lines) > 1, LIMIT)
        time.sleep(self.random.uniform(0, 0.05))

    def maps_done(self):
        """Whether a map stage of the query is over, as far as the driver knows."""
        for log in self.logs.iterdir():
            for line in log.read_text().splitlines():
                if '"SparkListenerStageCompleted"' in line and (event := parsed(line)):
                    if event["Stage Info"]["Number of Tasks"] == self.parts:
                        return True
        return False

    def running(self):
        return self.process.poll() is None

    def blocks(self):
        return sorted(path for folder in self.directories for path in folder.glob("spark-*/shuffle-*/*.data"))

    # ---- kinds ---------------------------------------------------------------------------------

    def kill_executor(self):
        self.start()
        self.ask()
        self.progress()
        self.kill(1)

    def kill_executors(self):
        """With the service: all of them; what they wrote stays."""
        self.start()
        self.start_service()
        self.ask()
        self.progress()
        self.kill(2)

    def kill_between(self):
        """With the service: all of them as soon as the maps are done."""
        self.start()
        self.start_service()
        self.ask()
        wait_for("the end of the maps", lambda: self.maps_done() or not self.running(), LIMIT)
        self.aimed = self.running() and len(self.lines) == 1
        self.kill(2)

    def kill(self, count):
        victims = self.executors()
        for victim in self.random.sample(victims, min(count, len(victims))):
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill_service(self):
        self.start()
        self.start_service()
        self.ask()
        self.progress()
        self.service.kill()
        self.service.wait()
        self.pause(0.1, 2)
        self.start_service()

    def kill_service_and_executors(self):
        self.start()
        self.start_service()
        self.ask()
        self.progress()
        self.service.kill()
        self.service.wait()
        self.kill(self.random.choice([1, 2]))
        self.pause(0.1, 1)
        self.start_service()

    def kill_agent(self):
        self.start()
        if self.random.random() < 0.5:
            self.start_service()
        self.ask()
        self.progress()
        number = self.random.randrange(2)
        self.cluster.kill(f"agent-{number}")
        self.pause(0.1, 1)
        self.cluster.start_agent(number)

    def kill_master(self):
        self.start()
        if self.random.random() < 0.5:
            self.start_service()
        self.ask()
        self.progress()
        self.cluster.kill("master")
        self.pause(0.2, 2)
        self.cluster.start_master()

    def corrupt(self):
        self.start()
        self.ask()
        self.damage(self.flip)

    def truncate(self):
        self.start()
        self.ask()
        self.damage(lambda path: os.truncate(path, self.random.randrange(path.stat().st_size)))

    def damage(self, how):
        """Up to three blocks, as soon as there are some; a block that goes meanwhile is nobody's."""
        self.progress(40)
        found = []
        wait_for("blocks", lambda: found.extend(self.blocks()) or found or not self.running())
        for path in self.random.sample(found, min(len(found), self.random.randint(1, 3))):
            try:
                how(path)
                self.damaged += 1
            except (OSError, ValueError):
                pass

    def flip(self, path):
        data = bytearray(path.read_bytes())
        for _ in range(self.random.randint(1, 8)):
            data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        # In place: its readers have it open.
        with open(path, "r+b") as file:
            file.write(data)

    def slow_executor(self):
        """One gets a fifth of its time."""
        self.start()
        if self.random.random() < 0.5:
            self.settings += ["spark.speculation=true", "spark.speculation.multiplier=1.5"]
        self.ask()
        victim = self.random.choice(self.executors())
        until = time.monotonic() + 6
        try:
            while self.running() and time.monotonic() < until:
                os.kill(victim, signal.SIGSTOP)
                time.sleep(0.4)
                os.kill(victim, signal.SIGCONT)
                time.sleep(0.1)
        except ProcessLookupError:
            pass

    def network_cut(self):
        """One agent is in a network of its own, whose cable is pulled: for a while, or till the end."""
        self.network = Network()
        self.settings += ["spark.network.timeout=4s", f"spark.driver.host={Network.HERE}", "spark.shuffle.io.retryWait=1s"]
        self.start(self.network.cluster())
        self.ask()
        self.progress()
        self.network.cut()
        if self.random.random() < 0.5:
            self.pause(0.5, 2)
            self.network.mend()

    def full_disk(self):
        """The first of two disks fills up, or the memory tier does, or all there is: then an error may be the answer."""
        which = self.random.choice(["first", "tier", "all"])
        small = self.folder / "small"
        small.mkdir()
        self.mount(small, "96m" if which == "tier" else "6m")
        if which == "first":
            self.directories = [small, self.local]
        elif which == "tier":
            self.settings += ["spark.ferrospark.shuffle.memory=32m", f"spark.ferrospark.shuffle.memoryDir={small}"]
        else:
            self.directories, self.may_fail = [small], True
        self.start()
        self.ask()
        if which == "tier":
            try:
                (small / "ballast").write_bytes(bytes(free_bytes(small)))
            except OSError:
                pass  # a block took the rest

    def mount(self, folder, size):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
        self.mounts.append(folder)

    # ---- the end -------------------------------------------------------------------------------

    def finish(self):
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {LIMIT} s: {self.errors()}") from None
        self.reader.join(10)
        right = code == 0 and [line.strip() for line in self.lines] == ["begun", "right"]
        if not right and self.may_fail:
            said = self.errors()
            assert "wrong" not in "".join(self.lines), "a wrong answer"
            assert "spark.local.dir" in said or "No space left" in said or "full" in said, f"unclear error: {said}"
            return {"error": "clear"}
        assert right, f"exit code {code}, {self.lines}: {self.errors()}"
        return self.work()

    def work(self):
        """What was done again, against what was lost, from the event log."""
        log = next(iter(self.logs.iterdir()))
        running, written = {}, collections.defaultdict(set)
        attempts, maps_done, killed, counted = collections.Counter(), collections.Counter(), 0, False
        lost, failed_reads, wrote = 0, 0, {}
        for line in open(log):
            event = json.loads(line)
            what = event["Event"]
            if what == "SparkListenerTaskStart":
                info = event["Task Info"]
                if not info["Speculative"]:
                    attempts[event["Stage ID"], info["Partition ID"]] += 1
                running[info["Task ID"]] = info["Executor ID"]
            elif what == "SparkListenerTaskEnd":
                info, reason = event["Task Info"], event["Task End Reason"]["Reason"]
                running.pop(info["Task ID"], None)
                counted = counted or bool(info["Accumulables"])
                if reason == "Success" and event["Task Type"] == "ShuffleMapTask":
                    written[info["Executor ID"]].add((event["Stage ID"], info["Partition ID"]))
                    wrote[info["Task ID"]] = info["Executor ID"]
                    maps_done[event["Stage ID"], info["Partition ID"]] += 1
                elif reason == "ExecutorLostFailure":
                    lost += 1
                elif reason == "FetchFailed":
                    # The reader, and the block; of a server that does not answer, all.
                    failed_reads += 1
                    if self.kind == "network-cut":
                        lost += len(written.pop(wrote.get(event["Task End Reason"]["Map ID"]), ()))
                elif reason == "TaskKilled" and info["Speculative"] is False:
                    killed += 1
            elif what == "SparkListenerExecutorRemoved" and not self.service_port:
                lost += len(written.pop(event["Executor ID"], ()))
        assert counted, "no operator's counts in the event log"
        again = sum(attempts.values()) - len(attempts)
        maps_again = sum(maps_done.values()) - len(maps_done)
        found = {"again": again, "lost": lost, "failed_reads": failed_reads, "killed": killed, "maps_again": maps_again,
                 "damaged": self.damaged, "aimed": self.aimed}
        # A failed read costs its reader. Blocks that were damaged on disk are lost, no others of their executor.
        assert again <= lost + failed_reads + self.damaged + killed, f"more done again than lost: {found}"
        # Of two copies of a slow task both may succeed.
        assert self.kind == "slow-executor" or maps_again <= lost + self.damaged, f"more map output done again than lost: {found}"
        if self.kind.startswith("kill-"):
            assert again <= lost, f"more done again than lost: {found}"
        if self.service_port:
            assert maps_again == 0, f"map output done again with a service: {found}"
        return found

    def clean_up(self):
        if self.process:
            end(self.process)
        if self.network:
            self.network.mend()
        if self.service and self.service.poll() is None:
            # Told by the driver, or, if it was away then, by the master.
            try:
                wait_for("the service to remove the files", lambda: not list(self.local.glob("spark-*")), 20)
            except AssertionError:
                pass  # found below
            self.service.terminate()
            self.service.wait()
        if hasattr(self, "cluster"):
            self.cluster.stop()
        try:
            self.check_nothing_left()
        finally:
            for folder in self.mounts:
                subprocess.run(["umount", "-l", folder], check=False)
            if self.network:
                self.network.remove()

    def check_nothing_left(self):
        """No process, no file, no port."""
        names = [str(self.folder)] + ([self.framework] if hasattr(self, "framework") else [])
        left = []

        def gone():
            left[:] = [f"process {found}" for name in names for found in processes_with(name)]
            for folder in [self.local, *self.directories, Path("/dev/shm")]:
                left.extend(str(found) for found in folder.glob("spark-*") if folder != Path("/dev/shm") or names[-1] in str(found))
            return not left
        try:
            wait_for("everything to go", gone, 30)
        except AssertionError:
            raise AssertionError(f"left behind: {left[:10]}") from None
        for port in [self.service_port, *([*self.cluster.ports.values(), *self.cluster.agent_ports] if hasattr(self, "cluster") else [])]:
            if port:
                with socket.socket() as listener:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind(("127.0.0.1", port))


class Network:
    """A network namespace with one cable to this one."""

    HERE, THERE = "10.231.77.1", "10.231.77.2"

    def __init__(self):
        self.name = f"chaos{os.getpid()}"
        self.cable = f"ch{os.getpid()}"
        for words in [
            f"ip netns add {self.name}", f"ip link add {self.cable}a type veth peer name {self.cable}b netns {self.name}",
            f"ip addr add {self.HERE}/24 dev {self.cable}a", f"ip link set {self.cable}a up",
            f"ip -n {self.name} addr add {self.THERE}/24 dev {self.cable}b", f"ip -n {self.name} link set {self.cable}b up",
            f"ip -n {self.name} link set lo up",
        ]:
            subprocess.run(words.split(), check=True)

    def cut(self):
        subprocess.run(["ip", "link", "set", f"{self.cable}a", "down"], check=True)

    def mend(self):
        subprocess.run(["ip", "link", "set", f"{self.cable}a", "up"], check=True)

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False)
        subprocess.run(["ip", "link", "del", f"{self.cable}a"], check=False, stderr=subprocess.DEVNULL)

    def cluster(self):
        network = self

        class Apart(Ours):
            """The second agent is at the other end of the cable."""

            host = network.HERE

            def start(self, name, part, flags):
                words, address = [], network.HERE
                if name == "agent-1":
                    words, address = ["ip", "netns", "exec", network.name], network.THERE
                flags = [flag.replace("127.0.0.1", network.HERE if "--master" in flag else address) for flag in flags]
                ready = self.folder / f"{name}.ready"
                ready.unlink(missing_ok=True)
                with open(self.folder / f"{name}.log", "a") as log:
                    process = subprocess.Popen(
                        [*words, PROGRAM, part, f"--ip={address}", f"--work_dir={self.folder}/{name}", *flags],
                        env={**os.environ, "FERROSPARK_READY_FILE": str(ready)}, stdin=subprocess.DEVNULL, stdout=log,
                        stderr=log)
                self.processes[name] = process
                wait_for(name, lambda: ready.exists() or process.poll() is not None)
                assert process.poll() is None, f"{name} ended; see {self.folder}/{name}.log"

        return Apart


def parsed(line):
    """A line of JSON that may not be all there yet."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def free_bytes(folder):
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def processes_with(word):
    """Processes of our program with this in their command line."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes()
            exe = os.readlink(process / "exe")
        except OSError:
            continue
        if word.encode() in words and os.path.basename(exe).startswith("ferrospark"):
            found.append(int(process.name))
    return sorted(found)


KINDS = {
    "kill-executor": Run.kill_executor, "kill-executors": Run.kill_executors, "kill-service": Run.kill_service,
    "kill-service-and-executors": Run.kill_service_and_executors, "kill-between": Run.kill_between, "kill-agent": Run.kill_agent,
    "kill-master": Run.kill_master, "corrupt": Run.corrupt, "truncate": Run.truncate, "slow-executor": Run.slow_executor,
    "network-cut": Run.network_cut, "full-disk": Run.full_disk,
}
NEED_ROOT = {"network-cut", "full-disk"}


def attempt(kind, seed):
    with tempfile.TemporaryDirectory(prefix="ferrospark-chaos-", ignore_cleanup_errors=True) as folder:
        run, started = Run(kind, seed, folder), time.monotonic()
        line = {"seed": seed, "kind": kind, "query": run.query}
        try:
            try:
                KINDS[kind](run)
                line |= run.finish()
            finally:
                run.clean_up()
            line["right"] = True
        except Exception as error:  # one run must not keep the others from running
            line |= {"right": False, "why": f"{type(error).__name__}: {error}"[-2500:]}
            if os.environ.get("CHAOS_KEEP"):
                subprocess.run(["cp", "-r", folder, os.environ["CHAOS_KEEP"]], check=False)
        return {**line, "seconds": round(time.monotonic() - started, 1)}


def main():
    words, first, seeds, kinds, state = sys.argv[1:], 0, 100, list(KINDS), None
    while words:
        flag = words.pop(0)
        value = words.pop(0)
        if flag == "--first":
            first = int(value)
        elif flag == "--seeds":
            seeds = int(value)
        elif flag == "--kinds":
            kinds = value.split(",")
        elif flag == "--state":
            state = Path(value)
        else:
            sys.exit(f"{flag}: no such flag")
    started, done = time.monotonic(), {}
    if state:
        state.parent.mkdir(parents=True, exist_ok=True)
        if state.exists():
            known = (json.loads(line) for line in state.read_text().splitlines())
            done = {line["seed"]: line for line in known if line["right"]}
    skipped = 0
    for seed in range(first, first + seeds):
        kind = kinds[seed % len(kinds)]
        if seed in done and done[seed]["kind"] == kind:
            continue
        if kind in NEED_ROOT and not ROOT:
            skipped += 1
            print(f"skipped: {kind} needs root", file=sys.stderr)
            if os.environ.get("REQUIRE_ALL"):
                sys.exit(1)
            continue
        line = attempt(kind, seed)
        print(json.dumps(line), file=sys.stderr, flush=True)
        done[seed] = line
        if state:
            with open(state, "a") as file:
                file.write(json.dumps(line) + "\n")
    mine = [line for seed, line in done.items() if first <= seed < first + seeds]
    wrong = [line["seed"] for line in mine if not line["right"]]
    print(json.dumps({
        "suite": "chaos", "first": first, "runs": len(mine), "right": len(mine) - len(wrong), "wrong_seeds": wrong,
        "skipped": skipped, "clear_errors": sum(line.get("error") == "clear" for line in mine),
        "aimed": sum(line.get("aimed") is True for line in mine), "damaged": sum(line.get("damaged", 0) for line in mine),
        "attempts_again": sum(line.get("again", 0) for line in mine), "lost": sum(line.get("lost", 0) for line in mine),
        "seconds": round(sum(line["seconds"] for line in mine)), "now": round(time.monotonic() - started)}), flush=True)
    sys.exit(1 if wrong else 0)


main()
