//! A network with distances: messages take time, get lost on the way there or back, arrive twice
//! or after what was sent later. Everything is drawn from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{At, Host, network};
use crate::simulator::Wrong;
use crate::wasm::{Answer, Call, Random};

/// What the network is like now. "One in 0" is never.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// The longest way, there or back.
    pub(crate) way: Duration,
    /// Of so many messages one is lost on its way there, and one on its way back.
    pub(crate) lost: u64,
    /// Of so many messages one arrives a second time, later.
    pub(crate) twice: u64,
    /// Whose messages do not get through: of a whole process, if no VM is named.
    pub(crate) cut: Vec<(usize, Option<usize>)>,
    /// Nobody is told that a message is lost: Envoy's timeout is the answer.
    pub(crate) silent: bool,
}

/// Messages under way, by when they arrive.
pub(crate) struct Wire {
    pub(crate) weather: Weather,
    random: Random,
    under_way: BTreeMap<(Duration, u64), Message>,
    sent: u64,
    /// What became of messages, for the summary.
    pub(crate) fates: BTreeMap<&'static str, u64>,
    /// A host that is wrong, to see that somebody notices.
    wrong: Option<Wrong>,
}

/// What arrives.
enum Message {
    /// At the host; whether its answer goes back.
    Request { from: From, call: Call, answered: bool },
    /// At a process.
    Answer { to: From, call: Call, answer: Answer },
}

/// A life of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct From {
    pub(super) process: usize,
    pub(super) life: u64,
}

/// What a process is to hear now.
pub(super) struct Arrived {
    pub(super) to: From,
    pub(super) call: Call,
    pub(super) answer: Answer,
}

impl Wire {
    pub(crate) fn new(seed: u64, wrong: Option<Wrong>) -> Self {
        Self {
            weather: Weather::default(),
            random: Random(seed),
            under_way: BTreeMap::new(),
            sent: 0,
            fates: BTreeMap::new(),
            wrong,
        }
    }

    /// When something arrives next.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.under_way.keys().next().map(|(due, _)| *due)
    }

    /// Takes a call that a process has made.
    pub(super) fn send(&mut self, from: From, call: Call, now: Duration) {
        let At(process, vm) = At(from.process, call.vm);
        let is_cut = self
            .weather
            .cut
            .iter()
            .any(|(cut, only)| *cut == process && only.is_none_or(|only| only == vm));
        let there = self.way();
        if is_cut || self.happens(self.weather.lost) {
            self.count(if is_cut { "cut" } else { "lost there" });
            self.fail(from, call, now + there);
            return;
        }
        if self.happens(self.weather.twice) {
            self.count("twice");
            let (again, call) = (now + there + self.way() * 3, call.clone());
            self.push(again, Message::Request { from, call, answered: false });
        }
        let answered = !self.happens(self.weather.lost);
        self.count(if answered { "arrived" } else { "answer lost" });
        self.push(now + there, Message::Request { from, call, answered });
    }

    /// What arrives now at a process; what arrives at the host is answered.
    pub(super) fn arrive(
        &mut self,
        host: &mut Host,
        now: Duration,
        wall: Duration,
    ) -> Option<Arrived> {
        loop {
            let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
            match entry.remove() {
                Message::Answer { to, call, answer } => {
                    if now >= call.deadline {
                        self.count("late");
                    }
                    return Some(Arrived { to, call, answer });
                }
                Message::Request { from, call, answered } => {
                    let mut group = vec![(from, call, answered)];
                    while let Some(entry) = self.under_way.first_entry()
                        && entry.key().0 <= now
                        && matches!(entry.get(), Message::Request { .. })
                        && let Message::Request { from, call, answered } = entry.remove()
                    {
                        group.push((from, call, answered));
                    }
                    self.reach(host, group, now, wall);
                }
            }
        }
    }

    /// Calls reach the host, which does them together.
    fn reach(
        &mut self,
        host: &mut Host,
        group: Vec<(From, Call, bool)>,
        now: Duration,
        wall: Duration,
    ) {
        let answers = if host.is_up(wall) {
            let calls: Vec<&Call> = group.iter().map(|(_, call, _)| call).collect();
            network::deliver(host, &calls, wall, self.wrong)
        } else {
            self.count("host is away");
            group.iter().map(|_| None).collect()
        };
        for ((from, call, answered), answer) in group.into_iter().zip(answers) {
            let back = now + self.way();
            let Some(network::Delivered { answer, calls_back }) = answer else {
                self.fail(from, call, back);
                continue;
            };
            if calls_back {
                self.count("calls units back");
            }
            if answered {
                self.push(back, Message::Answer { to: from, call, answer });
            } else {
                self.fail(from, call, back);
            }
        }
    }

    /// The sender hears of it, or does not.
    fn fail(&mut self, to: From, call: Call, at: Duration) {
        if self.weather.silent {
            self.count("silence");
            return;
        }
        let answer = if self.random.one_in(2) { Answer::no_connection() } else { Answer::reset() };
        self.push(at, Message::Answer { to, call, answer });
    }

    /// How long a message takes: mostly little, and sometimes as long as can be.
    fn way(&mut self) -> Duration {
        let most = u64::try_from(self.weather.way.as_micros()).expect("a short way");
        let micros = self.random.below(most + 1);
        Duration::from_micros(if self.random.one_in(8) { micros } else { micros / 20 })
    }

    fn happens(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.random.one_in(one_in)
    }

    fn push(&mut self, due: Duration, message: Message) {
        self.sent += 1;
        self.under_way.insert((due, self.sent), message);
    }

    fn count(&mut self, fate: &'static str) {
        *self.fates.entry(fate).or_default() += 1;
    }
}
