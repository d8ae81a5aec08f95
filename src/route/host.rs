//! What each host has: exact hosts, hosts below a domain, any host.

use rapidhash::RapidHashMap;

use crate::model::HostPattern;

/// One `T` for each host pattern.
#[derive(Debug, Default)]
pub(super) struct Hosts<T> {
    exact: RapidHashMap<Box<str>, T>,
    below: RapidHashMap<Box<str>, T>,
    /// The most labels in a key of `below`: a host with more, which a client may send, costs no more searches than this.
    labels: usize,
    any: T,
}

impl<T: Default> Hosts<T> {
    /// Returns what belongs to `pattern`; `None` is any host.
    pub(super) fn entry(&mut self, pattern: Option<&HostPattern>) -> &mut T {
        match pattern {
            None => &mut self.any,
            Some(HostPattern::Exact(host)) => self.exact.entry(host.as_str().into()).or_default(),
            Some(HostPattern::Below(domain)) => {
                self.labels = self.labels.max(labels(domain));
                self.below.entry(domain.as_str().into()).or_default()
            }
        }
    }

    /// Returns everything there is, in no order.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.exact.values_mut().chain(self.below.values_mut()).chain(std::iter::once(&mut self.any))
    }

    /// Returns everything that `host` has, most specific first.
    pub(super) fn of<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a T> {
        let exact = (!self.exact.is_empty()).then(|| self.exact.get(host)).flatten();
        let below = self.domains(host).filter_map(|domain| self.below.get(domain));
        exact.into_iter().chain(below).chain(std::iter::once(&self.any))
    }

    /// Returns the domains that `host` is below of and that could have something, longest first.
    fn domains<'a>(&self, host: &'a str) -> impl Iterator<Item = &'a str> + use<'a, T> {
        let dots = if self.labels == 0 { "" } else { host };
        // From the right, only as many dots as there are labels to find.
        let start = memchr::memrchr_iter(b'.', dots.as_bytes()).take(self.labels).last();
        let rest = start.and_then(|at| dots.get(at..)).unwrap_or_default();
        memchr::memchr_iter(b'.', rest.as_bytes()).filter_map(|at| rest.get(at + 1..))
    }
}

fn labels(domain: &str) -> usize {
    domain.split('.').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(patterns: &[&'static str]) -> Hosts<Vec<&'static str>> {
        let mut hosts = Hosts::default();
        for pattern in patterns {
            let entry: &mut Vec<_> = match (*pattern, pattern.strip_prefix("*.")) {
                ("*", _) => hosts.entry(None),
                (_, Some(domain)) => hosts.entry(Some(&HostPattern::Below(domain.to_owned()))),
                (host, None) => hosts.entry(Some(&HostPattern::Exact(host.to_owned()))),
            };
            entry.push(*pattern);
        }
        hosts
    }

    fn of(hosts: &Hosts<Vec<&'static str>>, host: &str) -> Vec<&'static str> {
        hosts.of(host).flatten().copied().collect()
    }

    #[test]
    fn exact_comes_before_longer_before_shorter_domains_before_any() {
        let hosts = hosts(&["*", "*.c", "*.b.c", "a.b.c", "*.a.b.c"]);
        assert_eq!(of(&hosts, "a.b.c"), ["a.b.c", "*.b.c", "*.c", "*"]);
        assert_eq!(of(&hosts, "x.y.a.b.c"), ["*.a.b.c", "*.b.c", "*.c", "*"]);
        assert_eq!(of(&hosts, "c"), ["*"]);
        assert_eq!(of(&hosts, ""), ["*"]);
    }

    #[test]
    fn a_domain_is_not_below_itself_and_labels_are_whole() {
        let hosts = hosts(&["*.example.com"]);
        assert!(of(&hosts, "example.com").is_empty());
        assert!(of(&hosts, "badexample.com").is_empty());
        assert_eq!(of(&hosts, "a.example.com"), ["*.example.com"]);
        assert_eq!(of(&hosts, "a.b.example.com"), ["*.example.com"]);
    }

    #[test]
    fn a_host_of_many_labels_costs_no_more_searches_than_patterns_have_labels() {
        let hosts = hosts(&["*.b.c"]);
        assert_eq!(hosts.domains(&"a.".repeat(100)).count(), 2);
        assert_eq!(hosts.domains("x.y.z.b.c").collect::<Vec<_>>(), ["b.c", "c"]);
    }
}
