//! The algebra of resources: adding, subtracting, containing and finding, as Mesos computes.
//!
//! Inside, resources have the format after "reservation refinement": the role stands in the list of
//! reservations, an unreserved resource has none. [`Resources::to_wire`] and the conversion from a
//! list of messages translate to and from the older format, in which `role` carries it.

mod amount;
mod parse;

use std::collections::BTreeMap;
use std::fmt;

use crate::resource::{AllocationInfo, ReservationInfo, ReservationType};
use crate::{Resource, ValueType, value};

use amount::Amount;
pub use parse::{ParseError, parse_attributes, parse_value};

/// The role of everybody.
pub const DEFAULT_ROLE: &str = "*";

/// A bag of resources in which equal kinds are merged and nothing is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources(Vec<Resource>);

/// Which format of reservations a peer understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFormat {
    /// `role` and `reservation`, for peers without RESERVATION_REFINEMENT.
    PreRefinement,
    /// `reservations`.
    PostRefinement,
}

impl Resources {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads Mesos' text form: `cpus:2;mem:1024;ports:[31000-32000];cpus(role):1`, or the JSON form,
    /// an array of resources.
    ///
    /// # Errors
    /// [`ParseError`] names the part that cannot be read.
    pub fn parse(text: &str, default_role: &str) -> Result<Self, ParseError> {
        parse::parse_resources(text, default_role)
    }

    /// The resources one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.0.iter()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one resource; an empty one disappears.
    pub fn add(&mut self, resource: Resource) {
        let resource = refined(resource);
        let amount = Amount::of(&resource);
        if amount.is_empty() {
            return;
        }
        let mergeable = resource.disk.as_ref().is_none_or(|disk| disk.persistence.is_none());
        match self.0.iter_mut().find(|own| mergeable && same_kind(own, &resource)) {
            Some(own) => Amount::of(own).plus(amount).store(own),
            None => {
                let mut resource = resource;
                amount.store(&mut resource);
                self.0.push(resource);
            }
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for resource in &other.0 {
            self.add(resource.clone());
        }
    }

    /// Takes away what is there of one resource.
    pub fn subtract(&mut self, resource: &Resource) {
        if resource.role.is_some() || resource.reservation.is_some() {
            self.subtract_refined(&refined(resource.clone()));
        } else {
            self.subtract_refined(resource);
        }
    }

    fn subtract_refined(&mut self, resource: &Resource) {
        if let Some(at) = self.0.iter().position(|own| same_kind(own, resource)) {
            let rest = Amount::of(&self.0[at]).minus(Amount::of(resource));
            if rest.is_empty() {
                self.0.remove(at);
            } else {
                rest.store(&mut self.0[at]);
            }
        }
    }

    /// Takes away what is there of `other`.
    pub fn subtract_all(&mut self, other: &Self) {
        for resource in &other.0 {
            self.subtract(resource);
        }
    }

    /// Whether all of `other` is here, of the same kinds.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.contains_each(&other.0)
    }

    /// The same of some resources out of another bag.
    #[must_use]
    pub fn contains_each<'a>(&self, others: impl IntoIterator<Item = &'a Resource>) -> bool {
        // Kinds are merged in both, so each of the others has at most one counterpart.
        others.into_iter().all(|wanted| {
            self.0
                .iter()
                .any(|own| same_kind(own, wanted) && Amount::of(own).covers(&Amount::of(wanted)))
        })
    }

    /// Finds an amount of `wanted` here, whatever it is reserved for: first with the reservation the
    /// wish names, then unreserved, then any other. `None` if there is not enough.
    #[must_use]
    pub fn find(&self, wanted: &Self) -> Option<Self> {
        let mut left = self.clone();
        let mut found = Self::new();
        for wish in &wanted.0 {
            let mut open = Amount::of(wish);
            let mut candidates: Vec<Resource> = left
                .0
                .iter()
                .filter(|r| r.name == wish.name && r.r#type == wish.r#type)
                .cloned()
                .collect();
            candidates.sort_by_key(|candidate| {
                if candidate.reservations == wish.reservations {
                    0
                } else if candidate.reservations.is_empty() {
                    1
                } else {
                    2
                }
            });
            for mut candidate in candidates {
                let part = Amount::of(&candidate).common(&open);
                if part.is_empty() {
                    continue;
                }
                open = open.minus(part.clone());
                part.store(&mut candidate);
                left.subtract(&candidate);
                found.add(candidate);
                if open.is_empty() {
                    break;
                }
            }
            if !open.is_empty() {
                return None;
            }
        }
        Some(found)
    }

    /// Those for which `keep` holds.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        Self(self.0.iter().filter(|resource| keep(resource)).cloned().collect())
    }

    /// The scalars; unlike ranges and sets they can be summed over agents.
    #[must_use]
    pub fn only_scalars(&self) -> Self {
        self.filter(|resource| resource.r#type() == ValueType::Scalar)
    }

    /// What is reserved for nobody.
    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filter(|resource| resource.reservations.is_empty())
    }

    /// What is reserved for `role` itself.
    #[must_use]
    pub fn reserved(&self, role: &str) -> Self {
        self.filter(|resource| reservation_role(resource) == Some(role))
    }

    /// What a framework of `role` may use: reserved for it or an ancestor of it, or unreserved.
    #[must_use]
    pub fn usable_by(&self, role: &str) -> Self {
        self.filter(|resource| {
            reservation_role(resource).is_none_or(|owner| is_within(role, owner))
        })
    }

    /// The same resources, allocated to `role`.
    #[must_use]
    pub fn allocated_to(&self, role: &str) -> Self {
        self.clone().allocated(Some(AllocationInfo { role: Some(role.to_owned()) }))
    }

    /// Allocates these resources to `role`.
    #[must_use]
    pub fn into_allocated_to(self, role: &str) -> Self {
        self.allocated(Some(AllocationInfo { role: Some(role.to_owned()) }))
    }

    /// The same resources, allocated to nobody.
    #[must_use]
    pub fn unallocated(&self) -> Self {
        self.clone().allocated(None)
    }

    /// The same resources without reservations, allocations, disks and the like: bare amounts.
    #[must_use]
    pub fn quantities(&self) -> Self {
        self.0
            .iter()
            .map(|r| Resource {
                name: r.name.clone(),
                r#type: r.r#type,
                scalar: r.scalar.clone(),
                ranges: r.ranges.clone(),
                set: r.set.clone(),
                ..Resource::default()
            })
            .collect()
    }

    fn allocated(mut self, to: Option<AllocationInfo>) -> Self {
        let mut before = self.0.iter().map(|resource| &resource.allocation_info);
        let first = before.next();
        // Kinds that differed in nothing but their allocation become one.
        let merges = before.any(|allocation| Some(allocation) != first);
        for resource in &mut self.0 {
            resource.allocation_info.clone_from(&to);
        }
        if merges { self.0.into_iter().collect() } else { self }
    }

    /// Sum of a scalar over all kinds.
    #[must_use]
    pub fn scalar(&self, name: &str) -> f64 {
        let thousandths: i64 = self
            .0
            .iter()
            .filter(|resource| resource.name == name)
            .map(|resource| Amount::of(resource).thousandths())
            .sum();
        amount::from_thousandths(thousandths)
    }

    /// Sums of all scalars by name.
    #[must_use]
    pub fn scalars(&self) -> BTreeMap<&str, f64> {
        self.0
            .iter()
            .filter(|resource| resource.r#type() == ValueType::Scalar)
            .map(|resource| (resource.name.as_str(), self.scalar(&resource.name)))
            .collect()
    }

    /// Ranges of a name over all kinds, sorted and merged.
    #[must_use]
    pub fn ranges(&self, name: &str) -> Vec<(u64, u64)> {
        let merged = self
            .0
            .iter()
            .filter(|resource| resource.name == name)
            .map(Amount::of)
            .reduce(Amount::plus);
        match merged {
            Some(Amount::Ranges(ranges)) => ranges,
            _ => Vec::new(),
        }
    }

    /// The messages, in the format the peer understands.
    #[must_use]
    pub fn to_wire(&self, format: WireFormat) -> Vec<Resource> {
        match format {
            WireFormat::PostRefinement => self.0.clone(),
            WireFormat::PreRefinement => self.0.iter().cloned().map(unrefined).collect(),
        }
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        let mut sum = Self::new();
        for resource in resources {
            sum.add(resource);
        }
        sum
    }
}

impl From<Vec<Resource>> for Resources {
    fn from(resources: Vec<Resource>) -> Self {
        resources.into_iter().collect()
    }
}

impl From<&[Resource]> for Resources {
    fn from(resources: &[Resource]) -> Self {
        resources.iter().cloned().collect()
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Prints as Mesos' text form with reservations in parentheses: `cpus:2; mem(dev):512`.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (index, resource) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}", resource.name)?;
            if let Some(role) = reservation_role(resource) {
                write!(f, "({role})")?;
            }
            write!(f, ":{}", Amount::of(resource))?;
        }
        Ok(())
    }
}

/// The role a refined resource is reserved for.
#[must_use]
pub fn reservation_role(resource: &Resource) -> Option<&str> {
    resource.reservations.last().map(ReservationInfo::role)
}

/// Whether `role` is `ancestor` or below it in the hierarchy `a/b/c`.
#[must_use]
pub fn is_within(role: &str, ancestor: &str) -> bool {
    role.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Resource {
    /// A scalar resource.
    #[must_use]
    pub fn scalar_of(name: &str, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            r#type: ValueType::Scalar.into(),
            scalar: Some(value::Scalar { value }),
            ..Self::default()
        }
    }

    /// A resource of ranges.
    #[must_use]
    pub fn ranges_of(name: &str, ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let range = ranges.into_iter().map(|(begin, end)| value::Range { begin, end }).collect();
        Self {
            name: name.to_owned(),
            r#type: ValueType::Ranges.into(),
            ranges: Some(value::Ranges { range }),
            ..Self::default()
        }
    }
}

/// Translates the older format of a reservation into the newer one.
fn refined(mut resource: Resource) -> Resource {
    let role = resource.role.take().filter(|role| role != DEFAULT_ROLE);
    let dynamic = resource.reservation.take();
    if let Some(role) = role.filter(|_| resource.reservations.is_empty()) {
        let mut reservation = dynamic.map_or_else(
            || ReservationInfo {
                r#type: Some(ReservationType::Static.into()),
                ..Default::default()
            },
            |reservation| ReservationInfo {
                r#type: Some(ReservationType::Dynamic.into()),
                ..reservation
            },
        );
        reservation.role = Some(role);
        resource.reservations = vec![reservation];
    }
    resource
}

/// Translates the newer format into the older one; refined reservations cannot be expressed there
/// and stay as they are.
fn unrefined(mut resource: Resource) -> Resource {
    match resource.reservations.as_slice() {
        [] => resource.role = Some(DEFAULT_ROLE.to_owned()),
        [only] => {
            resource.role = only.role.clone();
            if only.r#type() == ReservationType::Dynamic {
                let reservation = ReservationInfo { r#type: None, role: None, ..only.clone() };
                resource.reservation = Some(reservation);
            }
            resource.reservations.clear();
        }
        _ => {}
    }
    resource
}

fn same_kind(a: &Resource, b: &Resource) -> bool {
    a.name == b.name
        && a.r#type == b.r#type
        && a.reservations == b.reservations
        && a.allocation_info == b.allocation_info
        && a.disk == b.disk
        && a.revocable == b.revocable
        && a.shared == b.shared
        && a.provider_id == b.provider_id
}

#[cfg(test)]
mod tests;
