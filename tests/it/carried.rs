//! What a reload carries on from the world before.

use crate::lab::{Endpoint, get};
use crate::written::Written;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_do_not_take_a_small_share_its_turn() {
    let (stable, canary) = (Endpoint::named("stable").await, Endpoint::named("canary").await);
    let config = |body: &str| {
        format!(
            "workers: 1\n\
             listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
             routes:\n  - {{ name: other, match: {{ path: /other }}, respond: {{ status: 200, body: {body} }} }}\n  \
             - {{ name: all, split: [{{ pool: stable, weight: 3 }}, {{ pool: canary, weight: 1 }}] }}\n\
             pools:\n  stable: {{ endpoints: [{{ id: a, address: \"{}\" }}] }}\n  canary: {{ endpoints: [{{ id: a, address: \"{}\" }}] }}\n",
            stable.address, canary.address
        )
    };
    let written = Written::start(&config("one")).await;
    let mut answers = Vec::new();
    for n in 0..8 {
        answers.push(get(written.lab.address(), "/").await.text);
        written.reload(&config(&format!("n{n}"))).await.unwrap();
    }
    assert_eq!(answers.iter().filter(|answer| *answer == "canary").count(), 2, "{answers:?}");
}
