//! `spark.sql.*`: what the planner reads and what Connect clients ask for.

use std::time::Duration;

use crate::kind::{ByteUnit, Kind, TimeUnit};
use crate::property::Preset::{Computed, None as Unset, SameAs, Value};
use crate::property::Status::{Client, Honoured, Ignored, Planned};

const COUNT: Kind = Kind::Integer { min: 1, max: i32::MAX as i64 };
const NUMBER: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };
const SIZE: Kind = Kind::Bytes { unit: ByteUnit::Byte, min: 0 };
const SIZE_OR_OFF: Kind = Kind::Bytes { unit: ByteUnit::Byte, min: -1 };
const SECONDS: Kind = Kind::Duration { unit: TimeUnit::Second };
const BOOLEAN: Kind = Kind::Boolean;
const REBASE: Kind = Kind::OneOf(&["EXCEPTION", "LEGACY", "CORRECTED"]);

properties! {
    SHUFFLE_PARTITIONS: u64 = "spark.sql.shuffle.partitions", COUNT, Value("200"), "1.1.0", Session, Honoured,
        "Partitions after a shuffle";
    SESSION_TIME_ZONE: Option<String> = "spark.sql.session.timeZone", Kind::Text, Computed("the system's time zone"), "2.2.0", Session, Honoured,
        "Time zone of timestamps in text and functions";
    ANSI_ENABLED: bool = "spark.sql.ansi.enabled", BOOLEAN, Value("true"), "3.0.0", Session, Honoured,
        "Whether overflow, bad casts and the like are errors";
    ANSI_DOUBLE_QUOTED_IDENTIFIERS: bool = "spark.sql.ansi.doubleQuotedIdentifiers", BOOLEAN, Value("false"), "3.4.0", Session, Honoured,
        "Whether \"x\" is an identifier";
    ANSI_ENFORCE_RESERVED: bool = "spark.sql.ansi.enforceReservedKeywords", BOOLEAN, Value("false"), "3.3.0", Session, Planned,
        "Whether reserved words are refused as identifiers";
    STORE_ASSIGNMENT_POLICY: String = "spark.sql.storeAssignmentPolicy", Kind::OneOf(&["ANSI", "LEGACY", "STRICT"]), Value("ANSI"), "3.0.0", Session, Planned,
        "Which casts an insert makes";
    CASE_SENSITIVE: bool = "spark.sql.caseSensitive", BOOLEAN, Value("false"), "1.4.0", Session, Honoured,
        "Whether names differ by case";
    AUTO_BROADCAST_THRESHOLD: i64 = "spark.sql.autoBroadcastJoinThreshold", SIZE_OR_OFF, Value("10m"), "1.1.0", Session, Honoured,
        "Largest table that is broadcast in a join; -1 for never";
    BROADCAST_TIMEOUT: Duration = "spark.sql.broadcastTimeout", SECONDS, Value("300"), "1.3.0", Session, Planned,
        "How long a broadcast may take";
    MAX_PARTITION_BYTES: u64 = "spark.sql.files.maxPartitionBytes", SIZE, Value("128m"), "2.0.0", Session, Honoured,
        "Most bytes of files in one partition of a scan";
    OPEN_COST_BYTES: u64 = "spark.sql.files.openCostInBytes", SIZE, Value("4m"), "2.0.0", Session, Honoured,
        "What opening a file costs, in bytes, when files are packed into partitions";
    MIN_PARTITION_NUM: Option<u64> = "spark.sql.files.minPartitionNum", COUNT, Unset, "3.1.0", Session, Honoured,
        "Fewest partitions of a scan";
    MAX_RECORDS_PER_FILE: u64 = "spark.sql.files.maxRecordsPerFile", NUMBER, Value("0"), "2.2.0", Session, Planned,
        "Most rows of a written file; 0 for any number";
    IGNORE_CORRUPT_FILES: bool = "spark.sql.files.ignoreCorruptFiles", BOOLEAN, Value("false"), "2.1.1", Session, Planned,
        "Whether unreadable files are skipped";
    IGNORE_MISSING_FILES: bool = "spark.sql.files.ignoreMissingFiles", BOOLEAN, Value("false"), "2.3.0", Session, Planned,
        "Whether vanished files are skipped";
    SOURCES_DEFAULT: String = "spark.sql.sources.default", Kind::Text, Value("parquet"), "1.3.0", Session, Honoured,
        "Format where none is named";
    PARTITION_COLUMN_INFERENCE: bool = "spark.sql.sources.partitionColumnTypeInference.enabled", BOOLEAN, Value("true"), "1.5.0", Session, Honoured,
        "Whether the types of partition columns are inferred from their directories";
    PARTITION_OVERWRITE_MODE: String = "spark.sql.sources.partitionOverwriteMode", Kind::OneOf(&["STATIC", "DYNAMIC"]), Value("STATIC"), "2.3.0", Session, Honoured,
        "Whether an overwrite clears all partitions or only those it writes";
    PARQUET_COMPRESSION: String = "spark.sql.parquet.compression.codec", Kind::OneOf(&["none", "uncompressed", "snappy", "gzip", "lzo", "brotli", "lz4", "lz4_raw", "zstd"]), Value("snappy"), "1.1.1", Session, Planned,
        "Compression of written Parquet files";
    PARQUET_FILTER_PUSHDOWN: bool = "spark.sql.parquet.filterPushdown", BOOLEAN, Value("true"), "1.2.0", Session, Planned,
        "Whether filters reach Parquet scans";
    PARQUET_MERGE_SCHEMA: bool = "spark.sql.parquet.mergeSchema", BOOLEAN, Value("false"), "1.5.0", Session, Planned,
        "Whether the schemas of all files are merged";
    PARQUET_BINARY_AS_STRING: bool = "spark.sql.parquet.binaryAsString", BOOLEAN, Value("false"), "1.1.1", Session, Planned,
        "Whether binary columns are read as text";
    PARQUET_INT96_AS_TIMESTAMP: bool = "spark.sql.parquet.int96AsTimestamp", BOOLEAN, Value("true"), "1.3.0", Session, Planned,
        "Whether INT96 columns are timestamps";
    PARQUET_OUTPUT_TIMESTAMP: String = "spark.sql.parquet.outputTimestampType", Kind::OneOf(&["INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"]), Value("INT96"), "2.3.0", Session, Planned,
        "Type of written timestamps";
    PARQUET_REBASE_READ: String = "spark.sql.parquet.datetimeRebaseModeInRead", REBASE, Value("CORRECTED"), "3.0.0", Session, Planned,
        "Calendar of dates read from old files";
    PARQUET_REBASE_WRITE: String = "spark.sql.parquet.datetimeRebaseModeInWrite", REBASE, Value("CORRECTED"), "3.0.0", Session, Planned,
        "Calendar of written dates";
    LEAF_PARALLELISM: Option<u64> = "spark.sql.leafNodeDefaultParallelism", COUNT, Unset, "3.2.0", Session, Planned,
        "Partitions of range and local data";
    ADAPTIVE_ENABLED: bool = "spark.sql.adaptive.enabled", BOOLEAN, Value("true"), "1.6.0", Session, Honoured,
        "Whether stages are planned anew from the sizes of finished ones";
    ADAPTIVE_COALESCE: bool = "spark.sql.adaptive.coalescePartitions.enabled", BOOLEAN, Value("true"), "3.0.0", Session, Honoured,
        "Whether small shuffle partitions are joined";
    ADAPTIVE_COALESCE_PARALLELISM_FIRST: bool = "spark.sql.adaptive.coalescePartitions.parallelismFirst", BOOLEAN, Value("true"), "3.2.0", Session, Honoured,
        "Whether joined partitions stay small enough to use all cores";
    ADAPTIVE_COALESCE_MIN_SIZE: u64 = "spark.sql.adaptive.coalescePartitions.minPartitionSize", SIZE, Value("1m"), "3.2.0", Session, Honoured,
        "Least size of a joined partition";
    ADAPTIVE_COALESCE_INITIAL: Option<u64> = "spark.sql.adaptive.coalescePartitions.initialPartitionNum", COUNT, SameAs("spark.sql.shuffle.partitions"), "3.0.0", Session, Planned,
        "Shuffle partitions before joining";
    ADAPTIVE_ADVISORY_SIZE: u64 = "spark.sql.adaptive.advisoryPartitionSizeInBytes", SIZE, Value("64m"), "3.0.0", Session, Honoured,
        "Size aimed at when partitions are joined or split";
    ADAPTIVE_SKEW_JOIN: bool = "spark.sql.adaptive.skewJoin.enabled", BOOLEAN, Value("true"), "3.0.0", Session, Honoured,
        "Whether skewed partitions of a join are split";
    ADAPTIVE_SKEW_FACTOR: f64 = "spark.sql.adaptive.skewJoin.skewedPartitionFactor", Kind::Decimal { min: 0.0 }, Value("5.0"), "3.0.0", Session, Honoured,
        "Times the median from which on a partition is skewed";
    ADAPTIVE_SKEW_THRESHOLD: u64 = "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes", SIZE, Value("256m"), "3.0.0", Session, Honoured,
        "Size up to which no partition is skewed";
    ADAPTIVE_BROADCAST_THRESHOLD: Option<i64> = "spark.sql.adaptive.autoBroadcastJoinThreshold", SIZE_OR_OFF, SameAs("spark.sql.autoBroadcastJoinThreshold"), "3.2.0", Session, Honoured,
        "Size up to which a finished side of a join is broadcast";
    ADAPTIVE_HASH_JOIN_THRESHOLD: u64 = "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold", SIZE, Value("0"), "3.2.0", Session, Honoured,
        "Largest partition of a join that a hash table is made of; 0 goes by the executors' memory";
    RUNTIME_FILTER: bool = "spark.sql.optimizer.runtime.bloomFilter.enabled", BOOLEAN, Value("true"), "3.3.0", Session, Honoured,
        "Whether rows without a partner in a join are left out before they are shuffled: in a broadcast join above, and with adaptive execution in any";
    RUNTIME_FILTER_THRESHOLD: u64 = "spark.sql.optimizer.runtime.bloomFilter.creationSideThreshold", SIZE, Value("10MB"), "3.3.0", Session, Honoured,
        "Size up to which the finished, filtered side of a join leaves out rows of the other; at the default up to 64 MiB, if the other side is large";
    EXCHANGE_REUSE: bool = "spark.sql.exchange.reuse", BOOLEAN, Value("true"), "2.0.0", Session, Honoured,
        "Whether equal exchanges of a query are run once";
    ADAPTIVE_LOCAL_READER: bool = "spark.sql.adaptive.localShuffleReader.enabled", BOOLEAN, Value("true"), "3.0.0", Session, Planned,
        "Whether map output is read where it lies when a join became a broadcast";
    CBO_ENABLED: bool = "spark.sql.cbo.enabled", BOOLEAN, Value("false"), "2.2.0", Session, Planned,
        "Cost-based optimisation";
    CODEGEN_WHOLE_STAGE: bool = "spark.sql.codegen.wholeStage", BOOLEAN, Value("true"), "2.0.0", Session, Ignored("operators are vectorised"),
        "Code generation";
    JOIN_PREFER_SORT_MERGE: bool = "spark.sql.join.preferSortMergeJoin", BOOLEAN, Value("true"), "2.0.0", Session, Planned,
        "Whether a sort-merge join is preferred to a shuffled hash join";
    CROSS_JOIN_ENABLED: bool = "spark.sql.crossJoin.enabled", BOOLEAN, Value("true"), "2.0.0", Session, Planned,
        "Whether joins without condition are allowed";
    GROUP_BY_ORDINAL: bool = "spark.sql.groupByOrdinal", BOOLEAN, Value("true"), "2.0.0", Session, Honoured,
        "Whether numbers in GROUP BY are positions";
    ORDER_BY_ORDINAL: bool = "spark.sql.orderByOrdinal", BOOLEAN, Value("true"), "2.0.0", Session, Honoured,
        "Whether numbers in ORDER BY are positions";
    GROUP_BY_ALIASES: bool = "spark.sql.groupByAliases", BOOLEAN, Value("true"), "2.2.0", Session, Honoured,
        "Whether GROUP BY knows the aliases of the select list";
    PIVOT_MAX_VALUES: u64 = "spark.sql.pivotMaxValues", COUNT, Value("10000"), "1.6.0", Session, Honoured,
        "Most values of a pivot without a list";
    TIMESTAMP_TYPE: String = "spark.sql.timestampType", Kind::OneOf(&["TIMESTAMP_LTZ", "TIMESTAMP_NTZ"]), Value("TIMESTAMP_LTZ"), "3.4.0", Session, Honoured,
        "What the type name TIMESTAMP means";
    DECIMAL_PRECISION_LOSS: bool = "spark.sql.decimalOperations.allowPrecisionLoss", BOOLEAN, Value("true"), "2.3.1", Session, Planned,
        "Whether decimal results that need more than 38 digits lose scale";
    TIME_PARSER_POLICY: String = "spark.sql.legacy.timeParserPolicy", Kind::OneOf(&["EXCEPTION", "LEGACY", "CORRECTED"]), Value("CORRECTED"), "3.0.0", Session, Planned,
        "Which date patterns are understood";
    LEGACY_CHAR_VARCHAR: bool = "spark.sql.legacy.charVarcharAsString", BOOLEAN, Value("false"), "3.1.0", Session, Planned,
        "Whether CHAR and VARCHAR are STRING";
    LEGACY_SIZE_OF_NULL: bool = "spark.sql.legacy.sizeOfNull", BOOLEAN, Value("true"), "2.4.0", Session, Planned,
        "Whether size(NULL) is -1";
    MAX_TO_STRING_FIELDS: u64 = "spark.sql.debug.maxToStringFields", NUMBER, Value("25"), "3.0.0", Session, Planned,
        "Fields shown of a plan node";
    MAX_PLAN_STRING_LENGTH: u64 = "spark.sql.maxPlanStringLength", SIZE, Value("2147483632"), "3.0.0", Session, Planned,
        "Longest plan text";
    EXPLAIN_MODE: String = "spark.sql.ui.explainMode", Kind::OneOf(&["simple", "extended", "codegen", "cost", "formatted"]), Value("formatted"), "3.1.0", Session, Planned,
        "Form of plans on the pages";
    REPL_EAGER_EVAL: bool = "spark.sql.repl.eagerEval.enabled", BOOLEAN, Value("false"), "2.4.0", Session, Client,
        "Whether a data frame shows its rows when a shell prints it";
    REPL_EAGER_EVAL_ROWS: u64 = "spark.sql.repl.eagerEval.maxNumRows", NUMBER, Value("20"), "2.4.0", Session, Client,
        "How many rows";
    REPL_EAGER_EVAL_TRUNCATE: u64 = "spark.sql.repl.eagerEval.truncate", NUMBER, Value("20"), "2.4.0", Session, Client,
        "How many characters of a cell";
    VARIABLE_SUBSTITUTE: bool = "spark.sql.variable.substitute", BOOLEAN, Value("true"), "2.0.0", Session, Planned,
        "Whether ${name} in SQL text is replaced";
    REDACTION_OPTIONS: String = "spark.sql.redaction.options.regex", Kind::Text, Value("(?i)url"), "2.2.2", Session, Planned,
        "Options whose values are hidden";
    COLUMN_NAME_OF_CORRUPT: String = "spark.sql.columnNameOfCorruptRecord", Kind::Text, Value("_corrupt_record"), "1.2.0", Session, Planned,
        "Column that takes malformed input";
    JSON_GENERATOR_IGNORE_NULL: bool = "spark.sql.jsonGenerator.ignoreNullFields", BOOLEAN, Value("true"), "3.0.0", Session, Planned,
        "Whether null fields are left out of written JSON";
    DEFAULT_CATALOG: String = "spark.sql.defaultCatalog", Kind::Text, Value("spark_catalog"), "3.0.0", Session, Planned,
        "Catalog at the start of a session";
    RUN_SQL_ON_FILES: bool = "spark.sql.runSQLOnFiles", BOOLEAN, Value("true"), "1.6.0", Session, Planned,
        "Whether format.`path` may stand for a table";

    ARROW_PYSPARK: bool = "spark.sql.execution.arrow.pyspark.enabled", BOOLEAN, Value("false"), "3.0.0", Session, Ignored("Connect clients always use Arrow"),
        "Whether conversions to and from pandas use Arrow; Connect always does", aliases &["spark.sql.execution.arrow.enabled"];
    ARROW_FALLBACK: bool = "spark.sql.execution.arrow.pyspark.fallback.enabled", BOOLEAN, Value("true"), "3.0.0", Session, Ignored("Connect clients always use Arrow"),
        "Whether a failed Arrow conversion is tried without";
    ARROW_SELF_DESTRUCT: bool = "spark.sql.execution.arrow.pyspark.selfDestruct.enabled", BOOLEAN, Value("false"), "3.2.0", Session, Client,
        "Whether toPandas frees Arrow memory as it goes";
    ARROW_MAX_RECORDS: u64 = "spark.sql.execution.arrow.maxRecordsPerBatch", NUMBER, Value("10000"), "2.3.0", Session, Planned,
        "Rows of an Arrow batch";
    ARROW_LARGE_VAR_TYPES: bool = "spark.sql.execution.arrow.useLargeVarTypes", BOOLEAN, Value("false"), "3.5.0", Session, Client,
        "Whether Arrow batches use 64-bit offsets";
    ARROW_LOCAL_RELATION_THRESHOLD: u64 = "spark.sql.execution.arrow.localRelationThreshold", SIZE, Value("48m"), "3.4.0", Session, Planned,
        "Largest local relation kept as a local table";
    PANDAS_SAFE: bool = "spark.sql.execution.pandas.convertToArrowArraySafely", BOOLEAN, Value("false"), "3.0.0", Session, Client,
        "Whether conversions from pandas check for overflow";
    PANDAS_DICT_AS_MAP: bool = "spark.sql.execution.pandas.inferPandasDictAsMap", BOOLEAN, Value("false"), "4.0.0", Session, Client,
        "Whether dictionaries in pandas become maps";
    PANDAS_STRUCT_MODE: String = "spark.sql.execution.pandas.structHandlingMode", Kind::OneOf(&["legacy", "row", "dict"]), Value("legacy"), "3.5.0", Session, Client,
        "What structs become in pandas";
    PYSPARK_INFER_DICT_AS_STRUCT: bool = "spark.sql.pyspark.inferNestedDictAsStruct.enabled", BOOLEAN, Value("false"), "3.3.0", Session, Client,
        "Whether nested dictionaries become structs";
    PYSPARK_LEGACY_ARRAY: bool = "spark.sql.pyspark.legacy.inferArrayTypeFromFirstElement.enabled", BOOLEAN, Value("false"), "3.4.0", Session, Client,
        "Whether a list's type is that of its first element";
    PYSPARK_LEGACY_MAP: bool = "spark.sql.pyspark.legacy.inferMapTypeFromFirstPair.enabled", BOOLEAN, Value("false"), "4.0.0", Session, Client,
        "Whether a dictionary's type is that of its first pair";
    PYSPARK_BINARY_AS_BYTES: bool = "spark.sql.execution.pyspark.binaryAsBytes", BOOLEAN, Value("true"), "4.1.0", Session, Client,
        "Whether binary values are bytes in Python";
    PYSPARK_JVM_STACKTRACE: bool = "spark.sql.pyspark.jvmStacktrace.enabled", BOOLEAN, Value("false"), "3.0.0", Session, Client,
        "Whether Python errors show the server's stack";
    CONNECT_SERVER_STACKTRACE: bool = "spark.sql.connect.serverStacktrace.enabled", BOOLEAN, Value("false"), "3.5.0", Session, Client,
        "Whether errors carry the server's stack";
    PYTHON_UDF_ARROW: bool = "spark.sql.execution.pythonUDF.arrow.enabled", BOOLEAN, Value("false"), "3.4.0", Session, Client,
        "Whether Python functions exchange rows by Arrow";
    PYTHON_UDTF_ARROW: bool = "spark.sql.execution.pythonUDTF.arrow.enabled", BOOLEAN, Value("false"), "3.5.0", Session, Client,
        "The same for table functions";
    LOCAL_RELATION_CACHE_THRESHOLD: u64 = "spark.sql.session.localRelationCacheThreshold", Kind::Integer { min: 0, max: i64::MAX }, Value("1048576"), "3.5.0", Session, Client,
        "Bytes from which a client uploads local data apart from its plan";
    LOCAL_RELATION_SIZE_LIMIT: u64 = "spark.sql.session.localRelationSizeLimit", Kind::Integer { min: 0, max: i64::MAX }, Value("3221225472"), "4.1.0", Session, Client,
        "Most bytes of local data";
    LOCAL_RELATION_CHUNK_ROWS: u64 = "spark.sql.session.localRelationChunkSizeRows", Kind::Integer { min: 1, max: i64::MAX }, Value("10000"), "4.1.0", Session, Client,
        "Rows of an uploaded chunk";
    LOCAL_RELATION_CHUNK_BYTES: u64 = "spark.sql.session.localRelationChunkSizeBytes", Kind::Integer { min: 1, max: i64::MAX }, Value("16777216"), "4.1.0", Session, Client,
        "Bytes of an uploaded chunk";
    LOCAL_RELATION_BATCH_BYTES: u64 = "spark.sql.session.localRelationBatchOfChunksSizeBytes", Kind::Integer { min: 1, max: i64::MAX }, Value("1073741824"), "4.1.0", Session, Client,
        "Bytes of chunks uploaded at once";

    WAREHOUSE_DIR: Option<String> = "spark.sql.warehouse.dir", Kind::Text, Computed("spark-warehouse in the working directory"), "2.0.0", Static, Honoured,
        "Directory of managed tables";
    CATALOG_IMPLEMENTATION: String = "spark.sql.catalogImplementation", Kind::OneOf(&["in-memory", "hive"]), Value("in-memory"), "2.0.0", Static, Planned,
        "Where tables are remembered";
    SQL_EXTENSIONS: Vec<String> = "spark.sql.extensions", Kind::List, Value(""), "2.2.0", Static, Ignored("there is no JVM"),
        "Extension classes";
    GLOBAL_TEMP_DATABASE: String = "spark.sql.globalTempDatabase", Kind::Text, Value("global_temp"), "2.1.0", Static, Planned,
        "Database of global temporary views";
    UI_RETAINED_EXECUTIONS: u64 = "spark.sql.ui.retainedExecutions", NUMBER, Value("1000"), "1.5.0", Static, Planned,
        "Finished queries the pages remember";
    EVENT_TRUNCATE_LENGTH: u64 = "spark.sql.event.truncate.length", NUMBER, Value("2147483647"), "3.0.0", Static, Planned,
        "Longest SQL text in an event";
}
