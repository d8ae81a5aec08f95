//! From the settings of a program to the command of one replica.

use std::process::Stdio;

use tokio::process::Command;

use crate::kit::hash::stable;
use crate::model::{Id, Program};

/// The variable that marks a process as started by Tidegate, for this very start; processes that it starts inherit it.
pub(super) const MARK: &str = "TIDEGATE_START_ID";

/// What is different from start to start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    pub(super) name: &'a Id,
    pub(super) port: u16,
    /// The value of [`MARK`].
    pub(super) mark: &'a str,
}

impl Start<'_> {
    fn fill(&self, text: &str) -> String {
        // A name has no braces, so what is put in is not replaced again.
        text.replace("{port}", &self.port.to_string()).replace("{name}", self.name.as_str())
    }

    /// Returns the command, without standard output and error; `None` when there is no program.
    pub(super) fn command(&self, program: &Program) -> Option<Command> {
        let (first, arguments) = program.command.split_first()?;
        let mut command = Command::new(self.fill(first));
        command.args(arguments.iter().map(|argument| self.fill(argument)));
        // Whoever sizes pools holds this token; what runs in a pool has no business with it.
        command.env_remove("TIDEGATE_ADMIN_TOKEN");
        command.env("PORT", self.port.to_string()).env("TIDEGATE_REPLICA", self.name.as_str());
        command.envs(program.env.iter().map(|(name, value)| (name, self.fill(value.expose()))));
        command.env(MARK, self.mark);
        if let Some(folder) = &program.folder {
            command.current_dir(folder);
        }
        // In a group of its own: a signal reaches what the program starts too, and Ctrl-C at a terminal reaches Tidegate only. A pipe to standard
        // input closes when Tidegate is killed, so that programs that watch it end by themselves.
        command.process_group(0).stdin(Stdio::piped());
        Some(command)
    }
}

/// Returns a number that is the same for programs of which a running process is an instance. The text of secrets goes in, but does not come out.
pub(super) fn fingerprint(program: &Program) -> u64 {
    let folder = program.folder.as_ref().map(|folder| folder.as_os_str().as_encoded_bytes());
    let mut bytes = Vec::new();
    let mut add = |part: &[u8]| {
        // Lengths go before, so that moving a byte from one part to the next is a change.
        bytes.extend_from_slice(part.len().to_string().as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(part);
    };
    add(program.command.len().to_string().as_bytes());
    program.command.iter().for_each(|part| add(part.as_bytes()));
    program.env.iter().for_each(|(name, value)| {
        add(name.as_bytes());
        add(value.expose().as_bytes());
    });
    add(folder.unwrap_or_default());
    stable(&bytes)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::time::Duration;

    use super::*;
    use crate::model::Secret;

    fn program(command: &[&str], env: &[(&str, &str)]) -> Program {
        Program {
            command: command.iter().map(|part| (*part).to_owned()).collect(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect(),
            folder: None,
            ready_timeout: Duration::from_secs(1),
            grace: Duration::from_secs(1),
        }
    }

    #[test]
    fn port_and_name_are_put_in() {
        let name: Id = "a-1".parse().unwrap();
        let start = Start { name: &name, port: 80, mark: "m" };
        let program =
            program(&["run-{name}", "--at=:{port}", "{name}:{port}", "{other}"], &[("AT", "{port}/{name}"), ("PORT", "x{port}")]);
        let command = start.command(&program).unwrap();
        let command = command.as_std();
        assert_eq!(command.get_program(), "run-a-1");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["--at=:80", "a-1:80", "{other}"]);
        let env: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name, value?))).collect();
        let expected = [("AT", "80/a-1"), ("PORT", "x80"), ("TIDEGATE_REPLICA", "a-1"), (MARK, "m")];
        assert_eq!(env, expected.map(|(name, value)| (OsStr::new(name), OsStr::new(value))));
    }

    #[test]
    fn nothing_is_no_command() {
        let name: Id = "a-1".parse().unwrap();
        assert!(Start { name: &name, port: 80, mark: "m" }.command(&program(&[], &[])).is_none());
    }

    #[test]
    fn whatever_makes_another_process_makes_another_fingerprint() {
        let first = program(&["a", "b"], &[("c", "d")]);
        assert_eq!(fingerprint(&first), fingerprint(&Program { grace: Duration::ZERO, ..first.clone() }));
        let others = [
            program(&["ab"], &[("c", "d")]),
            program(&["a"], &[("b", ""), ("c", "d")]),
            program(&["a", "b"], &[("c", "e")]),
            program(&["a", "b", "c", "d"], &[]),
            Program { folder: Some("/".into()), ..first.clone() },
        ];
        for other in others {
            assert_ne!(fingerprint(&other), fingerprint(&first), "{:?}", other.command);
        }
    }
}
