//! What can be written on the command line.
//!
//! The doc comments below are the help texts. Only shapes are checked here; whether a file can be used is the subcommand's matter.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue, Method};
use jiff::Timestamp;

/// An L7 proxy in front of pools of agents that routes, protects and sizes them with one clock.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
pub(super) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0, 1 for a failure at run time, 64 for bad usage or a bad config.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs the proxy until SIGTERM or SIGINT
    Run(Source),
    /// Checks a config file and shows every problem at once
    Check(Check),
    /// Tells where a request would go and why, without sending it
    Explain(Explain),
    /// Prints the JSON Schema of the config file
    Schema,
    /// Runs the proxy in front of sample agents that come and go with the load, to try it out
    Demo(Demo),
    /// Shows what a running Tidegate is doing
    Status(Status),
    /// Prints what a cluster of Kubernetes needs to run Tidegate
    #[command(subcommand)]
    Kubernetes(Kubernetes),
    /// Replays a trace of requests under virtual time, to see how a pool would be sized
    Simulate(Box<Simulate>),
    /// Prints the version
    Version,
    /// Runs a sample agent
    #[command(hide = true)]
    Agent(Agent),
}

/// Which config file is read.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The config file [default: ./tidegate.yaml, then /etc/tidegate/tidegate.yaml]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) source: Source,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The request's method
    #[arg(value_name = "METHOD", value_parser = method)]
    pub(super) method: Method,
    /// The request's URL, or only its path
    #[arg(value_name = "URL")]
    pub(super) url: String,
    /// A header field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    #[command(flatten)]
    pub(super) source: Source,
    /// The listener that takes the request [default: by the URL's scheme and port, else the first]
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// The port of the proxy on 127.0.0.1; 0 lets the system choose
    #[arg(long, default_value_t = 8080)]
    pub(super) port: u16,
    /// The fewest replicas of the pool that scales, which has 6 at most; 0 allows scale to zero
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=6))]
    pub(super) min: u32,
    /// Sends requests too, calm and in bursts, and shows live what the autoscaler makes of them
    #[arg(long)]
    pub(super) load: bool,
    /// How long requests are sent; then the demo ends [default: until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", requires = "load", value_parser = span)]
    pub(super) lasts: Option<Duration>,
    /// Where chance comes from: the same seed sends the same requests at the same times
    #[arg(long, value_name = "N", requires = "load", default_value_t = 1)]
    pub(super) seed: u64,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The admin server; TIDEGATE_ADMIN_TOKEN is sent when it is set
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900")]
    pub(super) admin: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

/// The subcommands of `kubernetes`.
#[derive(Debug, Subcommand)]
pub(super) enum Kubernetes {
    /// Prints the manifests of a gateway, or of an app with Tidegate as its sidecar
    Manifests(Manifests),
}

/// Arguments of `kubernetes manifests`.
#[derive(Debug, Args)]
pub(super) struct Manifests {
    /// The name of all objects
    #[arg(long, value_name = "NAME", default_value = "tidegate", value_parser = object_name)]
    pub(super) name: String,
    /// The namespace of all objects
    #[arg(long, value_name = "NAME", default_value = "tidegate", value_parser = object_name)]
    pub(super) namespace: String,
    /// The image, whose entry point is tidegate
    #[arg(long, value_name = "IMAGE", default_value = concat!("tidegate:", env!("CARGO_PKG_VERSION")), value_parser = image)]
    pub(super) image: String,
    /// How many pods run
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) replicas: u32,
    /// The config file [default: an example]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Adds what sizes the gateways themselves
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) autoscaler: Option<Autoscaler>,
    /// Prints an app with Tidegate as its sidecar instead
    #[arg(long, conflicts_with = "autoscaler")]
    pub(super) sidecar: bool,
}

/// What sizes the gateways themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Autoscaler {
    /// A HorizontalPodAutoscaler by processor use.
    Hpa,
}

/// Arguments of `simulate`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("load").required(true).args(["trace", "generate"]))]
pub(super) struct Simulate {
    #[command(flatten)]
    pub(super) source: Source,
    /// The pool [default: the only one with autoscale]
    #[arg(long, value_name = "NAME")]
    pub(super) pool: Option<String>,
    /// A CSV file of requests: time,service_time or TIMESTAMP,ContextTokens,GeneratedTokens or timestamp,value (counts for each step)
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    /// A made trace instead of a recorded one
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) generate: Option<Kind>,
    /// The base rate of a made trace, requests a second
    #[arg(long, value_name = "R", default_value_t = 5.0, value_parser = positive)]
    pub(super) rate: f64,
    /// The length of a made trace [default: 1h, of diurnal 14 days]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(super) duration: Option<Duration>,
    /// The mean time that a request runs of which the trace does not tell
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    pub(super) service_time: Duration,
    /// How that varies
    #[arg(long, value_enum, default_value = "exponential")]
    pub(super) service_law: ServiceLaw,
    /// Tokens of a prompt that a replica reads in a second
    #[arg(long, value_name = "N", default_value_t = 5000.0, value_parser = positive)]
    pub(super) prefill_per_second: f64,
    /// Tokens that a replica generates in a second for one request
    #[arg(long, value_name = "N", default_value_t = 30.0, value_parser = positive)]
    pub(super) decode_per_second: f64,
    /// When a trace begins whose times are relative: schedules follow it
    #[arg(long, value_name = "TIME", default_value = "2026-01-05T00:00:00Z")]
    pub(super) start: Timestamp,
    /// From the order of a replica until it serves, give or take 20%
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub(super) startup: Duration,
    /// How long a request may wait before it counts as badly served
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    pub(super) slo: Duration,
    /// Requests that a replica runs at once [default: the pool's max_connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) slots: Option<u32>,
    /// How old the metrics are that the Kubernetes HPA sees
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub(super) metric_lag: Duration,
    /// Where chance comes from: the same seed gives the same result
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Who decides: tidegate, hpa, hpa-busy, knative, fixed (mean and peak), fixed=N, oracle
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "tidegate,hpa,hpa-busy,knative,fixed,oracle")]
    pub(super) policy: Vec<String>,
    /// A CSV file to write how the pool stands in the course of time, for each policy
    #[arg(long, value_name = "FILE")]
    pub(super) timeline: Option<PathBuf>,
    /// How often that is written
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    pub(super) timeline_step: Duration,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Sheet,
}

/// How a result with rows is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Sheet {
    /// For people.
    Text,
    /// One line for each row.
    Csv,
    /// One JSON document.
    Json,
}

/// Shapes of made traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Four times the base rate in the middle third
    Step,
    /// Up to five times the base rate and back
    Ramp,
    /// Up to four times the base rate and back at once, every 20 minutes
    Sawtooth,
    /// A wave each day, half of it at weekends
    Diurnal,
    /// Ten times the base rate within ten seconds, then slowly back
    FlashCrowd,
    /// Ten minutes four times the base rate, ten minutes nothing
    OnOff,
}

/// How service times vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ServiceLaw {
    /// Many short ones, a few long ones
    Exponential,
    /// Not at all
    Fixed,
}

/// Arguments of `agent`.
#[derive(Clone, Debug, Args)]
pub(super) struct Agent {
    /// The port on 127.0.0.1; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    pub(super) port: u16,
    /// The name in its answers
    #[arg(long, default_value = "agent")]
    pub(super) name: String,
    /// Milliseconds until an answer begins, give or take 20%
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub(super) delay: u64,
    /// A capability named in its answers; may be repeated
    #[arg(long = "capability", value_name = "NAME")]
    pub(super) capabilities: Vec<String>,
}

/// Takes what Kubernetes takes as the name of a Service (RFC 1035 label), short enough for the names made from it.
fn object_name(text: &str) -> Result<String, String> {
    let is_label = text.len() <= 50
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    match is_label && is_plain(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("a name has at most 50 lower-case letters, digits and '-', begins with a letter, and is no word of YAML".to_owned())
        }
    }
}

/// Tells whether YAML reads `text`, a name, as text without quotes.
pub(super) fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn image(text: &str) -> Result<String, String> {
    let is_image = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "./:@-_".contains(c));
    is_image.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is not the name of an image"))
}

/// The longest time on the command line: ten years.
const LONGEST_SECONDS: f64 = 10.0 * 365.0 * 86_400.0;

/// Reads a duration as config files write it: `250ms`, `30s`, `5m`, `2h`, `14d`.
fn span(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err("a duration is a number with a unit: ms, s, m, h or d".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
    let seconds = number * seconds;
    if seconds > LONGEST_SECONDS {
        return Err("ten years are the longest duration".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is not a number above 0"))
}

fn method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not an HTTP method"))
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header field is written 'name: value'")?;
    let name = name.trim().parse().map_err(|_| format!("{:?} is not the name of a header field", name.trim()))?;
    let value = value.trim().parse().map_err(|_| format!("{:?} is not the value of a header field", value.trim()))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split('|'))
    }

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_request_to_explain_is_read_with_its_headers() {
        let line = "tidegate|explain|PURGE|http://a/b|-H|x-tier:  gold:er |-H|X-Empty:";
        let Ok(Arguments { command: Command::Explain(explain) }) = parse(line) else { panic!("{line}") };
        assert_eq!(explain.method.as_str(), "PURGE");
        let headers: Vec<_> = explain.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(headers, [("x-tier", "gold:er"), ("x-empty", "")]);
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        for line in ["explain|G T|/", "explain|GET|/|-H|no colon", "explain|GET|/|-H|a b: c", "explain|GET|/|-H|a: b\u{1}"] {
            assert!(parse(&format!("tidegate|{line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn names_of_objects_and_images_are_checked() {
        for name in ["tidegate", "a", "edge-2"] {
            assert!(object_name(name).is_ok(), "{name}");
        }
        for name in ["", "2a", "a-", "A", "a_b", "a.b", "true", "no", &"a".repeat(51)] {
            assert!(object_name(name).is_err(), "{name}");
        }
        assert!(image("registry.example:5000/edge/tidegate@sha256:ab").is_ok());
        for name in ["", "a b", "a\"", "{{name}}"] {
            assert!(image(name).is_err(), "{name}");
        }
    }

    #[test]
    fn durations_are_read_as_in_config_files() {
        let good = [("250ms", 0.25), ("30s", 30.0), ("1.5h", 5400.0), ("14d", 1_209_600.0), ("0s", 0.0)];
        for (text, seconds) in good {
            assert_eq!(span(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "5", "s", "1.2.3s", "-1s", "5 s", "1y", "99999999999999999999d"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_simulation_has_one_load() {
        for line in ["", "|--trace|a.csv|--generate|step", "|--generate|flood", "|--generate|step|--rate|0", "|--trace|a|--slots|0"]
        {
            assert!(parse(&format!("tidegate|simulate{line}")).is_err(), "{line}");
        }
        let line = "tidegate|simulate|--generate|flash-crowd|--policy|hpa,oracle|--start|2026-02-01T08:00:00+01:00";
        let Ok(Arguments { command: Command::Simulate(simulate) }) = parse(line) else { panic!("{line}") };
        assert_eq!((simulate.generate, simulate.policy), (Some(Kind::FlashCrowd), vec!["hpa".to_owned(), "oracle".to_owned()]));
        assert_eq!(simulate.start.as_second(), 1_769_929_200);
    }

    #[test]
    fn a_demo_has_bounds_and_a_time_only_with_a_load() {
        for line in ["--min|7", "--min|-1", "--for|9s", "--seed|2", "--load|--for|9", "--load|now"] {
            assert!(parse(&format!("tidegate|demo|{line}")).is_err(), "{line}");
        }
        let Ok(Arguments { command: Command::Demo(demo) }) = parse("tidegate|demo|--min|0|--load|--for|90s") else { panic!() };
        assert_eq!((demo.port, demo.min, demo.load, demo.lasts, demo.seed), (8080, 0, true, Some(Duration::from_secs(90)), 1));
    }

    #[test]
    fn the_sample_agent_is_not_in_the_help() {
        let help = Arguments::command().render_long_help().to_string();
        assert!(help.contains("demo"));
        assert!(!help.contains("sample agent\n"), "{help}");
    }
}
