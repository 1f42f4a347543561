//! The page for people, made on the server: agents, frameworks and why they have no offers, tasks with
//! their sandboxes, offers, roles. It needs no script but for the live output of a sandbox and for links
//! that were made for the pages of Apache Mesos. On narrow screens each row of a table becomes a card.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Response, StatusCode, Uri};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use mesos_api::{Attribute, Resources, Role, Task, TaskState};

use super::endpoints::query_of;
use super::{Body, Server, text, typed, views};
use crate::core::{
    AgentView, FrameworkReasons, FrameworkView, LostAgentView, OfferRecord, Snapshot,
};
use crate::messages;
use crate::service::Input;

/// Rows shown of each table at once, so that a page is made and drawn at once in the largest cluster; links lead to
/// the others, a page each.
const SHOWN_ROWS: usize = 100;

/// Ended tasks shown of each framework.
const SHOWN_COMPLETED_TASKS: usize = 20;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("sandbox.js");
const ROUTES: &str = include_str!("routes.js");

pub(super) async fn handle(uri: &Uri, server: &Arc<Server>) -> Response<Body> {
    let query = query_of(uri.query().unwrap_or_default());
    let snapshot = match server.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(stopping) => return stopping,
    };
    let Some(reasons) = server.service.ask(|answer| Input::Explain(None, answer)).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping");
    };
    let name = server.options.cluster.as_deref().unwrap_or("Mesos").to_owned();
    let (address, made) = (server.advertised.to_string(), snapshot);
    let page =
        tokio::task::spawn_blocking(move || page(&made, &reasons, &name, &address, &Pages(&query)));
    match page.await {
        Ok(page) => answer(page),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping"),
    }
}

/// A sandbox with its live output.
pub(super) fn sandbox(agent: &str, path: &str) -> Response<Body> {
    let body = html! {
        h1 { "Sandbox" }
        p.id { (path) }
        p { a href="/" { "back to the master" } }
        main #sandbox data-agent=(agent) data-path=(path) {
            @for name in ["stdout", "stderr"] {
                section {
                    h2 { (name) }
                    pre data-file=(name) {}
                    p.note data-note=(name) {}
                }
            }
        }
        script { (PreEscaped(SCRIPT)) }
    };
    answer(document("Sandbox", &body))
}

fn answer(page: Markup) -> Response<Body> {
    typed(StatusCode::OK, "text/html; charset=utf-8", page.into_string())
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

fn page(
    snapshot: &Snapshot,
    reasons: &[FrameworkReasons],
    name: &str,
    address: &str,
    pages: &Pages<'_>,
) -> Markup {
    let body = html! {
        header {
            h1 { (name) }
            p {
                "Mesos " (views::MESOS_VERSION) " master at " b { (address) } ", id "
                span.id { (snapshot.master_info.id) }
            }
            nav {
                @for (anchor, title) in [
                    ("agents", "Agents"), ("frameworks", "Frameworks"), ("why", "Why no offers?"),
                    ("tasks", "Tasks"), ("offers", "Offers"), ("roles", "Roles"),
                ] { a href={ "#" (anchor) } { (title) } }
                a href="/state" { "state" }
                a href="/metrics/snapshot" { "metrics" }
            }
        }
        (totals(snapshot))
        (agents(snapshot, pages))
        (frameworks("frameworks", "Frameworks", &snapshot.frameworks, pages))
        (why(reasons, pages))
        (tasks(snapshot, pages))
        (offers(snapshot, pages))
        (roles(snapshot, pages))
        (frameworks("completed", "Completed frameworks", &snapshot.completed_frameworks, pages))
        script { (PreEscaped(ROUTES)) }
    };
    document(name, &body)
}

fn totals(snapshot: &Snapshot) -> Markup {
    let sum = |select: fn(&AgentView) -> &Resources, name: &str| -> f64 {
        snapshot.agents.iter().map(|agent| select(agent).scalar(name)).sum()
    };
    let running: usize = snapshot.frameworks.iter().map(|framework| framework.tasks.len()).sum();
    html! {
        ul.totals {
            li { b { (snapshot.agents.len()) } " agents" }
            li { b { (snapshot.unreachable_agents.len()) } " unreachable" }
            li { b { (snapshot.recovered_agents.len()) } " not back yet" }
            li { b { (snapshot.frameworks.len()) } " frameworks" }
            li { b { (running) } " tasks" }
            @for name in ["cpus", "mem", "disk", "gpus"] {
                @let total = sum(|agent| &agent.total, name);
                @if total > 0.0 {
                    li {
                        b { (round(sum(|agent| &agent.used, name))) "/" (round(total)) } " " (name) " used, "
                        (round(sum(|agent| &agent.offered, name))) " offered"
                    }
                }
            }
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Which part of each table is shown: the query says it as `tasks=300`, the first row by the table's anchor.
struct Pages<'a>(&'a BTreeMap<String, String>);

impl Pages<'_> {
    /// The first row of a table that is shown, which begins a page.
    fn first(&self, anchor: &str, all: usize) -> usize {
        let asked = self.0.get(anchor).and_then(|text| text.parse().ok()).unwrap_or(0);
        all.saturating_sub(1).min(asked) / SHOWN_ROWS * SHOWN_ROWS
    }

    /// A table of which each row is a card on narrow screens. Only rows that are shown are made.
    fn table<T>(
        &self,
        (anchor, title): (&str, &str),
        head: &[&str],
        items: impl Iterator<Item = T> + Clone,
        row: impl Fn(T) -> Vec<Markup>,
    ) -> Markup {
        let all = items.clone().count();
        let first = self.first(anchor, all);
        html! {
            section id=(anchor) {
                h2 { (title) " " span.count { (all) } }
                @if all == 0 { p.note { "none" } } @else {
                    table {
                        thead { tr { @for column in head { th { (column) } } } }
                        tbody {
                            @for item in items.skip(first).take(SHOWN_ROWS) {
                                tr { @for (column, cell) in head.iter().zip(row(item)) {
                                    td data-label=(column) { div { (cell) } }
                                } }
                            }
                        }
                    }
                    @if all > SHOWN_ROWS { (turn(anchor, first, all)) }
                }
            }
        }
    }
}

/// Where in a long table this is, and the way to the rest.
fn turn(anchor: &str, first: usize, all: usize) -> Markup {
    let last = (all - 1) / SHOWN_ROWS * SHOWN_ROWS;
    let ways = [
        ("first", 0, first > 0),
        ("previous", first.saturating_sub(SHOWN_ROWS), first > 0),
        ("next", first + SHOWN_ROWS, first < last),
        ("last", last, first < last),
    ];
    html! {
        p.note.turn {
            span { (first + 1) " to " (all.min(first + SHOWN_ROWS)) " of " (all) }
            @for (name, row, there) in ways {
                @if there { a href={ "/?" (anchor) "=" (row) "#" (anchor) } { (name) } }
                @else { span { (name) } }
            }
        }
    }
}

fn id(value: &str) -> Markup {
    html! { span.id { (value) } }
}

fn plain(value: impl std::fmt::Display) -> Markup {
    html! { (value.to_string()) }
}

/// An agent that is there, or one that is not, and what is said of it.
#[derive(Clone, Copy)]
enum Known<'a> {
    Here(&'a AgentView),
    Away(&'static str, &'a LostAgentView),
}

fn agents(snapshot: &Snapshot, pages: &Pages<'_>) -> Markup {
    let unreachable = snapshot.unreachable_agents.iter().map(|a| Known::Away("unreachable", a));
    let recovered = snapshot.recovered_agents.iter().map(|a| Known::Away("not back yet", a));
    let here = snapshot.agents.iter().map(|agent| Known::Here(agent));
    let row = |known: Known<'_>| match known {
        Known::Here(agent) => vec![
            html! { a.id href={ "http://" (agent.ip) ":" (agent.info.port()) "/state" } { (agent.id) } },
            plain(format!("{}:{}", agent.info.hostname, agent.info.port())),
            state_of(agent),
            attributes(&agent.info.attributes),
            plain(short(&agent.total)),
            plain(short(&agent.used)),
            plain(short(&agent.offered)),
        ],
        Known::Away(state, agent) => vec![
            id(&agent.id.value),
            plain(format!("{}:{}", agent.info.hostname, agent.info.port())),
            html! { span.away { (state) } },
            attributes(&agent.info.attributes),
            plain("-"),
            plain("-"),
            plain("-"),
        ],
    };
    let head = ["Agent", "Address", "State", "Attributes", "Resources", "Used", "Offered"];
    let all = here.chain(unreachable).chain(recovered);
    pages.table(("agents", "Agents (slaves)"), &head, all, row)
}

fn state_of(agent: &AgentView) -> Markup {
    let (text, away) = match &agent.drain {
        Some(drain) if drain.done => ("drained", true),
        Some(_) => ("draining", true),
        None if !agent.connected => ("disconnected", true),
        None if agent.deactivated => ("deactivated", true),
        None => ("active", false),
    };
    html! { span.away[away] { (text) } }
}

/// Names with their values.
fn attributes(all: &[Attribute]) -> Markup {
    let values = views::attributes(all);
    let pairs = values.as_object().into_iter().flatten();
    html! {
        @for (name, value) in pairs {
            @let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            span.tag { (name) ":" (text) } " "
        }
    }
}

fn frameworks(
    anchor: &str,
    title: &str,
    frameworks: &[FrameworkView],
    pages: &Pages<'_>,
) -> Markup {
    let row = |framework: &FrameworkView| {
        let info = &framework.info;
        let state = match (framework.connected, framework.recovered, framework.unregistered) {
            (_, _, Some(_)) => "completed",
            (true, _, _) => "subscribed",
            (false, true, _) => "not back yet",
            (false, false, _) => "away",
        };
        let web = info.webui_url.as_deref().filter(|url| url.starts_with("http"));
        vec![
            id(&framework.id.value),
            html! { @if let Some(url) = web { a href=(url) { (info.name) } } @else { (info.name) } },
            plain(&info.user),
            plain(info.subscribed_roles().join(", ")),
            html! { span.away[!matches!(state, "subscribed" | "completed")] { (state) } },
            plain(framework.tasks.len()),
            plain(short(&framework.used)),
            plain(short(&framework.offered)),
        ]
    };
    let head = ["Framework", "Name", "User", "Roles", "State", "Tasks", "Used", "Offered"];
    pages.table((anchor, title), &head, frameworks.iter(), row)
}

/// The reasons of each framework, those of several agents together.
fn why(reasons: &[FrameworkReasons], pages: &Pages<'_>) -> Markup {
    let mut rows = Vec::new();
    for framework in reasons {
        let mut seen: BTreeMap<(String, String), (usize, String)> = BTreeMap::new();
        if let Some(general) = &framework.in_general {
            seen.insert((String::new(), general.to_string()), (0, String::new()));
        } else {
            for agent in &framework.agents {
                let key = (agent.role.clone(), agent.reason.to_string());
                let entry = seen.entry(key).or_insert((0, agent.hostname.clone()));
                entry.0 += 1;
            }
        }
        for ((role, reason), (count, host)) in seen {
            let agents = match count {
                0 => "all".to_owned(),
                1 => host,
                _ => format!("{host} and {} more", count - 1),
            };
            let link = format!("/explain?framework={}", framework.framework_id);
            rows.push([
                html! { a href=(link) { (framework.name) } " " (id(&framework.framework_id.value)) },
                plain(role),
                plain(agents),
                plain(reason),
            ]);
        }
    }
    let head = ["Framework", "Role", "Agents", "Reason"];
    pages.table(("why", "Why no offers?"), &head, rows.iter(), |row| row.to_vec())
}

fn tasks(snapshot: &Snapshot, pages: &Pages<'_>) -> Markup {
    let all = snapshot.frameworks.iter().chain(&snapshot.completed_frameworks);
    let all = all.flat_map(|framework| {
        let ended = framework.completed_tasks.iter().rev().take(SHOWN_COMPLETED_TASKS);
        framework.tasks.iter().chain(&framework.unreachable_tasks).chain(ended)
    });
    let row = |task: &Arc<Task>| {
        let said = task.statuses.last().map(|status| status.message().to_owned());
        vec![
            html! { (id(&task.task_id.value)) " " (task.name) },
            id(&task.framework_id.value),
            host_of(snapshot, task),
            html! { span.away[is_trouble(task.state())] { (task.state().name()) } },
            plain(short(&Resources::from(task.resources.as_slice()))),
            plain(said.unwrap_or_default()),
            html! { a href=(sandbox_link(task)) { "sandbox" } },
        ]
    };
    let head = ["Task", "Framework", "Agent", "State", "Resources", "Message", "Output"];
    pages.table(("tasks", "Tasks"), &head, all, row)
}

/// Whether a task ended otherwise than it should.
fn is_trouble(state: TaskState) -> bool {
    state.is_terminal() && !matches!(state, TaskState::Finished | TaskState::Killed)
}

fn host_of(snapshot: &Snapshot, task: &Task) -> Markup {
    match messages::agent(snapshot, &task.agent_id.value) {
        Some(agent) => plain(&agent.info.hostname),
        None => id(&task.agent_id.value),
    }
}

/// The sandbox of a command task is that of an executor named like it.
fn sandbox_link(task: &Task) -> String {
    let executor = task.executor_id.as_ref().map_or(&task.task_id.value, |id| &id.value);
    let part = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            })
            .collect()
    };
    format!(
        "/sandbox?agent={}&framework={}&executor={}",
        part(&task.agent_id.value),
        part(&task.framework_id.value),
        part(executor)
    )
}

fn offers(snapshot: &Snapshot, pages: &Pages<'_>) -> Markup {
    let all = snapshot.frameworks.iter().flat_map(|framework| &framework.offers);
    let row = |offer: &Arc<OfferRecord>| {
        let host = messages::agent(snapshot, &offer.agent_id.value);
        let age = snapshot.now.saturating_sub(offer.made).as_secs();
        vec![
            id(&offer.id.value),
            id(&offer.framework_id.value),
            plain(host.map_or_else(|| offer.agent_id.value.clone(), |a| a.info.hostname.clone())),
            plain(&offer.role),
            plain(short(&offer.resources)),
            plain(format!("{age} s")),
        ]
    };
    let head = ["Offer", "Framework", "Agent", "Role", "Resources", "Age"];
    pages.table(("offers", "Outstanding offers"), &head, all, row)
}

fn roles(snapshot: &Snapshot, pages: &Pages<'_>) -> Markup {
    let row = |role: &Role| {
        let share = snapshot.shares.get(&role.name).copied().unwrap_or(0.0);
        let quota = snapshot.quotas.iter().find(|quota| quota.config.role == role.name);
        let limits = quota.into_iter().flat_map(|quota| {
            quota.config.limits.iter().map(|(name, limit)| {
                let held = quota.held.get(name).copied().unwrap_or(0.0);
                format!("{held} of {} {name}", limit.value)
            })
        });
        let limits: Vec<String> = limits.collect();
        let held = Resources::from(role.resources.as_slice());
        vec![
            plain(&role.name),
            plain(role.weight),
            html! {
                span.bar { span style={ "width:" (round(share * 100.0).min(100.0)) "%" } {} }
                " " (round(share * 100.0)) "%"
            },
            plain(role.frameworks.len()),
            plain(short(&held)),
            plain(if limits.is_empty() { "-".to_owned() } else { limits.join(", ") }),
        ]
    };
    let head = ["Role", "Weight", "Dominant share", "Frameworks", "Held", "Limits"];
    let roles = messages::roles(snapshot).roles;
    pages.table(("roles", "Roles"), &head, roles.iter(), row)
}

fn short(resources: &Resources) -> String {
    if resources.is_empty() { "-".to_owned() } else { resources.quantities().to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesos_api::agent_protocol::Register;
    use mesos_api::offer::Operation;
    use mesos_api::scheduler::Call;
    use mesos_api::scheduler::call::{Accept, Subscribe, Type};
    use mesos_api::{AgentInfo, CommandInfo, FrameworkInfo, MasterInfo, TaskInfo, WireFormat};

    use super::*;
    use crate::core::{Acls, Event, LinkId, Master, RequestId, Settings, StreamId};

    fn settings() -> Settings {
        let id = "6a1f2c3d-8b4e-4f5a-9c6d-7e8f9a0b1c2d".to_owned();
        Settings {
            master_info: MasterInfo { id, ..MasterInfo::default() },
            offer_timeout: None,
            agent_ping_timeout: Duration::from_secs(15),
            max_agent_ping_timeouts: 5,
            allocation_delay: Duration::from_millis(3),
            allocation_interval: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(15),
            max_completed_frameworks: 5,
            max_completed_tasks_per_framework: 5,
            weights: [("dev".to_owned(), 2.0)].into(),
            roles: std::collections::BTreeSet::new(),
            agent_reregister_timeout: Duration::from_secs(600),
            filter_gpu_resources: true,
            acls: Acls::default(),
        }
    }

    /// Two agents, a framework with a task and one that gets nothing.
    fn small_cluster() -> Master {
        cluster(1)
    }

    /// The same with more tasks.
    fn cluster(tasks: usize) -> Master {
        let mut now = Duration::from_secs(1000);
        let mut master = Master::new(settings(), now);
        for (stream, role, name) in [("s", "dev", "<b>bold</b>"), ("t", "ops/night", "report")] {
            let framework_info = FrameworkInfo {
                name: name.into(),
                user: "alice".into(),
                role: Some(role.into()),
                ..FrameworkInfo::default()
            };
            let subscribe = Subscribe { framework_info, ..Subscribe::default() };
            let stream = StreamId(stream.into());
            master.handle(Event::Subscribe { stream, subscribe, principal: None }, now);
        }
        for number in 0..2 {
            let text = "cpus:8;mem:16384;disk:100000;ports:[31000-32000]";
            let resources = Resources::parse(text, "*").unwrap();
            let attributes = "rack:r1;zone:eu-west-1a;kernel:6.1.0-debian;level:10";
            let agent = AgentInfo {
                hostname: format!("agent-{number}.cluster.example.com"),
                resources: resources.to_wire(WireFormat::PostRefinement),
                attributes: mesos_api::resources::parse_attributes(attributes).unwrap(),
                ..AgentInfo::default()
            };
            let register = Register { agent, ip: "10.0.0.7".into(), ..Register::default() };
            master.handle(Event::AgentConnected { link: LinkId(number), register }, now);
        }
        now += Duration::from_millis(3);
        master.handle(Event::Tick, now);
        let snapshot = master.snapshot();
        let offer = &snapshot.frameworks[0].offers[0];
        let task = |number| TaskInfo {
            name: format!("executor {number}"),
            task_id: format!("task-{number} ä").as_str().into(),
            agent_id: offer.agent_id.clone(),
            resources: Resources::parse("cpus:0.01;mem:10", "*")
                .unwrap()
                .to_wire(WireFormat::PreRefinement),
            command: Some(CommandInfo { value: Some("x".into()), ..CommandInfo::default() }),
            ..TaskInfo::default()
        };
        let accept = Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![Operation::launch_tasks((1..=tasks).map(task).collect())],
            filters: None,
        };
        let call = Call {
            framework_id: Some(snapshot.frameworks[0].id.clone()),
            r#type: Some(Type::Accept.into()),
            accept: Some(accept),
            ..Call::default()
        };
        let stream = Some(StreamId("s".into()));
        master.handle(Event::Call { request: RequestId(0), call, stream, principal: None }, now);
        master
    }

    fn shown(master: &Master, query: &str) -> String {
        let snapshot = master.snapshot();
        let reasons: Vec<_> =
            snapshot.frameworks.iter().filter_map(|f| master.explain(&f.id)).collect();
        let query = query_of(query);
        page(&snapshot, &reasons, "Test cluster", "10.0.0.1:5050", &Pages(&query)).into_string()
    }

    /// `PAGE=FILE` keeps the page, to be looked at.
    #[test]
    fn the_page_shows_what_is_there_and_escapes_what_frameworks_say() {
        let shown = shown(&small_cluster(), "");
        for expected in [
            "zone:eu-west-1a",
            "level:10",
            "&lt;b&gt;bold&lt;/b&gt;",
            "the framework declined it until",
            "TASK_STAGING",
            "executor=task-1%20%C3%A4",
            "ops/night",
        ] {
            assert!(shown.contains(expected), "{expected} is not shown");
        }
        assert!(!shown.contains("<b>bold"));
        assert!(!shown.contains("previous"), "all of it is on one page");
        if let Some(file) = std::env::var_os("PAGE") {
            std::fs::write(file, shown).unwrap();
        }
    }

    #[test]
    fn long_tables_are_shown_a_page_at_a_time() {
        let master = cluster(250);
        let snapshot = master.snapshot();
        let ids: Vec<_> =
            snapshot.frameworks.iter().flat_map(|framework| &framework.tasks).collect();
        let ids: Vec<_> = ids.iter().map(|task| format!(">{}<", task.task_id.value)).collect();
        assert_eq!(ids.len(), 250);
        for (query, first, ways) in [
            ("", 0, vec![100, 200]),
            ("tasks=0", 0, vec![100, 200]),
            ("tasks=100", 100, vec![0, 0, 200, 200]),
            ("tasks=170", 100, vec![0, 0, 200, 200]),
            ("tasks=200", 200, vec![0, 100]),
            ("tasks=99999", 200, vec![0, 100]),
            ("tasks=-1", 0, vec![100, 200]),
            ("agents=100", 0, vec![100, 200]),
        ] {
            let shown = shown(&master, query);
            let there: Vec<_> = ids.iter().filter(|id| shown.contains(*id)).collect();
            let wanted: Vec<_> = ids.iter().skip(first).take(SHOWN_ROWS).collect();
            assert_eq!(there, wanted, "{query}");
            let links = shown.match_indices("/?tasks=");
            let links = links.map(|(at, _)| shown[at..].split(['=', '#']).nth(1).unwrap());
            let links: Vec<usize> = links.map(|row| row.parse().unwrap()).collect();
            assert_eq!(links, ways, "{query}");
            let last = (first + SHOWN_ROWS).min(250);
            assert!(shown.contains(&format!("{} to {last} of 250", first + 1)), "{query}");
        }
    }
}
