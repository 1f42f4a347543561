#!/bin/bash
# Stops a Mesos agent. SPARK_MESOS_AGENT_NUM (default 1) tells several apart.
exec "$(dirname "$(readlink -f "$0")")/spark-daemon.sh" stop mesos-agent-${SPARK_MESOS_AGENT_NUM:-1} agent "$@"
