//! spark-functions
