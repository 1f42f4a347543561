//! What an offer holds and how executors are cut out of it.
//!
//! Amounts are whole thousandths, the precision Mesos computes with.

use mesos_api::value::Scalar;
use mesos_api::{Offer, Resource, ValueType};

/// Thousandths of a cpu or of a MiB.
pub(crate) type Milli = i64;

/// One whole unit.
pub(crate) const UNIT: Milli = 1000;

fn milli(value: f64) -> Milli {
    (value * UNIT as f64).round() as Milli
}

/// Usable resources of one agent, reserved ones first, so that what others cannot have is used up
/// before what they can.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    resources: Vec<Resource>,
}

impl Pool {
    /// The scalar resources of offers, without those that may be taken away again.
    pub(crate) fn of<'a>(offers: impl IntoIterator<Item = &'a Offer>) -> Self {
        let usable = |resource: &&Resource| {
            resource.r#type() == ValueType::Scalar
                && resource.revocable.is_none()
                && resource.shared.is_none()
                && resource.disk.is_none()
        };
        let mut resources: Vec<Resource> = offers
            .into_iter()
            .flat_map(|offer| offer.resources.iter().filter(usable).cloned())
            .collect();
        resources.sort_by_key(|resource| !is_reserved(resource));
        Self { resources }
    }

    /// How much there is of a resource.
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
}

fn is_reserved(resource: &Resource) -> bool {
    !resource.reservations.is_empty() || resource.role() != "*"
}

fn amount(resource: &Resource) -> Milli {
    resource.scalar.as_ref().map_or(0, |scalar| milli(scalar.value))
}

fn with_amount(resource: &Resource, amount: Milli) -> Resource {
    let value = amount as f64 / UNIT as f64;
    Resource { scalar: Some(Scalar { value }), ..resource.clone() }
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
}
