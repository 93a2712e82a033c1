//! What processes send is carried to the host, and its answers back.

use std::collections::BTreeSet;

use super::wire::{self, Wire};
use super::{Network, World, network};
use crate::wasm::Clock;

impl World {
    /// Carries what was sent to the host and back, until nothing is sent any more.
    pub(super) fn carry(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            self.carry_by(&mut wire);
            self.wire = Some(wire);
            return;
        }
        for number in 0..self.processes.len() {
            let mut carried = BTreeSet::new();
            loop {
                let calls = self.processes[number].calls();
                let Some(call) = calls.into_iter().find(|call| carried.insert(call.token)) else {
                    break;
                };
                let network = if self.deaf == Some(call.vm) { Network::Down } else { self.network };
                let (message, answer) =
                    network::carry(network, &mut self.host, &call, self.clock.wall);
                self.messages.extend(message);
                if let Some(answer) = answer {
                    self.processes[number].answer(&call, answer);
                }
            }
        }
    }

    /// What was sent goes its way, and what arrives now is heard.
    fn carry_by(&mut self, wire: &mut Wire) {
        let Clock { wall, monotonic: now } = self.clock;
        loop {
            for (process, life) in self.born.iter().enumerate() {
                for call in self.processes[process].new_calls() {
                    wire.send(wire::From { process, life: *life }, call, now);
                }
            }
            let Some(arrived) = wire.arrive(&mut self.host, now, wall) else {
                return;
            };
            let wire::From { process, life } = arrived.to;
            if self.born[process] == life {
                self.processes[process].answer(&arrived.call, arrived.answer);
            }
        }
    }
}
