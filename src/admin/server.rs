//! The server: who may ask, how much and how long.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::net::TcpListener;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::api::{self, Problem};
use super::auth::Guard;
use super::handles::Control;
use crate::model::Secret;

/// Requests here are small.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// A reload waits for every worker; nothing else takes this long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Who may write.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address that is listened on: loopback is trusted more.
    pub address: IpAddr,
    /// The bearer token.
    pub token: Option<Secret>,
}

fn router(control: Arc<dyn Control>, settings: Settings) -> Router {
    let guard = Guard::new(settings.address, settings.token);
    let api = api::api_pages().route_layer(middleware::from_fn_with_state(guard, check));
    Router::new()
        .merge(api::open_pages())
        .merge(api)
        .fallback(api::unknown_page)
        .method_not_allowed_fallback(api::wrong_method)
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, TIMEOUT))
        // Outermost: the layers below and the extractors answer as well.
        .layer(middleware::map_response(api::no_bare_errors))
        .layer(middleware::map_response(api::no_store))
        .with_state(control)
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => Problem::new(denied.status, denied.detail).into_response(),
    }
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the socket fails for good.
pub async fn serve(
    listener: TcpListener,
    control: Arc<dyn Control>,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(control, settings)).with_graceful_shutdown(shutdown).await
}
