//! spark-plan
