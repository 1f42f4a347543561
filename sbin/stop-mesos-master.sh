#!/bin/bash
# Stops a Mesos master.
exec "$(dirname "$(readlink -f "$0")")/spark-daemon.sh" stop mesos-master master "$@"
