#!/bin/bash
# Stops the external shuffle service of this agent; its files stay.
exec "$(dirname "$(readlink -f "$0")")/spark-daemon.sh" stop org.apache.spark.deploy.mesos.MesosExternalShuffleService-1 shuffle-service "$@"
