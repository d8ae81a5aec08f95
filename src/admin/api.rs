//! The pages.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fault::FaultOrder;
use super::handles::{CHECKS, Control, Unknown};
use crate::health::HISTORY;
use crate::model::Weight;

pub(super) type Shared = State<Arc<dyn Control>>;

/// The longest detail of an error that no page made, in bytes.
const MAX_DETAIL: usize = 1024;

/// What there is, shown to whoever asks for something else.
pub(super) const PAGES: [&str; 27] = [
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /api/v1/status",
    "GET /api/v1/config",
    "POST /api/v1/config/reload",
    "GET /api/v1/pools",
    "GET /api/v1/pools/{pool}",
    "GET, PATCH /api/v1/pools/{pool}/endpoints/{id}",
    "POST /api/v1/pools/{pool}/endpoints/{id}/drain",
    "POST /api/v1/pools/{pool}/endpoints/{id}/undrain",
    "POST /api/v1/pools/{pool}/endpoints/{id}/breaker/close",
    "GET /api/v1/pools/{pool}/autoscale",
    "PUT, DELETE /api/v1/pools/{pool}/autoscale/order",
    "GET /api/v1/pools/{pool}/autoscale/decisions",
    "GET /api/v1/pools/{pool}/autoscale/decisions/{id}",
    "GET /api/v1/pools/{pool}/autoscale/forecast",
    "GET /api/v1/pools/{pool}/autoscale/history",
    "GET /api/v1/autoscale",
    "GET /api/v1/reports/scaling",
    "POST /api/v1/peers/exchange",
    "GET /api/v1/bulkheads",
    "GET /api/v1/bulkheads/{bulkhead}",
    "GET /api/v1/routes",
    "GET /api/v1/routes/{route}",
    "PUT, DELETE /api/v1/routes/{route}/fault",
    "GET /api/v1/overload",
];

/// An error as a problem document (RFC 9457).
#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pages: &'static [&'static str],
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { status: status.as_u16(), title, detail: detail.into(), problems: Vec::new(), pages: &[] }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2.
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Unknown> for Problem {
    fn from(unknown: Unknown) -> Self {
        Self::new(StatusCode::NOT_FOUND, unknown.to_string())
    }
}

/// Everything without `/api`, which is open.
pub(super) fn open_pages() -> Router<Arc<dyn Control>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).route("/metrics", get(metrics))
}

/// Everything under `/api`.
pub(super) fn api_pages() -> Router<Arc<dyn Control>> {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/config", get(config))
        .route("/api/v1/config/reload", post(reload))
        .route("/api/v1/pools", get(pools))
        .route("/api/v1/pools/{pool}", get(pool))
        .route("/api/v1/pools/{pool}/endpoints/{id}", get(endpoint).merge(patch(set_weight)))
        .route("/api/v1/pools/{pool}/endpoints/{id}/drain", post(drain))
        .route("/api/v1/pools/{pool}/endpoints/{id}/undrain", post(undrain))
        .route("/api/v1/pools/{pool}/endpoints/{id}/breaker/close", post(close_breaker))
        .merge(super::autoscale_api::pages())
        .route("/api/v1/bulkheads", get(bulkheads))
        .route("/api/v1/bulkheads/{bulkhead}", get(bulkhead))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/routes/{route}", get(route))
        .route("/api/v1/routes/{route}/fault", put(set_fault).merge(delete(clear_fault)))
        .route("/api/v1/overload", get(overload))
}

pub(super) async fn unknown_page(uri: Uri) -> Problem {
    Problem { pages: &PAGES, ..Problem::new(StatusCode::NOT_FOUND, format!("there is no page {}", uri.path())) }
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem { pages: &PAGES, ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
}

async fn healthz() -> &'static str {
    "live\n"
}

async fn readyz(State(control): Shared) -> Response {
    let readiness = control.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics(State(control): Shared) -> Response {
    let mut response = control.metrics().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

async fn status(State(control): Shared) -> Response {
    Json(control.status()).into_response()
}

async fn config(State(control): Shared) -> Response {
    Json(control.config()).into_response()
}

async fn reload(State(control): Shared) -> Response {
    match control.reload().await {
        Ok(report) => Json(report).into_response(),
        Err(failure) => {
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the config was not taken; the old one stays in force");
            Problem { problems: failure.problems, ..problem }.into_response()
        }
    }
}

/// How many results of health checks are to be shown.
#[derive(Deserialize)]
struct Shown {
    checks: Option<usize>,
}

impl Shown {
    fn checks(&self) -> Result<usize, Problem> {
        let checks = self.checks.unwrap_or(CHECKS);
        let problem = || Problem::new(StatusCode::BAD_REQUEST, format!("checks is a number from 0 to {HISTORY}, found {checks}"));
        (checks <= HISTORY).then_some(checks).ok_or_else(problem)
    }
}

async fn pools(State(control): Shared, Query(shown): Query<Shown>) -> Result<Response, Problem> {
    Ok(Json(control.pools(shown.checks()?)).into_response())
}

async fn pool(State(control): Shared, Path(pool): Path<String>, Query(shown): Query<Shown>) -> Result<Response, Problem> {
    Ok(Json(control.pool(&pool, shown.checks()?)?).into_response())
}

async fn endpoint(
    State(control): Shared,
    Path((pool, id)): Path<(String, String)>,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    Ok(Json(control.endpoint(&pool, &id, shown.checks()?)?).into_response())
}

async fn drain(State(control): Shared, Path((pool, id)): Path<(String, String)>) -> Result<Response, Problem> {
    Ok(Json(control.set_draining(&pool, &id, true)?).into_response())
}

async fn undrain(State(control): Shared, Path((pool, id)): Path<(String, String)>) -> Result<Response, Problem> {
    Ok(Json(control.set_draining(&pool, &id, false)?).into_response())
}

async fn close_breaker(State(control): Shared, Path((pool, id)): Path<(String, String)>) -> Result<Response, Problem> {
    Ok(Json(control.close_breaker(&pool, &id)?).into_response())
}

async fn bulkheads(State(control): Shared) -> Response {
    Json(control.bulkheads()).into_response()
}

async fn bulkhead(State(control): Shared, Path(bulkhead): Path<String>) -> Result<Response, Problem> {
    Ok(Json(control.bulkhead(&bulkhead)?).into_response())
}

async fn routes(State(control): Shared) -> Response {
    Json(control.routes()).into_response()
}

async fn route(State(control): Shared, Path(route): Path<String>) -> Result<Response, Problem> {
    Ok(Json(control.route(&route)?).into_response())
}

async fn overload(State(control): Shared) -> Response {
    Json(control.overload()).into_response()
}

async fn set_fault(State(control): Shared, Path(route): Path<String>, request: Request) -> Result<Response, Problem> {
    // First, so that a wrong name is not hidden behind a wrong order.
    if control.route(&route)?.pools.is_empty() {
        let detail = format!("route {route:?} sends no requests to a pool: there is nothing that a fault could befall");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let order: FaultOrder = read(request, FaultOrder::EXPECTED).await?;
    let fault = order.check().map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
    Ok(Json(control.set_fault(&route, Some(fault))?).into_response())
}

async fn clear_fault(State(control): Shared, Path(route): Path<String>) -> Result<Response, Problem> {
    Ok(Json(control.set_fault(&route, None)?).into_response())
}

/// Reads a body of JSON, of which `expected` is an example.
pub(super) async fn read<T: DeserializeOwned>(request: Request, expected: &str) -> Result<T, Problem> {
    let body = axum::body::to_bytes(request.into_body(), super::server::MAX_BODY)
        .await
        .map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))?;
    serde_json::from_slice(&body).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{expected} is expected: {error}")))
}

/// What `PATCH` takes: `{"weight": 2.5}`, or `{"weight": null}` for the file's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(deserialize_with = "present")]
    weight: Option<f64>,
}

/// A field that may be null but not absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(deserializer)
}

async fn set_weight(
    State(control): Shared,
    Path((pool, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let change: Change = read(request, "{\"weight\": NUMBER} or {\"weight\": null}").await?;
    let weight = change.weight.map(Weight::new).transpose();
    let weight = weight.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(Json(control.set_weight(&pool, &id, weight)?).into_response())
}

/// Errors that no page made are problem documents like all others.
pub(super) async fn no_bare_errors(response: Response) -> Response {
    let status = response.status();
    let bare = response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/"));
    if !bare || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    // What says more than this in an error is not worth showing.
    let told = axum::body::to_bytes(response.into_body(), MAX_DETAIL).await.unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    let title = status.canonical_reason().unwrap_or("Error");
    Problem::new(status, if told.is_empty() { title } else { &told }).into_response()
}

/// Nothing here may be kept by a cache.
pub(super) async fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
