"""Records the answers of genuine Apache Spark to the expressions of a file (one per line).

    pip install pyspark==4.2.0
    for f in scalar table window; do python record.py $f.sql $f.tsv; done

Those of table.sql and window.sql are over the rows of table `t` (rows.sql); several rows' values are joined by "; ".

A line is: expression, TAB, value as Spark's cast to string shows it (or [CONDITION]), TAB, type name.
"""

import sys

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession


def condition(error):
    while error is not None:
        if isinstance(error, PySparkException) and error.getCondition():
            return error.getCondition()
        error = error.__cause__
    return "UNKNOWN"


def escape(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def main(source, target):
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "700m")
        .config("spark.sql.session.timeZone", "America/Los_Angeles")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    with open("rows.sql") as rows:
        spark.sql(rows.read()).coalesce(1).createOrReplaceTempView("t")
    scalar = source.startswith("scalar")
    with open(source) as lines, open(target, "w") as out:
        out.write(f"-- Apache Spark {spark.version}, America/Los_Angeles\n")
        for line in lines:
            expression = line.rstrip("\n")
            if not expression or expression.startswith("--"):
                continue
            try:
                inner = f"select {expression} as v"
                if source.startswith("table"):
                    inner += " from t"
                if source.startswith("window"):
                    inner = f"select {expression} as v, id from t order by id"
                found = spark.sql(f"select cast(v as string), typeof(v) from ({inner})").collect()
                shown = "; ".join("NULL" if value is None else value for value, _ in found)
                name = found[0][1]
            except Exception as error:
                shown, name = f"[{condition(error)}]", ""
            out.write(f"{expression}\t{escape(shown)}\t{name}\n")


main(*sys.argv[1:])
