"""Records the answers of genuine Apache Spark to the expressions of scalar.sql (one per line) in scalar.tsv.

    pip install pyspark==4.2.0 && python record.py scalar.sql scalar.tsv

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
    with open(source) as lines, open(target, "w") as out:
        out.write(f"-- Apache Spark {spark.version}, America/Los_Angeles\n")
        for line in lines:
            expression = line.rstrip("\n")
            if not expression or expression.startswith("--"):
                continue
            try:
                row = spark.sql(f"select cast(v as string), typeof(v) from (select {expression} as v)")
                value, name = row.collect()[0]
                shown = "NULL" if value is None else value
            except Exception as error:
                shown, name = f"[{condition(error)}]", ""
            out.write(f"{expression}\t{escape(shown)}\t{name}\n")


main(*sys.argv[1:])
