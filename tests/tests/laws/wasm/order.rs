//! In which order VMs that work at the same time get their turns.

use super::random::Random;

/// Turns a VM may keep when chance decides.
const MOST_STEPS: u64 = 4;
/// Turns after which a priority changes, at most.
const MOST_TURNS: u64 = 24;

/// Who is next.
#[derive(Debug)]
pub(crate) enum Order {
    /// Anyone, for a few hostcalls.
    Chance(Random),
    /// The most important one, until at few turns chosen beforehand it becomes the least: finds
    /// what needs few interruptions, however long the rest is ("PCT").
    Priorities { importance: Vec<usize>, changes: Vec<u64>, turn: u64 },
    /// The choices of [`every_order`].
    Script(Script),
}

/// A choice each turn: at first the given ones, then always the first.
#[derive(Debug, Default)]
pub(crate) struct Script {
    choices: Vec<usize>,
    made: Vec<Choice>,
    /// Who had the last turn, and how many more times it may be interrupted while it could go on.
    last: Option<usize>,
    interruptions: usize,
}

/// A choice that was made: which of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Choice {
    taken: usize,
    of: usize,
}

impl Script {
    fn next(&mut self, ready: &[usize]) -> usize {
        let goes_on = self.last.filter(|last| ready.contains(last));
        // The one that goes on comes first, so that the first choice is no interruption.
        let mut choices: Vec<usize> = goes_on.into_iter().collect();
        if goes_on.is_none() || self.interruptions > 0 {
            choices.extend(ready.iter().filter(|vm| goes_on != Some(**vm)));
        }
        let taken = self.choices.get(self.made.len()).copied().unwrap_or(0);
        assert!(taken < choices.len(), "the case is not the same each time");
        self.made.push(Choice { taken, of: choices.len() });
        self.interruptions -= usize::from(goes_on.is_some() && taken > 0);
        self.last = Some(choices[taken]);
        choices[taken]
    }
}

impl Order {
    /// An order drawn from a seed, for so many VMs.
    pub(crate) fn drawn(random: &mut Random, vms: usize) -> Self {
        if random.one_in(2) {
            return Self::Chance(Random(random.next()));
        }
        let mut importance: Vec<usize> = (0..vms).collect();
        random.shuffle(&mut importance);
        let changes = (0..random.below(4)).map(|_| random.below(MOST_TURNS)).collect();
        Self::Priorities { importance, changes, turn: 0 }
    }

    /// The one of `ready` (not empty, sorted) who is next, and for how many hostcalls.
    pub(super) fn next(&mut self, ready: &[usize]) -> (usize, u32) {
        match self {
            Self::Chance(random) => {
                let vm = ready[random.index(ready.len())];
                (vm, u32::try_from(random.below(MOST_STEPS)).expect("few") + 1)
            }
            Self::Priorities { importance, changes, turn } => {
                let first = |order: &[usize]| order.iter().position(|vm| ready.contains(vm));
                let mut place = first(importance).expect("every VM has an importance");
                if changes.contains(turn) {
                    let demoted = importance.remove(place);
                    importance.push(demoted);
                    place = first(importance).expect("likewise");
                }
                *turn += 1;
                (importance[place], 1)
            }
            Self::Script(script) => (script.next(ready), 1),
        }
    }
}

/// Every order in which VMs are interrupted at most so often: plays `case` with each, which must be
/// the same case each time. Gives how many there were.
pub(crate) fn every_order(interruptions: usize, mut case: impl FnMut(&mut Order)) -> usize {
    let mut choices = Vec::new();
    for played in 1.. {
        let mut order = Order::Script(Script { choices, interruptions, ..Script::default() });
        case(&mut order);
        let Order::Script(Script { mut made, .. }) = order else { unreachable!("made above") };
        while made.pop_if(|last| last.taken + 1 == last.of).is_some() {}
        let Some(last) = made.last_mut() else {
            return played;
        };
        last.taken += 1;
        choices = made.iter().map(|choice| choice.taken).collect();
    }
    unreachable!("the loop ends by returning")
}
