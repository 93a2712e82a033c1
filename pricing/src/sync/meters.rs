//! What calls took of a product's meters.

use serde::{Deserialize, Serialize};

use super::MAX_METERS;
use crate::id::Tag;

/// Units by meter, in the order of the meters' tags: two with the same content are equal, and so
/// are their bytes. At most [`MAX_METERS`]; the sums end at the largest number.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Meters(Vec<(Tag, u64)>);

impl Meters {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The units of a meter.
    pub fn get(&self, meter: Tag) -> u64 {
        match self.place(meter) {
            Ok(place) => self.0.get(place).map_or(0, |(_, units)| *units),
            Err(_) => 0,
        }
    }

    /// All of them, each meter once and in its place; none if they are not so, or too many.
    pub fn new(units: Vec<(Tag, u64)>) -> Option<Self> {
        Some(Self(units)).filter(Self::are_sound)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[(Tag, u64)] {
        &self.0
    }

    /// Whether they can be taken as they are: few enough, each meter once and in its place.
    pub fn are_sound(&self) -> bool {
        self.0.len() <= MAX_METERS && self.0.is_sorted_by(|(one, _), (next, _)| one < next)
    }

    /// Adds units. False if there are too many meters already: they are not counted then.
    pub fn add(&mut self, meter: Tag, units: u64) -> bool {
        self.change(meter, |known| known.saturating_add(units))
    }

    /// Whether all that is counted there has a place here.
    pub fn has_room(&self, other: &Self) -> bool {
        let is_new = |(meter, _): &&(Tag, u64)| self.place(*meter).is_err();
        self.0.len().saturating_add(other.0.iter().filter(is_new).count()) <= MAX_METERS
    }

    /// Takes over what is larger there, as counters that only grow are merged. False if that is
    /// too many meters: nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> bool {
        self.has_room(other)
            && other.0.iter().all(|(meter, units)| self.change(*meter, |known| known.max(*units)))
    }

    fn change(&mut self, meter: Tag, change: impl FnOnce(u64) -> u64) -> bool {
        match self.place(meter) {
            Ok(place) => {
                if let Some((_, units)) = self.0.get_mut(place) {
                    *units = change(*units);
                }
                true
            }
            Err(_) if self.0.len() >= MAX_METERS => false,
            Err(place) => {
                self.0.insert(place, (meter, change(0)));
                true
            }
        }
    }

    fn place(&self, meter: Tag) -> Result<usize, usize> {
        self.0.binary_search_by_key(&meter, |(known, _)| *known)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_content_is_equal_however_it_came_about() {
        let (mut one, mut other) = (Meters::default(), Meters::default());
        assert!(one.add(Tag(7), 3) && one.add(Tag(2), 5) && one.add(Tag(7), 1));
        assert!(other.add(Tag(2), 5) && other.add(Tag(7), 4));
        assert_eq!(one, other);
        assert_eq!((one.get(Tag(7)), one.get(Tag(2)), one.get(Tag(1))), (4, 5, 0));
        assert!(one.are_sound());
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(text, "[[2,5],[7,4]]");
        assert_eq!(serde_json::from_str::<Meters>(&text).unwrap(), one);
        let bad: Meters = serde_json::from_str("[[7,4],[2,5]]").unwrap();
        assert!(!bad.are_sound());
    }

    #[test]
    fn merging_takes_the_larger_and_never_more_than_fit() {
        let mut one = Meters::default();
        for tag in 0..8 {
            assert!(one.add(Tag(tag), 10));
        }
        assert!(!one.add(Tag(8), 1) && one.add(Tag(0), u64::MAX));
        let mut other = Meters::default();
        assert!(other.add(Tag(1), 9) && other.add(Tag(2), 11));
        assert!(one.merge(&other));
        assert_eq!((one.get(Tag(0)), one.get(Tag(1)), one.get(Tag(2))), (u64::MAX, 10, 11));
        assert!(one.has_room(&other));
        assert!(other.add(Tag(9), 0) && !one.has_room(&other) && !one.merge(&other));
    }

    type Model = BTreeMap<Tag, u64>;

    fn of(model: &Model) -> Meters {
        Meters::new(model.iter().map(|(tag, units)| (*tag, *units)).collect()).unwrap()
    }

    fn any_model() -> impl Strategy<Value = Model> {
        let units = prop_oneof![0..5_u64, u64::MAX - 5..=u64::MAX];
        proptest::collection::btree_map((0..12_u32).prop_map(Tag), units, 0..=MAX_METERS)
    }

    proptest! {
        #[test]
        fn meters_are_a_small_map(one in any_model(), other in any_model()) {
            let (mut merged, mut added) = (of(&one), of(&one));
            let (mut larger, mut sum) = (one.clone(), one.clone());
            for (tag, units) in &other {
                let is_known = sum.contains_key(tag);
                let fits = is_known || sum.len() < MAX_METERS;
                prop_assert_eq!(added.add(*tag, *units), fits);
                if fits {
                    let known = sum.entry(*tag).or_default();
                    *known = known.saturating_add(*units);
                }
                let known = larger.entry(*tag).or_default();
                *known = (*known).max(*units);
            }
            prop_assert_eq!(&added, &of(&sum));
            let fits = larger.len() <= MAX_METERS;
            prop_assert_eq!(merged.has_room(&of(&other)), fits);
            prop_assert_eq!(merged.merge(&of(&other)), fits);
            prop_assert_eq!(&merged, &of(if fits { &larger } else { &one }));
            prop_assert!((0..12).all(|tag| added.get(Tag(tag)) == sum.get(&Tag(tag)).copied().unwrap_or(0)));
            // Merged twice, in whatever order: the same.
            if fits {
                let mut back = of(&other);
                prop_assert!(back.merge(&of(&one)) && back.merge(&merged));
                prop_assert_eq!(back, merged);
            }
        }

        #[test]
        fn whatever_came_is_sound_or_told(units in proptest::collection::vec((0..20_u32, 0..3_u64), 0..12)) {
            let text = serde_json::to_string(&units).unwrap();
            let meters: Meters = serde_json::from_str(&text).unwrap();
            let is_sound = units.len() <= MAX_METERS && units.is_sorted_by(|(one, _), (next, _)| one < next);
            prop_assert_eq!(meters.are_sound(), is_sound);
            let units = units.into_iter().map(|(tag, units)| (Tag(tag), units)).collect();
            prop_assert_eq!(Meters::new(units).is_some(), is_sound);
        }
    }
}
