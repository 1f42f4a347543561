//! A snapshot in the words of the operator API.

use mesos_api::framework_info::CapabilityType;
use mesos_api::master::response::{
    GetAgents, GetExecutors, GetFrameworks, GetRoles, GetState, GetTasks, get_executors,
};
use mesos_api::resource::AllocationInfo;
use mesos_api::{AgentInfo, ExecutorInfo, Offer, Resource, Resources, Role, Task, WireFormat};

use crate::core::publish::{agent_message, framework_message};
use crate::core::{AgentView, FrameworkView, Snapshot};

/// Everything.
pub(crate) fn state(snapshot: &Snapshot) -> GetState {
    GetState {
        get_tasks: Some(tasks(snapshot)),
        get_executors: Some(executors(snapshot)),
        get_frameworks: Some(frameworks(snapshot)),
        get_agents: Some(agents(snapshot)),
    }
}

/// Agents.
pub(crate) fn agents(snapshot: &Snapshot) -> GetAgents {
    let recovered = snapshot.recovered_agents.iter();
    GetAgents {
        agents: snapshot.agents.iter().map(|agent| agent_message(agent)).collect(),
        recovered_agents: recovered
            .map(|lost| AgentInfo { id: Some(lost.id.clone()), ..AgentInfo::clone(&lost.info) })
            .collect(),
    }
}

/// Frameworks with their offers.
pub(crate) fn frameworks(snapshot: &Snapshot) -> GetFrameworks {
    let with_offers = |framework: &FrameworkView| {
        let mut message = framework_message(framework);
        message.offers = offers(snapshot, framework);
        message
    };
    GetFrameworks {
        frameworks: snapshot.frameworks.iter().map(with_offers).collect(),
        completed_frameworks: snapshot.completed_frameworks.iter().map(framework_message).collect(),
        recovered_frameworks: Vec::new(),
    }
}

/// Outstanding offers of a framework.
fn offers(snapshot: &Snapshot, framework: &FrameworkView) -> Vec<Offer> {
    let multi_role = framework.info.has_capability(CapabilityType::MultiRole);
    let offer = |record: &crate::core::OfferRecord| {
        let agent = agent(snapshot, &record.agent_id.value)?;
        Some(Offer {
            id: record.id.clone(),
            framework_id: record.framework_id.clone(),
            agent_id: record.agent_id.clone(),
            hostname: agent.info.hostname.clone(),
            resources: record.resources.to_wire(WireFormat::PostRefinement),
            attributes: agent.info.attributes.clone(),
            allocation_info: multi_role.then(|| AllocationInfo { role: Some(record.role.clone()) }),
            ..Offer::default()
        })
    };
    framework.offers.iter().filter_map(|record| offer(record)).collect()
}

/// An agent by its id; they are sorted.
pub(crate) fn agent<'a>(snapshot: &'a Snapshot, id: &str) -> Option<&'a AgentView> {
    let found = snapshot.agents.binary_search_by(|agent| agent.id.value.as_str().cmp(id));
    found.ok().map(|at| &*snapshot.agents[at])
}

/// Tasks by what is known of them.
pub(crate) fn tasks(snapshot: &Snapshot) -> GetTasks {
    let mut all = GetTasks::default();
    for framework in snapshot.frameworks.iter().chain(&snapshot.completed_frameworks) {
        let copied = |task: &std::sync::Arc<Task>| Task::clone(task);
        all.tasks.extend(framework.tasks.iter().map(copied));
        all.unreachable_tasks.extend(framework.unreachable_tasks.iter().map(copied));
        all.completed_tasks.extend(framework.completed_tasks.iter().map(copied));
    }
    all
}

/// Running custom executors.
pub(crate) fn executors(snapshot: &Snapshot) -> GetExecutors {
    let running = snapshot.frameworks.iter().flat_map(|framework| &framework.executors);
    GetExecutors {
        executors: running
            .map(|(agent_id, info)| get_executors::Executor {
                executor_info: ExecutorInfo::clone(info),
                agent_id: agent_id.clone(),
            })
            .collect(),
        orphan_executors: Vec::new(),
    }
}

/// Roles in use, weighted or limited.
pub(crate) fn roles(snapshot: &Snapshot) -> GetRoles {
    let mut names: std::collections::BTreeSet<&str> =
        snapshot.shares.keys().map(String::as_str).collect();
    names.extend(snapshot.weights.keys().map(String::as_str));
    names.insert("*");
    GetRoles { roles: names.into_iter().map(|name| role(snapshot, name)).collect() }
}

fn role(snapshot: &Snapshot, name: &str) -> Role {
    let members = snapshot
        .frameworks
        .iter()
        .filter(|framework| framework.info.subscribed_roles().iter().any(|role| role == name));
    Role {
        name: name.to_owned(),
        weight: snapshot.weights.get(name).copied().unwrap_or(1.0),
        frameworks: members.map(|framework| framework.id.clone()).collect(),
        resources: held(snapshot, name).to_wire(WireFormat::PostRefinement),
    }
}

/// What frameworks hold for a role, by tasks, executors and offers.
pub(crate) fn held(snapshot: &Snapshot, role: &str) -> Resources {
    let mut sum = Resources::new();
    for framework in &snapshot.frameworks {
        for part in [&framework.used, &framework.offered] {
            sum.add_all(&part.filter(|resource| is_for(resource, role)));
        }
    }
    sum
}

/// Whether a resource is allocated to a role.
pub(crate) fn is_for(resource: &Resource, role: &str) -> bool {
    resource.allocation_info.as_ref().is_some_and(|info| info.role() == role)
}
