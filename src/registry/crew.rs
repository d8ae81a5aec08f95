//! The workers, as those who talk to them see them: where to post a command, and how many connections each has.

use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::Command;

/// A worker gives a connection away when it has this many more than the least loaded one, and an eighth more.
///
/// Moving a connection costs about as much as accepting it, so small differences stay.
const SLACK: usize = 2;

/// The workers of the process.
#[derive(Debug)]
pub struct Crew {
    posts: Vec<Post>,
}

#[derive(Debug, Default)]
struct Post {
    commands: ArcSwapOption<UnboundedSender<Command>>,
    open: AtomicUsize,
    /// Connections on their way to it from other workers.
    offered: AtomicIsize,
}

impl Post {
    fn load(&self) -> usize {
        self.open.load(Relaxed).saturating_add_signed(self.offered.load(Relaxed))
    }
}

impl Crew {
    /// A crew of `size` workers, none of which has come yet.
    pub fn new(size: usize) -> Self {
        Self { posts: (0..size).map(|_| Post::default()).collect() }
    }

    /// Returns how many workers there are.
    pub const fn size(&self) -> usize {
        self.posts.len()
    }

    /// A worker came, or came again.
    pub fn attach(&self, worker: usize, commands: UnboundedSender<Command>) {
        if let Some(post) = self.posts.get(worker) {
            post.open.store(0, Relaxed);
            post.offered.store(0, Relaxed);
            post.commands.store(Some(commands.into()));
        }
    }

    /// Posts `command` to one worker; gives it back when that worker is gone.
    ///
    /// # Errors
    /// The command, when nobody takes it.
    pub fn post(&self, worker: usize, command: Command) -> Result<(), Command> {
        let Some(commands) = self.posts.get(worker).and_then(|post| post.commands.load_full()) else { return Err(command) };
        commands.send(command).map_err(|refused| refused.0)
    }

    /// Posts a command to every worker and waits until each has done it; a worker that is gone has nothing to do.
    pub async fn post_all(&self, command: impl Fn(oneshot::Sender<()>) -> Command) {
        let mut answers = Vec::with_capacity(self.posts.len());
        for worker in 0..self.posts.len() {
            let (done, answer) = oneshot::channel();
            if self.post(worker, command(done)).is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            // An error is a worker that died: its successor starts with the current world.
            let _ = answer.await;
        }
    }

    /// Ends every worker at once.
    pub fn stop(&self) {
        for worker in 0..self.posts.len() {
            // A worker that is gone has ended already.
            let _ = self.post(worker, Command::Stop);
        }
    }

    /// Notes how many connections a worker has.
    pub fn set_open(&self, worker: usize, open: usize) {
        if let Some(post) = self.posts.get(worker) {
            post.open.store(open, Relaxed);
        }
    }

    /// Notes that connections were offered to a worker, or that it has got them (negative): a burst must not go to one worker whole, because
    /// nobody has counted it there yet.
    pub fn note_offer(&self, worker: usize, change: isize) {
        if let Some(post) = self.posts.get(worker) {
            post.offered.fetch_add(change, Relaxed);
        }
    }

    /// Returns how many connections all workers have.
    pub fn open(&self) -> usize {
        self.posts.iter().map(|post| post.open.load(Relaxed)).sum()
    }

    /// Returns who should take a connection that `worker` accepted, when it is not that worker itself.
    pub fn better_than(&self, worker: usize) -> Option<usize> {
        if self.posts.len() < 2 {
            return None;
        }
        let mine = self.posts.get(worker)?.load();
        let (least, open) = self.posts.iter().map(Post::load).enumerate().min_by_key(|&(_, open)| open)?;
        (mine >= open + SLACK + open / 8).then_some(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_imbalance_moves_connections() {
        let crew = Crew::new(3);
        for (worker, open) in [(0, 3), (1, 1), (2, 2)] {
            crew.set_open(worker, open);
        }
        assert_eq!(crew.better_than(0), Some(1));
        assert_eq!(crew.better_than(2), None);
        assert_eq!(crew.better_than(1), None);
        assert_eq!(Crew::new(1).better_than(0), None);
    }

    #[test]
    fn what_is_on_its_way_counts() {
        let crew = Crew::new(2);
        crew.set_open(0, 4);
        assert_eq!(crew.better_than(0), Some(1));
        crew.note_offer(1, 3);
        assert_eq!(crew.better_than(0), None);
        crew.note_offer(1, -3);
        assert_eq!(crew.better_than(0), Some(1));
    }

    #[test]
    fn a_command_for_nobody_comes_back() {
        let (done, _answer) = oneshot::channel();
        assert!(Crew::new(1).post(0, Command::Drain(done)).is_err());
    }
}
