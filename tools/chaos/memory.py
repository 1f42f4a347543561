"""A join and a sort of inputs far larger than their executors' memory, under hard limits.

    memory.py [GIB]

Two executors of 1024 + 384 MiB on agents of ours, which hold them to that by control groups. Each input has GIB
(default 4) GiB as Arrow arrays. Both must answer right, with no executor lost; one JSON line tells the peak of each
executor's anonymous and shared memory. Needs root.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import Ours, submit  # noqa: E402

LIMIT_MIB = 1024 + 384
# Eight columns of eight bytes.
ROW_BYTES = 64
QUERY = '''
import sys, time
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
which, rows, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
P = 2147483647  # a prime above all ids
def table(factor, name):
    key = (F.col("id") * factor % P).alias("k")
    return spark.range(0, rows, 1, 64).select(key, *[(F.col("id") * (n + 3)).alias(f"{name}{n}") for n in range(7)])
started = time.monotonic()
if which == "join":
    left, right = table(48271, "a"), table(48271, "b")
    columns = [F.sum(F.col(f"a{n}") - F.col(f"b{n}")) for n in range(7)] + [F.count("*")]
    answer = tuple(left.join(right, "k").agg(*columns).collect()[0])
    good = answer == (0,) * 7 + (rows,)
else:
    table(48271, "a").orderBy("k").write.parquet(folder)
    back = spark.read.parquet(folder)
    n, s = back.agg(F.count("*"), F.sum("a0")).collect()[0]
    # Each file sorted, and all before the next.
    import glob, pyarrow.parquet as pq
    ordered, last = True, -1
    for path in sorted(glob.glob(folder + "/*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["k"]):
            k = batch.column(0).to_numpy()
            ordered = ordered and (len(k) == 0 or (k[0] >= last and (k[1:] >= k[:-1]).all()))
            last = k[-1] if len(k) else last
    good = bool(ordered) and (n, s) == (rows, 3 * rows * (rows - 1) // 2)
print("right" if good else "wrong", round(time.monotonic() - started, 1), flush=True)
'''


def executors(framework):
    found = {}
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and framework.encode() in (process / "cmdline").read_bytes().split(b"\0") \
                    and os.path.basename(os.readlink(process / "exe")).startswith("ferrospark"):
                groups = (process / "cgroup").read_text().splitlines()
                group = next((line.split(":", 2)[2] for line in groups if line.split(":")[1] == "memory"), None)
                found[process.name] = Path("/sys/fs/cgroup/memory" + group) if group else None
        except OSError:
            pass
    return found


class Watch(threading.Thread):
    """The most anonymous and shared memory of each executor's group, and its limit."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.peaks, self.limits, self.over = cluster, {}, {}, threading.Event()

    def run(self):
        while not self.over.wait(0.2):
            for framework in self.cluster.frameworks():
                for pid, group in executors(framework["id"]).items():
                    try:
                        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                        self.limits[pid] = int((group / "memory.limit_in_bytes").read_text())
                    except (OSError, TypeError):
                        continue
                    # In version 1 shared memory is part of `cache`; `shmem` tells it apart.
                    used = int(stat["total_rss"]) + int(stat.get("total_shmem", 0))
                    self.peaks[pid] = max(self.peaks.get(pid, 0), used)


def run(which, gib):
    rows = gib * (1 << 30) // ROW_BYTES
    with tempfile.TemporaryDirectory(prefix="ferrospark-memory-", ignore_cleanup_errors=True) as folder:
        flags = [f"--resources=cpus:1;mem:{LIMIT_MIB};disk:65536;ports:[31000-31999]", "--isolation=cgroups/cpu,cgroups/mem"]
        cluster = Ours(folder, [flags, [flags[0].replace("31", "32"), flags[1]]])
        script, watch = Path(folder) / "query.py", Watch(cluster)
        script.write_text(QUERY)
        watch.start()
        try:
            settings = ["spark.executor.memory=1g", "spark.executor.cores=1", "spark.cores.max=2", "spark.ui.enabled=false",
                        "spark.ferrospark.localExecution.enabled=false", "spark.sql.shuffle.partitions=64"]
            done = submit(cluster, settings, script, which, rows, f"{folder}/sorted", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
            out, said = done.communicate()
            lost = [line for line in said.splitlines() if "is lost" in line]
            words = out.split()
            return {"query": which, "rows": rows, "right": done.returncode == 0 and words[:1] == ["right"],
                    "seconds": float(words[1]) if len(words) > 1 else None, "executors_lost": len(lost),
                    "limit_mib": [limit >> 20 for limit in watch.limits.values()],
                    "peak_mib": [peak >> 20 for peak in watch.peaks.values()],
                    **({} if done.returncode == 0 else {"why": said[-1500:]})}
        finally:
            watch.over.set()
            watch.join()
            cluster.stop()


def main():
    if os.geteuid() != 0:
        print("skipped: control groups need root", file=sys.stderr)
        sys.exit(1 if os.environ.get("REQUIRE_ALL") else 0)
    gib = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    which = sys.argv[2].split(",") if len(sys.argv) > 2 else ["join", "sort"]
    results = [run(query, gib) for query in which]
    good = all(r["right"] and r["executors_lost"] == 0 and r["limit_mib"] and max(r["limit_mib"]) == LIMIT_MIB for r in results)
    print(json.dumps({"suite": "memory", "gib": gib, "right": good, "runs": results}), flush=True)
    sys.exit(0 if good else 1)


main()
