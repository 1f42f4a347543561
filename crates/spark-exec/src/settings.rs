//! What the application's properties say about map output: where its files lie, how they are packed,
//! how they are fetched. Executors and the driver read the same.

use std::path::Path;

use spark_conf::{Origin, Property, SparkConf, table};
use spark_shuffle::{
    BlockClientOptions, Codec, FetchOptions, FetchRetries, LocalDirectories, Secret, TierOptions,
    memory_tier,
};

/// How long a shuffle service that is started again may take: its executors' output is there
/// meanwhile.
const SERVICE_RETRIES: FetchRetries = FetchRetries {
    max_retries: 10,
    retry_wait: std::time::Duration::from_secs(1),
    refused_is_final: false,
};

/// Map output in memory takes at most one part of so many of the executor's memory.
const HELD_PART: u64 = 16;

/// The properties, typed.
#[derive(Debug, Clone)]
pub(crate) struct ShuffleSettings {
    conf: SparkConf,
    /// `spark.reducer.*` and `spark.shuffle.io.*`.
    pub(crate) fetch: FetchOptions,
    /// `spark.shuffle.compress` and `spark.io.compression.codec`.
    pub(crate) codec: Codec,
    /// `spark.shuffle.service.port`, if the application uses the service.
    pub(crate) service_port: Option<u16>,
    /// `spark.decommission.enabled` and `spark.storage.decommission.shuffleBlocks.enabled`.
    pub(crate) decommission: bool,
    /// `spark.eventLog.enabled`: operators' counts are told.
    pub(crate) event_log: bool,
}

impl ShuffleSettings {
    /// Reads the properties somebody set. The driver has checked them: what does not parse is as if
    /// it were not set.
    pub(crate) fn of<'a>(properties: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let mut conf = SparkConf::new();
        for (name, value) in properties {
            conf.set(Origin::Computed, name, value);
        }
        let on = |property: &Property<bool>| conf.get(property).unwrap_or(false);
        let service = on(&table::SHUFFLE_SERVICE_ENABLED);
        Self {
            fetch: fetch_options(&conf, service),
            codec: codec(&conf),
            service_port: service.then(|| conf.get(&table::SHUFFLE_SERVICE_PORT).unwrap_or(7337)),
            decommission: on(&table::DECOMMISSION) && on(&table::DECOMMISSION_SHUFFLE_BLOCKS),
            event_log: on(&table::EVENT_LOG_ENABLED),
            conf,
        }
    }

    /// How the application's servers are dialled.
    pub(crate) fn client(&self, application: &str, secret: Secret) -> BlockClientOptions {
        let mut options = BlockClientOptions::new(application, secret);
        if let Some(timeout) = self.set(&table::SHUFFLE_IO_CONNECTION_TIMEOUT) {
            options.connect_timeout = timeout;
        }
        if let Some(timeout) = self.set(&table::NETWORK_TIMEOUT) {
            options.idle_timeout = timeout;
        }
        options
    }

    /// The tiers of an executor's store, the memory tier first. `given` directories count, else those
    /// of the environment and of `spark.local.dir`, in Spark's order.
    pub(crate) fn tiers(
        &self,
        given: &[std::path::PathBuf],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Vec<TierOptions> {
        let disk = if given.is_empty() {
            let configured = self.set(&table::LOCAL_DIR).map(|names| names.join(","));
            let service = self.service_port.is_some();
            LocalDirectories::from_environment(environment, configured, service).directories()
        } else {
            given.to_vec()
        };
        let mut tiers = Vec::new();
        let budget = self.conf.get(&table::SHUFFLE_MEMORY).unwrap_or(0);
        if budget > 0 {
            let folder = self.conf.get(&table::SHUFFLE_MEMORY_DIR).unwrap_or_default();
            match memory_tier(Path::new(&folder), budget) {
                Ok(tier) => tiers.push(tier),
                Err(why) => tracing::warn!(%why, "map output goes to disk only"),
            }
        }
        tiers.push(TierOptions::unlimited(disk));
        tiers
    }

    /// How much of its map output an executor with so much memory keeps in it.
    pub(crate) fn held_bytes(&self, memory: Option<u64>) -> u64 {
        if self.service_port.is_some() {
            return 0;
        }
        let most = self.conf.get(&table::SHUFFLE_HELD).unwrap_or(0);
        memory.map_or(most, |bytes| most.min(bytes / HELD_PART))
    }

    /// The value in force, if somebody set it.
    fn set<T: spark_conf::FromParsed>(&self, property: &Property<T>) -> Option<T> {
        set(&self.conf, property)
    }
}

fn set<T: spark_conf::FromParsed>(conf: &SparkConf, property: &Property<T>) -> Option<T> {
    if conf.is_set(property) { conf.get(property).ok() } else { None }
}

fn fetch_options(conf: &SparkConf, service: bool) -> FetchOptions {
    let mut options = FetchOptions::default();
    if service {
        options.max_retries = SERVICE_RETRIES.max_retries;
        options.retry_wait = SERVICE_RETRIES.retry_wait;
        options.refused_is_final = SERVICE_RETRIES.refused_is_final;
    }
    if let Some(bytes) = set(conf, &table::REDUCER_MAX_SIZE_IN_FLIGHT) {
        options.max_bytes_in_flight = bytes;
    }
    let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    if let Some(requests) = set(conf, &table::REDUCER_MAX_REQS_IN_FLIGHT) {
        options.max_requests_in_flight = count(requests);
    }
    if let Some(blocks) = set(conf, &table::REDUCER_MAX_BLOCKS_PER_ADDRESS) {
        // A request has a limit of its own.
        options.max_blocks_in_flight_per_address =
            count(blocks).min(options.max_blocks_in_flight_per_address);
    }
    if let Some(retries) = set(conf, &table::SHUFFLE_IO_MAX_RETRIES) {
        options.max_retries = u32::try_from(retries).unwrap_or(u32::MAX);
    }
    if let Some(wait) = set(conf, &table::SHUFFLE_IO_RETRY_WAIT) {
        options.retry_wait = wait;
    }
    options
}

/// Not Spark's default, which packs with LZ4: that pays for rows in Java's form, and Arrow's buffers on
/// one machine are read quicker than they are unpacked. A codec that somebody names is used.
fn codec(conf: &SparkConf) -> Codec {
    let named = set(conf, &table::IO_COMPRESSION_CODEC);
    let wanted = match set(conf, &table::SHUFFLE_COMPRESS) {
        Some(wanted) => wanted,
        None => named.is_some(),
    };
    if !wanted {
        return Codec::None;
    }
    // `snappy` and `lzf` are not there; LZ4 is of their kind.
    named.and_then(|name| Codec::named(&name)).unwrap_or(Codec::Lz4)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn settings(set: &[(&str, &str)]) -> ShuffleSettings {
        let map: HashMap<String, String> =
            set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ShuffleSettings::of(&map)
    }

    #[test]
    fn the_fetchers_bounds_are_the_applications() {
        let none = settings(&[]).fetch;
        assert_eq!((none.max_bytes_in_flight, none.refused_is_final), (48 << 20, true));
        let fetch = settings(&[
            ("spark.reducer.maxSizeInFlight", "8m"),
            ("spark.reducer.maxReqsInFlight", "3"),
            ("spark.reducer.maxBlocksInFlightPerAddress", "5"),
            ("spark.shuffle.io.maxRetries", "7"),
            ("spark.shuffle.io.retryWait", "2s"),
        ])
        .fetch;
        assert_eq!((fetch.max_bytes_in_flight, fetch.max_requests_in_flight), (8 << 20, 3));
        assert_eq!((fetch.max_blocks_in_flight_per_address, fetch.max_retries), (5, 7));
        assert_eq!(fetch.retry_wait, Duration::from_secs(2));
        let served = settings(&[("spark.shuffle.service.enabled", "true")]);
        assert_eq!(served.service_port, Some(7337));
        assert!(!served.fetch.refused_is_final && served.fetch.max_retries == 10);
    }

    #[test]
    fn blocks_are_packed_if_somebody_says_so() {
        let codec = |set: &[(&str, &str)]| settings(set).codec;
        assert_eq!(codec(&[]), Codec::None);
        assert_eq!(codec(&[("spark.shuffle.compress", "true")]), Codec::Lz4);
        assert_eq!(codec(&[("spark.io.compression.codec", "zstd")]), Codec::Zstd);
        assert_eq!(codec(&[("spark.io.compression.codec", "none")]), Codec::None);
        assert_eq!(codec(&[("spark.io.compression.codec", "snappy")]), Codec::Lz4);
        let off = [("spark.io.compression.codec", "zstd"), ("spark.shuffle.compress", "false")];
        assert_eq!(codec(&off), Codec::None);
    }

    #[test]
    fn directories_are_those_of_the_first_source() {
        let directories = |set: &[(&str, &str)], sandbox: bool| {
            let environment =
                |name: &str| (sandbox && name == "MESOS_SANDBOX").then(|| "/s".to_owned());
            settings(set).tiers(&[], environment)[0].directories.clone()
        };
        let configured = ("spark.local.dir", "/a,/b");
        let service = ("spark.shuffle.service.enabled", "true");
        assert_eq!(directories(&[configured], true), [PathBuf::from("/s")]);
        assert_eq!(directories(&[configured], false), ["/a", "/b"].map(PathBuf::from));
        // The agent would delete the sandbox with the executor.
        assert_eq!(directories(&[configured, service], true), ["/a", "/b"].map(PathBuf::from));
        let given = [PathBuf::from("/g")];
        let tiers = settings(&[configured]).tiers(&given, |_| None);
        assert_eq!(tiers, [TierOptions::unlimited(given)]);
    }

    #[test]
    fn map_output_stays_in_memory_as_far_as_that_is_small() {
        let held = |set: &[(&str, &str)], memory| settings(set).held_bytes(memory);
        assert_eq!(held(&[], None), 64 << 20);
        assert_eq!(held(&[], Some(1 << 30)), 64 << 20);
        assert_eq!(held(&[], Some(512 << 20)), 32 << 20);
        let key = "spark.ferrospark.shuffle.heldMemory";
        assert_eq!(held(&[(key, "8m")], Some(1 << 30)), 8 << 20);
        assert_eq!(held(&[(key, "0")], None), 0);
        // A service cannot read the memory of an executor that is gone.
        assert_eq!(held(&[("spark.shuffle.service.enabled", "true")], None), 0);
    }

    #[test]
    fn a_memory_tier_needs_a_ram_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let on = |path: &str| {
            let set = [
                ("spark.ferrospark.shuffle.memory", "1m"),
                ("spark.ferrospark.shuffle.memoryDir", path),
            ];
            settings(&set).tiers(&[PathBuf::from("/d")], |_| None)
        };
        let proc = on("/proc");
        assert_eq!(proc.len(), 1, "not a RAM disk");
        assert_eq!(on(&format!("{path}/none")).len(), 1, "not there");
        if let Ok(tier) = memory_tier(Path::new("/dev/shm"), 1 << 20) {
            let tiers = on("/dev/shm");
            assert_eq!((tiers.len(), &tiers[0]), (2, &tier));
        }
    }
}
