//! Capabilities as bits, so that a request's requirements are matched by one AND.

use std::collections::BTreeSet;

use crate::model::EndpointSpec;

/// How many different capabilities a pool may name; those after it, in alphabetical order, are offered by nobody.
pub const MAX_CAPABILITIES: usize = 64;

/// A set of capabilities of one pool; the default requires nothing.
///
/// Means something only together with the [`EndpointSet`](super::EndpointSet) that it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mask(u64);

impl Mask {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// Tells whether everything in `required` is in here.
    pub const fn offers(self, required: Self) -> bool {
        self.0 & required.0 == required.0
    }

    /// Tells whether there is nothing in here.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The names of a pool's capabilities; the place in the list is the bit.
#[derive(Debug, Default)]
pub(super) struct Names(Box<[Box<str>]>);

impl Names {
    pub(super) fn new<'a>(specs: impl Iterator<Item = &'a EndpointSpec>) -> Self {
        let names: BTreeSet<&str> = specs.flat_map(|spec| &spec.capabilities).map(String::as_str).collect();
        Self(names.into_iter().take(MAX_CAPABILITIES).map(Box::from).collect())
    }

    /// Returns the mask of those `names` that are known.
    pub(super) fn offered<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Mask {
        Mask(names.into_iter().filter_map(|name| self.bit(name)).fold(0, |mask, bit| mask | bit))
    }

    /// Returns the mask of all `names`, `None` when one is not known.
    pub(super) fn required<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<Mask> {
        names.into_iter().try_fold(0, |mask, name| Some(mask | self.bit(name)?)).map(Mask)
    }

    fn bit(&self, name: &str) -> Option<u64> {
        self.0.binary_search_by(|known| known.as_ref().cmp(name)).ok().map(|place| 1 << place)
    }
}
