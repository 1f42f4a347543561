//! ACCEPT: offers are checked and used up, operations performed in order, the rest refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesos_api::agent_protocol::{RunGroup, RunTask, ToAgent};
use mesos_api::framework_info::CapabilityType;
use mesos_api::offer::{Launch, LaunchGroup, Operation, OperationType};
use mesos_api::resource::AllocationInfo;
use mesos_api::scheduler::call::Accept;
use mesos_api::task_status::Reason;
use mesos_api::{
    AgentId, ExecutorInfo, FrameworkId, FrameworkInfo, OfferId, OperationId, OperationState,
    OperationStatus, Resource, Resources, Task, TaskInfo, TaskState, WireFormat,
};

use super::state::{ExecutorRecord, TaskRecord};
use super::{Master, acl, validate};

/// What an ACCEPT works on.
pub(super) struct Ground {
    pub(super) framework_id: FrameworkId,
    pub(super) agent_id: AgentId,
    pub(super) role: String,
    /// Not used yet, as allocated to the role.
    pub(super) left: Resources,
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
            } else if let Some(offer) = self.take_offer(offer_id) {
                left.add_all(&offer.resources);
                place = Some((offer.agent_id.clone(), offer.role.clone()));
            }
        }
        let Some((agent_id, role)) = place else {
            let problem = problem.unwrap_or_else(|| "No offers specified".to_owned());
            self.refuse_launches(id, &accept.operations, &problem);
            self.request_allocation();
            return;
        };
        if accept.operations.is_empty() {
            // An ACCEPT without operations is a DECLINE.
            self.allocator.declined(id, &role);
        } else {
            self.allocator.accepted(id, &role);
        }
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
        let kind = operation.r#type();
        if let Some(operation_id) = operation.id.clone() {
            self.refuse_feedback(ground, &operation, operation_id);
            return;
        }
        match kind {
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
                    operation = %kind,
                    "operation is not supported; its resources stay as they are"
                );
            }
        }
    }

    /// Launches never have feedback, and our agents give none on other operations either: who asks for
    /// it by an id is told that the operation was not done.
    fn refuse_feedback(&mut self, ground: &Ground, operation: &Operation, id: OperationId) {
        let tasks = tasks_of(operation);
        for task in &tasks {
            let message = "The `id` field cannot be set for launch operations";
            self.refuse_task(&ground.framework_id, task, Reason::TaskInvalid, message);
        }
        if !tasks.is_empty() {
            return;
        }
        let status = OperationStatus {
            operation_id: Some(id),
            state: OperationState::Error.into(),
            message: Some("Operation feedback is not supported by the agent".to_owned()),
            agent_id: Some(ground.agent_id.clone()),
            ..OperationStatus::default()
        };
        self.send_operation_status(&ground.framework_id.clone(), status);
    }

    fn launch(&mut self, ground: &mut Ground, mut task: TaskInfo) {
        prepare(&mut task, &ground.framework_id);
        if let Err(message) = self.may_launch(&ground.framework_id, &task) {
            self.refuse_task(&ground.framework_id, &task, Reason::TaskUnauthorized, &message);
            return;
        }
        let needs = match self.needs_of(ground, &task) {
            Ok(needs) => needs,
            Err(message) => {
                self.refuse_task(&ground.framework_id, &task, Reason::TaskInvalid, &message);
                return;
            }
        };
        ground.left.subtract_all(&needs.task);
        ground.left.subtract_all(&needs.executor);
        let Some(framework) = self.frameworks.get(&ground.framework_id) else { return };
        let info = FrameworkInfo::clone(&framework.info);
        task.resources = needs.task.to_wire(WireFormat::PostRefinement);
        if let Some(executor) = &mut task.executor {
            self.note_executor(ground, executor, needs.executor);
        }
        let record = new_record(&task, &ground.framework_id, needs.task);
        self.keep_task(&ground.framework_id, record);
        let run_task = Some(RunTask { framework: info, task });
        self.tell_agent(&ground.agent_id, ToAgent { run_task, ..ToAgent::default() });
    }

    fn launch_group(&mut self, ground: &mut Ground, group: LaunchGroup) {
        let LaunchGroup { mut executor, mut task_group } = group;
        executor.framework_id = Some(ground.framework_id.clone());
        let forbidden =
            task_group.tasks.iter().find_map(|t| self.may_launch(&ground.framework_id, t).err());
        let outcome = match forbidden {
            Some(message) => Err((Reason::TaskGroupUnauthorized, message)),
            None => self
                .group_needs(ground, &mut executor, &mut task_group.tasks)
                .map_err(|message| (Reason::TaskGroupInvalid, message)),
        };
        let (executor_needs, task_needs) = match outcome {
            Ok(needs) => needs,
            Err((reason, message)) => {
                for task in &task_group.tasks {
                    self.refuse_task(&ground.framework_id, task, reason, &message);
                }
                return;
            }
        };
        ground.left.subtract_all(&executor_needs);
        self.note_executor(ground, &mut executor, executor_needs);
        for (task, needs) in task_group.tasks.iter_mut().zip(task_needs) {
            ground.left.subtract_all(&needs);
            task.resources = needs.to_wire(WireFormat::PostRefinement);
            let mut record = new_record(task, &ground.framework_id, needs);
            Arc::make_mut(&mut record.task).executor_id = Some(executor.executor_id.clone());
            self.keep_task(&ground.framework_id, record);
        }
        let Some(framework) = self.frameworks.get(&ground.framework_id) else { return };
        let framework = FrameworkInfo::clone(&framework.info);
        let run_group = Some(RunGroup { framework, executor, group: task_group });
        self.tell_agent(&ground.agent_id, ToAgent { run_group, ..ToAgent::default() });
    }

    /// Takes a task in, with what it holds.
    pub(super) fn keep_task(&mut self, id: &FrameworkId, record: TaskRecord) {
        let (task_id, agent_id) = (record.task.task_id.clone(), record.task.agent_id.clone());
        self.hold(id, &agent_id, &record.resources);
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.tasks.insert((id.clone(), task_id.clone()));
        }
        self.publish_task_added(&record.task);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.tasks.insert(task_id, record);
        }
    }

    fn note_executor(
        &mut self,
        ground: &Ground,
        executor: &mut ExecutorInfo,
        resources: Resources,
    ) {
        self.keep_executor(&ground.framework_id, &ground.agent_id, executor, resources);
        let own = allocated(std::mem::take(&mut executor.resources), &ground.role);
        executor.resources = own.to_wire(WireFormat::PostRefinement);
    }

    /// Takes an executor in, with what it holds, unless it is known.
    pub(super) fn keep_executor(
        &mut self,
        id: &FrameworkId,
        agent_id: &AgentId,
        info: &ExecutorInfo,
        resources: Resources,
    ) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let key = (agent_id.clone(), info.executor_id.clone());
        if framework.executors.contains_key(&key) {
            return;
        }
        let record = ExecutorRecord { info: Arc::new(info.clone()), resources: resources.clone() };
        framework.executors.insert(key, record);
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.executors.insert((id.clone(), info.executor_id.clone()));
        }
        self.hold(id, agent_id, &resources);
    }

    /// The user of the task, or of the framework, must be allowed to the framework's principal.
    fn may_launch(&self, id: &FrameworkId, task: &TaskInfo) -> Result<(), String> {
        let Some(framework) = self.frameworks.get(id) else { return Ok(()) };
        let executor = task.executor.as_ref().and_then(|executor| executor.command.as_ref());
        let command = task.command.as_ref().or(executor);
        let user = command.and_then(|command| command.user.as_deref());
        let user = user.unwrap_or(&framework.info.user);
        let principal = framework.info.principal.as_deref();
        if self.settings.acls.allows(acl::Permission::RunTasks, principal, user) {
            return Ok(());
        }
        Err(format!("Not authorized to launch as user '{user}'"))
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

fn prepare(task: &mut TaskInfo, framework_id: &FrameworkId) {
    if let Some(executor) = &mut task.executor {
        executor.framework_id.get_or_insert_with(|| framework_id.clone());
    }
}

/// Resources as allocated to the role the offer was for, whatever the framework wrote there.
pub(super) fn allocated(resources: Vec<Resource>, role: &str) -> Resources {
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
        task: Arc::new(Task {
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
        }),
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
