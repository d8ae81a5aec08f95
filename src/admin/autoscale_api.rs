//! The pages about the sizing of pools.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use http::StatusCode;

use serde::Deserialize;

use super::api::{Problem, Shared, read};
use super::autoscale::{OrderRequest, ScalingView};
use super::duration;
use super::handles::{Control, Unknown};
use crate::autoscale::Instruction;
use crate::autoscale::PEERS_PAGE;

pub(super) fn pages() -> Router<Arc<dyn Control>> {
    Router::new()
        .route("/api/v1/pools/{pool}/autoscale", get(scaling))
        .route("/api/v1/pools/{pool}/autoscale/order", put(give_order).merge(delete(take_order_back)))
        .route("/api/v1/pools/{pool}/autoscale/decisions", get(decisions))
        .route("/api/v1/pools/{pool}/autoscale/decisions/{id}", get(decision))
        .route("/api/v1/pools/{pool}/autoscale/forecast", get(forecast))
        .route("/api/v1/pools/{pool}/autoscale/history", get(history))
        .route("/api/v1/autoscale", get(autoscaler))
        .route("/api/v1/reports/scaling", get(report))
        .route(PEERS_PAGE, post(exchange))
}

/// The most decisions that are shown at once.
const MAX_SHOWN: usize = 1000;

/// The longest time that is looked back, as long as history is kept.
const MAX_BACK: Duration = Duration::from_secs(35 * 24 * 3600);

/// Which decisions are to be shown.
#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    before: Option<u64>,
}

/// Which time is to be shown.
#[derive(Deserialize)]
struct Window {
    #[serde(default, deserialize_with = "duration::optional")]
    window: Option<Duration>,
    step: Option<u32>,
}

impl Window {
    fn or(&self, default: Duration) -> Result<Duration, Problem> {
        let window = self.window.unwrap_or(default);
        let problem = || Problem::new(StatusCode::BAD_REQUEST, "window is a duration from 1m to 840h");
        (window >= Duration::from_secs(60) && window <= MAX_BACK).then_some(window).ok_or_else(problem)
    }
}

fn unreadable(error: String) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the store cannot be read: {error}"))
}

async fn autoscaler(State(control): Shared) -> Response {
    Json(control.autoscaler()).into_response()
}

async fn decisions(State(control): Shared, Path(pool): Path<String>, Query(page): Query<Page>) -> Result<Response, Problem> {
    let limit = page.limit.unwrap_or(50);
    if !(1..=MAX_SHOWN).contains(&limit) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("limit is a number from 1 to {MAX_SHOWN}, found {limit}")));
    }
    Ok(Json(control.decisions(&pool, limit, page.before)?.await.map_err(unreadable)?).into_response())
}

async fn decision(State(control): Shared, Path((pool, id)): Path<(String, u64)>) -> Result<Response, Problem> {
    let found = control.decision(&pool, id)?.await.map_err(unreadable)?;
    Ok(Json(found.ok_or(Unknown::Decision { pool, id })?).into_response())
}

async fn forecast(State(control): Shared, Path(pool): Path<String>) -> Result<Response, Problem> {
    Ok(Json(control.forecast(&pool)?).into_response())
}

async fn history(State(control): Shared, Path(pool): Path<String>, Query(query): Query<Window>) -> Result<Response, Problem> {
    let minutes = i64::try_from(query.or(Duration::from_secs(3600))?.as_secs() / 60).unwrap_or(i64::MAX);
    let step = query.step.unwrap_or(1);
    if !(1..=1440).contains(&step) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("step is a number of minutes from 1 to 1440, found {step}")));
    }
    Ok(Json(control.history(&pool, minutes, step)?).into_response())
}

async fn report(State(control): Shared, Query(query): Query<Window>) -> Result<Response, Problem> {
    let window = query.or(Duration::from_secs(24 * 3600))?;
    Ok(Json(control.scaling_report(window).await.map_err(unreadable)?).into_response())
}

async fn exchange(State(control): Shared, request: Request) -> Result<Response, Problem> {
    let instruction: Instruction = read(request, "the word of a gateway of the same version").await?;
    Ok(Json(control.exchange(&instruction)).into_response())
}

async fn scaling(State(control): Shared, Path(pool): Path<String>) -> Result<Response, Problem> {
    Ok(Json(control.scaling(&pool)?).into_response())
}

async fn give_order(State(control): Shared, Path(pool): Path<String>, request: Request) -> Result<Response, Problem> {
    // First, so that a wrong name is not hidden behind a wrong order.
    must_lead(&control.scaling(&pool)?)?;
    let order: OrderRequest = read(request, OrderRequest::EXPECTED).await?;
    let order = order.check().map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
    Ok(Json(control.order_scaling(&pool, Some(order))?).into_response())
}

async fn take_order_back(State(control): Shared, Path(pool): Path<String>) -> Result<Response, Problem> {
    must_lead(&control.scaling(&pool)?)?;
    Ok(Json(control.order_scaling(&pool, None)?).into_response())
}

/// Refuses what would have no effect here.
fn must_lead(standing: &ScalingView) -> Result<(), Problem> {
    if standing.leads {
        return Ok(());
    }
    let leader = standing.leader.as_ref().map_or_else(|| "another gateway".to_owned(), |leader| format!("{leader:?}"));
    let detail = format!("this gateway does not size pool \"{}\": give the order to {leader}, which leads", standing.pool);
    Err(Problem::new(StatusCode::CONFLICT, detail))
}
