//! ACCEPT: offers are checked and used up, operations performed in order, the rest refused.

use std::collections::BTreeSet;

use mesos_api::agent_protocol::{RunGroup, RunTask, ToAgent};
use mesos_api::framework_info::CapabilityType;
use mesos_api::offer::{Launch, LaunchGroup, Operation, OperationType};
use mesos_api::resource::AllocationInfo;
use mesos_api::scheduler::call::Accept;
use mesos_api::task_status::Reason;
use mesos_api::{
    AgentId, ExecutorInfo, FrameworkId, OfferId, Resource, Resources, Task, TaskInfo, TaskState,
};

use super::Master;
use super::state::{ExecutorRecord, TaskRecord};
use super::validate;

/// What an ACCEPT works on.
struct Ground {
    framework_id: FrameworkId,
    agent_id: AgentId,
    role: String,
    /// Not used yet, as allocated to the role.
    left: Resources,
}

impl Master {
    pub(super) fn accept(&mut self, id: &FrameworkId, accept: Accept) {
        let problem = self.problem_with_offers(id, &accept.offer_ids);
        let mut left = Resources::new();
        let mut place = None;
        // Good or bad, all of the framework's offers named are used up.
        for offer_id in &accept.offer_ids {
            let own = self.offers.get(offer_id).is_some_and(|offer| offer.framework_id == *id);
            if !own {
                continue;
            }
            if problem.is_some() {
                self.discard_offer(offer_id, None);
            } else if let Some(offer) = self.offers.remove(offer_id) {
                left.add_all(&offer.resources);
                place = Some((offer.agent_id, offer.role));
            }
        }
        let Some((agent_id, role)) = place else {
            let problem = problem.unwrap_or_else(|| "No offers specified".to_owned());
            self.refuse_launches(id, &accept.operations, &problem);
            self.request_allocation();
            return;
        };
        let mut ground = Ground { framework_id: id.clone(), agent_id, role, left };
        for operation in accept.operations {
            self.perform_operation(&mut ground, operation);
        }
        let until = self.refused_until(accept.filters.as_ref());
        if !ground.left.is_empty() {
            self.allocator.recover(id, &ground.agent_id, &ground.left, Some(until));
        }
        self.request_allocation();
    }

    fn problem_with_offers(&self, id: &FrameworkId, offer_ids: &[OfferId]) -> Option<String> {
        let mut seen = BTreeSet::new();
        let mut first: Option<(&AgentId, &str)> = None;
        for offer_id in offer_ids {
            if !seen.insert(offer_id) {
                return Some(format!("Duplicate offer {offer_id} in offer list"));
            }
            let Some(offer) = self.offers.get(offer_id) else {
                return Some(format!("Offer {offer_id} is no longer valid"));
            };
            if offer.framework_id != *id {
                return Some(format!(
                    "Offer {offer_id} has invalid framework {} while framework {id} is expected",
                    offer.framework_id
                ));
            }
            let (agent_id, role) = *first.get_or_insert((&offer.agent_id, &offer.role));
            if *agent_id != offer.agent_id {
                return Some(format!(
                    "Aggregated offers must belong to one single agent. Offer {offer_id} uses \
                     agent {} and agent {agent_id}",
                    offer.agent_id
                ));
            }
            if role != offer.role {
                return Some(format!(
                    "Aggregated offers must be allocated to the same role. Offer {offer_id} uses \
                     role '{}' but another is using role '{role}'",
                    offer.role
                ));
            }
        }
        None
    }

    fn refuse_launches(&mut self, id: &FrameworkId, operations: &[Operation], problem: &str) {
        let message = format!("Task launched with invalid offers: {problem}");
        let state = self.lost_or(id, TaskState::Dropped);
        for task in operations.iter().flat_map(tasks_of) {
            let status = self
                .status(&task.task_id, state, Some(Reason::InvalidOffers), &message)
                .at(&task.agent_id);
            self.send_status(id, status.done());
        }
    }

    /// `state` for frameworks that know partitions, LOST for others.
    pub(super) fn lost_or(&self, id: &FrameworkId, state: TaskState) -> TaskState {
        let aware = self
            .frameworks
            .get(id)
            .is_some_and(|framework| framework.info.has_capability(CapabilityType::PartitionAware));
        if aware { state } else { TaskState::Lost }
    }

    fn perform_operation(&mut self, ground: &mut Ground, operation: Operation) {
        match operation.r#type() {
            OperationType::Launch => {
                let Launch { task_infos } = operation.launch.unwrap_or_default();
                for task in task_infos {
                    self.launch(ground, task);
                }
            }
            OperationType::LaunchGroup => {
                self.launch_group(ground, operation.launch_group.unwrap_or_default());
            }
            OperationType::Reserve => {
                let reserve = operation.reserve.unwrap_or_default();
                self.reserve(ground, reserve.resources);
            }
            OperationType::Unreserve => {
                let unreserve = operation.unreserve.unwrap_or_default();
                self.unreserve(ground, unreserve.resources);
            }
            OperationType::Create
            | OperationType::Destroy
            | OperationType::GrowVolume
            | OperationType::ShrinkVolume
            | OperationType::CreateDisk
            | OperationType::DestroyDisk
            | OperationType::Unknown => {
                tracing::warn!(
                    framework = %ground.framework_id,
                    operation = %operation.r#type(),
                    "operation is not supported; its resources stay as they are"
                );
            }
        }
    }

    /// Turns unreserved resources into reserved ones, which is known to the allocator at once.
    fn reserve(&mut self, ground: &mut Ground, resources: Vec<Resource>) {
        let added = allocated(resources, &ground.role);
        let removed: Resources = added
            .iter()
            .cloned()
            .map(|mut resource| {
                resource.reservations.pop();
                resource
            })
            .collect();
        self.convert(ground, &removed, &added);
    }

    fn unreserve(&mut self, ground: &mut Ground, resources: Vec<Resource>) {
        let removed = allocated(resources, &ground.role);
        let added: Resources = removed
            .iter()
            .cloned()
            .map(|mut resource| {
                resource.reservations.pop();
                resource
            })
            .collect();
        self.convert(ground, &removed, &added);
    }

    fn convert(&mut self, ground: &mut Ground, removed: &Resources, added: &Resources) {
        if !ground.left.contains(removed) {
            tracing::warn!(
                framework = %ground.framework_id,
                wanted = %removed,
                offered = %ground.left,
                "operation needs more than was offered; dropped"
            );
            return;
        }
        // The allocator converts what is free: give back, convert, take again.
        self.allocator.recover(&ground.framework_id, &ground.agent_id, removed, None);
        self.allocator.convert(&ground.agent_id, removed, added);
        self.allocator.take(&ground.framework_id, &ground.agent_id, added);
        ground.left.subtract_all(removed);
        ground.left.add_all(added);
        if let Some(agent) = self.agents.get_mut(&ground.agent_id) {
            let total = self.allocator.total(&ground.agent_id).cloned().unwrap_or_default();
            agent.info.resources = total.to_wire(mesos_api::WireFormat::PostRefinement);
        }
    }

    fn launch(&mut self, ground: &mut Ground, mut task: TaskInfo) {
        prepare(&mut task, &ground.framework_id);
        let needs = match self.needs_of(ground, &task) {
            Ok(needs) => needs,
            Err(message) => {
                self.refuse_task(&ground.framework_id, &task, Reason::TaskInvalid, &message);
                return;
            }
        };
        ground.left.subtract_all(&needs.task);
        ground.left.subtract_all(&needs.executor);
        let Some(framework) = self.frameworks.get_mut(&ground.framework_id) else { return };
        let info = framework.info.clone();
        task.resources = needs.task.to_wire(mesos_api::WireFormat::PostRefinement);
        if let Some(executor) = &mut task.executor {
            framework.note_executor(&ground.agent_id, executor, needs.executor, &ground.role);
        }
        let record = new_record(&task, &ground.framework_id, needs.task);
        framework.tasks.insert(task.task_id.clone(), record);
        let run_task = Some(RunTask { framework: info, task });
        self.tell_agent(&ground.agent_id, ToAgent { run_task, ..ToAgent::default() });
    }

    fn launch_group(&mut self, ground: &mut Ground, group: LaunchGroup) {
        let LaunchGroup { mut executor, mut task_group } = group;
        executor.framework_id = Some(ground.framework_id.clone());
        let outcome = self.group_needs(ground, &mut executor, &mut task_group.tasks);
        let (executor_needs, task_needs) = match outcome {
            Ok(needs) => needs,
            Err(message) => {
                for task in &task_group.tasks {
                    let reason = Reason::TaskGroupInvalid;
                    self.refuse_task(&ground.framework_id, task, reason, &message);
                }
                return;
            }
        };
        ground.left.subtract_all(&executor_needs);
        let Some(framework) = self.frameworks.get_mut(&ground.framework_id) else { return };
        framework.note_executor(&ground.agent_id, &mut executor, executor_needs, &ground.role);
        for (task, needs) in task_group.tasks.iter_mut().zip(task_needs) {
            ground.left.subtract_all(&needs);
            task.resources = needs.to_wire(mesos_api::WireFormat::PostRefinement);
            let mut record = new_record(task, &ground.framework_id, needs);
            record.task.executor_id = Some(executor.executor_id.clone());
            framework.tasks.insert(task.task_id.clone(), record);
        }
        let framework = framework.info.clone();
        let run_group = Some(RunGroup { framework, executor, group: task_group });
        self.tell_agent(&ground.agent_id, ToAgent { run_group, ..ToAgent::default() });
    }

    fn group_needs(
        &self,
        ground: &Ground,
        executor: &mut ExecutorInfo,
        tasks: &mut [TaskInfo],
    ) -> Result<(Resources, Vec<Resources>), String> {
        let mut copy = Ground { left: ground.left.clone(), ..ground.bare() };
        if executor.executor_id.value.is_empty() {
            return Err("Task group's executor has no id".to_owned());
        }
        let executor_needs = self.executor_needs(&copy, executor)?;
        if !copy.left.contains(&executor_needs) {
            return Err(validate::not_enough(&executor_needs, &copy.left));
        }
        copy.left.subtract_all(&executor_needs);
        let mut needs = Vec::with_capacity(tasks.len());
        for task in tasks {
            if task.executor.is_some() {
                return Err("'TaskInfo.executor' must not be set in a task group".to_owned());
            }
            let own = self.needs_of(&copy, task)?;
            copy.left.subtract_all(&own.task);
            needs.push(own.task);
        }
        Ok((executor_needs, needs))
    }

    fn refuse_task(&mut self, id: &FrameworkId, task: &TaskInfo, reason: Reason, message: &str) {
        let status =
            self.status(&task.task_id, TaskState::Error, Some(reason), message).at(&task.agent_id);
        self.send_status(id, status.done());
    }

    /// What a valid task takes of the offer.
    fn needs_of(&self, ground: &Ground, task: &TaskInfo) -> Result<Needs, String> {
        validate::task(task, &ground.agent_id)?;
        if let Some(framework) = self.frameworks.get(&ground.framework_id) {
            let live = framework.tasks.contains_key(&task.task_id);
            if live || framework.unreachable.contains_key(&task.task_id) {
                return Err(format!("Task has duplicate ID: {}", task.task_id));
            }
        }
        let own = allocated(task.resources.clone(), &ground.role);
        let executor = match &task.executor {
            Some(executor) => self.executor_needs(ground, executor)?,
            None => Resources::new(),
        };
        let mut total = own.clone();
        total.add_all(&executor);
        if !ground.left.contains(&total) {
            return Err(validate::not_enough(&total, &ground.left));
        }
        Ok(Needs { task: own, executor })
    }

    /// The first task of an executor pays for it.
    fn executor_needs(
        &self,
        ground: &Ground,
        executor: &ExecutorInfo,
    ) -> Result<Resources, String> {
        let key = (ground.agent_id.clone(), executor.executor_id.clone());
        let framework = self.frameworks.get(&ground.framework_id);
        match framework.and_then(|framework| framework.executors.get(&key)) {
            None => Ok(allocated(executor.resources.clone(), &ground.role)),
            Some(known) if validate::same_executor(&known.info, executor) => Ok(Resources::new()),
            Some(_) => Err(format!(
                "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID '{}'",
                executor.executor_id
            )),
        }
    }
}

impl Ground {
    fn bare(&self) -> Self {
        Self {
            framework_id: self.framework_id.clone(),
            agent_id: self.agent_id.clone(),
            role: self.role.clone(),
            left: Resources::new(),
        }
    }
}

struct Needs {
    task: Resources,
    executor: Resources,
}

impl super::state::Framework {
    fn note_executor(
        &mut self,
        agent_id: &AgentId,
        executor: &mut ExecutorInfo,
        resources: Resources,
        role: &str,
    ) {
        let key = (agent_id.clone(), executor.executor_id.clone());
        self.executors
            .entry(key)
            .or_insert_with(|| ExecutorRecord { info: executor.clone(), resources });
        let own = allocated(std::mem::take(&mut executor.resources), role);
        executor.resources = own.to_wire(mesos_api::WireFormat::PostRefinement);
    }
}

fn prepare(task: &mut TaskInfo, framework_id: &FrameworkId) {
    if let Some(executor) = &mut task.executor {
        executor.framework_id.get_or_insert_with(|| framework_id.clone());
    }
}

/// Resources as allocated to the role the offer was for, whatever the framework wrote there.
fn allocated(resources: Vec<Resource>, role: &str) -> Resources {
    resources
        .into_iter()
        .map(|mut resource| {
            let own = resource.allocation_info.take().filter(|info| info.role.is_some());
            resource.allocation_info =
                own.or_else(|| Some(AllocationInfo { role: Some(role.to_owned()) }));
            resource
        })
        .collect()
}

fn new_record(task: &TaskInfo, framework_id: &FrameworkId, resources: Resources) -> TaskRecord {
    let user = task.command.as_ref().or(task.executor.as_ref().and_then(|e| e.command.as_ref()));
    TaskRecord {
        task: Task {
            name: task.name.clone(),
            task_id: task.task_id.clone(),
            framework_id: framework_id.clone(),
            executor_id: task.executor.as_ref().map(|executor| executor.executor_id.clone()),
            agent_id: task.agent_id.clone(),
            state: TaskState::Staging.into(),
            resources: task.resources.clone(),
            labels: task.labels.clone(),
            discovery: task.discovery.clone(),
            container: task.container.clone(),
            health_check: task.health_check.clone(),
            kill_policy: task.kill_policy.clone(),
            user: user.and_then(|command| command.user.clone()),
            limits: task.limits.clone(),
            ..Task::default()
        },
        resources,
        unacknowledged: None,
        kill: None,
    }
}

fn tasks_of(operation: &Operation) -> Vec<TaskInfo> {
    let single = operation.launch.iter().flat_map(|launch| &launch.task_infos);
    let grouped = operation.launch_group.iter().flat_map(|group| &group.task_group.tasks);
    single.chain(grouped).cloned().collect()
}
