//! Where keys and endpoints meet on a circle: multi-probe consistent hashing (Appleton, O'Reilly 2015, arXiv 1505.00062, section 2).
//!
//! Each endpoint puts points on a circle of 2^32, as many as its weight asks; a key sets out from several places at once, and belongs to the
//! point that is nearest ahead of any of them. The points of an endpoint depend on its name and weight alone, so that one that leaves moves
//! only its own keys, one that comes back takes exactly those again, and every process that knows the same names sees the same circle.
//! Availability is not known here: all endpoints of the set have points, and whoever walks the circle passes over those it cannot
//! use, which is the same as if they had none.
//!
//! Why several places: with one, an endpoint's share is as uneven as the gaps before its points, and two endpoints of 160 points each miss
//! a share of 50 +- 5% in one case of fourteen. With eight, a point's share hardly depends on its gap, and that becomes seven standard
//! deviations, with fewer points.

use crate::kit::hash::{nth, stable};
use crate::model::Weight;

/// Points of an endpoint of weight 1.
const POINTS: u64 = 128;

/// Places that a key sets out from. The variance of a point's share falls with them as `1/(2K+1) - 1/(K+1)^2`: by 17 for eight.
const PROBES: usize = 8;

/// The most points in all, but for at least one for each endpoint: 32 MiB, or 300 endpoints of weight 100. Above it, all endpoints have
/// half as many, and so on.
const MAX_POINTS: u64 = 1 << 22;

/// The circle of one set of endpoints.
#[derive(Debug)]
pub struct Ring {
    /// Place on the circle in the upper half, endpoint's rank by name in the lower; sorted.
    points: Box<[u64]>,
    /// From rank to index in the set.
    indexes: Box<[u32]>,
    /// From index in the set to the hash of the name.
    seeds: Box<[u64]>,
    /// For each of `2^bits` equal arcs, the first point in it or after it.
    arcs: Box<[u32]>,
    bits: u32,
}

impl Ring {
    /// Builds the circle of `endpoints`, given as index, name and weight, in the order of their names.
    ///
    /// An endpoint of weight 0 has the points of weight 1: it takes nothing all the same, and gets its keys back when its weight returns.
    pub(super) fn new<'a>(endpoints: impl Iterator<Item = (u32, &'a str, Weight)> + Clone) -> Self {
        let halvings = (0..32).find(|&by| endpoints.clone().map(|(_, _, weight)| share(weight, by)).sum::<u64>() <= MAX_POINTS);
        let halvings = halvings.unwrap_or(32);
        let mut points = Vec::new();
        let mut seeds = vec![0; endpoints.clone().count()];
        for (rank, (index, name, weight)) in endpoints.clone().enumerate() {
            let seed = stable(name.as_bytes());
            if let Some(slot) = seeds.get_mut(index as usize) {
                *slot = seed;
            }
            let place = |n| nth(seed, n) & !u64::from(u32::MAX);
            points.extend((0..share(weight, halvings)).map(|n| place(n) | rank as u64));
        }
        points.sort_unstable();
        let bits = points.len().max(2).ilog2();
        let mut arcs = Vec::with_capacity((1 << bits) + 1);
        let mut point = 0;
        for arc in 0..=1_u64 << bits {
            while points.get(point).is_some_and(|&place| place >> (64 - bits) < arc) {
                point += 1;
            }
            arcs.push(point as u32);
        }
        let indexes = endpoints.map(|(index, ..)| index).collect();
        Self { points: points.into(), indexes, seeds: seeds.into(), arcs: arcs.into(), bits }
    }

    /// Returns how far `key` is from an endpoint when nobody stands between: a number of an exponential distribution with the mean 1, by key and name
    /// alone. Divided by weights, the least of several is an endpoint's with the chance of its weight (Schindelhauer and Schomaker, "Weighted
    /// Distributed Hash Tables", SPAA 2005, the logarithmic method).
    pub fn distance(&self, key: u64, index: usize) -> f64 {
        -self.uniform(key, index).ln()
    }

    /// Returns what [`distance`](Self::distance) is at least, without its logarithm: `1 - u <= -ln u`.
    pub fn least_distance(&self, key: u64, index: usize) -> f64 {
        1.0 - self.uniform(key, index)
    }

    /// Returns a number above 0, and at most 1: the upper 53 bits, as many as a float has.
    fn uniform(&self, key: u64, index: usize) -> f64 {
        let place = nth(self.seeds.get(index).copied().unwrap_or(0) ^ key, 0);
        ((place >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }

    /// Walks the circle from the places of `key` at once, and yields the index of the endpoint at each point, the nearest first; endpoints come
    /// again and again.
    ///
    /// O(1) for the first and for each next one.
    pub fn walk(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let mut probes: [Probe; PROBES] = std::array::from_fn(|n| self.set_out(nth(key, n as u64)));
        std::iter::from_fn(move || {
            let nearest = probes.iter_mut().min_by_key(|probe| probe.distance)?;
            let &point = self.points.get(nearest.point).filter(|_| nearest.left > 0)?;
            self.advance(nearest);
            self.indexes.get(point as u32 as usize).map(|&index| index as usize)
        })
    }

    fn set_out(&self, place: u64) -> Probe {
        let mut probe = Probe { start: (place >> 32) as u32, point: self.first_at(place), left: self.points.len(), distance: 0 };
        self.measure(&mut probe);
        probe
    }

    fn advance(&self, probe: &mut Probe) {
        probe.left -= 1;
        probe.point = if probe.point + 1 < self.points.len() { probe.point + 1 } else { 0 };
        self.measure(probe);
    }

    fn measure(&self, probe: &mut Probe) {
        probe.distance = match self.points.get(probe.point) {
            Some(&point) if probe.left > 0 => u64::from(((point >> 32) as u32).wrapping_sub(probe.start)),
            // Once round.
            _ => u64::MAX,
        };
    }

    /// Returns the first point at or after `place`, which is 0 past the last one.
    fn first_at(&self, place: u64) -> usize {
        let place = place & !u64::from(u32::MAX);
        let arc = (place >> (64 - self.bits)) as usize;
        let (Some(&first), Some(&end)) = (self.arcs.get(arc), self.arcs.get(arc + 1)) else { return 0 };
        let within = &self.points[first as usize..end as usize];
        let point = first as usize + within.partition_point(|&point| point < place);
        if point < self.points.len() { point } else { 0 }
    }
}

/// One of the ways from a key to the points ahead.
#[derive(Debug)]
struct Probe {
    start: u32,
    /// The point ahead.
    point: usize,
    /// Points that it has not passed.
    left: usize,
    /// From the start to the point ahead.
    distance: u64,
}

/// Returns how many points `weight` gets when all endpoints' points are halved `halvings` times.
fn share(weight: Weight, halvings: u32) -> u64 {
    let weight = if weight.is_zero() { Weight::ONE } else { weight };
    let points = u64::from(weight.hundredths()) * POINTS / u64::from(Weight::ONE.hundredths());
    (points >> halvings).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn ring(endpoints: &[(&str, f64)]) -> Ring {
        let mut ranked: Vec<_> =
            endpoints.iter().enumerate().map(|(i, &(name, weight))| (i as u32, name, Weight::new(weight).unwrap())).collect();
        ranked.sort_by_key(|&(_, name, _)| name);
        Ring::new(ranked.iter().copied())
    }

    fn owner(ring: &Ring, key: u64) -> usize {
        ring.walk(key).next().unwrap()
    }

    #[test]
    fn an_empty_ring_has_no_owner() {
        assert_eq!(ring(&[]).walk(7).next(), None);
    }

    #[test]
    fn each_probe_of_a_walk_passes_every_point_once() {
        let ring = ring(&[("a", 1.0), ("b", 2.0), ("c", 0.001)]);
        let count = |index| ring.walk(99).filter(|&at| at == index).count();
        assert_eq!((count(0), count(1), count(2)), (8 * 128, 8 * 256, 8));
    }

    #[test]
    fn owners_are_the_same_in_every_process_and_release() {
        let ring = ring(&[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)]);
        let owners: Vec<_> = (0..16).map(|key| owner(&ring, key)).collect();
        // Computed by a second implementation.
        assert_eq!(owners, [0, 1, 2, 2, 2, 2, 1, 0, 1, 2, 1, 3, 1, 3, 1, 1]);
    }

    #[test]
    fn the_order_of_the_file_does_not_matter() {
        let names = ["a", "b", "c", "d", "e"];
        let (one, other) = (ring(&names.map(|n| (n, 1.0))), ring(&["d", "a", "e", "c", "b"].map(|n| (n, 1.0))));
        for key in 0..1000 {
            assert_eq!(names[owner(&one, key)], ["d", "a", "e", "c", "b"][owner(&other, key)]);
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        let ring = ring(&[("a", 1.0), ("b", 2.0), ("c", 5.0)]);
        let mut counts = [0.0_f64; 3];
        (0..80_000).for_each(|key| counts[owner(&ring, key)] += 1.0);
        for (count, ideal) in counts.iter().zip([10_000.0, 20_000.0, 50_000.0]) {
            assert!((count / ideal - 1.0).abs() < 0.08, "{counts:?}");
        }
    }

    #[test]
    fn a_huge_set_stays_within_the_budget() {
        let names: Vec<_> = (0..10_000).map(|n| format!("e{n}")).collect();
        let endpoints: Vec<_> = names.iter().map(|name| (name.as_str(), 1000.0)).collect();
        let ring = ring(&endpoints);
        assert!(ring.points.len() as u64 <= MAX_POINTS && ring.points.len() >= 10_000);
    }

    proptest! {
        #[test]
        fn the_arcs_find_what_a_search_finds(key: u64, n in 1_usize..40) {
            let names: Vec<_> = (0..n).map(|n| format!("e{n}")).collect();
            let ring = ring(&names.iter().map(|name| (name.as_str(), 0.1)).collect::<Vec<_>>());
            let place = key & !u64::from(u32::MAX);
            let searched = ring.points.partition_point(|&point| point < place) % ring.points.len();
            prop_assert_eq!(ring.first_at(key), searched);
        }

        #[test]
        fn the_nearest_point_comes_first(key: u64, n in 1_usize..20) {
            let names: Vec<_> = (0..n).map(|n| format!("e{n}")).collect();
            let ring = ring(&names.iter().map(|name| (name.as_str(), 0.1)).collect::<Vec<_>>());
            let starts = (0..PROBES as u64).map(|n| (nth(key, n) >> 32) as u32);
            let ways = starts.flat_map(|start| ring.points.iter().map(move |&point| (((point >> 32) as u32).wrapping_sub(start), point as u32)));
            let nearest = ways.min_by_key(|&(distance, _)| distance).map(|(_, rank)| ring.indexes[rank as usize] as usize);
            prop_assert_eq!(ring.walk(key).next(), nearest);
        }
    }
}
