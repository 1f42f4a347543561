//! A page for people: what is there, who uses it, what waits.

use std::fmt::Write as _;
use std::sync::Arc;

use http::{Response, StatusCode};
use mesos_api::Resources;

use super::{Body, Server, text, typed};
use crate::core::{FrameworkView, Snapshot};
use crate::service::Input;

/// Ended tasks shown of each framework; `/tasks` has all.
const SHOWN_COMPLETED_TASKS: usize = 20;

const STYLE: &str = "body{font:14px system-ui,sans-serif;margin:2em;color:#222}\
table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{padding:.25em .7em;text-align:left;\
border-bottom:1px solid #ddd}th{background:#f4f4f4}.id{font-family:monospace;font-size:12px}\
.away{color:#a00}";

pub(super) async fn handle(server: &Arc<Server>) -> Response<Body> {
    match server.service.ask(Input::Snapshot).await {
        Some(snapshot) => {
            typed(StatusCode::OK, "text/html; charset=utf-8", page(&snapshot, server))
        }
        None => text(StatusCode::SERVICE_UNAVAILABLE, "The master is stopping"),
    }
}

fn page(snapshot: &Snapshot, server: &Server) -> String {
    let name = server.options.cluster.as_deref().unwrap_or("Mesos");
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{0}</title><style>{STYLE}</style>\
         <h1>{0}</h1><p>Master <span class=id>{1}</span> at {2}</p>",
        escape(name),
        escape(&snapshot.master_info.id),
        escape(&server.advertised.to_string())
    );
    agents(&mut html, snapshot);
    frameworks(&mut html, "Frameworks", &snapshot.frameworks);
    offers(&mut html, snapshot);
    tasks(&mut html, snapshot);
    frameworks(&mut html, "Completed frameworks", &snapshot.completed_frameworks);
    html.push_str("</html>\n");
    html
}

fn table(html: &mut String, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
    let _ = write!(html, "<h2>{} ({})</h2>", escape(title), rows.len());
    if rows.is_empty() {
        return;
    }
    html.push_str("<table><tr>");
    for column in head {
        let _ = write!(html, "<th>{}</th>", escape(column));
    }
    html.push_str("</tr>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{}</td>", escape(&cell));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
}

fn agents(html: &mut String, snapshot: &Snapshot) {
    let rows = snapshot.agents.iter().map(|agent| {
        let attributes: Vec<_> = agent.info.attributes.iter().map(|a| a.name.clone()).collect();
        vec![
            agent.id.value.clone(),
            format!("{}:{}", agent.info.hostname, agent.info.port()),
            if agent.active { "active" } else { "away" }.to_owned(),
            short(&agent.total),
            short(&agent.used),
            short(&agent.offered),
            attributes.join(", "),
        ]
    });
    let head = ["Agent", "Address", "State", "Resources", "Used", "Offered", "Attributes"];
    table(html, "Agents", &head, rows.collect());
}

fn frameworks(html: &mut String, title: &str, frameworks: &[FrameworkView]) {
    let rows = frameworks.iter().map(|framework| {
        vec![
            framework.id.value.clone(),
            framework.info.name.clone(),
            framework.info.user.clone(),
            framework.info.subscribed_roles().join(", "),
            if framework.connected { "subscribed" } else { "away" }.to_owned(),
            framework.tasks.len().to_string(),
            short(&framework.used),
            short(&framework.offered),
        ]
    });
    let head = ["Framework", "Name", "User", "Roles", "State", "Tasks", "Used", "Offered"];
    table(html, title, &head, rows.collect());
}

fn offers(html: &mut String, snapshot: &Snapshot) {
    let all = snapshot.frameworks.iter().flat_map(|framework| &framework.offers);
    let rows = all.map(|offer| {
        vec![
            offer.id.value.clone(),
            offer.framework_id.value.clone(),
            offer.agent_id.value.clone(),
            short(&offer.resources),
        ]
    });
    table(
        html,
        "Outstanding offers",
        &["Offer", "Framework", "Agent", "Resources"],
        rows.collect(),
    );
}

fn tasks(html: &mut String, snapshot: &Snapshot) {
    let all = snapshot.frameworks.iter().flat_map(|framework| {
        let ended = framework.completed_tasks.iter().rev().take(SHOWN_COMPLETED_TASKS);
        framework.tasks.iter().chain(&framework.unreachable_tasks).chain(ended)
    });
    let rows = all.map(|task| {
        let said = task.statuses.last().map(|status| status.message().to_owned());
        vec![
            task.task_id.value.clone(),
            task.name.clone(),
            task.framework_id.value.clone(),
            task.agent_id.value.clone(),
            task.state().name().to_owned(),
            short(&Resources::from(task.resources.as_slice())),
            said.unwrap_or_default(),
        ]
    });
    let head = ["Task", "Name", "Framework", "Agent", "State", "Resources", "Message"];
    table(html, "Tasks", &head, rows.collect());
}

fn short(resources: &Resources) -> String {
    if resources.is_empty() { "-".to_owned() } else { resources.quantities().to_string() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
