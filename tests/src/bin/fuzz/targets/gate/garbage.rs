//! What others may write into shared data.

use super::bend::bend;
use super::story::{Story, family};
use crate::tape::Tape;

impl Story<'_> {
    /// Another plugin, an earlier or a later version of this one, or an accident.
    pub(super) fn write_garbage(&mut self, tape: &mut Tape<'_>) {
        let keys: Vec<Vec<u8>> = self.world.shared.borrow().keys().cloned().collect();
        if keys.is_empty() {
            return;
        }
        let key = &keys[tape.below(keys.len().min(256))];
        let other = &keys[tape.below(keys.len().min(256))];
        let mut value = self.world.shared.borrow()[key].0.clone();
        match tape.below(8) {
            0 => value.clear(),
            1 => value = tape.bytes(200).to_vec(),
            2 => value.truncate(usize::from(tape.byte())),
            3 => value.extend_from_slice(tape.bytes(20)),
            4 => value.clone_from(&self.world.shared.borrow()[other].0),
            5 => {
                if let Ok(mut json) = serde_json::from_slice(&value) {
                    bend(&mut json, tape);
                    value = json.to_string().into_bytes();
                }
            }
            _ => {
                let place = usize::from(tape.byte()) % value.len().max(1);
                let bits = tape.byte();
                value.iter_mut().skip(place).take(1 + tape.below(4)).for_each(|byte| *byte ^= bits);
            }
        }
        let name = format!("garbage for {}", family(key));
        self.seen.mark(&name);
        self.world.write(key, &value);
    }
}
