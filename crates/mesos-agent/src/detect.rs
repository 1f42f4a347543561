//! What a machine has, as far as the flags do not say.

use std::path::Path;

use mesos_api::{Resource, Resources, WireFormat, resources::ParseError};

/// Mesos leaves so much to the machine itself; half, if there is less than twice as much.
const RESERVED_MEMORY_MIB: f64 = 1024.0;
const RESERVED_DISK_MIB: f64 = 5120.0;

/// Used if the machine does not tell.
const FALLBACK_MIB: f64 = 1024.0;

/// Ports offered, if the flags do not say.
const DEFAULT_PORTS: (u64, u64) = (31_000, 32_000);

/// The flag's resources, completed by what the machine has of those it does not name.
pub(crate) fn resources(
    flag: Option<&str>,
    default_role: &str,
    work_dir: &Path,
) -> Result<Vec<Resource>, ParseError> {
    let mut all = Resources::parse(flag.unwrap_or_default(), default_role)?;
    let named: Vec<String> = flag_names(flag.unwrap_or_default(), &all);
    let missing = |name: &str| !named.iter().any(|own| own == name);
    let found = [("cpus", cpus()), ("mem", memory()), ("disk", disk(work_dir))];
    for (name, amount) in found.into_iter().filter(|(name, _)| missing(name)) {
        let role = Some(default_role.to_owned());
        all.add(Resource { role, ..Resource::scalar_of(name, amount) });
    }
    if missing("ports") {
        let role = Some(default_role.to_owned());
        all.add(Resource { role, ..Resource::ranges_of("ports", [DEFAULT_PORTS]) });
    }
    Ok(all.to_wire(WireFormat::PreRefinement))
}

/// Names in the flag, also of resources that are zero.
fn flag_names(flag: &str, parsed: &Resources) -> Vec<String> {
    let of_text = flag.split([';', '\n']).filter_map(|part| {
        let name = part.split([':', '(']).next()?.trim();
        (!name.is_empty()).then(|| name.to_owned())
    });
    parsed.iter().map(|resource| resource.name.clone()).chain(of_text).collect()
}

fn cpus() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64)
}

fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(FALLBACK_MIB, |kib| without(kib / 1024.0, RESERVED_MEMORY_MIB))
}

fn disk(work_dir: &Path) -> f64 {
    match nix::sys::statvfs::statvfs(work_dir) {
        Ok(statistics) => {
            let bytes = statistics.blocks() as f64 * statistics.fragment_size() as f64;
            without(bytes / (1024.0 * 1024.0), RESERVED_DISK_MIB)
        }
        Err(_) => FALLBACK_MIB,
    }
}

fn without(total: f64, reserved: f64) -> f64 {
    if total >= 2.0 * reserved { (total - reserved).floor() } else { (total / 2.0).floor() }
}
