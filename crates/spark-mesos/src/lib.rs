//! spark-mesos
