//! Limits of roles: how much a role, with all roles below it, may hold.

use std::collections::BTreeMap;

use mesos_api::resources::is_within;
use mesos_api::{Resource, Resources, value};

use super::tree::{Amounts, Tree, change, from_thousandths, prefixes, thousandths, to_thousandths};

/// Limits by name of the resource.
pub type Limits = BTreeMap<String, f64>;

/// That a role holds as much as it may.
#[derive(Clone, Debug, PartialEq)]
pub struct Exhausted {
    /// Whose limit it is: the role asked about, or one above it.
    pub role: String,
    /// Which resource.
    pub resource: String,
    /// How much the role may hold.
    pub limit: f64,
    /// How much it holds.
    pub held: f64,
}

/// All limits, and what is reserved, which counts as held.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    limits: BTreeMap<String, Limits>,
    reservations: BTreeMap<String, Amounts>,
}

impl Quotas {
    pub(super) fn set(&mut self, limits: BTreeMap<String, Limits>) {
        self.limits = limits;
    }

    /// Notes reservations that come or go with an agent or an operation.
    pub(super) fn change_reserved(&mut self, role: &str, amounts: &Amounts, sign: i64) {
        let sum = self.reservations.entry(role.to_owned()).or_default();
        change(sum, amounts, sign);
        if sum.iter().all(|amount| *amount == 0) {
            self.reservations.remove(role);
        }
    }

    /// Whether a role or one above it is limited.
    pub(super) fn is_limited(&self, role: &str) -> bool {
        !self.limits.is_empty() && prefixes(role).any(|prefix| self.limits.contains_key(prefix))
    }

    /// What a role holds of a resource, as its limit counts.
    pub(super) fn held(&self, tree: &Tree, role: &str, resource: &str) -> f64 {
        let Some(index) = tree.index_of(resource) else { return 0.0 };
        let reserved = self.reservations.iter().filter(|(owner, _)| is_within(owner, role));
        let reserved: i64 = reserved.filter_map(|(_, amounts)| amounts.get(index)).sum();
        from_thousandths(tree.unreserved_of(role, index) + reserved)
    }

    /// Cuts unreserved scalars to what the role may still get; says which limit cut something away.
    pub(super) fn cut(
        &self,
        tree: &Tree,
        role: &str,
        offered: Resources,
    ) -> (Resources, Option<Exhausted>) {
        let mut exhausted = None;
        let mut left: BTreeMap<&str, i64> = BTreeMap::new();
        for owner in prefixes(role) {
            for (name, limit) in self.limits.get(owner).into_iter().flatten() {
                let held = self.held(tree, owner, name);
                let room = (to_thousandths(*limit) - to_thousandths(held)).max(0);
                let least = left.entry(name).or_insert(i64::MAX);
                if room < *least {
                    *least = room;
                    let wanted: i64 = offered
                        .iter()
                        .filter(|r| r.name == *name && r.reservations.is_empty())
                        .filter_map(thousandths)
                        .sum();
                    if room < wanted && exhausted.is_none() {
                        exhausted = Some(Exhausted {
                            role: owner.to_owned(),
                            resource: name.clone(),
                            limit: *limit,
                            held,
                        });
                    }
                }
            }
        }
        let cut = |resource: &Resource| {
            let Some(room) = left.get_mut(resource.name.as_str()) else {
                return resource.clone();
            };
            let Some(amount) = thousandths(resource).filter(|_| resource.reservations.is_empty())
            else {
                return resource.clone();
            };
            let given = amount.min(*room);
            *room -= given;
            let scalar = Some(value::Scalar { value: from_thousandths(given) });
            Resource { scalar, ..resource.clone() }
        };
        (offered.iter().map(cut).collect(), exhausted)
    }
}
