//! spark-conf
