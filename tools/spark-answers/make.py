#!/usr/bin/env python3
"""Makes the stored answers in tests/answers with genuine Apache Spark; see README.md beside this file."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

SPARK_VERSION = "4.2.0"
MASTER = "local[2]"
ROOT = Path(__file__).resolve().parents[2]
ANSWERS = ROOT / "tests" / "answers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferrospark"

# How the examples run: name of the stored output, and the program with its arguments.
EXAMPLES = {
    "pi": ["examples/pi.py"],
    "wordcount": ["examples/wordcount.py"],
    "etl": ["examples/etl.py"],
    "statistics": ["examples/statistics.py"],
    "settings_in_code": ["examples/settings_in_code.py", MASTER],
}

# What the queries order by, as columns of their results; such rows are in one order when these never repeat.
ORDER = {
    1: ["l_returnflag", "l_linestatus"],
    2: ["s_acctbal", "n_name", "s_name", "p_partkey"],
    3: ["revenue", "o_orderdate"],
    4: ["o_orderpriority"],
    5: ["revenue"],
    7: ["supp_nation", "cust_nation", "l_year"],
    8: ["o_year"],
    9: ["nation", "o_year"],
    10: ["revenue"],
    11: ["value"],
    12: ["l_shipmode"],
    13: ["custdist", "c_count"],
    15: ["s_suppkey"],
    16: ["supplier_cnt", "p_brand", "p_type", "p_size"],
    18: ["o_totalprice", "o_orderdate"],
    20: ["s_name"],
    21: ["numwait", "s_name"],
    22: ["cntrycode"],
}


def environment() -> Path:
    """The interpreter of a virtual environment with the whole of PySpark, made on first use."""
    folder = CACHE / f"spark-answers-{SPARK_VERSION}"
    python = folder / "bin" / "python"
    stamp = folder / "COMPLETE"
    if not stamp.exists():
        print(f"installing pyspark {SPARK_VERSION} in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        packages = [f"pyspark[connect]=={SPARK_VERSION}", "pandas<3", "pyarrow"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        stamp.touch()
    return python


def tpch_data(options) -> Path:
    if options.tpch_data:
        return options.tpch_data
    scale = options.tpch_scale
    folder = CACHE / f"tpch-sf{scale}"
    subprocess.run([options.ferrospark, "tpch-data", "--scale-factor", scale, "--output", folder], check=True)
    return folder


def arguments():
    parser = argparse.ArgumentParser(description="Makes the stored answers with genuine Apache Spark.")
    parser.add_argument("what", nargs="*", default=["tpch", "tpcds", "examples"], help="tpch, tpcds, examples, or names of examples")
    parser.add_argument("--tpcds-scale", default="0.05", help="scale factor of TPC-DS; default: 0.05")
    parser.add_argument("--output", type=Path, default=ANSWERS, help="default: tests/answers")
    parser.add_argument("--tpch-scale", default="0.1", help="scale factor of TPC-H; default: 0.1")
    parser.add_argument("--tpch-data", type=Path, help="Parquet of TPC-H at that scale factor; made if not given")
    parser.add_argument(
        "--ferrospark", type=Path, default=ROOT / "target" / "debug" / "ferrospark", help="makes the TPC-H data"
    )
    return parser.parse_args()


def make_tpch(options) -> None:
    """Runs in the environment: the queries in one classic session."""
    import json

    from pyspark.sql import SparkSession

    sys.path.insert(0, str(ROOT / "examples"))
    from tpch import TABLES, text_of

    data = tpch_data(options)
    folder = options.output / f"tpch-sf{options.tpch_scale}"
    folder.mkdir(parents=True, exist_ok=True)
    spark = (
        SparkSession.builder.master(MASTER)
        .config("spark.driver.memory", "4g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    for table in TABLES:
        spark.read.parquet(f"{data}/{table}").createOrReplaceTempView(table)
    for number in range(1, 23):
        sql = (ROOT / "examples" / "tpch" / f"q{number:02}.sql").read_text()
        frame = spark.sql(sql)
        rows = frame.collect()
        schema = [{"name": field.name, "type": field.dataType.simpleString()} for field in frame.schema]
        answer = {
            "query": f"q{number:02}",
            "scale_factor": float(options.tpch_scale),
            "ordered": is_ordered(spark, sql, rows, ORDER.get(number, [])),
            "schema": schema,
            "rows": [[text_of(value) for value in row] for row in rows],
        }
        (folder / f"q{number:02}.json").write_text(layout(answer, json.dumps))
        print(f"q{number:02}: {len(rows)} rows, ordered: {answer['ordered']}", file=sys.stderr)
    spark.stop()


def make_tpcds(options) -> None:
    """Runs in the environment: TPC-DS in one classic session; see tools/tpcds/check.py."""
    import json

    from pyspark.sql import SparkSession

    sys.path.insert(0, str(ROOT / "tools" / "tpcds"))
    from check import answer, register

    scale = options.tpcds_scale
    data = CACHE / f"tpcds-sf{scale}"
    subprocess.run([options.ferrospark, "tpcds-data", "--scale-factor", scale, "--output", data], check=True)
    queries = subprocess.run([ROOT / "tools" / "tpcds" / "queries"], check=True, stdout=subprocess.PIPE, text=True)
    folder = options.output / f"tpcds-sf{scale}"
    folder.mkdir(parents=True, exist_ok=True)
    spark = (
        SparkSession.builder.master(MASTER)
        .config("spark.driver.memory", "6g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    register(spark, data)
    for path in sorted(Path(queries.stdout.strip()).glob("q*.sql")):
        stored, rows = answer(spark, path.read_text())
        (folder / f"{path.stem}.json").write_text(layout(stored, json.dumps, ("schema", "first")))
        print(f"{path.stem}: {len(rows)} rows", file=sys.stderr)
    spark.stop()


def is_ordered(spark, sql, rows, keys) -> bool:
    """Whether the query's order leaves one order only, and its LIMIT one choice of rows."""
    if len(rows) <= 1:
        return True
    if not keys:
        return False

    def key(row):
        return tuple(row[name] for name in keys)

    if len({key(row) for row in rows}) < len(rows):
        return False
    limit = re.search(r"limit (\d+)\s*$", sql)
    if limit and int(limit[1]) == len(rows):
        more = spark.sql(sql[: limit.start()] + f"limit {len(rows) + 1}").collect()
        if len(more) > len(rows) and key(more[-1]) == key(more[-2]):
            raise SystemExit(f"the LIMIT cuts equal rows apart, the answer is not settled: {sql}")
    return True


def layout(answer, dump, lists=("schema", "rows")) -> str:
    """JSON with one item of the lists a line; these come last."""
    head = {name: value for name, value in answer.items() if name not in lists}
    lines = [f"  {dump(name)}: {dump(value)}," for name, value in head.items()]
    for name in lists:
        items = ",\n".join("    " + dump(item, ensure_ascii=False) for item in answer[name])
        lines.append(f"  {dump(name)}: [\n{items}\n  ]" + ("," if name != lists[-1] else ""))
    return "{\n" + "\n".join(lines) + "\n}\n"


def make_examples(options, python: Path, names) -> None:
    folder = options.output / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        text = run_report(python) if name == "report" else run_example(python, EXAMPLES[name])
        (folder / f"{name}.txt").write_text(text)
        print(f"{name}: {len(text.splitlines())} lines", file=sys.stderr)


def run_example(python: Path, command) -> str:
    """Runs a program against Spark's own Connect server, which PySpark starts within the process."""
    scratch = tempfile.mkdtemp(prefix="spark-answers-")
    variables = {
        **os.environ,
        "SPARK_CONF_DIR": configuration(scratch),
        "TZ": "UTC",
    }
    # A program that sets its master may not be given a remote address too.
    sets_master = ".master(" in (ROOT / command[0]).read_text()
    variables.update({"SPARK_API_MODE": "connect"} if sets_master else {"SPARK_REMOTE": MASTER})
    try:
        done = subprocess.run(
            [python, *command], cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if done.returncode != 0:
        raise SystemExit(f"{command} failed with {done.returncode}:\n{done.stderr}")
    return done.stdout


def run_report(python: Path) -> str:
    """Runs examples/report.sql with Spark's spark-sql."""
    scratch = tempfile.mkdtemp(prefix="spark-answers-")
    spark_home = next(python.parent.parent.glob("lib/python3*/site-packages/pyspark"))
    command = [
        spark_home / "bin" / "spark-sql",
        "--master",
        MASTER,
        "--conf",
        f"spark.sql.warehouse.dir={scratch}/warehouse",
        "--conf",
        f"spark.hadoop.javax.jdo.option.ConnectionURL=jdbc:derby:;databaseName={scratch}/metastore;create=true",
        "-f",
        "examples/report.sql",
    ]
    variables = {
        **os.environ,
        "SPARK_HOME": str(spark_home),
        "SPARK_CONF_DIR": configuration(scratch),
        "PYSPARK_PYTHON": str(python),
        "SPARK_SUBMIT_OPTS": f"-Dderby.system.home={scratch}",
        "TZ": "UTC",
    }
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if done.returncode != 0:
        raise SystemExit(f"spark-sql failed with {done.returncode}:\n{done.stderr}")
    return done.stdout


def configuration(folder: str) -> str:
    """A configuration directory for quiet, repeatable runs."""
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalogImplementation": "in-memory",
    }
    text = "".join(f"{key} {value}\n" for key, value in settings.items())
    Path(folder, "spark-defaults.conf").write_text(text)
    return folder


def main() -> None:
    options = arguments()
    python = environment()
    # Not resolved: the interpreters of virtual environments are links to the same file.
    if Path(sys.prefix) != python.parent.parent:
        os.execv(python, [str(python), *sys.argv])
    names = [*EXAMPLES, "report"]
    unknown = set(options.what) - {"tpch", "tpcds", "examples", *names}
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; known: tpch, tpcds, examples, {', '.join(names)}")
    if "tpch" in options.what:
        make_tpch(options)
    if "tpcds" in options.what:
        make_tpcds(options)
    chosen = names if "examples" in options.what else [name for name in names if name in options.what]
    make_examples(options, python, chosen)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "VERSION").write_text(f"Apache Spark {SPARK_VERSION}\n")


if __name__ == "__main__":
    main()
