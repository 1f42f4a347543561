//! spark-exec
