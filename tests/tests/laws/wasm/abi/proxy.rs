//! The functions of proxy-wasm 0.2.1 that the plugin may use, with the results Envoy gives.

use std::time::Duration;

use wasmtime::Linker;

use super::{Fault, Host, Outcome, functions, pairs};
use crate::wasm::clock::nanoseconds;
use crate::wasm::dispatch::Call;
use crate::wasm::inside::{Inside, Outside, Tick};
use crate::wasm::stream::{Progress, Reply};
use crate::wasm::{Pairs, Status};

const BUFFER_CALL_BODY: u32 = 4;
const BUFFER_VM_CONFIGURATION: u32 = 6;
const MAP_REQUEST_HEADERS: u32 = 0;
const MAP_CALL_HEADERS: u32 = 6;

const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];

pub(super) fn link(linker: &mut Linker<Inside>) -> wasmtime::Result<()> {
    functions!(linker, "env",
        proxy_log(level: u32, at: u32, length: u32) => Host::log;
        proxy_get_current_time_nanoseconds(time_at: u32) => Host::wall_time;
        proxy_set_tick_period_milliseconds(period_ms: u32) => Host::set_tick;
        proxy_get_buffer_bytes(kind: u32, start: u32, most: u32, address_at: u32, length_at: u32)
            => Host::buffer;
        proxy_get_header_map_pairs(map: u32, address_at: u32, length_at: u32) => Host::headers;
        proxy_get_header_map_value(map: u32, at: u32, length: u32, address_at: u32, length_at: u32)
            => Host::header;
        proxy_set_header_map_pairs(map: u32, at: u32, length: u32) => Host::set_headers;
        proxy_replace_header_map_value(map: u32, n_at: u32, n_len: u32, v_at: u32, v_len: u32)
            => Host::replace_header;
        proxy_remove_header_map_value(map: u32, at: u32, length: u32) => Host::remove_header;
        proxy_get_property(at: u32, length: u32, address_at: u32, length_at: u32)
            => Host::property;
        proxy_set_property(p_at: u32, p_len: u32, v_at: u32, v_len: u32)
            => Host::set_property;
        proxy_send_local_response(status: u32, d_at: u32, d_len: u32, b_at: u32, b_len: u32,
            h_at: u32, h_len: u32, grpc: u32) => Host::reply;
        proxy_continue_stream(kind: u32) => Host::resume;
        proxy_set_effective_context(context: u32) => Host::choose_context;
        proxy_http_call(c_at: u32, c_len: u32, h_at: u32, h_len: u32, b_at: u32, b_len: u32,
            t_at: u32, t_len: u32, timeout_ms: u32, token_at: u32) => Host::http_call;
        proxy_get_shared_data(at: u32, length: u32, address_at: u32, length_at: u32, cas_at: u32)
            => Host::shared_data;
        proxy_set_shared_data(k_at: u32, k_len: u32, v_at: u32, v_len: u32, cas: u32)
            => Host::set_shared_data;
        proxy_define_metric(kind: u32, at: u32, length: u32, id_at: u32) => Host::define_metric;
        proxy_increment_metric(id: u32, offset: i64) => Host::increment_metric;
        proxy_record_metric(id: u32, value: u64) => Host::record_metric;
    );
    Ok(())
}

impl Host<'_> {
    fn log(&mut self, level: u32, at: u32, length: u32) -> Outcome {
        let text = self.read(at, length)?;
        let level = LEVELS.get(level as usize).ok_or(Status::BadArgument)?;
        self.note(level, &text);
        Ok(())
    }

    /// Adds a line to the process's log.
    pub(super) fn note(&mut self, level: &str, text: &[u8]) {
        let vm = self.inside().vm;
        let line = format!("vm {vm} {level}: {}", String::from_utf8_lossy(text));
        self.outside(|outside| outside.log.push(line));
    }

    fn wall_time(&mut self, time_at: u32) -> Outcome {
        let wall = self.outside(|outside| outside.clock.wall);
        self.write_u64(time_at, nanoseconds(wall))
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of the table's functions")]
    fn set_tick(&mut self, period_ms: u32) -> Outcome {
        let now = self.outside(|outside| outside.clock.monotonic);
        let every = Duration::from_millis(period_ms.into());
        let inside = self.inside();
        let root = inside.root();
        for known in inside.roots.iter_mut().filter(|known| known.id == root) {
            known.tick = (period_ms > 0).then_some(Tick { every, due: now + every });
        }
        Ok(())
    }

    fn buffer(
        &mut self,
        kind: u32,
        start: u32,
        most: u32,
        address_at: u32,
        length_at: u32,
    ) -> Outcome {
        let bytes = match kind {
            BUFFER_CALL_BODY => self.inside().answer.as_ref().map(|answer| answer.body.clone()),
            BUFFER_VM_CONFIGURATION => {
                Some(self.outside(|outside| outside.vm_configuration.clone()))
            }
            _ => None,
        };
        let bytes = bytes.ok_or(Status::NotFound)?;
        let end = start.checked_add(most).ok_or(Status::BadArgument)? as usize;
        let part = bytes.get(start as usize..end.min(bytes.len())).unwrap_or_default();
        if part.is_empty() {
            // Envoy leaves both places as they are.
            return Ok(());
        }
        self.give(part, address_at, length_at)
    }

    /// The headers a map stands for now.
    fn map(&mut self, map: u32) -> Outcome<&mut Pairs> {
        let inside = self.inside();
        let found = match map {
            MAP_REQUEST_HEADERS => inside.stream().map(|stream| &mut stream.headers),
            MAP_CALL_HEADERS => inside.answer.as_mut().map(|answer| &mut answer.headers),
            _ => None,
        };
        found.ok_or(Status::BadArgument.into())
    }

    /// The headers a map stands for, if they may still be changed.
    fn map_to_change(&mut self, map: u32) -> Outcome<&mut Pairs> {
        if map != MAP_REQUEST_HEADERS || self.inside().stream().is_none_or(|stream| stream.logging)
        {
            return Err(Status::BadArgument.into());
        }
        self.map(map)
    }

    fn headers(&mut self, map: u32, address_at: u32, length_at: u32) -> Outcome {
        let encoded = pairs::encode(self.map(map)?);
        self.give(&encoded, address_at, length_at)
    }

    /// The first of a name's values, as Envoy chooses.
    fn header(
        &mut self,
        map: u32,
        at: u32,
        length: u32,
        address_at: u32,
        length_at: u32,
    ) -> Outcome {
        let name = self.read(at, length)?;
        let mut headers = self.map(map)?.iter();
        let found = headers.find(|(known, _)| *known == name);
        let value = found.map(|(_, value)| value.clone());
        self.give(&value.ok_or(Status::NotFound)?, address_at, length_at)
    }

    fn set_headers(&mut self, map: u32, at: u32, length: u32) -> Outcome {
        let pairs = self.read_pairs(at, length)?;
        *self.map_to_change(map)? = pairs;
        Ok(())
    }

    fn replace_header(
        &mut self,
        map: u32,
        n_at: u32,
        n_len: u32,
        v_at: u32,
        v_len: u32,
    ) -> Outcome {
        let (name, value) = (self.read(n_at, n_len)?, self.read(v_at, v_len)?);
        let headers = self.map_to_change(map)?;
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value));
        Ok(())
    }

    fn remove_header(&mut self, map: u32, at: u32, length: u32) -> Outcome {
        let name = self.read(at, length)?;
        self.map_to_change(map)?.retain(|(known, _)| *known != name);
        Ok(())
    }

    fn property(&mut self, at: u32, length: u32, address_at: u32, length_at: u32) -> Outcome {
        let path = self.read_text(at, length)?.replace('\0', ".");
        let all_well = self.outside(|outside| outside.lies.all_well);
        let value = match path.as_str() {
            "response.code" if all_well => Some(200_u64.to_le_bytes().to_vec()),
            "plugin_root_id" => Some(self.inside().root_id.clone().into_bytes()),
            path => self.inside().stream().and_then(|stream| stream.property(path)),
        };
        self.give(&value.ok_or(Status::NotFound)?, address_at, length_at)
    }

    /// Envoy keeps it in the stream's filter state, under `wasm.`; a root context has none.
    fn set_property(&mut self, p_at: u32, p_len: u32, v_at: u32, v_len: u32) -> Outcome {
        let (path, value) =
            (self.read_text(p_at, p_len)?.replace('\0', "."), self.read(v_at, v_len)?);
        let stream = self.inside().stream().ok_or(Status::NotFound)?;
        stream.notes.insert(path, value);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the ABI has them")]
    fn reply(
        &mut self,
        status: u32,
        _d_at: u32,
        _d_len: u32,
        b_at: u32,
        b_len: u32,
        h_at: u32,
        h_len: u32,
        _grpc: u32,
    ) -> Outcome {
        let reply =
            Reply { status, headers: self.read_pairs(h_at, h_len)?, body: self.read(b_at, b_len)? };
        let stream = self.inside().stream().ok_or(Status::BadArgument)?;
        // Envoy keeps the first of two.
        stream.reply.get_or_insert(reply);
        Ok(())
    }

    fn resume(&mut self, kind: u32) -> Outcome {
        let stream = self.inside().stream().ok_or(Status::BadArgument)?;
        if kind == 0 && stream.progress == Progress::Paused && stream.reply.is_none() {
            stream.progress = Progress::Forwarded;
        }
        Ok(())
    }

    fn choose_context(&mut self, context: u32) -> Outcome {
        let inside = self.inside();
        if !inside.has_root(context) && !inside.streams.contains_key(&context) {
            return Err(Status::BadArgument.into());
        }
        inside.effective = Some(context);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the ABI has them")]
    fn http_call(
        &mut self,
        c_at: u32,
        c_len: u32,
        h_at: u32,
        h_len: u32,
        b_at: u32,
        b_len: u32,
        _t_at: u32,
        _t_len: u32,
        timeout_ms: u32,
        token_at: u32,
    ) -> Outcome {
        let cluster = self.read_text(c_at, c_len)?;
        let headers = self.read_pairs(h_at, h_len)?;
        let body = self.read(b_at, b_len)?;
        let names = |wanted: &[u8]| headers.iter().any(|(name, _)| name == wanted);
        if !(names(b":method") && names(b":path") && names(b":authority")) {
            return Err(Status::BadArgument.into());
        }
        let (vm, life, root) = (self.inside().vm, self.inside().life, self.inside().root());
        let token = self.outside(|outside| {
            if let Some(refusal) = outside.calls.refusal {
                return Err(Fault::from(refusal));
            }
            let token = outside.calls.next_token();
            let deadline = outside.clock.monotonic + Duration::from_millis(timeout_ms.into());
            outside.calls.under_way.push(Call {
                vm,
                life,
                root,
                token,
                cluster,
                headers,
                body,
                deadline,
            });
            Ok(token)
        })?;
        self.write_u32(token_at, token)
    }

    fn shared_data(
        &mut self,
        at: u32,
        length: u32,
        address_at: u32,
        length_at: u32,
        cas_at: u32,
    ) -> Outcome {
        let key = self.read(at, length)?;
        let (value, cas) = self
            .outside(|outside| outside.data.get(&key).map(|(value, cas)| (value.to_vec(), cas)))
            .ok_or(Status::NotFound)?;
        self.give(&value, address_at, length_at)?;
        self.write_u32(cas_at, cas)
    }

    fn set_shared_data(
        &mut self,
        k_at: u32,
        k_len: u32,
        v_at: u32,
        v_len: u32,
        cas: u32,
    ) -> Outcome {
        let (key, value) = (self.read(k_at, k_len)?, self.read(v_at, v_len)?);
        let set = |outside: &mut Outside| {
            let cas = if outside.lies.lost_updates { 0 } else { cas };
            outside.data.set(&key, &value, cas)
        };
        match self.outside(set) {
            Status::Ok => Ok(()),
            refused => Err(refused.into()),
        }
    }

    fn define_metric(&mut self, kind: u32, at: u32, length: u32, id_at: u32) -> Outcome {
        let name = self.read_text(at, length)?;
        let id = self.outside(|outside| outside.metrics.define(kind, &name))?;
        self.write_u32(id_at, id)
    }

    fn increment_metric(&mut self, id: u32, offset: i64) -> Outcome {
        Ok(self.outside(|outside| outside.metrics.increment(id, offset))?)
    }

    fn record_metric(&mut self, id: u32, value: u64) -> Outcome {
        Ok(self.outside(|outside| outside.metrics.record(id, value))?)
    }
}
