//! The pages about the sizing of pools.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use http::StatusCode;

use super::api::{Problem, Shared, read};
use super::autoscale::OrderRequest;
use super::handles::Control;

pub(super) fn pages() -> Router<Arc<dyn Control>> {
    Router::new()
        .route("/api/v1/pools/{pool}/autoscale", get(scaling))
        .route("/api/v1/pools/{pool}/autoscale/order", put(give_order).merge(delete(take_order_back)))
}

async fn scaling(State(control): Shared, Path(pool): Path<String>) -> Result<Response, Problem> {
    Ok(Json(control.scaling(&pool)?).into_response())
}

async fn give_order(State(control): Shared, Path(pool): Path<String>, request: Request) -> Result<Response, Problem> {
    // First, so that a wrong name is not hidden behind a wrong order.
    control.scaling(&pool)?;
    let order: OrderRequest = read(request, OrderRequest::EXPECTED).await?;
    let order = order.check().map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
    Ok(Json(control.order_scaling(&pool, Some(order))?).into_response())
}

async fn take_order_back(State(control): Shared, Path(pool): Path<String>) -> Result<Response, Problem> {
    Ok(Json(control.order_scaling(&pool, None)?).into_response())
}
