//! Offer constraints: which agents a framework wants to hear of (Mesos 1.11).

use mesos_api::scheduler::AttributeConstraint;
use mesos_api::scheduler::constraint::{PseudoattributeType, RoleConstraints};
use mesos_api::{AgentInfo, ValueType};

/// Whether any group holds entirely.
pub(super) fn satisfies(agent: &AgentInfo, constraints: &RoleConstraints) -> bool {
    constraints
        .groups
        .iter()
        .any(|group| group.attribute_constraints.iter().all(|c| holds(agent, c)))
}

/// What a selector finds: nothing, a text, or something no text predicate speaks of.
enum Selected<'a> {
    Nothing,
    Text(&'a str),
    NotText,
}

fn holds(agent: &AgentInfo, constraint: &AttributeConstraint) -> bool {
    let selected = select(agent, constraint);
    let predicate = &constraint.predicate;
    // Several attributes of the same name: Mesos looks at the first.
    let text = |test: &dyn Fn(&str) -> bool, otherwise: bool| match selected {
        Selected::Text(text) => test(text),
        // A predicate on text lets attributes pass which are not text.
        Selected::NotText => true,
        Selected::Nothing => otherwise,
    };
    if predicate.exists.is_some() {
        return !matches!(selected, Selected::Nothing);
    }
    if predicate.not_exists.is_some() {
        return matches!(selected, Selected::Nothing);
    }
    if let Some(wanted) = &predicate.text_equals {
        return text(&|found| found == wanted.value, false);
    }
    if let Some(unwanted) = &predicate.text_not_equals {
        return text(&|found| found != unwanted.value, true);
    }
    if let Some(wanted) = &predicate.text_matches {
        return text(&|found| matches(found, &wanted.regex), false);
    }
    if let Some(unwanted) = &predicate.text_not_matches {
        return text(&|found| !matches(found, &unwanted.regex), true);
    }
    true
}

/// The whole text must match, as RE2's full match does.
fn matches(text: &str, pattern: &str) -> bool {
    regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(text))
}

fn select<'a>(agent: &'a AgentInfo, constraint: &AttributeConstraint) -> Selected<'a> {
    let fault_domain = agent.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
    let text = |text: Option<&'a str>| text.map_or(Selected::Nothing, Selected::Text);
    match constraint.selector.pseudoattribute_type() {
        PseudoattributeType::Hostname => Selected::Text(&agent.hostname),
        PseudoattributeType::Region => text(fault_domain.map(|domain| domain.region.name.as_str())),
        PseudoattributeType::Zone => text(fault_domain.map(|domain| domain.zone.name.as_str())),
        PseudoattributeType::Unknown => {
            let name = constraint.selector.attribute_name();
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
