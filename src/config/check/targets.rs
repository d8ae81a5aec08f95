//! `pools.NAME.autoscale.target`: one thing is scaled, and what it becomes are the endpoints of the pool.

use super::Report;
use super::autoscale::Sizing;
use crate::config::compile;
use crate::config::raw::{Program, Workload};
use crate::config::shape::At;

const TARGETS: [&str; 3] = ["kubernetes", "docker", "process"];

/// Checks what is scaled.
pub(super) fn target(sizing: &Sizing<'_>, report: &mut Report<'_>) {
    let target = &sizing.autoscale.value.target;
    let given: Vec<&str> = TARGETS.into_iter().filter(|key| report.has_key(target.id, key)).collect();
    match given.as_slice() {
        [] => {
            let suggestion = Some("write for example `process: { command: [my-agent, --port, \"{port}\"] }`".to_owned());
            let message = "nothing is scaled: one of `kubernetes`, `docker`, `process` is needed".to_owned();
            report.error_with(target.id, message, suggestion);
        }
        ["kubernetes"] => pods(sizing, report),
        [_] => replicas(sizing, report),
        _ => report.error(target.id, format!("only one of `{}` can be given", given.join("`, `"))),
    }
    if let Some(kubernetes) = &target.value.kubernetes {
        workload(kubernetes, report);
    }
    if let Some(process) = &target.value.process {
        program(process, report);
    }
}

/// Warns when new pods would not become endpoints.
fn pods(sizing: &Sizing<'_>, report: &mut Report<'_>) {
    let discovery = report.child(sizing.pool_id, "discovery");
    if !discovery.is_some_and(|id| report.has_key(id, "kubernetes") || report.has_key(id, "dns")) {
        let target = sizing.autoscale.value.target.id;
        report.warn(target, "new pods do not become endpoints of the pool: write `discovery: { kubernetes: { service: .. } }`");
    }
}

/// Reports endpoints beside replicas that become the endpoints.
fn replicas(sizing: &Sizing<'_>, report: &mut Report<'_>) {
    for key in ["endpoints", "discovery"] {
        let is_given = if key == "endpoints" { report.has_items(sizing.pool_id, key) } else { true };
        if let Some(id) = report.child(sizing.pool_id, key).filter(|_| is_given) {
            report.error(id, format!("the replicas of `autoscale` are the endpoints of the pool: leave `{key}` out"));
        }
    }
}

fn workload(workload: &At<Workload>, report: &mut Report<'_>) {
    if compile::api(&workload.value).is_none() && !report.has_key(workload.id, "api") {
        let kind = &workload.value.kind;
        let suggestion = Some("write for example `api: example.com/v1`".to_owned());
        report.error_with(
            kind.id,
            format!("the kind \"{}\" is not one of Kubernetes itself: its `api` is needed", kind.value.0),
            suggestion,
        );
    }
}

fn program(program: &At<Program>, report: &mut Report<'_>) {
    let Program { command, env, .. } = &program.value;
    let Some(first) = command.value.0.first() else {
        if !report.has_items(program.id, "command") {
            report.error(command.id, "the command is empty: a program is needed");
        }
        return;
    };
    if first.value.0.is_empty() && report.is_whole(program.id, "command", command.value.0.len()) {
        report.error(first.id, "the program has no name");
    }
    let in_command = command.value.0.iter().any(|argument| argument.value.0.contains("{port}"));
    let in_env = env.0.iter().any(|(_, value)| value.value.0.expose().contains("{port}"));
    let is_whole = report.is_whole(program.id, "command", command.value.0.len());
    if is_whole && !in_command && !in_env {
        report.warn(
            command.id,
            "nothing names `{port}`: the program must listen on the port in the variable PORT, or no two replicas can run",
        );
    }
}
