#!/bin/bash
# Starts a Mesos master; flags under Mesos's own names, see 'libexec/ferrospark master --help'.
exec "$(dirname "$(readlink -f "$0")")/spark-daemon.sh" start mesos-master master "$@"
