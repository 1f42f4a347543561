"""What the properties of the page "Running Spark on Mesos" do, seen from outside: at the master, in sandboxes, in the
environment of executors, in containers.

    properties.py [--clusters ours,genuine] [--modes coarse,fine] [RUN...]

program   what an executor is started with and what the framework says of itself: URIs, environment, library path, home,
          labels, overhead, ports, extra cores, links, checkpoint, failover timeout, principal
cache     spark.mesos.fetcherCache.enable
secrets   secrets by value as variables; by name, and as files, where the agent cannot have them
refusals  spark.mesos.rejectOfferDuration and its kin: how often an agent that does not fit is offered
gpus      spark.mesos.gpus.max and spark.mesos.executor.gpus (ours only: genuine agents want the devices)
sandbox   the driver's link to a sandbox, followed by Chromium to the executor's output (ours; genuine ones with WEBUI_DIR)
shutdown  spark.mesos.coarse.shutdownTimeout: how long a driver waits for executors that do not end
docker    image, volumes, parameters, port maps, forcePullImage; on the host's network, bridged, in a network of the user's
          (genuine: fine-grained only; as root)

Prints one JSON line per run; fails if one is not as it should be.
"""

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from application import MODES, Application, executors_of  # noqa: E402
from clusters import HOME, KINDS, PROGRAM, Genuine, free_port, run_each, wait_for  # noqa: E402

AGENTS = [
    ["--resources=cpus:3;mem:3072;disk:4096;ports:[31000-31999]", "--attributes=zone:a"],
    ["--resources=cpus:3;mem:3072;disk:4096;ports:[32000-32999]", "--attributes=zone:b"],
]


class Files:
    """A file and an archive over HTTP, and how often each was fetched."""

    def __init__(self, folder):
        root = Path(folder) / "files"
        root.mkdir()
        (root / "extra.txt").write_text("extra\n")
        (root / "inside.txt").write_text("inside\n")
        with tarfile.open(root / "things.tgz", "w:gz") as archive:
            archive.add(root / "inside.txt", "things/inside.txt")
        self.fetched = fetched = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                fetched.append(self.path)
                super().do_GET()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=root))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{self.server.server_port}"
        self.property = f"spark.mesos.uris={base}/extra.txt,{base}/things.tgz"

    def stop(self):
        self.server.shutdown()


def same(what, found, wanted):
    assert found == wanted, f"{what}: {found!r}, not {wanted!r}"


def environment(pid):
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def words(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


def answered(cluster, mode, folder, settings, **more):
    """An application whose query is answered and that stays."""
    application = Application(cluster, mode, folder, settings=settings, linger=600, **more)
    application.line("begun")
    application.line("right")
    return application


def gone(cluster, application):
    application.stop()
    wait_for("the framework to be gone", lambda: not cluster.frameworks())


def executor_of(application):
    """The process of its one executor."""
    return wait_for("the executor", lambda: executors_of(application.framework()["id"]))[0]


def used(framework):
    return framework["used_resources"] if "used_resources" in framework else framework["resources"]


def program(cluster, mode, folder):
    files = Files(folder)
    home = Path(folder) / "installed"
    home.symlink_to(HOME)
    port = free_port()
    settings = [
        files.property, "spark.mesos.constraints=zone:a", f"spark.mesos.executor.home={home}", "spark.app.name=an app",
        "spark.executorEnv.GREETING=hello, you; $HOME", "spark.executor.extraLibraryPath=/opt/one:/opt/two",
        "spark.mesos.task.labels=team:a\\,b,stage:x\\:y", "spark.mesos.driver.webui.url=http://proxy.example/app",
        "spark.mesos.driver.failoverTimeout=12.5", "spark.mesos.checkpoint=true", "spark.mesos.executor.memoryOverhead=500",
        "spark.blockManager.port=31005", "spark.mesos.extra.cores=1", "spark.mesos.mesosExecutor.cores=0.5",
        "spark.mesos.principal=somebody", "spark.mesos.proxy.baseURL=http://proxy.example/mesos/", f"spark.ui.port={port}",
        "spark.cores.max=2", "spark.ferrospark.mesos.fine.executorIdleTimeout=600s",
        "spark.ferrospark.mesos.maxExecutorsPerAgent=2", "spark.mesos.driver.frameworkId=driver-20261123-0001",
    ]
    variables = {**os.environ, "MESOS_NATIVE_JAVA_LIBRARY": "/usr/lib/libmesos.so"}
    try:
        application = answered(cluster, mode, folder, settings, environment=variables)
    finally:
        files.stop()
    wait_for("the last task to be over", lambda: mode == "coarse" or not application.framework()["tasks"])
    framework = application.framework()
    for key, wanted in [
        ("id", "driver-20261123-0001"), ("name", "an app"), ("webui_url", "http://proxy.example/app"),
        ("failover_timeout", 12.5), ("checkpoint", True), ("principal", "somebody"), ("role", "*"),
    ]:
        same(key, framework.get(key), wanted)
    holds = used(framework)
    # An executor each of one core and one core more to run tasks on, or one executor that is idle.
    executors = int(MODES["coarse"][0].split("=")[1]) if mode == "coarse" else 1
    same("memory", holds["mem"], 1524 * executors)
    same("cpus", holds["cpus"], executors if mode == "coarse" else 0.5)
    holders = framework["tasks" if mode == "coarse" else "executors"]
    ports = sorted(one["resources"]["ports"] for one in holders)
    same("ports", ports, ["[31005-31005]", "[31006-31006]"] if mode == "coarse" else ["[31005-31005]"])
    tasks = framework["tasks"] + framework["completed_tasks"]
    labels = [{"key": "team", "value": "a,b"}, {"key": "stage", "value": "x:y"}]
    assert tasks and all(task["labels"] == labels for task in tasks), [task.get("labels") for task in tasks]
    pid = executor_of(application)
    said = environment(pid)
    same("variable", said.get("GREETING"), "hello, you; $HOME")
    same("library path", said.get("LD_LIBRARY_PATH", "").split(":")[:2], ["/opt/one", "/opt/two"])
    same("memory told", said.get("SPARK_EXECUTOR_MEMORY"), "1024m")
    same("home", said.get("SPARK_HOME"), str(HOME))
    line = words(pid)
    if mode == "coarse":
        same("slots", line[line.index("--cores") + 1], "2")
    sandbox = Path(os.readlink(f"/proc/{pid}/cwd"))
    same("file", (sandbox / "extra.txt").read_text(), "extra\n")
    same("archive", (sandbox / "things/inside.txt").read_text(), "inside\n")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/applications/{framework['id']}/executors", timeout=10) as answer:
        executor = json.load(answer)[0]
    agent = next(one["id"] for one in cluster.get("/slaves")["slaves"] if one["attributes"]["zone"] == "a")
    link = f"http://proxy.example/mesos/#/agents/{agent}/frameworks/{framework['id']}/executors/{executor['id']}/browse"
    same("link", executor["executorLogs"], {"sandbox": link})
    notes = [one for one in application.errors().splitlines() if "MESOS_NATIVE_JAVA_LIBRARY" in one]
    assert len(notes) == 1 and "not needed" in notes[0], notes
    gone(cluster, application)


def cache(cluster, mode, folder):
    files = Files(folder)
    try:
        counts = []
        for keep in "true", "true", "false":
            settings = [files.property, f"spark.mesos.fetcherCache.enable={keep}", "spark.mesos.constraints=zone:a", "spark.cores.max=2"]
            gone(cluster, answered(cluster, mode, folder, [*settings, "spark.executor.cores=2"]))
            counts.append(files.fetched.count("/things.tgz"))
    finally:
        files.stop()
    same("fetched after each application", counts, [1, 1, 2])


def secrets(cluster, mode, folder):
    if cluster.name == "genuine" and mode == "coarse":
        return {"skipped": "the stand-in for the executor of command tasks passes no secrets on"}
    base = ["spark.mesos.constraints=zone:a", "spark.cores.max=2"]
    application = answered(cluster, mode, folder, [
        *base, "spark.mesos.executor.secret.values=one,two", "spark.mesos.executor.secret.envkeys=FIRST,SECOND"])
    said = environment(executor_of(application))
    same("secrets", (said.get("FIRST"), said.get("SECOND")), ("one", "two"))
    gone(cluster, application)
    if cluster.name == "ours":
        # Neither kind of agent here has a store, and only with root's isolators do genuine ones have files.
        for more, wanted in [
            (["spark.mesos.executor.secret.names=/a", "spark.mesos.executor.secret.envkeys=A"], "knows no secrets by name"),
            (["spark.mesos.executor.secret.values=v", "spark.mesos.executor.secret.filenames=f"], "mounts no volumes"),
        ]:
            application = Application(cluster, mode, folder, settings=[*base, *more])
            wait_for(f"{wanted!r}", lambda: wanted in application.errors())
            gone(cluster, application)


def refusals(cluster, mode, folder):
    """Offers of two agents that do not fit, in a while: many if they are refused for a second, else two."""
    received = {}
    for duration in "spark.mesos.rejectOfferDuration=1s", "spark.mesos.rejectOfferDurationForUnmetConstraints=100s":
        port = free_port()
        application = Application(
            cluster, mode, folder, settings=["spark.mesos.constraints=zone:none", f"spark.ui.port={port}", duration])
        wait_for("the reason", lambda: "lack attribute zone=none" in application.errors())
        def count():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/mesos", timeout=10) as answer:
                return json.load(answer)["metrics"]["mesos.offers.declined.unmet_constraint"]
        if duration.endswith("=1s"):
            wait_for("offers that come back", lambda: count() >= 8)
        else:
            time.sleep(5)
        received[duration.split("=")[1]] = count()
        gone(cluster, application)
    # Fine-grained mode asks anew when more tasks wait, which drops all filters.
    assert received["100s"] == 2 or mode == "fine" and received["100s"] <= 6, f"offers refused for 100 s: {received}"
    return received


def gpus(cluster, mode, folder):
    if mode == "fine":
        application = Application(cluster, mode, folder, settings=["spark.mesos.gpus.max=1"])
        code, _ = application.end()
        assert code != 0 and "fine-grained mode has no GPUs" in application.errors(), application.errors()
        return
    application = answered(cluster, mode, folder, ["spark.mesos.gpus.max=3", "spark.mesos.executor.gpus=1"])
    tasks = [task["resources"].get("gpus") for task in application.framework()["tasks"]]
    same("GPUs of each executor", tasks, [1, 1])
    gone(cluster, application)
    application = Application(cluster, mode, folder, settings=["spark.mesos.gpus.max=8", "spark.mesos.executor.gpus=4"])
    wait_for("the reason", lambda: "of the 4 GPUs wanted" in application.errors())
    gone(cluster, application)


def seen(url, folder):
    """The page as a browser has it once its scripts have run."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "no Chromium is installed"
    more = [f"--screenshot={os.environ['SCREENSHOT']}"] if "SCREENSHOT" in os.environ else ["--dump-dom"]
    return subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/browser", "--window-size=1200,900",
         "--virtual-time-budget=8000", *more, url],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120).stdout


def sandbox(cluster, mode, folder):
    """From the driver's page to the executor's words."""
    if cluster.name == "genuine" and "WEBUI_DIR" not in os.environ:
        return {"skipped": "these packages of Apache Mesos have no pages; WEBUI_DIR names some"}
    application = answered(cluster, mode, folder, ["spark.executorEnv.FERROSPARK_LOG=info"])
    driver = seen(application.framework()["webui_url"], folder)
    links = re.findall(r'href="([^"]*/browse)"', driver)
    assert links, f"no link to a sandbox in {driver[:2000]}"
    page = seen(links[0], folder)
    # Genuine pages list the files of the sandbox; ours show what is in them.
    wanted = ["stdout", "stderr"] if cluster.name == "genuine" else ["stdout", "stderr", "INFO"]
    assert all(word in page for word in wanted), f"{links[0]} shows {page[:3000]}"
    gone(cluster, application)
    return {"link": links[0]}


def shutdown(cluster, mode, folder):
    application = answered(cluster, mode, folder, ["spark.mesos.coarse.shutdownTimeout=4s", "spark.mesos.driver.failoverTimeout=0"])
    stuck = executors_of(application.framework()["id"])
    for pid in stuck:
        os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    try:
        application.stop()
        took = time.monotonic() - started
    finally:
        for pid in stuck:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:  # the agent was quicker
                pass
    assert took >= 4, f"it waited for {took:.1f} s"
    wait_for("the framework to be gone", lambda: not cluster.frameworks())
    return {"waited": round(took, 1)}


class Reachable(Genuine):
    """Agents that tell an address of theirs by which containers reach them."""

    def start_agent(self, number):
        self.environment["LIBPROCESS_ADVERTISE_IP"] = self.advertised
        super().start_agent(number)


class Docker:
    """A daemon of our own with an image that has what the program needs, and the program on a volume."""

    def __init__(self, folder):
        self.folder = Path(folder) / "docker"
        self.process = subprocess.Popen(
            [HOME / "tools/docker", self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().startswith("ready"), "no Docker daemon"
        root = Path(folder) / "image"
        tools = ["/bin/bash", "/usr/bin/readlink", "/usr/bin/dirname", "/bin/sh"]
        libraries = set()
        for binary in [os.path.realpath(PROGRAM), *tools]:
            out = subprocess.run(["ldd", binary], stdout=subprocess.PIPE, text=True, check=True).stdout
            libraries |= {word for word in out.split() if word.startswith("/")}
        for path in [*tools, *libraries]:
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-L", path, target], check=True)
        home = root / "opt/ferrospark"
        (home / "libexec").mkdir(parents=True)
        subprocess.run(["cp", "-r", HOME / "bin", home], check=True)
        subprocess.run(["cp", "-L", PROGRAM, home / "libexec/ferrospark"], check=True)
        (root / "tmp").mkdir()
        subprocess.run(["bash", "-c", f"tar -C {root} -c . | docker -H unix://{self.socket} import - ferrospark:test >&2"], check=True)

    @property
    def socket(self):
        return self.folder / "docker.sock"

    @property
    def bridge(self):
        """The machine's address on the bridge."""
        return self.say("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}").strip()

    def say(self, *words):
        return subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", *words], stdout=subprocess.PIPE, text=True, check=True).stdout

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)


def docker(cluster, mode, folder):
    if cluster.name == "genuine" and mode == "coarse":
        return {"skipped": "command tasks in Docker want mesos-docker-executor, which these packages do not have"}
    shared = Path(folder) / "shared"
    shared.mkdir()
    base = [
        "spark.mesos.executor.docker.image=ferrospark:test", "spark.mesos.executor.home=/opt/ferrospark",
        "spark.mesos.constraints=zone:a", "spark.cores.max=2", "spark.executor.cores=2", "spark.mesos.mesosExecutor.cores=0.5",
        f"spark.mesos.executor.docker.volumes={shared}:/shared:ro,{shared}:/scratch",
        "spark.mesos.executor.docker.parameters=cap-drop=NET_RAW,label=team=data",
    ]
    daemon = cluster.docker
    address = daemon.bridge
    daemon.say("network", "create", "ours")
    gateway = daemon.say("network", "inspect", "ours", "-f", "{{(index .IPAM.Config 0).Gateway}}").strip()
    for name, more, host in [
        ("host", [], "127.0.0.1"),
        ("bridge", ["spark.blockManager.port=7000", "spark.mesos.executor.docker.portmaps=31000:7000"], address),
        ("user", ["spark.mesos.network.name=ours", "spark.mesos.network.labels=a:b"], gateway),
    ]:
        settings = [*base, *more, f"spark.driver.host={host}", "spark.driver.bindAddress=0.0.0.0"]
        application = answered(cluster, mode, folder, settings)
        container = daemon.say("ps", "-q").split()
        assert len(container) == 1, f"{name}: containers {container}"
        found = json.loads(daemon.say("inspect", container[0]))[0]
        mounts = {mount["Destination"]: mount["RW"] for mount in found["Mounts"]}
        same(f"{name}: volumes", (mounts.get("/shared"), mounts.get("/scratch")), (False, True))
        # Docker's command line, which genuine agents use, gives it its long name.
        same(f"{name}: capabilities", [one.removeprefix("CAP_") for one in found["HostConfig"]["CapDrop"]], ["NET_RAW"])
        same(f"{name}: label", found["Config"]["Labels"].get("team"), "data")
        networks = list(found["NetworkSettings"]["Networks"])
        same(f"{name}: network", networks, ["ours" if name == "user" else name])
        ports = found["HostConfig"]["PortBindings"] or {}
        wanted = {"7000/tcp": [{"HostIp": "", "HostPort": "31000"}]} if name == "bridge" else {}
        same(f"{name}: port maps", ports, wanted)
        gone(cluster, application)
        wait_for("the container to be gone", lambda: not daemon.say("ps", "-q").split())
    # Pulled anew although the agent has it: nobody serves it.
    application = Application(cluster, mode, folder, settings=[*base, "spark.mesos.executor.docker.forcePullImage=true"])
    wait_for("the word of an image that cannot be pulled", lambda: "is lost" in application.errors())
    gone(cluster, application)


RUNS = {
    "program": program, "cache": cache, "secrets": secrets, "refusals": refusals, "gpus": gpus, "sandbox": sandbox,
    "shutdown": shutdown, "docker": docker,
}
OURS_ONLY = {"gpus"}


def cluster_for(run, kind, folder):
    if run == "gpus":
        return KINDS[kind](folder, [[flags[0] + ";gpus:2", *flags[1:]] for flags in AGENTS])
    if run == "secrets" and kind == "genuine":
        isolation = "--isolation=posix/cpu,posix/mem,environment_secret"
        return KINDS[kind](folder, [[*flags, isolation] for flags in AGENTS])
    if run == "sandbox" and kind == "genuine" and "WEBUI_DIR" in os.environ:
        return KINDS[kind](folder, AGENTS, [f"--webui_dir={os.environ['WEBUI_DIR']}"])
    if run != "docker":
        return KINDS[kind](folder, AGENTS)
    daemon = Docker(folder)
    try:
        # Fine-grained executors dial their agent, which therefore listens where bridged containers reach it.
        flags = ["--containerizers=docker,mesos", f"--docker_socket={daemon.socket}", f"--hostname={daemon.bridge}"]
        flags.append("--ip=0.0.0.0" if kind == "genuine" else f"--ip={daemon.bridge}")
        made = type("Reachable", (Reachable,), {"advertised": daemon.bridge}) if kind == "genuine" else KINDS[kind]
        cluster = made(folder, [[*own, *flags] for own in AGENTS])
    except BaseException:
        daemon.stop()
        raise
    cluster.docker = daemon
    return cluster


RUNNING = []


def run(name, kind, mode, folder):
    RUNNING.append(cluster_for(name, kind, folder))
    return RUNS[name](RUNNING[-1], mode, folder)


def clean_up():
    while Application.all:
        Application.all.pop().stop()
    while RUNNING:
        cluster = RUNNING.pop()
        cluster.stop()
        if hasattr(cluster, "docker"):
            cluster.docker.stop()


run_each("properties", RUNS, run, clean_up, MODES, skip=lambda kind, name: kind != "ours" and name in OURS_ONLY)
