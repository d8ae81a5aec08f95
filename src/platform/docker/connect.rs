//! Where the engine is.
//!
//! A client is made for every use: it holds no connection, and an engine that was not there a moment ago is found as soon as it is.

use std::env;
use std::path::Path;

use bollard::Docker;
use bollard::errors::Error;

use crate::platform::ScaleError;

/// The engine's name in errors.
pub(super) const PLATFORM: &str = "the container engine";

/// Where Docker's engine listens.
const DOCKER: &str = "/var/run/docker.sock";

/// Where Podman's service listens when it runs as root.
const PODMAN: &str = "/run/podman/podman.sock";

/// Where the ports of containers are published, seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// On the loopback address of this machine.
    Here,
    /// On the engine's machine.
    Elsewhere(String),
}

/// Returns the engine's address: what is configured, else `DOCKER_HOST`, else the first of the usual sockets that exists.
pub(super) fn host(configured: Option<&str>) -> String {
    choose(configured, |name| env::var(name).ok(), Path::exists)
}

fn choose(configured: Option<&str>, variable: impl Fn(&str) -> Option<String>, exists: impl Fn(&Path) -> bool) -> String {
    let named = configured.map(str::to_owned).or_else(|| variable("DOCKER_HOST")).filter(|host| !host.is_empty());
    named.unwrap_or_else(|| {
        // A service of the user's own, before that of the system.
        let own = variable("XDG_RUNTIME_DIR").map(|folder| format!("{folder}/podman/podman.sock"));
        let places = [Some(DOCKER.to_owned()), own, Some(PODMAN.to_owned())].into_iter().flatten();
        let found = places.into_iter().find(|place| exists(Path::new(place)));
        format!("unix://{}", found.as_deref().unwrap_or(DOCKER))
    })
}

/// Returns where the engine at `host` publishes ports.
pub(super) fn reach(host: &str) -> Reach {
    let Some((scheme, rest)) = host.split_once("://") else { return Reach::Here };
    if scheme == "unix" {
        return Reach::Here;
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let name = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    match name {
        "" | "localhost" | "127.0.0.1" | "::1" => Reach::Here,
        name => Reach::Elsewhere(name.to_owned()),
    }
}

/// Returns a client of the engine at `host`; nothing is sent yet.
///
/// # Errors
/// When the address is none, or there is no such socket.
pub(super) fn connect(host: &str) -> Result<Docker, ScaleError> {
    Docker::connect_with_host(host).map_err(fault)
}

/// Returns what an error of the client means.
pub(super) fn fault(error: Error) -> ScaleError {
    match error {
        Error::DockerResponseServerError { status_code, message } => answered(status_code, message),
        Error::UnsupportedURISchemeError { uri } => {
            refused(format!("{uri:?} is no address of an engine: write unix:///PATH or http://HOST:PORT"))
        }
        Error::SocketNotFoundError(path) => unreachable(format!("there is no socket {path}")),
        Error::RequestTimeoutError => unreachable("it does not answer in time".to_owned()),
        Error::DockerStreamError { error } => refused(error),
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => refused(format!("its answer cannot be read: {error}")),
        error => unreachable(detail(&error)),
    }
}

/// Joins an error and its causes: the outermost of the client alone says nothing.
fn detail(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn answered(status: u16, message: String) -> ScaleError {
    match status {
        404 => ScaleError::Missing { platform: PLATFORM, what: message },
        409 => ScaleError::Conflict { platform: PLATFORM, what: message },
        502..=504 => unreachable(format!("{status} {message}")),
        _ => refused(format!("{message} (status {status})")),
    }
}

/// Returns [`ScaleError::Unreachable`].
pub(super) const fn unreachable(detail: String) -> ScaleError {
    ScaleError::Unreachable { platform: PLATFORM, detail }
}

/// Returns [`ScaleError::Refused`].
pub(super) const fn refused(detail: String) -> ScaleError {
    ScaleError::Refused { platform: PLATFORM, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_wins_over_the_environment_and_that_over_sockets() {
        let all = |name: &str| Some(format!("value of {name}"));
        let none = |_: &str| None;
        let runtime = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/run/user/7".to_owned());
        assert_eq!(choose(Some("http://a:1"), all, |_| true), "http://a:1");
        assert_eq!(choose(None, all, |_| true), "value of DOCKER_HOST");
        assert_eq!(choose(None, runtime, |_| true), "unix:///var/run/docker.sock");
        let podman = |path: &Path| path.starts_with("/run/user") || path == Path::new(PODMAN);
        assert_eq!(choose(None, runtime, podman), "unix:///run/user/7/podman/podman.sock");
        assert_eq!(choose(None, none, podman), "unix:///run/podman/podman.sock");
        assert_eq!(choose(None, none, |_| false), "unix:///var/run/docker.sock");
    }

    #[test]
    fn ports_are_where_the_engine_is() {
        for here in ["unix:///var/run/docker.sock", "http://localhost:2375", "tcp://127.0.0.1:2375", "http://[::1]:2375/", "x"] {
            assert_eq!(reach(here), Reach::Here, "{here}");
        }
        assert_eq!(reach("tcp://docker:2375"), Reach::Elsewhere("docker".to_owned()));
        assert_eq!(reach("http://10.0.0.7"), Reach::Elsewhere("10.0.0.7".to_owned()));
        assert_eq!(reach("http://[fd00::7]:2375"), Reach::Elsewhere("fd00::7".to_owned()));
    }

    #[test]
    fn answers_of_the_engine_become_errors_that_say_what_helps() {
        let answer = |status_code| fault(Error::DockerResponseServerError { status_code, message: "m".to_owned() }).as_str();
        let words: Vec<_> = [404, 409, 400, 500, 503].map(answer).to_vec();
        assert_eq!(words, ["missing", "conflict", "refused", "refused", "unreachable"]);
        assert_eq!(fault(Error::RequestTimeoutError).as_str(), "unreachable");
    }

    #[test]
    fn an_engine_that_is_not_there_is_said_to_be_unreachable() {
        let error = connect("unix:///nowhere/engine.sock").unwrap_err();
        assert_eq!(error.to_string(), "the container engine cannot be reached: there is no socket /nowhere/engine.sock");
        assert_eq!(connect("gopher://x").unwrap_err().as_str(), "refused");
    }
}
