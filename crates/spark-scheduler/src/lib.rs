//! spark-scheduler
