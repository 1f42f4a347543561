//! Why an agent's resources are not offered to a framework: the allocator's own reasons, as values.

use std::fmt;

use mesos_api::AgentId;

use super::Time;
use super::quota::Exhausted;

/// What the allocator thinks of a framework's role and an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The framework's role.
    pub role: String,
    /// The agent.
    pub agent_id: AgentId,
    /// Why nothing is offered; none if an offer comes with the next run, unless somebody who holds less
    /// comes first.
    pub why: Option<WhyNot>,
}

/// Why there is no offer.
#[derive(Clone, Debug, PartialEq)]
pub enum WhyNot {
    /// The framework is not connected.
    Disconnected,
    /// The framework wants no offers for the role.
    Suppressed,
    /// The agent takes no work: it is disconnected or deactivated.
    AgentInactive,
    /// The agent has GPUs, and the framework does not say that it knows them.
    GpuUnaware,
    /// Everything is held by tasks, executors or offers.
    NothingFree,
    /// What is free is reserved for other roles.
    Reserved {
        /// For which.
        roles: Vec<String>,
        /// By a framework or an operator, not by the agent's flags.
        dynamic: bool,
    },
    /// What is free is less than is worth an offer.
    TooLittle {
        /// What there is too little of.
        lacking: Vec<Lacking>,
    },
    /// The framework declined these resources.
    Declined {
        /// Until when.
        until: Time,
    },
    /// The agent's attributes do not meet the framework's offer constraints.
    Constraints,
    /// The role, or one above it, holds as much as it may.
    Quota(Exhausted),
}

/// A resource of which there is too little.
#[derive(Clone, Debug, PartialEq)]
pub struct Lacking {
    /// Its name.
    pub resource: String,
    /// How much is free.
    pub free: f64,
    /// How much is worth an offer.
    pub least: f64,
}

impl WhyNot {
    /// A word for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Disconnected => "FRAMEWORK_DISCONNECTED",
            Self::Suppressed => "SUPPRESSED",
            Self::AgentInactive => "AGENT_INACTIVE",
            Self::GpuUnaware => "GPU_UNAWARE",
            Self::NothingFree => "NOTHING_FREE",
            Self::Reserved { dynamic: false, .. } => "RESERVED_FOR_OTHER_ROLE",
            Self::Reserved { dynamic: true, .. } => "DYNAMICALLY_RESERVED",
            Self::TooLittle { .. } => "TOO_LITTLE",
            Self::Declined { .. } => "DECLINED",
            Self::Constraints => "OFFER_CONSTRAINTS",
            Self::Quota(_) => "QUOTA",
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the framework is not connected"),
            Self::Suppressed => f.write_str("the framework suppressed offers for the role"),
            Self::AgentInactive => f.write_str("the agent is disconnected or deactivated"),
            Self::GpuUnaware => f.write_str(
                "the agent has GPUs and the framework lacks the capability GPU_RESOURCES",
            ),
            Self::NothingFree => f.write_str("everything is held by tasks, executors or offers"),
            Self::Reserved { roles, dynamic } => {
                let kind = if *dynamic { "dynamically " } else { "" };
                write!(f, "what is free is {kind}reserved for {}", roles.join(", "))
            }
            Self::TooLittle { lacking } => {
                f.write_str("too little is free:")?;
                for (index, lack) in lacking.iter().enumerate() {
                    let separator = if index == 0 { " " } else { ", " };
                    write!(f, "{separator}{} of {} {}", lack.free, lack.least, lack.resource)?;
                }
                Ok(())
            }
            Self::Declined { until } => {
                write!(f, "the framework declined it until {}", time_of_day(*until))
            }
            Self::Constraints => {
                f.write_str("the agent does not meet the framework's offer constraints")
            }
            Self::Quota(Exhausted { role, resource, limit, held }) => {
                write!(f, "role {role} holds {held} of its limit of {limit} {resource}")
            }
        }
    }
}

/// A point in time for people, in UTC.
fn time_of_day(time: Time) -> String {
    let seconds = time.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the day that is not always there is a year's last. An era is
    // 400 years, after which the calendar repeats; the first one began 719,468 days before 1970.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_for_people() {
        let told = |seconds| time_of_day(Time::from_secs(seconds));
        assert_eq!(told(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(told(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(told(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(told(4_107_542_400), "2100-03-01 00:00:00 UTC");
        assert_eq!(told(1_795_395_152), "2026-11-23 00:52:32 UTC");
    }
}
