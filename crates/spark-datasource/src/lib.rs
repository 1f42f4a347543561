//! Spark data sources.
