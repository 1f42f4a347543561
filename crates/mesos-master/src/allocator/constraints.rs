//! Offer constraints: which agents a framework wants to hear of (Mesos 1.11).

use std::collections::BTreeMap;

use mesos_api::scheduler::constraint::{Predicate, PseudoattributeType, Selector};
use mesos_api::scheduler::{AttributeConstraint, OfferConstraints};
use mesos_api::{AgentInfo, ValueType};
use regex::{Regex, RegexBuilder};

/// Largest compiled pattern; Mesos bounds them too.
const MAXIMUM_PATTERN_BYTES: usize = 1 << 20;

/// Constraints by role, ready for use: any group must hold entirely.
#[derive(Debug, Default)]
pub(super) struct Constraints(BTreeMap<String, Vec<Vec<Constraint>>>);

#[derive(Debug)]
struct Constraint {
    selector: Selector,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Exists,
    NotExists,
    Equals(String),
    NotEquals(String),
    Matches(Regex),
    NotMatches(Regex),
    /// A predicate this version does not know holds.
    Nothing,
}

impl Constraints {
    /// Compiles patterns.
    ///
    /// # Errors
    /// A text that names the pattern which is none.
    pub(super) fn new(constraints: &OfferConstraints) -> Result<Self, String> {
        let mut roles = BTreeMap::new();
        for (role, of_role) in &constraints.role_constraints {
            let mut groups = Vec::with_capacity(of_role.groups.len());
            for group in &of_role.groups {
                let all: Result<Vec<_>, String> =
                    group.attribute_constraints.iter().map(compiled).collect();
                groups.push(all?);
            }
            roles.insert(role.clone(), groups);
        }
        Ok(Self(roles))
    }

    /// Whether an agent may be offered for a role.
    pub(super) fn hold(&self, role: &str, agent: &AgentInfo) -> bool {
        let Some(groups) = self.0.get(role) else { return true };
        groups.iter().any(|group| group.iter().all(|constraint| constraint.holds(agent)))
    }
}

fn compiled(constraint: &AttributeConstraint) -> Result<Constraint, String> {
    let Predicate {
        exists,
        not_exists,
        text_equals,
        text_not_equals,
        text_matches,
        text_not_matches,
    } = &constraint.predicate;
    let test = if exists.is_some() {
        Test::Exists
    } else if not_exists.is_some() {
        Test::NotExists
    } else if let Some(wanted) = text_equals {
        Test::Equals(wanted.value.clone())
    } else if let Some(unwanted) = text_not_equals {
        Test::NotEquals(unwanted.value.clone())
    } else if let Some(wanted) = text_matches {
        Test::Matches(pattern(&wanted.regex)?)
    } else if let Some(unwanted) = text_not_matches {
        Test::NotMatches(pattern(&unwanted.regex)?)
    } else {
        Test::Nothing
    };
    Ok(Constraint { selector: constraint.selector.clone(), test })
}

/// The whole text must match, as RE2's full match does.
fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(MAXIMUM_PATTERN_BYTES)
        .build()
        .map_err(|error| format!("'{text}' is not a valid regular expression: {error}"))
}

/// What a selector finds: nothing, a text, or something no text predicate speaks of.
enum Selected<'a> {
    Nothing,
    Text(&'a str),
    NotText,
}

impl Constraint {
    fn holds(&self, agent: &AgentInfo) -> bool {
        let selected = select(agent, &self.selector);
        // Several attributes of the same name: Mesos looks at the first.
        let text = |test: &dyn Fn(&str) -> bool, otherwise: bool| match selected {
            Selected::Text(text) => test(text),
            // A predicate on text lets attributes pass which are not text.
            Selected::NotText => true,
            Selected::Nothing => otherwise,
        };
        match &self.test {
            Test::Exists => !matches!(selected, Selected::Nothing),
            Test::NotExists => matches!(selected, Selected::Nothing),
            Test::Equals(wanted) => text(&|found| found == wanted, false),
            Test::NotEquals(unwanted) => text(&|found| found != unwanted, true),
            Test::Matches(wanted) => text(&|found| wanted.is_match(found), false),
            Test::NotMatches(unwanted) => text(&|found| !unwanted.is_match(found), true),
            Test::Nothing => true,
        }
    }
}

fn select<'a>(agent: &'a AgentInfo, selector: &Selector) -> Selected<'a> {
    let fault_domain = agent.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
    let text = |text: Option<&'a str>| text.map_or(Selected::Nothing, Selected::Text);
    match selector.pseudoattribute_type() {
        PseudoattributeType::Hostname => Selected::Text(&agent.hostname),
        PseudoattributeType::Region => text(fault_domain.map(|domain| domain.region.name.as_str())),
        PseudoattributeType::Zone => text(fault_domain.map(|domain| domain.zone.name.as_str())),
        PseudoattributeType::Unknown => {
            let name = selector.attribute_name();
            match agent.attributes.iter().find(|attribute| attribute.name == name) {
                None => Selected::Nothing,
                Some(attribute) if attribute.r#type() == ValueType::Text => {
                    text(attribute.text.as_ref().map(|text| text.value.as_str()))
                }
                Some(_) => Selected::NotText,
            }
        }
    }
}
