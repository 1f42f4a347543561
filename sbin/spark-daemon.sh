#!/bin/bash
# spark-daemon.sh (start|stop) NAME PROGRAM-WORD [FLAG...]: runs a part of Ferrospark in the background, one pid file each.
# SPARK_PID_DIR (default /tmp), SPARK_LOG_DIR (default $SPARK_HOME/logs), SPARK_IDENT_STRING (default $USER).
. "$(dirname "$(readlink -f "$0")")/../bin/load-spark-env.sh"
action=$1 name=$2 word=$3
shift 3
ident=${SPARK_IDENT_STRING:-$(id -un)}
pid_file=${SPARK_PID_DIR:-/tmp}/spark-$ident-$name.pid
log_dir=${SPARK_LOG_DIR:-$SPARK_HOME/logs}
log=$log_dir/spark-$ident-$name-$(hostname).out

running() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) && [ -n "$pid" ] &&
    [ "$(readlink -f "/proc/$pid/exe" 2>/dev/null)" = "$(readlink -f "$FERROSPARK")" ] && echo "$pid"
}

case $action in
  start)
    for flag; do
      [ "$flag" != --help ] || exec "$FERROSPARK" "$word" --help
    done
    if pid=$(running); then
      echo "$name runs already as process $pid; stop it first" >&2
      exit 1
    fi
    mkdir -p "$log_dir" "$(dirname "$pid_file")"
    # The program writes to the ready file once it serves, so the script ends when others may connect.
    ready=$(mktemp -d)
    mkfifo "$ready/fifo"
    FERROSPARK_READY_FILE=$ready/fifo setsid "$FERROSPARK" "$word" "$@" >> "$log" 2>&1 < /dev/null &
    pid=$!
    echo $pid > "$pid_file"
    # The writer side stays open here too: a program that dies leaves the read to end by the watcher.
    (while kill -0 $pid 2>/dev/null; do sleep 0.1; done; echo died > "$ready/fifo") 2>/dev/null &
    watcher=$!
    read -r state < "$ready/fifo"
    kill $watcher 2>/dev/null
    rm -rf "$ready"
    if [ "$state" = died ]; then
      rm -f "$pid_file"
      tail -n 5 "$log" >&2
      echo "error: $name did not start; see $log" >&2
      exit 1
    fi
    echo "started $name, process $pid, at $state, logging to $log"
    ;;
  stop)
    if pid=$(running); then
      kill "$pid"
      for _ in $(seq 100); do running > /dev/null || break; sleep 0.1; done
      running > /dev/null && kill -KILL "$pid"
      rm -f "$pid_file"
      echo "stopped $name, process $pid"
    else
      rm -f "$pid_file"
      echo "no $name to stop"
    fi
    ;;
esac
