use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::model::{Reason, Upstream, UpstreamProtocol};
use crate::upstream::connections::h2::LocalExecutor;
use crate::upstream::{Connections, Target};

use super::lab::*;

fn builder() -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor::default());
    builder.timer(TokioTimer::new());
    builder
}

fn serve_echo(listener: TcpListener, builder: http2::Builder<LocalExecutor>) {
    spawn_local(async move {
        loop {
            let stream = accept(&listener).await;
            spawn_local(builder.serve_connection(TokioIo::new(stream), service_fn(echo)));
        }
    });
}

/// An endpoint that speaks through the `h2` crate itself.
async fn raw(stream: TcpStream) -> h2::server::Connection<TcpStream, bytes::Bytes> {
    soon(h2::server::handshake(stream)).await.unwrap()
}

/// Takes a request and drives the connection on meanwhile.
async fn next(connection: &mut h2::server::Connection<TcpStream, bytes::Bytes>) -> h2::server::SendResponse<bytes::Bytes> {
    soon(connection.accept()).await.unwrap().unwrap().1
}

#[test]
fn requests_share_a_connection_by_prior_knowledge() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener, builder());
        let pool = http2(address);
        // None is open yet: they wait for one dial.
        let all = join_all((0..20).map(|_| ask(&pool, "/a?b"))).await;
        assert_eq!(pool.stats().idle, 0);
        for exchange in all {
            let exchange = exchange.unwrap();
            assert!(!exchange.reused);
            assert_eq!(finish(exchange).await, "HTTP/2.0 http://agents.test/a?b host=");
        }
        assert_eq!((pool.stats().opened_total, pool.stats().idle), (1, 1));
        let next = ask(&pool, "/").await.unwrap();
        assert!(next.reused);
        finish(next).await;
    });
}

#[test]
fn the_authority_is_the_host_of_each_request() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener, builder());
        let pool = http2(address);
        for host in ["a.test", "b.test:81", "a.test"] {
            let request = Request::get("/").header("host", host).body(empty()).unwrap();
            let body = finish(soon(pool.exchange(request, None)).await.unwrap()).await;
            assert_eq!(body, format!("HTTP/2.0 http://{host}/ host="));
        }
        let request = Request::get("/").body(empty()).unwrap();
        let body = finish(soon(pool.exchange(request, None)).await.unwrap()).await;
        assert_eq!(body, format!("HTTP/2.0 http://{address}/ host="));
        let request = Request::get("/").header("host", "a b").body(empty()).unwrap();
        let failure = soon(pool.exchange(request, None)).await.unwrap_err();
        assert_eq!((failure.reason, failure.sent), (Reason::InvalidHost, false));
    });
}

#[test]
fn a_full_connection_is_joined_by_a_second() {
    worker(async {
        let (listener, address) = listen().await;
        let mut builder = builder();
        builder.max_concurrent_streams(2);
        let gate = Rc::new(Notify::new());
        let held = Rc::clone(&gate);
        spawn_local(async move {
            loop {
                let stream = accept(&listener).await;
                let gate = Rc::clone(&held);
                let service = service_fn(move |request: Request<Incoming>| {
                    let gate = Rc::clone(&gate);
                    async move {
                        if request.uri().path() == "/hold" {
                            gate.notified().await;
                        }
                        Ok::<_, Infallible>(Response::new(full("ok")))
                    }
                });
                spawn_local(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        let pool = http2(address);
        // The first answer comes after the peer's settings.
        fetch(&pool, "/").await;
        let held: Vec<_> = (0..5).map(|_| ask(&pool, "/hold")).collect();
        let release = async {
            until(|| pool.stats().open == 3).await;
            for _ in 0..5 {
                gate.notify_one();
                tokio::task::yield_now().await;
            }
            // Each notice reaches one of those that wait by now; the others follow.
            loop {
                gate.notify_waiters();
                tokio::task::yield_now().await;
            }
        };
        let held = tokio::select! {
            held = join_all(held) => held,
            () = release => unreachable!("it never ends"),
        };
        for exchange in held {
            finish(exchange.unwrap()).await;
        }
        assert_eq!((pool.stats().opened_total, pool.stats().idle), (3, 3));
    });
}

#[test]
fn a_dropped_response_resets_its_stream_alone() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http2(address);
        let endpoint = spawn_local(async move {
            let mut connection = raw(accept(&listener).await).await;
            let mut respond = next(&mut connection).await;
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            let reset = spawn_local(async move { std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap() });
            next(&mut connection).await.send_response(Response::new(()), true).unwrap();
            // Drives the connection until the other side is done.
            while connection.accept().await.is_some() {}
            reset.await.unwrap()
        });
        let exchange = ask(&pool, "/").await.unwrap();
        drop(exchange);
        let second = ask(&pool, "/").await.unwrap();
        assert!(second.reused);
        finish(second).await;
        assert_eq!((pool.stats().opened_total, pool.stats().idle), (1, 1));
        drop(pool);
        assert_eq!(soon(endpoint).await.unwrap(), h2::Reason::CANCEL);
    });
}

#[test]
fn a_wait_given_up_resets_its_stream() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http2(address);
        let endpoint = spawn_local(async move {
            let mut connection = raw(accept(&listener).await).await;
            let mut respond = next(&mut connection).await;
            tokio::select! {
                reset = std::future::poll_fn(|cx| respond.poll_reset(cx)) => reset.unwrap(),
                _ = connection.accept() => panic!("there is no second request"),
            }
        });
        let failure = soon(pool.exchange(get("/"), Some(Duration::from_millis(20)))).await.unwrap_err();
        assert_eq!(failure.reason, Reason::FirstByteTimeout);
        assert_eq!(soon(endpoint).await.unwrap(), h2::Reason::CANCEL);
    });
}

#[test]
fn after_a_graceful_goaway_requests_take_a_new_connection() {
    worker(async {
        let (listener, address) = listen().await;
        let leave = Rc::new(Notify::new());
        let leaving = Rc::clone(&leave);
        spawn_local(async move {
            loop {
                let stream = accept(&listener).await;
                let leaving = Rc::clone(&leaving);
                spawn_local(async move {
                    let service = service_fn(|request: Request<Incoming>| async move {
                        let body = if request.uri().path() == "/hold" { channel_that_never_ends() } else { full("ok") };
                        Ok::<_, Infallible>(Response::new(body))
                    });
                    let mut connection = pin!(builder().serve_connection(TokioIo::new(stream), service));
                    tokio::select! {
                        _ = connection.as_mut() => return,
                        () = leaving.notified() => connection.as_mut().graceful_shutdown(),
                    }
                    let _ = connection.await;
                });
            }
        });
        let pool = http2(address);
        let held = ask(&pool, "/hold").await.unwrap();
        leave.notify_one();
        // The connection stays open for its running stream; sooner or later it takes no further request.
        soon(async {
            while pool.stats().opened_total == 1 {
                assert_eq!(fetch(&pool, "/").await, "ok");
            }
        })
        .await;
        assert_eq!(pool.stats().open, 2);
        drop(held);
        until(|| pool.stats().open == 1).await;
    });
}

fn channel_that_never_ends() -> TestBody {
    let (sender, body) = channel();
    std::mem::forget(sender);
    body
}

/// An endpoint that refuses the first request unseen and answers the second.
async fn refusing(listener: TcpListener) {
    let mut connection = raw(accept(&listener).await).await;
    next(&mut connection).await.send_reset(h2::Reason::REFUSED_STREAM);
    next(&mut connection).await.send_response(Response::new(()), true).unwrap();
    while connection.accept().await.is_some() {}
}

#[test]
fn a_refused_request_without_body_is_sent_again() {
    worker(async {
        let (listener, address) = listen().await;
        spawn_local(refusing(listener));
        let settings = Upstream { protocol: UpstreamProtocol::Http2, ..Upstream::default() };
        let target = Target::new(address.to_string().parse().unwrap(), None, settings.into()).unwrap();
        let pool = Rc::new(Connections::new(target, no_lookup()).with_spare_body(empty));
        let exchange = ask(&pool, "/").await.unwrap();
        assert_eq!(exchange.response.status(), 200);
        assert_eq!(pool.stats().opened_total, 1);
    });
}

#[test]
fn a_refused_request_with_body_is_told_as_unsent() {
    worker(async {
        let (listener, address) = listen().await;
        spawn_local(refusing(listener));
        let failure = soon(http2(address).exchange(post("/", full("body")), None)).await.unwrap_err();
        assert_eq!((failure.reason, failure.sent), (Reason::EndpointReset, false));
    });
}

#[test]
fn a_broken_request_body_is_the_clients_doing() {
    worker(async {
        let (listener, address) = listen().await;
        spawn_local(async move {
            let mut connection = raw(accept(&listener).await).await;
            while connection.accept().await.is_some() {}
        });
        let (sender, body) = channel();
        sender.send(Err("the client left".into())).unwrap();
        let failure = soon(http2(address).exchange(post("/", body), None)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::RequestBodyBroken);
    });
}

#[test]
fn an_endpoint_that_speaks_http1_is_a_protocol_failure() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http2(address);
        let (outcome, ()) = tokio::join!(ask(&pool, "/"), async {
            let mut stream = accept(&listener).await;
            answer(&mut stream, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            closed(&mut stream).await;
        });
        let failure = outcome.unwrap_err();
        assert_eq!((failure.reason, failure.sent), (Reason::EndpointProtocol, false), "{failure}");
        let (outcome, ()) = tokio::join!(ask(&pool, "/"), async { drop(accept(&listener).await) });
        let failure = outcome.unwrap_err();
        assert_eq!((failure.reason, failure.sent), (Reason::EndpointReset, false), "{failure}");
        until(|| pool.stats().open == 0).await;
    });
}

#[test]
fn all_who_wait_for_a_dial_learn_that_it_failed() {
    worker(async {
        let (listener, address) = listen().await;
        drop(listener);
        let pool = http2(address);
        for outcome in join_all((0..3).map(|_| ask(&pool, "/"))).await {
            let failure = outcome.unwrap_err();
            assert_eq!((failure.reason, failure.sent), (Reason::ConnectRefusedByEndpoint, false));
        }
        assert_eq!(pool.stats().open, 0);
    });
}

#[test]
fn a_client_that_leaves_does_not_cancel_the_dial_of_the_others() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http2(address);
        {
            let mut first = pin!(pool.exchange(get("/"), None));
            assert!(futures_util::poll!(first.as_mut()).is_pending());
        }
        serve_echo(listener, builder());
        fetch(&pool, "/").await;
        assert_eq!(pool.stats().opened_total, 1);
    });
}

#[test]
fn unused_and_retired_connections_are_closed() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener, builder());
        let settings =
            Upstream { protocol: UpstreamProtocol::Http2, idle_timeout: Duration::from_millis(30), ..Upstream::default() };
        let idle = pool(&address.to_string(), settings);
        fetch(&idle, "/").await;
        until(|| idle.stats().open == 0).await;
        let retired = http2(address);
        let running = ask(&retired, "/").await.unwrap();
        retired.retire();
        assert_eq!(retired.stats().open, 1);
        assert!(soon(running.response.into_body().collect()).await.is_ok());
        running.lease.release();
        until(|| retired.stats().open == 0).await;
        fetch(&retired, "/late").await;
        until(|| retired.stats().open == 0).await;
    });
}

#[test]
fn a_body_that_panics_takes_its_connection_along_and_no_more() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener, builder());
        let pool = http2(address);
        fetch(&pool, "/").await;
        let broken = http_body_util::StreamBody::new(futures_util::stream::poll_fn(|_| panic!("a defect")));
        assert!(soon(pool.exchange(post("/", broken.boxed_unsync()), None)).await.is_err());
        assert_eq!(fetch(&pool, "/").await, "HTTP/2.0 http://agents.test/ host=");
        assert_eq!(pool.stats().opened_total, 2);
    });
}
