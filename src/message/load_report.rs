//! What an endpoint says of its own load in a response header: ORCA, the Open Request Cost Aggregation of Envoy and gRPC.
//!
//! Header `endpoint-load-metrics`, as `TEXT cpu_utilization=0.3, mem_utilization=0.8` or `JSON {"cpu_utilization": 0.3}`; field names
//! are those of `xds.data.orca.v3.OrcaLoadReport`, maps are written `named_metrics.NAME` (in JSON: nested). The `BIN` form is not read.

use http::HeaderName;

/// The header that carries a report.
pub const LOAD_REPORT: HeaderName = HeaderName::from_static("endpoint-load-metrics");

/// More than this is not a load report.
const MAX_LEN: usize = 4096;

/// What an endpoint says of its own load; what it does not say is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadFigures {
    /// Processor utilisation as a ratio.
    pub cpu: Option<f64>,
    /// Memory utilisation as a ratio.
    pub memory: Option<f64>,
    /// The application's own figure as a ratio.
    pub application: Option<f64>,
    /// Requests that wait in the endpoint: `named_metrics.queue_length` or vLLM's `vllm:num_requests_waiting`.
    pub queue: Option<f64>,
}

impl LoadFigures {
    fn set(&mut self, name: &str, value: f64) {
        if !value.is_finite() || value < 0.0 {
            return;
        }
        match name.strip_prefix("named_metrics.").unwrap_or(name) {
            "cpu_utilization" => self.cpu = Some(value),
            "mem_utilization" => self.memory = Some(value),
            "application_utilization" => self.application = Some(value),
            "queue_length" | "num_requests_waiting" | "vllm:num_requests_waiting" => self.queue = Some(value),
            // Of a KV cache that is full no more requests can be served, so it counts as the application's own limit.
            "kv_cache_utilization" | "kv_cache_usage_perc" | "vllm:kv_cache_usage_perc" => self.application = Some(value),
            _ => {}
        }
    }

    fn some(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// Reads the value of `endpoint-load-metrics`; `None` when it says nothing that is understood.
pub fn parse(value: &[u8]) -> Option<LoadFigures> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX_LEN)?.trim();
    if let Some(json) = text.strip_prefix("JSON") {
        return parse_json(json);
    }
    let mut figures = LoadFigures::default();
    for pair in text.strip_prefix("TEXT").unwrap_or(text).split(',') {
        if let Some((name, value)) = pair.split_once(['=', ':'].as_slice())
            && let Ok(value) = value.trim().parse()
        {
            figures.set(name.trim(), value);
        }
    }
    figures.some()
}

fn parse_json(json: &str) -> Option<LoadFigures> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let mut figures = LoadFigures::default();
    for (name, value) in &fields {
        match value {
            serde_json::Value::Object(nested) => {
                nested
                    .iter()
                    .filter_map(|(name, value)| Some((name, value.as_f64()?)))
                    .for_each(|(name, value)| figures.set(name, value));
            }
            value => {
                if let Some(value) = value.as_f64() {
                    figures.set(name, value);
                }
            }
        }
    }
    figures.some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_reports_are_read_alike() {
        let expected = LoadFigures { cpu: Some(0.3), memory: Some(0.8), queue: Some(4.0), application: None };
        let text = b"TEXT cpu_utilization=0.3, mem_utilization=0.8, named_metrics.queue_length=4, rps=12";
        let json = br#"JSON {"cpu_utilization": 0.3, "mem_utilization": 0.8, "named_metrics": {"queue_length": 4}}"#;
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse(json), Some(expected));
    }

    #[test]
    fn nonsense_says_nothing() {
        for value in
            [&b""[..], b"TEXT", b"JSON {", b"cpu_utilization=-1", b"cpu_utilization=NaN", b"BIN CgkJ", b"\xff\xfe", b"JSON [1]"]
        {
            assert_eq!(parse(value), None, "{value:?}");
        }
    }
}
