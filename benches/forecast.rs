//! How good forecasts are: every model, and the one that the forecaster chooses, over traces and generated series, as a table in Markdown.
//!
//! `cargo bench --bench forecast -- [--step 5m] [--horizons 30m,60m] [--from 7d] [--every 95] FILE.csv...` reads files with a line of titles whose first
//! column is a time (`YYYY-MM-DD hh:mm:ss`), and whose second is a count for that time; with a title in capitals each line is one
//! request. Without files it generates series. A forecast is made every `--every` steps (not a part of a day, so that each time of day has its
//! turn) from `--from` on. Nothing is fitted to what comes later: each forecast knows only what was before it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is for people")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::time::{Duration, Instant};

use fastrand::Rng;
use jiff::civil::DateTime;
use tidegate::autoscale::forecast::{Context, Forecaster, Model, Seasons, Series};
use tidegate::model::{self, Aggregation, Meter, ScalePolicy, ScaleRule, Signal, Terms};

const SEED: u64 = 20;
const DAY: usize = 288;

/// Weekly alone is for terms without a daily season.
const COLUMNS: [Model; 6] =
    [Model::LastValue, Model::SeasonalNaiveDaily, Model::SeasonalNaiveWeekly, Model::Ets, Model::MstlDaily, Model::MstlDailyWeekly];

fn main() {
    let options = Options::read();
    let generated = options.files.is_empty();
    let named =
        if generated { generate() } else { options.files.iter().map(|file| (label(file), trace(file, options.step))).collect() };
    let columns: Vec<_> = COLUMNS.iter().map(|model| model.as_str()).collect();
    println!("| series | horizon | {} | **chosen** | most often | WAPE | p90 held | trusted |", columns.join(" | "));
    println!("|---|---|{}", "---|".repeat(COLUMNS.len() + 5));
    for (name, values) in named {
        let series = Series { step: options.step, start_unix_ms: 1_700_006_400_000, values };
        for &horizon in &options.horizons {
            let from = if generated { 21 * DAY } else { options.points(options.from) };
            report(&name, &series, &Plan { from, horizon, every: options.every });
        }
    }
}

struct Plan {
    from: usize,
    horizon: Duration,
    every: usize,
}

impl Plan {
    fn steps(&self, step: Duration) -> usize {
        usize::try_from(self.horizon.as_millis() / step.as_millis()).expect("a short horizon")
    }
}

struct Options {
    step: Duration,
    horizons: Vec<Duration>,
    from: Duration,
    every: usize,
    files: Vec<String>,
}

impl Options {
    fn read() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let mut options = Self {
            step: minutes(5),
            horizons: vec![minutes(30), minutes(60)],
            from: minutes(7 * 24 * 60),
            every: 95,
            files: Vec::new(),
        };
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--step" => options.step = duration(&value()),
                "--horizons" => options.horizons = value().split(',').map(duration).collect(),
                "--from" => options.from = duration(&value()),
                "--every" => options.every = value().parse().expect("a number of steps"),
                // What cargo adds.
                "--bench" => {}
                file => options.files.push(file.to_owned()),
            }
        }
        options
    }

    fn points(&self, time: Duration) -> usize {
        usize::try_from(time.as_millis() / self.step.as_millis()).expect("no series is that long")
    }
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => panic!("{text} is no duration such as 5m"),
    };
    Duration::from_secs(seconds * number.parse::<u64>().expect("a whole number and a unit"))
}

fn label(file: &str) -> String {
    file.rsplit('/').next().unwrap_or(file).to_owned()
}

/// The sums of whole steps; a step without a line came to nothing.
fn trace(file: &str, step: Duration) -> Vec<Option<f64>> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut lines = text.lines();
    let counts_lines = lines.next().is_some_and(|titles| titles.starts_with("TIMESTAMP"));
    let rows: Vec<_> = lines
        .map(|line| {
            let mut fields = line.split(',');
            let time: DateTime = fields.next().and_then(|time| time.parse().ok()).expect("a time");
            let count = if counts_lines { 1.0 } else { fields.next().and_then(|count| count.parse().ok()).expect("a number") };
            (time.to_zoned(jiff::tz::TimeZone::UTC).expect("a time of this era").timestamp().as_second(), count)
        })
        .collect();
    let step = i64::try_from(step.as_secs()).expect("a short step");
    let first = rows.first().expect("a line").0;
    let mut sums = Vec::new();
    for (second, count) in rows {
        let index = usize::try_from((second - first) / step).expect("times in order");
        sums.resize(sums.len().max(index + 1), 0.0);
        sums[index] += count;
    }
    // The last step is not over.
    sums.pop();
    sums.into_iter().map(Some).collect()
}

/// What comes in a step, by its number, chance, and one number that is remembered from step to step.
type Shape = fn(usize, &mut Rng, &mut f64) -> f64;

/// Four weeks of requests for each five minutes.
fn generate() -> Vec<(String, Vec<Option<f64>>)> {
    let shapes: [(&str, Shape); 6] = [
        ("diurnal and weekly", |at, rng, _| noisy(diurnal(at), rng)),
        ("sawtooth of 6 h", |at, rng, _| noisy(40.0 + 4.0 * (at % 72) as f64, rng)),
        ("flash crowds", |_, rng, crowd| {
            *crowd = if rng.f64() < 1.0 / 150.0 { 900.0 } else { *crowd * 0.85 };
            noisy(100.0 + *crowd, rng)
        }),
        ("random walk", |_, rng, walk| {
            *walk = (*walk + (rng.f64() - 0.5) * 40.0).clamp(-400.0, 1500.0);
            noisy(500.0 + *walk, rng)
        }),
        ("on and off, by chance", |_, rng, on| {
            *on = if rng.f64() < 0.02 { 300.0 - *on } else { *on };
            noisy(5.0 + *on, rng)
        }),
        ("batch at 02:00", |at, rng, _| noisy(if (24..36).contains(&(at % DAY)) { 600.0 } else { 60.0 }, rng)),
    ];
    let series = |shape: Shape| {
        let (mut rng, mut memory) = (Rng::with_seed(SEED), 0.0);
        (0..28 * DAY).map(|at| Some(shape(at, &mut rng, &mut memory))).collect()
    };
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), series(shape))).collect()
}

fn diurnal(at: usize) -> f64 {
    let (time, weekday) = ((at % DAY) as f64 / DAY as f64, at / DAY % 7);
    let weekend = if weekday >= 5 { 0.4 } else { 1.0 };
    60.0 + weekend * 400.0 * (0.5 - 0.5 * (time * std::f64::consts::TAU).cos()).powi(2)
}

/// What a Poisson process makes of a mean, and a tenth more at will (a normal one by the sum of twelve).
fn noisy(mean: f64, rng: &mut Rng) -> f64 {
    let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
    (mean + normal * (mean + (0.1 * mean).powi(2)).sqrt()).round().max(0.0)
}

#[derive(Default)]
struct Sums {
    error: f64,
    came: f64,
    cases: usize,
}

impl Sums {
    fn add(&mut self, said: impl Iterator<Item = f64>, came: &[f64]) {
        for (said, came) in said.zip(came) {
            self.error += (said - came).abs();
            self.came += came;
            self.cases += 1;
        }
    }

    fn mae(&self) -> f64 {
        self.error / self.cases as f64
    }
}

/// How the forecaster did, which chooses.
#[derive(Default)]
struct Chosen {
    sums: Sums,
    held: usize,
    trusted: usize,
    updates: usize,
    models: BTreeMap<Model, usize>,
    slowest: Duration,
}

/// Makes forecasts every so often and compares them with what came.
fn report(name: &str, series: &Series, plan: &Plan) {
    let steps = plan.steps(series.step);
    let terms = terms(plan.horizon);
    let seasons = Seasons::of(terms.forecast.as_ref().expect("the terms have one"), series.step);
    let whole: Vec<_> = series.values.iter().map(|value| value.unwrap_or_default()).collect();
    let models = Model::candidates(seasons, whole.len() - steps);
    let mut of_models: BTreeMap<_, _> = models.iter().map(|model| (*model, Sums::default())).collect();
    let (mut chosen, mut forecaster) = (Chosen::default(), Forecaster::default());
    for now in (plan.from..whole.len() - steps).step_by(plan.every) {
        let (known, came) = (&whole[..now], &whole[now..now + steps]);
        for (model, sums) in &mut of_models {
            sums.add(model.run(known, seasons, steps).values.into_iter(), came);
        }
        let known = Series { values: series.values[..now].to_vec(), ..series.clone() };
        let context = Context { terms: &terms, startup: series.step, now_unix_ms: known.end_unix_ms() };
        let began = Instant::now();
        forecaster.update(&Signal::RequestRate, &known, &context);
        chosen.slowest = chosen.slowest.max(began.elapsed());
        let forecast = forecaster.forecasts().remove(&Signal::RequestRate).expect("it was just made");
        chosen.sums.add(forecast.steps.iter().map(|step| step.value), came);
        chosen.held += forecast.steps.iter().zip(came).filter(|(step, came)| step.upper >= **came).count();
        chosen.trusted += usize::from(forecast.confidence >= 0.7);
        chosen.updates += 1;
        *chosen.models.entry(forecast.model.expect("there is enough of the past")).or_default() += 1;
    }
    print(name, plan.horizon, scale(&whole[..plan.from], seasons), &of_models, &chosen);
}

fn print(name: &str, horizon: Duration, scale: f64, of_models: &BTreeMap<Model, Sums>, chosen: &Chosen) {
    let cell = |model: &Model| of_models.get(model).map_or("-".to_owned(), |sums| format!("{:.2}", sums.mae() / scale));
    let cells: Vec<_> = COLUMNS.iter().map(cell).collect();
    let favourite = chosen.models.iter().max_by_key(|(_, count)| **count).map_or("-", |(model, _)| model.as_str());
    println!(
        "| {name} | {} min | {} | **{:.2}** | {favourite} | {:.2} | {:.2} | {:.2} |",
        horizon.as_secs() / 60,
        cells.join(" | "),
        chosen.sums.mae() / scale,
        chosen.sums.error / chosen.sums.came,
        chosen.held as f64 / chosen.sums.cases as f64,
        chosen.trusted as f64 / chosen.updates as f64,
    );
    eprintln!("{name}: {} forecasts, the slowest in {:?}, {:?}", chosen.updates, chosen.slowest, chosen.models);
}

/// What MASE divides by: the mean absolute error of the seasonal naive method before the first forecast.
fn scale(values: &[f64], seasons: Seasons) -> f64 {
    let season = seasons.daily.filter(|season| *season < values.len()).unwrap_or(1);
    let errors: f64 = values.iter().zip(&values[season..]).map(|(before, after)| (after - before).abs()).sum();
    errors / (values.len() - season) as f64
}

fn terms(horizon: Duration) -> Terms {
    let meter = Meter { signal: Signal::RequestRate, aggregation: Aggregation::Average, window: Duration::from_secs(60) };
    let rule = ScaleRule::Target { meter, target: 20.0 };
    let policies = vec![ScalePolicy { name: "rate".parse().expect("a valid name"), rule, priority: 4 }];
    let forecast = Some(model::Forecast { horizon, ..model::Forecast::default() });
    Terms { max_replicas: 100, policies, forecast, ..Terms::default() }
}
