"""Loaded by every Python that spark-submit and pyspark start (this folder is first on PYTHONPATH).

PySpark's client refuses ``SparkSession.builder.master(...)`` beside ``SPARK_REMOTE``, which spark-submit sets. A
script may name its master all the same, as it always could: the option travels to the driver under a name of ours,
before the session builder checks it. A ``sitecustomize`` of the user's own still runs.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys

PROGRAM_MASTER = "spark.ferrospark.program.master"


def _patch_session(module):
    builder = module.SparkSession.Builder
    validate = builder._validate_startup_urls

    def validate_startup_urls(self):
        if "spark.master" in self._options:
            self._options[PROGRAM_MASTER] = self._options.pop("spark.master")
        validate(self)

    builder._validate_startup_urls = validate_startup_urls


class _SessionFinder(importlib.abc.MetaPathFinder):
    """Patches pyspark.sql.session once it has been loaded."""

    def find_spec(self, name, path, target=None):
        if name != "pyspark.sql.session":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            _patch_session(module)

        spec.loader.exec_module = exec_module
        return spec


def _run_users_sitecustomize():
    here = os.path.dirname(os.path.abspath(__file__))
    others = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if "SPARK_REMOTE" in os.environ:
    sys.meta_path.insert(0, _SessionFinder())
_run_users_sitecustomize()
