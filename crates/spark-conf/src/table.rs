//! Every property, once. The manual is generated from here.

use crate::property::{Property, PropertyInfo, Status};

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

/// Keys whose last part the user chooses.
pub(crate) struct Family {
    /// What they begin with.
    pub(crate) prefix: &'static str,
    /// What the chosen part is, for the manual.
    pub(crate) chosen: &'static str,
    pub(crate) since: &'static str,
    pub(crate) status: Status,
    /// One line of the manual.
    pub(crate) doc: &'static str,
}

/// All of them.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        prefix: "spark.executorEnv.",
        chosen: "NAME",
        since: "0.7.0",
        status: Status::Honoured,
        doc: "A variable in the environment of executors",
    },
    Family {
        prefix: "spark.mesos.driverEnv.",
        chosen: "NAME",
        since: "2.1.0",
        status: Status::Planned,
        doc: "A variable in the environment of drivers in cluster mode",
    },
    Family {
        prefix: "spark.mesos.dispatcher.driverDefault.",
        chosen: "PROPERTY",
        since: "2.1.0",
        status: Status::Planned,
        doc: "What a property is for submitted drivers that do not set it",
    },
    Family {
        prefix: "spark.mesos.dispatcher.queue.",
        chosen: "QUEUE",
        since: "3.1.0",
        status: Status::Planned,
        doc: "A queue of the dispatcher and its priority, a number",
    },
    Family {
        prefix: "spark.ssl.mesos.",
        chosen: "OPTION",
        since: "2.0.0",
        status: Status::Planned,
        doc: "TLS of the dispatcher's pages",
    },
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
    find(name).is_some() || FAMILIES.iter().any(|family| name.starts_with(family.prefix))
}

/// The untyped description of a typed property.
pub const fn info<T>(property: &Property<T>) -> &PropertyInfo {
    &property.info
}

#[cfg(test)]
mod truth;
