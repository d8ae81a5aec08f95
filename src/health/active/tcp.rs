//! A check that asks for a connection and nothing more; with TLS, for the handshake too.

use std::time::Duration;

use super::check::{Good, Says};
use crate::upstream::once::open;
use crate::upstream::{Lookup, Target};

pub(super) async fn ask(target: &Target, lookup: &Lookup, limit: Duration) -> Result<Good, String> {
    open(target, lookup, limit).await?;
    Ok(Good { message: "connected".to_owned(), says: Says::Well })
}
