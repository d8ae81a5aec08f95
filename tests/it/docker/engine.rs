//! What the fake engine knows, and what it answers: containers, networks, images.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::fake::Answer;

/// What an engine has.
#[derive(Default)]
pub struct Engine {
    pub containers: BTreeMap<String, Made>,
    /// Their names and labels.
    pub nets: BTreeMap<String, Value>,
    pub images: BTreeSet<String>,
    /// Images that it can pull.
    pub registry: BTreeSet<String>,
    /// Every request, as method and path.
    pub requests: Vec<String>,
    /// How long each stop was told to wait.
    pub graces: Vec<String>,
    pub made: u8,
}

/// A container.
pub struct Made {
    pub name: String,
    pub body: Value,
    pub is_running: bool,
    ip: IpAddr,
    port: u16,
    exit_code: Option<i64>,
    task: Option<JoinHandle<()>>,
    measured: u64,
}

pub fn no_container(id: &str) -> Answer {
    (404, json!({"message": format!("No such container: {id}")}))
}

impl Made {
    /// Runs as `task`, reached through `port`.
    pub fn runs(&mut self, port: u16, task: JoinHandle<()>) {
        (self.is_running, self.port, self.task, self.exit_code) = (true, port, Some(task), None);
    }

    /// Ends with a status.
    pub fn dies(&mut self, code: i64) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        (self.is_running, self.exit_code) = (false, Some(code));
    }

    fn network(&self) -> Option<&str> {
        self.body["HostConfig"]["NetworkMode"].as_str()
    }

    fn key(&self) -> String {
        self.body["ExposedPorts"].as_object().and_then(|ports| ports.keys().next().cloned()).unwrap_or_default()
    }

    fn state(&self) -> &'static str {
        match (self.is_running, self.exit_code) {
            (true, _) => "running",
            (false, Some(_)) => "exited",
            (false, None) => "created",
        }
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.body["Labels"][name].as_str()
    }
}

impl Engine {
    /// The container of this name.
    pub fn named(&mut self, name: &str) -> &mut Made {
        self.containers.values_mut().find(|container| container.name == name).unwrap_or_else(|| panic!("{name} is not there"))
    }

    /// The names of all containers.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.containers.values().map(|container| container.name.clone()).collect();
        names.sort();
        names
    }

    /// Puts a container there that somebody else has made; it does not run.
    pub fn put(&mut self, name: &str, labels: Value) {
        let (status, _) = self.create(name, json!({"Image": self.images.first(), "Labels": labels}));
        assert_eq!(status, 201);
        self.named(name).dies(0);
    }

    pub fn list(&self, is_all: bool, labels: &[(String, String)]) -> Answer {
        let is_meant = |container: &&Made| {
            (is_all || container.is_running) && labels.iter().all(|(name, value)| container.label(name) == Some(value))
        };
        let shown = |(id, container): (&String, &Made)| {
            let name = format!("/{}", container.name);
            json!({"Id": id, "Names": [name], "Image": container.image(), "State": container.state(), "Created": 1_700_000_000,
                "Labels": container.body["Labels"]})
        };
        let found = self.containers.iter().filter(|(_, container)| is_meant(container)).map(shown);
        (200, found.collect())
    }

    pub fn create(&mut self, name: &str, body: Value) -> Answer {
        let image = body["Image"].as_str().unwrap_or_default().to_owned();
        if !self.images.contains(&image) {
            return (404, json!({"message": format!("No such image: {image}")}));
        }
        if self.containers.values().any(|container| container.name == name) {
            return (409, json!({"message": format!("Conflict. The container name \"/{name}\" is already in use")}));
        }
        self.made += 1;
        let id = format!("{:064x}", self.made);
        let ip = IpAddr::from([127, 77, 0, self.made]);
        let name = name.to_owned();
        let container = Made { name, body, is_running: false, ip, port: 0, exit_code: None, task: None, measured: 0 };
        self.containers.insert(id.clone(), container);
        (201, json!({"Id": id, "Warnings": []}))
    }

    /// Where a container that is to be started listens; none when it runs.
    pub fn place(&self, id: &str) -> Result<Option<SocketAddr>, Answer> {
        let container = self.containers.get(id).ok_or_else(|| no_container(id))?;
        if container.is_running {
            return Ok(None);
        }
        match container.network() {
            Some(network) if !self.nets.contains_key(network) => {
                Err((404, json!({"message": format!("network {network} not found")})))
            }
            Some(_) => Ok(Some(SocketAddr::new(container.ip, container.key().trim_end_matches("/tcp").parse().unwrap()))),
            None => Ok(Some(([127, 0, 0, 1], 0).into())),
        }
    }

    pub fn stop(&mut self, id: &str, grace: &str) -> Answer {
        let Some(container) = self.containers.get_mut(id) else { return no_container(id) };
        if !container.is_running {
            return (304, Value::Null);
        }
        container.dies(143);
        self.graces.push(grace.to_owned());
        (204, Value::Null)
    }

    pub fn inspect(&self, id: &str) -> Answer {
        let Some(container) = self.containers.get(id) else { return no_container(id) };
        let state = json!({"Status": container.state(), "Running": container.is_running, "ExitCode": container.exit_code.unwrap_or(0),
            "OOMKilled": false, "Error": ""});
        let mut ports = serde_json::Map::new();
        let mut networks = serde_json::Map::new();
        match container.network() {
            Some(network) => drop(networks.insert(network.to_owned(), json!({"IPAddress": container.ip}))),
            None if container.is_running => {
                let port = container.port.to_string();
                ports.insert(container.key(), json!([{"HostIp": "127.0.0.1", "HostPort": port}]));
            }
            None => {}
        }
        (200, json!({"Id": id, "State": state, "NetworkSettings": {"Ports": ports, "Networks": networks}}))
    }

    pub fn stats(&mut self, id: &str) -> Answer {
        let Some(container) = self.containers.get_mut(id) else { return no_container(id) };
        container.measured += 1;
        let used = container.measured * 100_000_000;
        let cpu = json!({"cpu_usage": {"total_usage": used}, "system_cpu_usage": used, "online_cpus": 2});
        (200, json!({"cpu_stats": cpu, "memory_stats": {"usage": 600, "limit": 1000, "stats": {"inactive_file": 100}}}))
    }

    pub fn logs(&self, id: &str) -> Answer {
        match self.containers.get(id) {
            Some(_) => (200, json!("thinking\nout of ideas\n")),
            None => no_container(id),
        }
    }

    pub fn remove(&mut self, id: &str, is_forced: bool) -> Answer {
        let Some(container) = self.containers.get_mut(id) else { return no_container(id) };
        if container.is_running && !is_forced {
            return (
                409,
                json!({"message": "cannot remove container: container is running: stop the container before removing or force remove"}),
            );
        }
        container.dies(137);
        self.containers.remove(id);
        (204, Value::Null)
    }

    pub fn networks(&self, parts: &[String]) -> Answer {
        let found = self.nets.iter().filter(|(name, _)| parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str())));
        (200, found.map(|(name, body)| json!({"Name": name, "Id": name, "Labels": body["Labels"]})).collect())
    }

    pub fn create_network(&mut self, body: &Value) -> Answer {
        let name = body["Name"].as_str().unwrap().to_owned();
        if self.nets.contains_key(&name) {
            return (409, json!({"message": format!("network with name {name} already exists")}));
        }
        self.nets.insert(name.clone(), body.clone());
        (201, json!({"Id": name, "Warning": ""}))
    }

    pub fn image(&self, name: &str) -> Answer {
        if self.images.contains(name) {
            (200, json!({"Id": "sha256:ab"}))
        } else {
            (404, json!({"message": format!("No such image: {name}")}))
        }
    }

    /// Answers 200 at once, as engines do, and says in the stream whether it worked.
    pub fn pull(&mut self, repository: &str, tag: &str) -> Answer {
        let image = format!("{repository}:{tag}");
        if !self.registry.contains(&image) {
            let message = format!("manifest for {image} not found");
            return (200, json!({"errorDetail": {"message": message}, "error": message}));
        }
        self.images.insert(image);
        (200, json!({"status": "Download complete"}))
    }
}
