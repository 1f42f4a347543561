#!/bin/bash
# Starts a Mesos agent; flags under Mesos's own names, see 'libexec/ferrospark agent --help'. SPARK_MESOS_AGENT_NUM (default 1) tells several apart.
exec "$(dirname "$(readlink -f "$0")")/spark-daemon.sh" start mesos-agent-${SPARK_MESOS_AGENT_NUM:-1} agent "$@"
