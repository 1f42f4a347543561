# Sourced by the scripts of bin/ and sbin/: finds SPARK_HOME, reads conf/spark-env.sh once, finds the program.
if [ -z "${SPARK_HOME:-}" ]; then
  SPARK_HOME=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
fi
export SPARK_HOME
export SPARK_CONF_DIR=${SPARK_CONF_DIR:-$SPARK_HOME/conf}
if [ -z "${SPARK_ENV_LOADED:-}" ]; then
  export SPARK_ENV_LOADED=1
  if [ -f "$SPARK_CONF_DIR/spark-env.sh" ]; then
    set -a
    . "$SPARK_CONF_DIR/spark-env.sh"
    set +a
  fi
fi
FERROSPARK=$SPARK_HOME/libexec/ferrospark
if [ ! -x "$FERROSPARK" ]; then
  echo "error: $FERROSPARK is missing; run 'make build' in $SPARK_HOME first" >&2
  exit 1
fi
