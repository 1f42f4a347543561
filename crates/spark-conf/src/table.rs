//! Every property, once. The manual is generated from here.

use crate::property::{Property, PropertyInfo};

/// Declares typed constants and the list of all of them.
macro_rules! properties {
    ($($ident:ident: $type:ty = $name:literal, $kind:expr, $preset:expr, $since:literal, $scope:ident, $status:expr, $doc:literal $(, aliases $aliases:expr)?;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $doc)]
            pub const $ident: $crate::property::Property<$type> =
                $crate::property::Property::new($crate::property::PropertyInfo {
                    name: $name,
                    kind: $kind,
                    preset: $preset,
                    since: $since,
                    scope: $crate::property::Scope::$scope,
                    status: $status,
                    doc: $doc,
                    aliases: properties!(@aliases $($aliases)?),
                });
        )*
        /// The properties of this part of the table.
        pub(crate) static ALL: &[$crate::property::PropertyInfo] = &[$($ident.info),*];
    };
    (@aliases) => { &[] };
    (@aliases $aliases:expr) => { $aliases };
}

mod core;
mod ferrospark;
mod mesos;
mod sql;

pub use core::*;
pub use ferrospark::*;
pub use mesos::*;
pub use sql::*;

/// Families of keys whose last part the user chooses.
const FAMILIES: &[&str] = &[
    "spark.executorEnv.",
    "spark.mesos.driverEnv.",
    "spark.mesos.dispatcher.driverDefault.",
    "spark.mesos.dispatcher.queue.",
    "spark.ssl.mesos.",
];

/// Every property of the table.
pub fn all() -> impl Iterator<Item = &'static PropertyInfo> {
    [core::ALL, mesos::ALL, sql::ALL, ferrospark::ALL].into_iter().flatten()
}

/// The property of a name or alias.
pub fn find(name: &str) -> Option<&'static PropertyInfo> {
    use std::collections::BTreeMap;
    use std::sync::LazyLock;
    static INDEX: LazyLock<BTreeMap<&'static str, &'static PropertyInfo>> = LazyLock::new(|| {
        let names = all().map(|info| (info.name, info));
        let aliases = all().flat_map(|info| info.aliases.iter().map(move |alias| (*alias, info)));
        names.chain(aliases).collect()
    });
    INDEX.get(name).copied()
}

/// Whether a key is in the table or belongs to a family.
pub fn is_known(name: &str) -> bool {
    find(name).is_some() || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The untyped description of a typed property.
pub const fn info<T>(property: &Property<T>) -> &PropertyInfo {
    &property.info
}

#[cfg(test)]
mod truth;
