"""Random queries in one process, and on a cluster of ours in coarse- and fine-grained mode: their answers must be equal.

    queries.py FOLDER

FOLDER is what the example `queries` of spark-exec left. One JSON line.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from clusters import HOME, Ours  # noqa: E402

ASK = '''
import json, pathlib, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
out = open(sys.argv[2], "w")
for seed in sorted(pathlib.Path(sys.argv[1]).iterdir(), key=lambda path: int(path.name)):
    for table in seed.iterdir():
        if table.is_dir():
            spark.read.parquet(str(table)).createOrReplaceTempView(table.name)
    for number, line in enumerate((seed / "queries.jsonl").read_text().splitlines()):
        query = json.loads(line)
        try:
            rows = [str(tuple(row)) for row in spark.sql(query["sql"]).collect()]
            answer = rows if query["ordered"] else sorted(rows)
        except Exception as error:
            answer = f"error {getattr(error, 'getCondition', lambda: None)() or type(error).__name__}"
        print(json.dumps([f"{seed.name}.{number}", answer]), file=out, flush=True)
'''
AGENTS = [[f"--resources=cpus:2;mem:4096;disk:4096;ports:[{31000 + n * 1000}-{31999 + n * 1000}]"] for n in range(2)]
STAGED = ["spark.ferrospark.localExecution.enabled=false", "spark.executor.memory=1g", "spark.sql.shuffle.partitions=4"]
WAYS = {
    "local": None,
    "coarse": [*STAGED, "spark.executor.cores=1"],
    "fine": [*STAGED, "spark.mesos.coarse=false", "spark.mesos.mesosExecutor.cores=0.1"],
    "fine, not adaptive": [*STAGED, "spark.mesos.coarse=false", "spark.mesos.mesosExecutor.cores=0.1",
                           "spark.sql.adaptive.enabled=false"],
}


def ask(way, queries, folder):
    script, out = folder / "ask.py", folder / "out"
    script.write_text(ASK)
    cluster = Ours(folder, AGENTS) if WAYS[way] else None
    try:
        flags = [word for setting in WAYS[way] or [] for word in ("--conf", setting)]
        command = ["bin/spark-submit", "--master", cluster.url if cluster else "local[2]", *flags, script, queries, out]
        subprocess.run(list(map(str, command)), cwd=HOME, stdin=subprocess.DEVNULL, check=True, timeout=3600)
        launched = cluster.metric("master/tasks_finished") if cluster else 0
    finally:
        if cluster:
            cluster.stop()
    return dict(map(json.loads, out.read_text().splitlines())), launched


def main():
    queries, started = Path(sys.argv[1]).resolve(), time.monotonic()
    answers, tasks, different = {}, {}, []
    for way in WAYS:
        with tempfile.TemporaryDirectory(prefix="ferrospark-queries-", ignore_cleanup_errors=True) as folder:
            answers[way], tasks[way] = ask(way, queries, Path(folder))
        print(f"{way}: {len(answers[way])} answers, {tasks[way]:.0f} Mesos tasks", file=sys.stderr, flush=True)
        different += [f"{way} {name}" for name, answer in answers["local"].items() if answers[way].get(name) != answer]
    local = answers["local"]
    print(json.dumps({
        "suite": "queries", "modes": list(WAYS), "queries": len(local), "different": different[:20],
        "with_rows": sum(isinstance(answer, list) and bool(answer) for answer in local.values()),
        "errors": sum(isinstance(answer, str) for answer in local.values()), "mesos_tasks": tasks,
        "right": not different and len(local) > 0, "seconds": round(time.monotonic() - started)}), flush=True)
    sys.exit(1 if different else 0)


main()
