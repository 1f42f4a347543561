//! What an offer holds and how executors and tasks are cut out of it.
//!
//! Amounts are whole thousandths, the precision Mesos computes with.

use mesos_api::value::{Range, Ranges, Scalar};
use mesos_api::{Offer, Resource, ValueType};

/// Thousandths of a cpu, a GPU or a MiB.
pub(crate) type Milli = i64;

/// One whole unit.
pub(crate) const UNIT: Milli = 1000;

/// Thousandths of a number as Mesos rounds it.
pub(crate) fn milli(value: f64) -> Milli {
    // `as` saturates and turns NaN into zero.
    (value * UNIT as f64).round() as Milli
}

/// Thousandths of whole units.
pub(crate) fn whole(units: u64) -> Milli {
    Milli::try_from(units).unwrap_or(Milli::MAX / UNIT).saturating_mul(UNIT)
}

/// The number of which these are the thousandths.
pub(crate) fn units(amount: Milli) -> f64 {
    amount as f64 / UNIT as f64
}

/// Usable resources of one agent, reserved ones first, so that what others cannot have is used up
/// before what they can.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    resources: Vec<Resource>,
}

impl Pool {
    /// The resources of offers, without those that may be taken away again or that belong to disks.
    pub(crate) fn of<'a>(offers: impl IntoIterator<Item = &'a Offer>) -> Self {
        let mut pool = Self::default();
        for offer in offers {
            pool.add(offer);
        }
        pool
    }

    /// Adds another offer of the same agent.
    pub(crate) fn add(&mut self, offer: &Offer) {
        let usable = |resource: &&Resource| {
            resource.revocable.is_none() && resource.shared.is_none() && resource.disk.is_none()
        };
        self.resources.extend(offer.resources.iter().filter(usable).cloned());
        self.resources.sort_by_key(|resource| !is_reserved(resource));
    }

    /// How much there is of a scalar.
    pub(crate) fn amount(&self, name: &str) -> Milli {
        self.resources.iter().filter(|r| r.name == name).map(amount).sum()
    }

    /// Takes an amount out, in pieces that keep their role and reservation; the caller has looked
    /// that there is enough.
    pub(crate) fn take(&mut self, name: &str, wanted: Milli) -> Vec<Resource> {
        debug_assert!(wanted <= self.amount(name), "{wanted} of {name}");
        let mut rest = wanted;
        let mut taken = Vec::new();
        for resource in self.resources.iter_mut().filter(|r| r.name == name) {
            let held = amount(resource);
            let piece = held.min(rest);
            if piece <= 0 {
                continue;
            }
            taken.push(with_amount(resource, piece));
            *resource = with_amount(resource, held - piece);
            rest -= piece;
        }
        taken
    }

    /// Whether a port is there.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.port_ranges().any(|range| contains(range, port))
    }

    /// The first port there is of these.
    pub(crate) fn first_port(&self, mut wanted: impl Iterator<Item = u16>) -> Option<u16> {
        wanted.find(|port| self.has_port(*port))
    }

    /// Takes a port out, with the role and reservation of its range; the caller has looked that it is
    /// there.
    pub(crate) fn take_port(&mut self, port: u16) -> Vec<Resource> {
        let number = u64::from(port);
        let holder = self.resources.iter_mut().find(|resource| {
            resource.name == "ports" && ranges(resource).iter().any(|range| contains(range, port))
        });
        let Some(resource) = holder else { return Vec::new() };
        let mut rest = Vec::new();
        for range in ranges(resource) {
            if !contains(range, port) {
                rest.push(range.clone());
                continue;
            }
            if range.begin < number {
                rest.push(Range { begin: range.begin, end: number - 1 });
            }
            if number < range.end {
                rest.push(Range { begin: number + 1, end: range.end });
            }
        }
        let taken = Ranges { range: vec![Range { begin: number, end: number }] };
        let taken = Resource { ranges: Some(taken), ..resource.clone() };
        resource.ranges = Some(Ranges { range: rest });
        vec![taken]
    }

    fn port_ranges(&self) -> impl Iterator<Item = &Range> {
        self.resources.iter().filter(|resource| resource.name == "ports").flat_map(ranges)
    }
}

fn contains(range: &Range, port: u16) -> bool {
    (range.begin..=range.end).contains(&u64::from(port))
}

fn ranges(resource: &Resource) -> &[Range] {
    resource.ranges.as_ref().map_or(&[], |ranges| &ranges.range)
}

fn is_reserved(resource: &Resource) -> bool {
    !resource.reservations.is_empty() || resource.role() != "*"
}

fn amount(resource: &Resource) -> Milli {
    if resource.r#type() != ValueType::Scalar {
        return 0;
    }
    resource.scalar.as_ref().map_or(0, |scalar| milli(scalar.value))
}

fn with_amount(resource: &Resource, amount: Milli) -> Resource {
    Resource { scalar: Some(Scalar { value: units(amount) }), ..resource.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, value: f64, role: &str) -> Resource {
        Resource { role: Some(role.to_owned()), ..Resource::scalar_of(name, value) }
    }

    #[test]
    fn reserved_resources_go_first_and_keep_their_role() {
        let offer = Offer {
            resources: vec![
                resource("cpus", 2.5, "*"),
                resource("cpus", 1.0, "dev"),
                resource("mem", 100.0, "*"),
            ],
            ..Offer::default()
        };
        let mut pool = Pool::of([&offer]);
        assert_eq!(pool.amount("cpus"), 3500);
        let taken = pool.take("cpus", 2000);
        let shown: Vec<_> = taken.iter().map(|r| (r.role(), amount(r))).collect();
        assert_eq!(shown, [("dev", 1000), ("*", 1000)]);
        assert_eq!(pool.amount("cpus"), 1500);
        assert_eq!(pool.take("cpus", 1500).len(), 1);
        assert_eq!(pool.amount("mem"), 100_000);
    }

    #[test]
    fn a_port_is_cut_out_of_its_range() {
        let reserved = Resource {
            role: Some("dev".to_owned()),
            ..Resource::ranges_of("ports", [(31_000, 31_002)])
        };
        let offer = Offer {
            resources: vec![Resource::ranges_of("ports", [(100, 101), (7000, 8000)]), reserved],
            ..Offer::default()
        };
        let mut pool = Pool::of([&offer]);
        assert_eq!(pool.first_port(6999..=7005), Some(7000));
        assert_eq!(pool.first_port(102..=6999), None);
        let taken = pool.take_port(31_001);
        assert_eq!(taken[0].role(), "dev");
        assert_eq!(ranges(&taken[0]), [Range { begin: 31_001, end: 31_001 }]);
        assert!(!pool.has_port(31_001));
        assert!(pool.has_port(31_000) && pool.has_port(31_002));
        assert_eq!(pool.first_port(31_001..=31_005), Some(31_002));
        assert!(pool.take_port(99).is_empty());
        assert_eq!(pool.amount("ports"), 0);
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_and_what_is_left_is_what_there_was(
            held in proptest::collection::vec((0..9_000_i64, 0..3_usize), 1..6),
            takes in proptest::collection::vec(0..5_000_i64, 0..8),
            port in 1..40_u16,
        ) {
            let roles = ["*", "dev", "eng/dev"];
            let mut resources: Vec<Resource> = held
                .iter()
                .map(|(amount, role)| resource("cpus", units(*amount), roles[*role]))
                .collect();
            resources.push(Resource::ranges_of("ports", [(5, 10), (20, 30)]));
            let mut pool = Pool::of([&Offer { resources, ..Offer::default() }]);
            let sum = |resources: &[Resource], role: &str| -> Milli {
                resources.iter().filter(|r| r.name == "cpus" && r.role() == role).map(amount).sum()
            };
            let before: Vec<Milli> = roles.iter().map(|role| sum(&pool.resources, role)).collect();
            let mut taken = Vec::new();
            for wanted in takes {
                let there = pool.amount("cpus");
                if wanted > there {
                    continue;
                }
                let pieces = pool.take("cpus", wanted);
                let got: Milli = pieces.iter().map(amount).sum();
                proptest::prop_assert_eq!(got, wanted);
                let unreserved = sum(&pieces, "*");
                let reserved_left = pool.amount("cpus") - sum(&pool.resources, "*");
                proptest::prop_assert!(unreserved == 0 || reserved_left == 0, "reserved go first");
                taken.extend(pieces);
            }
            for (role, before) in roles.iter().zip(before) {
                proptest::prop_assert_eq!(sum(&taken, role) + sum(&pool.resources, role), before);
            }
            let had = pool.has_port(port);
            proptest::prop_assert_eq!(had, (5..=10).contains(&port) || (20..=30).contains(&port));
            proptest::prop_assert_eq!(pool.take_port(port).len(), usize::from(had));
            proptest::prop_assert!(!pool.has_port(port));
            let left = (1..40).filter(|port| pool.has_port(*port)).count();
            proptest::prop_assert_eq!(left, 17 - usize::from(had));
        }
    }
}
