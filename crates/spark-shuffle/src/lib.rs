//! spark-shuffle
