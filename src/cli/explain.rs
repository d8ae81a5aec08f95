//! `explain`.

mod policies;
mod report;
mod request;
mod sent;

use super::args;

pub(super) fn run(_: &args::Explain) -> anyhow::Result<()> {
    Ok(())
}
