//! The thin slice through all floors.

use crate::lab::{Endpoint, Lab, get, raw};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_through_and_is_counted() {
    let endpoint = Endpoint::mirror().await;
    let lab = Lab::start(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\npools: {{ agents: {{ endpoints: [{{ id: a, address: {} }}] }} }}\n",
        endpoint.address
    ))
    .await;
    let answer = get(lab.address(), "/hello?x=1").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.text.starts_with("GET /hello?x=1 HTTP/1.1\n"), "{}", answer.text);
    let metrics = lab.metrics().await;
    assert!(metrics.contains("tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"completed\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_request_is_refused_with_a_reason() {
    let endpoint = Endpoint::mirror().await;
    let lab = Lab::start(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\npools: {{ agents: {{ endpoints: [{{ id: a, address: {} }}] }} }}\n",
        endpoint.address
    ))
    .await;
    let request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = raw(lab.address(), request).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("\"reason\":\"ambiguous_framing\""), "{answer}");
}
