//! Quota (`mesos.v1.quota`): how much roles may hold.

use crate::Resource;
use crate::value::Scalar;

message! {
    /// The older form: a guarantee of a role.
    QuotaInfo = "mesos.v1.quota.QuotaInfo" { 1 role: opt string, 2 principal: opt string, 3 guarantee: rep Resource, }
    /// The older form of a change.
    QuotaRequest = "mesos.v1.quota.QuotaRequest" { 1 force: opt bool, 2 role: opt string, 3 guarantee: rep Resource, }
    /// What a role is guaranteed and limited to, by resource name.
    QuotaConfig = "mesos.v1.quota.QuotaConfig" { 1 role: req string, 2 guarantees: rep map Scalar, 3 limits: rep map Scalar, }
    /// All quotas.
    QuotaStatus = "mesos.v1.quota.QuotaStatus" { 1 infos: rep QuotaInfo, 2 configs: rep QuotaConfig, }
}
