//! Values, attributes, labels, parameters, addresses.

enumeration! {
    /// Which of the value's parts is set.
    ValueType = "mesos.v1.Value.Type" { Scalar "SCALAR" = 0, Ranges "RANGES" = 1, Set "SET" = 2, Text "TEXT" = 3 }
}

/// Parts of a [`Value`].
pub mod value {
    message! {
        /// A number; Mesos computes with three decimals.
        #[derive(PartialOrd)]
        Scalar = "mesos.v1.Value.Scalar" { 1 value: req double, }
        /// A closed interval.
        #[derive(Eq, Hash, PartialOrd, Ord)]
        Range = "mesos.v1.Value.Range" { 1 begin: req uint64, 2 end: req uint64, }
        /// Intervals.
        Ranges = "mesos.v1.Value.Ranges" { 1 range: rep Range, }
        /// Distinct words.
        Set = "mesos.v1.Value.Set" { 1 item: rep string, }
        /// Free text.
        Text = "mesos.v1.Value.Text" { 1 value: req string, }
    }
}

use value::{Ranges, Scalar, Set, Text};

message! {
    /// A scalar, ranges, a set or a text.
    Value = "mesos.v1.Value" {
        1 r#type: req enum ValueType,
        2 scalar: opt Scalar,
        3 ranges: opt Ranges,
        4 set: opt Set,
        5 text: opt Text,
    }
    /// What an agent says about itself, such as its rack.
    Attribute = "mesos.v1.Attribute" {
        1 name: req string,
        2 r#type: req enum ValueType,
        3 scalar: opt Scalar,
        4 ranges: opt Ranges,
        6 set: opt Set,
        5 text: opt Text,
    }
    /// Key and optional value.
    #[derive(Eq)]
    Label = "mesos.v1.Label" { 1 key: req string, 2 value: opt string, }
    /// Labels of something.
    #[derive(Eq)]
    Labels = "mesos.v1.Labels" { 1 labels: rep Label, }
    /// Key and value.
    #[derive(Eq)]
    Parameter = "mesos.v1.Parameter" { 1 key: req string, 2 value: req string, }
    /// Parameters of something.
    #[derive(Eq)]
    Parameters = "mesos.v1.Parameters" { 1 parameter: rep Parameter, }
    /// A name and a secret of a principal.
    #[derive(Eq)]
    Credential = "mesos.v1.Credential" { 1 principal: req string, 2 secret: opt string, }
    /// Credentials of several principals.
    #[derive(Eq)]
    Credentials = "mesos.v1.Credentials" { 1 credentials: rep Credential, }
    /// Where something listens.
    #[derive(Eq)]
    Address = "mesos.v1.Address" { 1 hostname: opt string, 2 ip: opt string, 3 port: req int32, }
    /// Where something answers HTTP.
    #[derive(Eq)]
    Url = "mesos.v1.URL" {
        1 scheme: req string,
        2 address: req Address,
        3 path: opt string,
        4 query: rep Parameter,
        5 fragment: opt string,
    }
    /// When something will be unavailable.
    Unavailability = "mesos.v1.Unavailability" { 1 start: req TimeInfo, 2 duration: opt DurationInfo, }
    /// A version and how it was built.
    VersionInfo = "mesos.v1.VersionInfo" {
        1 version: req string,
        2 build_date: opt string,
        3 build_time: opt double,
        4 build_user: opt string,
        5 git_sha: opt string,
        6 git_branch: opt string,
        7 git_tag: opt string,
    }
}

use super::{DurationInfo, TimeInfo};
