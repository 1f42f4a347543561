"""Engines of others beside ours, in turn in one run: only the ratios mean something on a noisy machine.

    peers.py TPCH_DATA LARGE_DATA DATAFUSION_PYTHON ROUNDS [PART…]

Parts: tpch, ballista, large, tasks; all when none is named. Sail comes from PyPI, Spark from the environment that
tools/spark-answers made, if it is there (it needs Java); SPARK_ROUNDS=0 leaves it out. Ballista is built from crates.io
(the package beside this file; 15 minutes, once). One JSON line per figure.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from run import CLUSTER, HOME, QUERIES, Engine, cpu_seconds, in_turn, rss_mib, say, submit

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferrospark"
SAIL = "0.7.2"
LARGE_ROWS = 10_000_000
# Two partitions for two slots. Adaptive planning and pushed tasks are what Ballista 55 ships with.
BALLISTA_SETTINGS = ["2"]


def sail_environment():
    """Sail's own environment; the client in it is the one our programs are tested with."""
    home = CACHE / f"venv-sail-{SAIL}"
    if not (home / ".complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        packages = [f"pysail=={SAIL}", "pyspark-client==4.2.0", "pandas<3", "pyarrow"]
        subprocess.run([home / "bin/pip", "-q", "install", *packages], check=True)
        (home / ".complete").touch()
    return home


@contextmanager
def sail(mode):
    """A Sail server with two cores' worth of parallelism; yields its address and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "SAIL_MODE": mode, "SAIL_EXECUTION__DEFAULT_PARALLELISM": "2"}
    if mode == "local-cluster":
        environment |= {"SAIL_CLUSTER__WORKER_TASK_SLOTS": "1", "SAIL_CLUSTER__WORKER_INITIAL_COUNT": "2"}
    server = subprocess.Popen(
        [sail_environment() / "bin/sail", "spark", "server", "--ip", "127.0.0.1", "--port", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"Sail did not come up in mode {mode}")
                time.sleep(0.1)
        yield f"sc://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait()


class Remote(Engine):
    """An engine behind a Connect endpoint: what its server takes of the processor counts, too."""

    def __init__(self, name, command, server, **environment):
        super().__init__(name, command, **environment)
        self.server = server

    def round(self):
        before = cpu_seconds(self.server)
        super().round()
        self.cpu[-1] += cpu_seconds(self.server) - before


def spark_python():
    python = CACHE / "spark-answers-4.2.0/bin/python"
    return str(python) if python.exists() and int(os.environ.get("SPARK_ROUNDS", "20")) else None


def large_tables(folder):
    """Two tables of ten million rows: keys 0 to 9,999,999 in different orders, and a number each."""
    if (folder / ".complete").exists():
        return
    import numpy
    import pyarrow
    import pyarrow.parquet

    random = numpy.random.default_rng(7)
    for table, value in (("big_left", "v"), ("big_right", "w")):
        (folder / table).mkdir(parents=True, exist_ok=True)
        keys = random.permutation(LARGE_ROWS)
        values = random.integers(0, 1 << 30, LARGE_ROWS)
        for part in range(4):
            rows = slice(part * LARGE_ROWS // 4, (part + 1) * LARGE_ROWS // 4)
            columns = pyarrow.table({"k": keys[rows], value: values[rows]})
            pyarrow.parquet.write_table(columns, folder / table / f"part-{part}.parquet")
    (folder / ".complete").touch()


def side_by_side(suite, engines, rounds, queries):
    """Rounds of the engines in turn, then a line for each, with the times of all queries if asked for."""
    in_turn(engines, rounds)
    base = {engine.name: engine.best() for engine in engines}
    for engine in engines:
        best = {query: round(seconds, 3) for query, seconds in engine.best_by_query().items()}
        say(
            f"{suite}, {engine.name}", engine.best(), "s", rounds=rounds, cpu_seconds=round(min(engine.cpu), 2),
            ratios={name: round(engine.best() / other, 3) for name, other in base.items() if name != engine.name},
            **({"queries": best} if queries else {}),
        )
    for engine in engines:
        engine.end()


def ballista_program():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or HOME / "target") / "ballista"
    package = HOME / "tools/benchmarks/ballista/Cargo.toml"
    cargo = [os.environ.get("CARGO", "cargo"), "build", "-q", "--release", "--locked"]
    subprocess.run([*cargo, "--manifest-path", package, "--target-dir", target], cwd=HOME, check=True)
    return target / "release/ballista-bench"


def ballista(data, peer, rounds):
    """Our cluster mode beside Ballista's, of the same shape, with its shuffle files on disk and in memory."""
    command = [ballista_program(), data, HOME / "examples/tpch"]
    with ExitStack() as folders:
        disk, memory = (
            folders.enter_context(tempfile.TemporaryDirectory(prefix="ballista-", dir=place))
            for place in (CACHE, "/dev/shm")
        )
        engines = [
            Engine("datafusion", [peer, QUERIES, "datafusion", data]),
            Engine("local-cluster[2,1,4096]", [*submit("local-cluster[2,1,4096]", CLUSTER), data]),
            Engine("ballista disk", [*command, disk, *BALLISTA_SETTINGS]),
            Engine("ballista tmpfs", [*command, memory, *BALLISTA_SETTINGS]),
        ]
        side_by_side("tpch", engines, rounds, queries=True)


def compare(suite, data, peer, rounds):
    python = str(sail_environment() / "bin/python")
    with sail("local") as (local, local_pid), sail("local-cluster") as (cluster, cluster_pid):
        command = [python, QUERIES, "spark", data, suite]
        engines = [
            Engine("datafusion", [peer, QUERIES, "datafusion", data, suite]),
            Engine("local[2]", [*submit("local[2]", []), data, suite]),
            Engine("local-cluster[2,1,4096]", [*submit("local-cluster[2,1,4096]", CLUSTER), data, suite]),
            Remote("sail local", command, local_pid, SPARK_REMOTE=local),
            Remote("sail local-cluster", command, cluster_pid, SPARK_REMOTE=cluster),
        ]
        if spark := spark_python():
            arguments = "--master local[2] --driver-memory 6g pyspark-shell"
            engines.append(Engine("spark local[2]", [spark, QUERIES, "spark", data, suite], PYSPARK_SUBMIT_ARGS=arguments))
            for _ in range(int(os.environ.get("SPARK_ROUNDS", "20")) - 1):
                engines[-1].round()
        side_by_side(suite, engines, rounds, queries=suite == "large")


def tasks():
    script = str(HOME / "tools/benchmarks/tasks.py")
    python = str(sail_environment() / "bin/python")
    subprocess.run(["bin/spark-submit", "--master", "local-cluster[2,1,1024]", *CLUSTER, script, "ours"], cwd=HOME, check=True)
    with sail("local-cluster") as (address, pid):
        # Sail refuses more partitions than slots where stages are pipelined, so only small queries.
        subprocess.run([python, script, "sail local-cluster", "small", "request"], env={**os.environ, "SPARK_REMOTE": address}, check=True)
        say("VmRSS, sail local-cluster after small queries", rss_mib(pid), "MiB")


def main():
    tpch_data, large_data, peer, rounds = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    parts = sys.argv[5:] or ["tpch", "ballista", "large", "tasks"]
    if "tpch" in parts:
        compare("tpch", tpch_data, peer, rounds)
    if "ballista" in parts:
        ballista(tpch_data, peer, rounds)
    if "large" in parts:
        large_tables(large_data)
        compare("large", str(large_data), peer, rounds)
    if "tasks" in parts:
        tasks()


if __name__ == "__main__":
    main()
