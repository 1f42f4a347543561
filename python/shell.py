"""Start-up of the pyspark shell: makes ``spark`` ready."""

import os

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: F401

spark = SparkSession.builder.getOrCreate()

if os.isatty(0):
    print("Spark %s through Ferrospark; the session is ready as 'spark'." % spark.version)

_old = os.environ.get("FERROSPARK_OLD_PYTHONSTARTUP")
if _old and os.path.isfile(_old):
    with open(_old) as _file:
        exec(compile(_file.read(), _old, "exec"))
