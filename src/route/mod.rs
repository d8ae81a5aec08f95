//! stub
#![allow(missing_docs)]
use crate::model;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::borrow::Cow;
use std::sync::Arc;
#[derive(Debug)]
pub struct Table;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct RouteError;
pub struct Query<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    pub query: Option<&'a str>,
}
#[derive(Clone, Copy, Debug)]
pub struct Matched {
    pub route: usize,
    pub prefix_len: usize,
}
pub enum Miss {
    NoRoute,
    Method(Vec<Method>),
}
impl Table {
    pub fn build(_: &[Arc<model::Route>], _: &model::Id) -> Result<Self, RouteError> {
        todo!()
    }
    pub fn find(&self, _: &Query<'_>) -> Result<Matched, Miss> {
        todo!()
    }
}
#[derive(Debug)]
pub struct Rewriter;
impl Rewriter {
    pub fn new(_: &model::Rewrite) -> Self {
        todo!()
    }
    pub fn path(&self, _: &PathAndQuery, _: usize) -> Option<PathAndQuery> {
        todo!()
    }
    pub fn request(&self, _: &mut HeaderMap) {}
    pub fn response(&self, _: &mut HeaderMap) {}
}
#[derive(Debug)]
pub struct Rotation;
impl Rotation {
    pub fn new(_: &[u32]) -> Self {
        todo!()
    }
    pub fn next(&mut self) -> usize {
        0
    }
}
pub fn location(_: &model::Redirect, _: &str, _: Option<&str>, _: &Uri, _: usize) -> Option<HeaderValue> {
    todo!()
}
pub static REQUIRE: HeaderName = HeaderName::from_static("x-tidegate-require");
#[derive(Debug)]
pub struct RequireError;
pub fn required(_: &HeaderMap) -> Result<Vec<&str>, RequireError> {
    todo!()
}
pub fn cookie<'a>(_: &'a HeaderMap, _: &str) -> Option<&'a str> {
    None
}
pub fn query_value<'a>(_: &'a str, _: &str) -> Option<Cow<'a, str>> {
    None
}
