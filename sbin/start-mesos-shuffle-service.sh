#!/bin/bash
# Starts the external shuffle service of this agent; see 'libexec/ferrospark shuffle-service --help'. The master is spark.master of
# conf/spark-defaults.conf, or --master mesos://HOST:PORT.
exec "$(dirname "$(readlink -f "$0")")/spark-daemon.sh" start org.apache.spark.deploy.mesos.MesosExternalShuffleService-1 shuffle-service "$@"
