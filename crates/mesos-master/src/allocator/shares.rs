//! Dominant shares of roles, which form a tree `a/b/c`, and of the frameworks in them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use mesos_api::{FrameworkId, Resources};

type Scalars = BTreeMap<String, f64>;

/// What something holds, and how often it was served, which breaks ties.
#[derive(Debug, Default)]
struct Holding {
    allocated: Scalars,
    allocations: u64,
}

/// What everybody holds of the cluster.
#[derive(Debug, Default)]
pub(super) struct Shares {
    total: Scalars,
    weights: BTreeMap<String, f64>,
    /// By role, each with all roles below it.
    subtrees: BTreeMap<String, Holding>,
    /// By role alone.
    roles: BTreeMap<String, Holding>,
    frameworks: BTreeMap<(String, FrameworkId), Holding>,
}

/// Place of a role in the order: share, times served and name, level by level of the tree.
type RoleKey = Vec<(f64, u64, String)>;

impl Shares {
    pub(super) fn new(weights: BTreeMap<String, f64>) -> Self {
        Self { weights, ..Self::default() }
    }

    pub(super) fn add_total(&mut self, total: &Resources) {
        change(&mut self.total, total, 1.0);
    }

    pub(super) fn remove_total(&mut self, total: &Resources) {
        change(&mut self.total, total, -1.0);
    }

    pub(super) fn allocate(&mut self, framework_id: &FrameworkId, resources: &Resources) {
        self.apply(framework_id, resources, 1.0);
    }

    pub(super) fn recover(&mut self, framework_id: &FrameworkId, resources: &Resources) {
        self.apply(framework_id, resources, -1.0);
    }

    fn apply(&mut self, framework_id: &FrameworkId, resources: &Resources, sign: f64) {
        for (role, part) in by_role(resources) {
            for prefix in prefixes(&role) {
                change(
                    &mut self.subtrees.entry(prefix.to_owned()).or_default().allocated,
                    &part,
                    sign,
                );
            }
            change(&mut self.roles.entry(role.clone()).or_default().allocated, &part, sign);
            let key = (role, framework_id.clone());
            change(&mut self.frameworks.entry(key).or_default().allocated, &part, sign);
        }
    }

    pub(super) fn remove_framework(&mut self, framework_id: &FrameworkId) {
        self.frameworks.retain(|(_, id), _| id != framework_id);
    }

    /// Notes that a framework was served for a role.
    pub(super) fn count(&mut self, role: &str, framework_id: &FrameworkId) {
        for prefix in prefixes(role) {
            self.subtrees.entry(prefix.to_owned()).or_default().allocations += 1;
        }
        self.roles.entry(role.to_owned()).or_default().allocations += 1;
        let key = (role.to_owned(), framework_id.clone());
        self.frameworks.entry(key).or_default().allocations += 1;
    }

    /// Who has least comes first.
    pub(super) fn sort(&self, candidates: &mut [(String, FrameworkId)]) {
        if candidates.len() < 2 {
            return;
        }
        let mut keys: BTreeMap<String, RoleKey> = BTreeMap::new();
        for (role, _) in candidates.iter() {
            if !keys.contains_key(role) {
                keys.insert(role.clone(), self.role_key(role));
            }
        }
        let place = |(role, id): &(String, FrameworkId)| {
            let holding = self.frameworks.get(&(role.clone(), id.clone()));
            (self.share(holding), holding.map_or(0, |holding| holding.allocations))
        };
        let mut keyed: Vec<_> =
            candidates.iter().map(|candidate| (place(candidate), candidate.clone())).collect();
        keyed.sort_by(|(place_a, a), (place_b, b)| {
            compare_keys(&keys[&a.0], &keys[&b.0])
                .then(place_a.0.total_cmp(&place_b.0))
                .then(place_a.1.cmp(&place_b.1))
                .then_with(|| a.1.cmp(&b.1))
        });
        for (slot, (_, candidate)) in candidates.iter_mut().zip(keyed) {
            *slot = candidate;
        }
    }

    /// A role competes with its siblings as the sum of its subtree, and with its own children as a
    /// leaf of its own (Mesos' virtual leaf ".").
    fn role_key(&self, role: &str) -> RoleKey {
        let mut key: RoleKey = prefixes(role)
            .map(|prefix| {
                let holding = self.subtrees.get(prefix);
                let weight = self.weights.get(prefix).copied().unwrap_or(1.0);
                let served = holding.map_or(0, |holding| holding.allocations);
                (self.share(holding) / weight, served, prefix.to_owned())
            })
            .collect();
        let own = self.roles.get(role);
        key.push((self.share(own), own.map_or(0, |own| own.allocations), format!("{role}/.")));
        key
    }

    /// The dominant share: the largest part held of any one resource.
    fn share(&self, holding: Option<&Holding>) -> f64 {
        let parts = holding.into_iter().flat_map(|holding| &holding.allocated);
        parts
            .filter_map(|(name, held)| {
                let total = self.total.get(name).copied().unwrap_or(0.0);
                (total > 0.0).then(|| held / total)
            })
            .fold(0.0, f64::max)
    }
}

fn compare_keys(a: &RoleKey, b: &RoleKey) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        if a.2 == b.2 {
            continue;
        }
        return a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then_with(|| a.2.cmp(&b.2));
    }
    a.len().cmp(&b.len())
}

/// `a`, `a/b`, `a/b/c` of `a/b/c`.
fn prefixes(role: &str) -> impl Iterator<Item = &str> {
    let ends = role.match_indices('/').map(|(at, _)| at).chain([role.len()]);
    ends.map(|end| &role[..end])
}

fn by_role(resources: &Resources) -> BTreeMap<String, Resources> {
    let mut parts: BTreeMap<String, Resources> = BTreeMap::new();
    for resource in resources {
        let role = resource.allocation_info.as_ref().map_or("*", |info| info.role());
        parts.entry(role.to_owned()).or_default().add(resource.clone());
    }
    parts
}

fn change(sums: &mut Scalars, resources: &Resources, sign: f64) {
    for (name, amount) in resources.scalars() {
        let sum = sums.entry(name.to_owned()).or_default();
        // Three decimals, as everywhere; rests of rounding would break ties.
        *sum = ((*sum + sign * amount) * 1000.0).round() / 1000.0;
    }
}
