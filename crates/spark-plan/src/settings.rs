//! The SQL settings a session knows, with Spark's defaults.

/// Name and default of each runtime setting that something reads; `None` has no default.
pub(crate) const DEFAULTS: &[(&str, &str)] = &[
    ("spark.sql.ansi.enabled", "true"),
    ("spark.sql.adaptive.enabled", "true"),
    ("spark.sql.autoBroadcastJoinThreshold", "10485760"),
    ("spark.sql.caseSensitive", "false"),
    ("spark.sql.catalog.spark_catalog.defaultDatabase", "default"),
    ("spark.sql.connect.serverStacktrace.enabled", "false"),
    ("spark.sql.crossJoin.enabled", "true"),
    ("spark.sql.execution.arrow.enabled", "false"),
    ("spark.sql.execution.arrow.maxRecordsPerBatch", "10000"),
    ("spark.sql.execution.arrow.pyspark.enabled", "true"),
    ("spark.sql.execution.arrow.pyspark.fallback.enabled", "true"),
    ("spark.sql.execution.arrow.pyspark.selfDestruct.enabled", "false"),
    ("spark.sql.execution.arrow.useLargeVarTypes", "false"),
    ("spark.sql.execution.pandas.convertToArrowArraySafely", "false"),
    ("spark.sql.execution.pandas.inferPandasDictAsMap", "false"),
    ("spark.sql.execution.pandas.structHandlingMode", "legacy"),
    ("spark.sql.execution.pyspark.binaryAsBytes", "true"),
    ("spark.sql.execution.pythonUDF.arrow.enabled", "false"),
    ("spark.sql.execution.pythonUDTF.arrow.enabled", "false"),
    ("spark.sql.files.maxPartitionBytes", "134217728"),
    ("spark.sql.files.openCostInBytes", "4194304"),
    ("spark.sql.groupByAliases", "true"),
    ("spark.sql.groupByOrdinal", "true"),
    ("spark.sql.inferSchema.timestampType", "TIMESTAMP_LTZ"),
    ("spark.sql.orderByOrdinal", "true"),
    ("spark.sql.parquet.compression.codec", "snappy"),
    ("spark.sql.parquet.mergeSchema", "false"),
    ("spark.sql.pivotMaxValues", "10000"),
    ("spark.sql.pyspark.inferNestedDictAsStruct.enabled", "false"),
    ("spark.sql.pyspark.jvmStacktrace.enabled", "false"),
    ("spark.sql.pyspark.legacy.inferArrayTypeFromFirstElement.enabled", "false"),
    ("spark.sql.pyspark.legacy.inferMapTypeFromFirstPair.enabled", "false"),
    ("spark.sql.repl.eagerEval.enabled", "false"),
    ("spark.sql.repl.eagerEval.maxNumRows", "20"),
    ("spark.sql.repl.eagerEval.truncate", "20"),
    ("spark.sql.session.localRelationBatchOfChunksSizeBytes", "1073741824"),
    ("spark.sql.session.localRelationCacheThreshold", "1048576"),
    ("spark.sql.session.localRelationChunkSizeBytes", "16777216"),
    ("spark.sql.session.localRelationChunkSizeRows", "10000"),
    ("spark.sql.session.localRelationSizeLimit", "3221225472"),
    ("spark.sql.shuffle.partitions", "200"),
    ("spark.sql.sources.default", "parquet"),
    ("spark.sql.sources.partitionOverwriteMode", "STATIC"),
    ("spark.sql.sources.partitionColumnTypeInference.enabled", "true"),
    ("spark.sql.timestampType", "TIMESTAMP_LTZ"),
    ("spark.sql.warehouse.dir", "spark-warehouse"),
    ("spark.connect.session.planCompression.threshold", "10485760"),
    ("spark.connect.session.planCompression.defaultAlgorithm", "ZSTD"),
];

/// Settings of the SQL name space that are fixed when the driver starts.
const STATIC: &[&str] = &[
    "spark.sql.cache.serializer",
    "spark.sql.catalogImplementation",
    "spark.sql.event.truncate.length",
    "spark.sql.extensions",
    "spark.sql.filesourceTableRelationCacheSize",
    "spark.sql.globalTempDatabase",
    "spark.sql.hive.metastore.jars",
    "spark.sql.hive.metastore.version",
    "spark.sql.hive.thriftServer.singleSession",
    "spark.sql.legacy.sessionInitWithConfigDefaults",
    "spark.sql.queryExecutionListeners",
    "spark.sql.streaming.ui.enabled",
    "spark.sql.streaming.ui.retainedQueries",
    "spark.sql.ui.retainedExecutions",
    "spark.sql.warehouse.dir",
];

/// The default of a setting.
#[must_use]
pub fn default_of(key: &str) -> Option<&'static str> {
    DEFAULTS.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
}

/// Whether the setting cannot change in a session.
#[must_use]
pub fn is_static(key: &str) -> bool {
    STATIC.contains(&key)
}

/// Whether the setting belongs to the application rather than to a session.
#[must_use]
pub fn is_core(key: &str) -> bool {
    key.starts_with("spark.")
        // The one of the scheduler's that Spark reads from each session.
        && key != "spark.scheduler.pool"
        && !key.starts_with("spark.sql.")
        && !key.starts_with("spark.connect.")
        && [
            "spark.app.",
            "spark.cores.",
            "spark.driver.",
            "spark.executor.",
            "spark.master",
            "spark.mesos.",
            "spark.submit.",
            "spark.task.",
            "spark.shuffle.",
            "spark.local.",
            "spark.network.",
            "spark.rpc.",
            "spark.scheduler.",
            "spark.dynamicAllocation.",
            "spark.authenticate",
            "spark.ui.",
        ]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}
