use super::*;
use crate::endpoint::{Attempt, EndpointSet};
use crate::health::testing::spec;
use crate::model::{Outcome, Reason};

/// Wants to be woken at a time, and writes down when it was asked.
#[derive(Default)]
struct Clock {
    at: Mutex<Option<Tick>>,
    asked: Mutex<Vec<Tick>>,
    rang: Mutex<Vec<Tick>>,
}

impl Alarm for Clock {
    fn wake(&self, now: Tick) -> Option<Tick> {
        self.asked.lock().unwrap().push(now);
        let mut at = self.at.lock().unwrap();
        if at.is_some_and(|at| at <= now) {
            self.rang.lock().unwrap().push(now);
            *at = None;
        }
        *at
    }
}

impl Clock {
    fn set(&self, at: Tick) {
        *self.at.lock().unwrap() = Some(at);
    }

    fn rang(&self) -> Vec<Tick> {
        self.rang.lock().unwrap().clone()
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<(Tick, Vec<u64>)>>);

impl Judge for Notes {
    fn judge(&self, endpoints: &[Arc<Endpoint>], samples: &[Sample], now: Tick) {
        assert!(endpoints.iter().map(|e| e.serial()).eq(samples.iter().map(|s| s.serial)));
        self.0.lock().unwrap().push((now, samples.iter().map(|sample| sample.attempts).collect()));
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Lets the guard have its turn; paused time moves only by the sleeps of the test.
async fn pass(time: Duration) {
    sleep(time).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn near(found: Tick, expected: Tick) -> bool {
    found >= expected && found.since(expected) <= Duration::from_millis(2)
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_woken_when_its_time_has_come_and_not_before() {
    let start = clock::now();
    let (late, early) = (Arc::new(Clock::default()), Arc::new(Clock::default()));
    late.set(start + secs(60));
    early.set(start + secs(20));
    let _guard = Guard::start(Rounds { alarms: vec![late.clone(), early.clone()], ..Rounds::default() }, Arc::default());
    pass(secs(19)).await;
    assert!(early.rang().is_empty());
    pass(secs(100)).await;
    assert!(near(early.rang()[0], start + secs(20)) && near(late.rang()[0], start + secs(60)));
    let asked = late.asked.lock().unwrap().len();
    assert!(asked <= 4, "asked {asked} times for two alarms");
}

#[tokio::test(start_paused = true)]
async fn a_bell_has_the_alarms_asked_again() {
    let (alarm, bell) = (Arc::new(Clock::default()), Arc::new(Notify::new()));
    let _guard = Guard::start(Rounds { alarms: vec![alarm.clone()], ..Rounds::default() }, Arc::clone(&bell));
    pass(secs(10)).await;
    let now = clock::now();
    alarm.set(now + secs(5));
    bell.notify_one();
    pass(secs(6)).await;
    assert!(alarm.rang().len() == 1 && near(alarm.rang()[0], now + secs(5)));
    alarm.set(now + secs(8));
    bell.notify_waiters();
    pass(secs(6)).await;
    assert!(near(alarm.rang()[1], now + secs(8)));
}

#[tokio::test(start_paused = true)]
async fn a_bell_that_rings_while_the_alarms_are_asked_is_heard() {
    struct Ringer(Arc<Notify>, Mutex<u32>);
    impl Alarm for Ringer {
        fn wake(&self, _: Tick) -> Option<Tick> {
            let mut asked = self.1.lock().unwrap();
            *asked += 1;
            if *asked == 1 {
                self.0.notify_waiters();
            }
            None
        }
    }
    let bell = Arc::new(Notify::new());
    let ringer = Arc::new(Ringer(Arc::clone(&bell), Mutex::new(0)));
    let _guard = Guard::start(Rounds { alarms: vec![ringer.clone()], ..Rounds::default() }, bell);
    pass(secs(10)).await;
    assert_eq!(*ringer.1.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_judge_looks_once_in_each_interval_at_what_has_happened_in_it() {
    let set = EndpointSet::new(&"pool".parse().unwrap(), [spec("a", "10.0.0.1:80")], None, clock::now());
    let judge = Arc::new(Notes::default());
    let endpoints = set.endpoints().to_vec();
    let rounds = |interval| Rounds {
        alarms: Vec::new(),
        endpoints: endpoints.clone(),
        judge: Some((judge.clone() as Arc<dyn Judge + Send + Sync>, interval)),
    };
    let fail = |times: u64| {
        for _ in 0..times {
            Attempt::begin(Arc::clone(&endpoints[0]), clock::now()).finish(Outcome::Failed(Reason::ConnectFailed), clock::now());
        }
    };
    let start = clock::now();
    fail(50);
    let guard = Guard::start(rounds(secs(10)), Arc::default());
    pass(secs(1)).await;
    fail(3);
    pass(secs(10)).await;
    fail(4);
    // An update alone does not put the judgement off.
    guard.update(rounds(secs(10)));
    pass(secs(10)).await;
    let seen = judge.0.lock().unwrap().clone();
    assert_eq!(seen.iter().map(|(_, attempts)| attempts.as_slice()).collect::<Vec<_>>(), [[3], [4]]);
    assert!(near(seen[0].0, start + secs(10)) && near(seen[1].0, start + secs(20)));
    guard.update(rounds(secs(2)));
    pass(secs(3)).await;
    assert_eq!(judge.0.lock().unwrap().len(), 3);
    guard.update(Rounds::default());
    pass(secs(100)).await;
    assert_eq!(judge.0.lock().unwrap().len(), 3);
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_always_due_does_not_spin() {
    struct Hasty(Mutex<u32>);
    impl Alarm for Hasty {
        fn wake(&self, now: Tick) -> Option<Tick> {
            let mut asked = self.0.lock().unwrap();
            *asked += 1;
            // A guard that spins lets paused time stand still: this ends the test.
            (*asked < 1000).then_some(now)
        }
    }
    let hasty = Arc::new(Hasty(Mutex::new(0)));
    let _guard = Guard::start(Rounds { alarms: vec![hasty.clone()], ..Rounds::default() }, Arc::default());
    pass(Duration::from_millis(100)).await;
    let asked = *hasty.0.lock().unwrap();
    assert!((20..=110).contains(&asked), "asked {asked} times in 100 ms");
}
