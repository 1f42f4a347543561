//! spark-connect
