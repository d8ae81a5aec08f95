//! The access log of the config in force.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Context;

use crate::model::AccessLog as Settings;
use crate::telemetry::access_log::{AccessLog, Handle};

/// The access log of the config in force.
#[derive(Debug, Default)]
pub(super) struct AccessLogs {
    open: Mutex<Option<(Settings, AccessLog)>>,
    dropped: Arc<AtomicU64>,
}

/// An access log that was opened for a config which is not in force yet.
#[derive(Debug)]
pub(super) enum Next {
    /// The one that is open already.
    Same,
    /// Another one, or none.
    Other(Option<(Settings, AccessLog)>),
}

impl AccessLogs {
    /// Opens what `settings` ask for, beside what is open.
    pub(super) fn prepare(&self, settings: Option<&Settings>) -> anyhow::Result<Next> {
        let same = self.lock().as_ref().map(|(known, _)| known) == settings;
        if same {
            return Ok(Next::Same);
        }
        let open = |settings: &Settings| {
            let opened = AccessLog::open(settings, self.dropped.clone());
            let log = opened.with_context(|| format!("the access log {} cannot be opened", settings.path))?;
            anyhow::Ok((settings.clone(), log))
        };
        settings.map(open).transpose().map(Next::Other)
    }

    /// Returns the handle that workers write to once `next` is in force.
    pub(super) fn handle(&self, next: &Next) -> Option<Handle> {
        match next {
            Next::Same => self.lock().as_ref().map(|(_, log)| log.handle()),
            Next::Other(other) => other.as_ref().map(|(_, log)| log.handle()),
        }
    }

    /// Closes what was open before `next`, which waits for its last line.
    pub(super) fn keep(&self, next: Next) {
        if let Next::Other(other) = next {
            let old = std::mem::replace(&mut *self.lock(), other);
            drop(old);
        }
    }

    /// Opens the file again.
    pub(super) fn reopen(&self) {
        if let Some((_, log)) = &*self.lock() {
            log.reopen();
        }
    }

    /// Writes out what waits, and closes.
    pub(super) fn close(&self) {
        let old = self.lock().take();
        drop(old);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Settings, AccessLog)>> {
        // A log is replaced as a whole: a holder that panicked left either.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
