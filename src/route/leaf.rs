//! The routes that share host and path: a list to try in order, without those that a header field rules out.
//!
//! Thousands of tenants told apart by one field would make a long list. When many routes of a list ask for an exact value of the same field, they
//! are kept by that value, and a request meets only those of its own values and those that do not ask.

use std::borrow::Cow;
use std::collections::HashMap;

use http::{HeaderMap, HeaderName};
use rapidhash::RapidHashMap;

/// Below this a walk through the list is as fast as the search for the field's value.
const MIN_INDEXED: usize = 8;

/// Places in the table's list of routes, ascending.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    others: Vec<usize>,
    by_value: Option<ByValue>,
}

#[derive(Debug)]
struct ByValue {
    name: HeaderName,
    places: RapidHashMap<Box<[u8]>, Vec<usize>>,
}

impl Leaf {
    /// Adds a place, once; it must not be less than those before.
    pub(super) fn push(&mut self, place: usize) {
        if self.others.last() != Some(&place) {
            self.others.push(place);
        }
    }

    /// Sorts the places by the field that most of them ask an exact value of; `exact` tells those of a place.
    pub(super) fn index<'a, I: Iterator<Item = (&'a HeaderName, &'a str)>>(&mut self, exact: impl Fn(usize) -> I) {
        let mut counts: HashMap<&HeaderName, usize> = HashMap::new();
        for (name, _) in self.others.iter().flat_map(|place| exact(*place)) {
            *counts.entry(name).or_default() += 1;
        }
        // By name when counts are equal, so that the same config makes the same table.
        let most = counts.into_iter().max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| b.as_str().cmp(a.as_str())));
        let Some((name, _)) = most.filter(|(_, count)| *count >= MIN_INDEXED) else { return };
        let mut places: RapidHashMap<Box<[u8]>, Vec<usize>> = RapidHashMap::default();
        self.others.retain(|place| match exact(*place).find(|(asked, _)| *asked == name) {
            Some((_, value)) => {
                places.entry(value.as_bytes().into()).or_default().push(*place);
                false
            }
            None => true,
        });
        self.by_value = Some(ByValue { name: name.clone(), places });
    }

    /// Returns the places that a request with these fields may fit, ascending. Allocates only when the field has several lines.
    pub(super) fn of(&self, headers: &HeaderMap) -> impl Iterator<Item = usize> {
        let told = self.by_value.as_ref().map_or(Cow::Borrowed(&[][..]), |by_value| by_value.of(headers));
        merge(&self.others, told)
    }

    /// Returns all places, ascending.
    pub(super) fn all(&self) -> impl Iterator<Item = usize> {
        let told = self.by_value.iter().flat_map(|by_value| by_value.places.values().flatten().copied());
        let mut told: Vec<usize> = told.collect();
        told.sort_unstable();
        merge(&self.others, Cow::Owned(told))
    }
}

impl ByValue {
    fn of(&self, headers: &HeaderMap) -> Cow<'_, [usize]> {
        let mut lines = headers.get_all(&self.name).iter().filter_map(|line| self.places.get(line.as_bytes()));
        let first = lines.next().map_or(&[][..], Vec::as_slice);
        let mut told = Cow::Borrowed(first);
        for places in lines {
            told.to_mut().extend(places);
        }
        if let Cow::Owned(several) = &mut told {
            several.sort_unstable();
            several.dedup();
        }
        told
    }
}

/// Merges two ascending lists.
fn merge<'a>(others: &'a [usize], told: Cow<'a, [usize]>) -> impl Iterator<Item = usize> {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || match (others.get(i), told.get(j)) {
        (Some(other), Some(place)) if place < other => {
            j += 1;
            Some(*place)
        }
        (Some(other), _) => {
            i += 1;
            Some(*other)
        }
        (None, place) => {
            j += 1;
            place.copied()
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    static TENANT: HeaderName = HeaderName::from_static("x-tenant");
    static OTHER: HeaderName = HeaderName::from_static("x-other");

    /// Places 0 to 9 ask for the tenants a, b, a, b, ..; 10 for another field; 11 for nothing.
    fn leaf() -> Leaf {
        let asked = |place: usize| match place {
            0..10 => Some((&TENANT, if place.is_multiple_of(2) { "a" } else { "b" })),
            10 => Some((&OTHER, "a")),
            _ => None,
        };
        let mut leaf = Leaf::default();
        (0..12).for_each(|place| leaf.push(place));
        leaf.index(|place| asked(place).into_iter());
        leaf
    }

    fn of(leaf: &Leaf, tenants: &[&'static str]) -> Vec<usize> {
        let headers = tenants.iter().map(|tenant| (TENANT.clone(), HeaderValue::from_static(tenant))).collect::<Vec<_>>();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        leaf.of(&map).collect()
    }

    #[test]
    fn a_request_meets_those_of_its_value_and_those_that_do_not_ask() {
        let leaf = leaf();
        assert_eq!(of(&leaf, &["a"]), [0, 2, 4, 6, 8, 10, 11]);
        assert_eq!(of(&leaf, &["c"]), [10, 11]);
        assert_eq!(of(&leaf, &[]), [10, 11]);
    }

    #[test]
    fn several_values_meet_each_place_once_and_in_order() {
        let leaf = leaf();
        assert_eq!(of(&leaf, &["b", "a", "b", "c"]), (0..12).collect::<Vec<_>>());
        assert_eq!(leaf.all().collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn a_short_list_is_not_indexed_and_a_place_is_kept_once() {
        let mut leaf = Leaf::default();
        [1, 1, 2].into_iter().for_each(|place| leaf.push(place));
        leaf.index(|_| std::iter::once((&TENANT, "a")));
        assert_eq!(of(&leaf, &["b"]), [1, 2]);
    }
}
