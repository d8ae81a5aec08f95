//! `status`: asks the admin server of a running Tidegate, and shows its pools and endpoints.

use super::args;

pub(super) fn run(_: &args::Status) -> anyhow::Result<()> {
    Ok(())
}
