//! Runs checks on clusters and tells what became of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use mesos_client::MasterAddress;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Kind};
use crate::lab::Lab;
use crate::suite::{BEHAVIOURS, Behaviour, COMMON, Check, Pace, Standing};

/// No check takes longer; a check that hangs should not hold the others up.
const LONGEST_CHECK: Duration = Duration::from_secs(180);

/// On what the suite runs.
#[derive(Debug, Clone)]
pub enum Target {
    /// Clusters of our making.
    Made(Kind),
    /// The cluster of this master.
    Foreign(MasterAddress),
}

/// Which checks are run.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Of this pace only.
    pub pace: Option<Pace>,
    /// Of these behaviours only; all if empty.
    pub behaviours: Vec<u8>,
    /// With this in their names.
    pub name: Option<String>,
}

impl Selection {
    fn takes(&self, behaviour: &Behaviour, check: &Check) -> bool {
        self.pace.is_none_or(|pace| pace == check.pace)
            && (self.behaviours.is_empty() || self.behaviours.contains(&behaviour.number))
            && self.name.as_ref().is_none_or(|name| check.name.contains(name.as_str()))
    }
}

/// What became of a check.
#[derive(Debug)]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not tried, because of this.
    Skipped(String),
    /// Not as it should be.
    Failed(anyhow::Error),
}

/// A check that was run.
#[derive(Debug)]
pub struct Report {
    /// Number of the behaviour.
    pub behaviour: u8,
    /// Name of the check.
    pub check: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (outcome, text) = match &self.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Skipped(why) => ("skipped", Some(why.clone())),
            Outcome::Failed(error) => ("failed", Some(format!("{error:#}"))),
        };
        let seconds = (self.took.as_secs_f64() * 1000.0).round() / 1000.0;
        json!({"behaviour": self.behaviour, "check": self.check, "outcome": outcome, "seconds": seconds, "text": text})
    }
}

/// Runs what is selected, one after the other, and tells each as it ends.
///
/// # Errors
/// When the shared cluster cannot be started.
pub async fn run(
    target: &Target,
    selection: &Selection,
    program: &Path,
    mut tell: impl FnMut(&Report),
) -> Result<Vec<Report>> {
    let mut shared = None;
    let mut reports = Vec::new();
    for behaviour in BEHAVIOURS {
        for check in behaviour.checks.iter().filter(|check| selection.takes(behaviour, check)) {
            let started = Instant::now();
            let outcome = one(target, behaviour, check, program, &mut shared).await?;
            let took = started.elapsed();
            let report = Report { behaviour: behaviour.number, check: check.name, outcome, took };
            tell(&report);
            reports.push(report);
        }
    }
    Ok(reports)
}

async fn one(
    target: &Target,
    behaviour: &Behaviour,
    check: &Check,
    program: &Path,
    shared: &mut Option<Lab>,
) -> Result<Outcome> {
    match (target, behaviour.standing) {
        (_, Standing::LeftOut(why)) => return Ok(Outcome::Skipped(why.to_owned())),
        (Target::Made(Kind::Genuine), Standing::OursOnly(why)) => {
            return Ok(Outcome::Skipped(why.to_owned()));
        }
        (Target::Made(_) | Target::Foreign(_), Standing::Both | Standing::OursOnly(_)) => {}
    }
    if let (Target::Made(Kind::Ours), Some(why)) = (target, check.not_yet()) {
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    let mut own;
    let lab = match (target, check.cluster) {
        (Target::Foreign(_), Some(_)) => {
            return Ok(Outcome::Skipped("needs a cluster of its own".to_owned()));
        }
        (Target::Foreign(master), None) => {
            let (master, program) = (master.clone(), PathBuf::from(program));
            shared.get_or_insert(Lab::Foreign { master, program })
        }
        (Target::Made(kind), Some(spec)) => {
            own = ready(*kind, spec, program).await?;
            &mut own
        }
        (Target::Made(kind), None) => match shared {
            Some(lab) => lab,
            None => shared.insert(ready(*kind, COMMON, program).await?),
        },
    };
    let result = tokio::time::timeout(LONGEST_CHECK, (check.run)(lab)).await;
    let result =
        result.unwrap_or_else(|_| Err(anyhow!("not over after {} s", LONGEST_CHECK.as_secs())));
    Ok(match result {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(error),
    })
}

/// A cluster whose agents are there.
async fn ready(kind: Kind, spec: crate::cluster::Spec, program: &Path) -> Result<Lab> {
    let lab = Lab::Own(Cluster::start(kind, spec, program).await?);
    lab.agents_return(spec.agents.len()).await?;
    Ok(lab)
}
