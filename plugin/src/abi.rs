//! The proxy-wasm ABI 0.2.1: the imports we call, the exports Envoy calls, and nothing else.
//!
//! Not the `proxy-wasm` crate: it defines every callback itself, and linking it beside exports of
//! our own defines them twice. Its dispatcher panics on bytes that are not UTF-8 and on unknown
//! tokens, and drops answers of streams that are gone; a panic here costs a VM its streams.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tollgate_pricing::sync::Reason;

use crate::admit::Refusal;
use crate::gate::{Action, Gate, TICK_MS};
use crate::host::{Cas, Host, Level, Lost, Post};
use crate::metrics::{Kind, Metric};
use crate::reply::Reply;
use crate::settings::{Role, Settings, TOKEN_VARIABLE, Unusable};

const OK: u32 = 0;
const CAS_MISMATCH: u32 = 8;

const REQUEST_HEADERS: u32 = 0;
const CALL_RESPONSE_HEADERS: u32 = 6;
const CALL_RESPONSE_BODY: u32 = 4;
const VM_CONFIGURATION: u32 = 6;
const REQUEST_STREAM: u32 = 0;
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        kind: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        detail: *const u8,
        detail_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_ms: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        data: *const u8,
        size: usize,
        cas: u32,
    ) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(bytes: *mut u8, size: usize) -> u16;
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u16;
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// WASI's name of the clock that never steps.
const MONOTONIC: u32 = 1;

/// The proxy around this VM.
struct Envoy;

/// Takes over a buffer that the host had allocated by [`proxy_on_memory_allocate`].
///
/// # Safety
/// `data` and `size` are what one successful host call wrote.
unsafe fn received(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: allocated below as a boxed slice of this size, and filled by the host.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) }.into_vec()
}

/// Calls a host function that hands out a buffer.
fn buffer(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    let status = call(&raw mut data, &raw mut size);
    // SAFETY: both were written by the call, or are null and zero.
    let bytes = unsafe { received(data, size) };
    (status == OK).then_some(bytes)
}

impl Host for Envoy {
    fn monotonic_ns(&self) -> u64 {
        let mut time = 0;
        // SAFETY: writes one u64.
        unsafe { clock_time_get(MONOTONIC, 1, &raw mut time) };
        time
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        // SAFETY: writes as many bytes as it is told.
        unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
        bytes
    }

    fn shared_get(&self, key: &[u8]) -> Option<(Vec<u8>, Cas)> {
        let mut cas = 0;
        let value = buffer(|data, size| {
            // SAFETY: reads the key, writes the three results.
            unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas) }
        });
        value.map(|value| (value, Cas::read(cas)))
    }

    fn shared_set(&self, key: &[u8], value: &[u8], cas: Cas) -> Result<(), Lost> {
        let (name, size) = (key.as_ptr(), key.len());
        // SAFETY: reads key and value.
        match unsafe { proxy_set_shared_data(name, size, value.as_ptr(), value.len(), cas.token()) }
        {
            OK => Ok(()),
            status => {
                debug_assert_eq!(status, CAS_MISMATCH);
                Err(Lost)
            }
        }
    }

    fn request_headers(&self) -> Vec<u8> {
        buffer(|data, size| {
            // SAFETY: writes the two results.
            unsafe { proxy_get_header_map_pairs(REQUEST_HEADERS, data, size) }
        })
        .unwrap_or_default()
    }

    fn number(&self, property: &[&str]) -> Option<u64> {
        property_bytes(property)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn has(&self, property: &[&str]) -> bool {
        property_bytes(property).is_some_and(|value| !value.is_empty())
    }

    fn bytes(&self, property: &[&str]) -> Option<Vec<u8>> {
        property_bytes(property)
    }

    fn set_path(&self, path: &[u8]) {
        let name = b":path";
        // SAFETY: reads name and value.
        unsafe {
            proxy_replace_header_map_value(
                REQUEST_HEADERS,
                name.as_ptr(),
                name.len(),
                path.as_ptr(),
                path.len(),
            );
        }
    }

    fn note(&self, name: &str, text: &str) {
        // SAFETY: reads name and value.
        unsafe { proxy_set_property(name.as_ptr(), name.len(), text.as_ptr(), text.len()) };
    }

    fn focus(&self, context: u32) -> bool {
        // SAFETY: takes a number.
        unsafe { proxy_set_effective_context(context) == OK }
    }

    fn resume(&self) {
        // SAFETY: takes a number.
        unsafe { proxy_continue_stream(REQUEST_STREAM) };
    }

    fn reply(&self, reply: &Reply) {
        let headers: Vec<(&str, &str)> =
            reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let headers = pairs(&headers);
        // SAFETY: reads three buffers.
        unsafe {
            proxy_send_local_response(
                reply.status.into(),
                reply.detail.as_ptr(),
                reply.detail.len(),
                reply.body.as_ptr(),
                reply.body.len(),
                headers.as_ptr(),
                headers.len(),
                NO_GRPC_STATUS,
            );
        }
    }

    fn post(&self, post: Post<'_>) -> Option<u32> {
        let bearer = format!("Bearer {}", post.token);
        let headers = pairs(&[
            (":method", "POST"),
            (":path", post.path),
            (":authority", post.authority),
            ("content-type", "application/json"),
            ("authorization", &bearer),
        ]);
        let mut token = 0;
        // SAFETY: reads four buffers (trailers are empty), writes the token.
        let status = unsafe {
            proxy_http_call(
                post.cluster.as_ptr(),
                post.cluster.len(),
                headers.as_ptr(),
                headers.len(),
                post.body.as_ptr(),
                post.body.len(),
                std::ptr::null(),
                0,
                post.timeout_ms,
                &raw mut token,
            )
        };
        (status == OK).then_some(token)
    }

    fn answer_status(&self) -> Option<u16> {
        let name = b":status";
        let value = buffer(|data, size| {
            let map = CALL_RESPONSE_HEADERS;
            // SAFETY: reads the name, writes the two results.
            unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) }
        })?;
        std::str::from_utf8(&value).ok()?.parse().ok()
    }

    fn answer_body(&self, max: usize) -> Vec<u8> {
        get_buffer(CALL_RESPONSE_BODY, max)
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
            Level::Critical => 5,
        };
        // SAFETY: reads the line.
        unsafe { proxy_log(level, line.as_ptr(), line.len()) };
    }

    fn count(&self, metric: Metric, by: u32) {
        // Known to the proxy from its first mention, but Envoy takes no offset of zero.
        if let Some(id) = metric_id(metric)
            && by != 0
        {
            // SAFETY: takes numbers.
            unsafe { proxy_increment_metric(id, by.into()) };
        }
    }

    fn show(&self, metric: Metric, value: u64) {
        if let Some(id) = metric_id(metric) {
            // SAFETY: takes numbers.
            unsafe { proxy_record_metric(id, value) };
        }
    }
}

/// The proxy's number of a metric, which is defined at its first use: a canary uses none.
fn metric_id(metric: Metric) -> Option<u32> {
    thread_local! {
        static IDS: RefCell<BTreeMap<Metric, u32>> = const { RefCell::new(BTreeMap::new()) };
    }
    IDS.with(|ids| {
        let mut ids = ids.try_borrow_mut().ok()?;
        if let Some(id) = ids.get(&metric) {
            return Some(*id);
        }
        let kind = match metric.kind() {
            Kind::Counter => 0,
            Kind::Gauge => 1,
        };
        let (name, mut id) = (metric.name(), 0);
        // SAFETY: reads the name, writes the id.
        let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
        (status == OK).then(|| *ids.entry(metric).or_insert(id))
    })
}

fn get_buffer(kind: u32, max: usize) -> Vec<u8> {
    buffer(|data, size| {
        // SAFETY: writes the two results.
        unsafe { proxy_get_buffer_bytes(kind, 0, max, data, size) }
    })
    .unwrap_or_default()
}

fn property_bytes(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    buffer(|data, size| {
        // SAFETY: reads the path, writes the two results.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }
    })
}

/// Header pairs as the ABI has them: a count, the lengths, then each text and a zero byte.
fn pairs(headers: &[(&str, &str)]) -> Vec<u8> {
    let word = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = word(headers.len()).to_vec();
    for (name, value) in headers {
        bytes.extend(word(name.len()));
        bytes.extend(word(value.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

thread_local! {
    /// The VM's gate; none before it is configured, and none ever in the pin.
    static GATE: RefCell<Option<Gate<Envoy>>> = const { RefCell::new(None) };
}

/// Host calls that run our code again (allocation, above) do not come here, so the gate is never
/// borrowed twice; should a proxy ever call back into one, the inner call does nothing and says so.
fn with_gate<T>(default: T, call: impl FnOnce(&mut Gate<Envoy>) -> T) -> T {
    GATE.with(|cell| {
        let Ok(mut gate) = cell.try_borrow_mut() else {
            Envoy.log(Level::Error, "a callback came inside another and was not handled");
            return default;
        };
        gate.as_mut().map_or(default, call)
    })
}

fn start() -> Result<(), Unusable> {
    let settings = Settings::read(&get_buffer(VM_CONFIGURATION, usize::MAX))?;
    if settings.role == Role::Pin {
        return Ok(());
    }
    let missing = || {
        Unusable(format!(
            "{TOKEN_VARIABLE} is not set: make a token with `tollgate gateways add NAME` and start \
             Envoy with it in that variable"
        ))
    };
    let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    let token = token.ok_or_else(missing)?;
    GATE.with_borrow_mut(|gate| {
        // A second root context of this VM shares its gate.
        gate.get_or_insert_with(|| Gate::new(Envoy, settings, token));
    });
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the linker's list of constructors, called once and first.
    unsafe { __wasm_call_ctors() }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    // A boxed slice: `received` takes it over as one.
    Box::into_raw(vec![0_u8; size].into_boxed_slice()).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_context: u32, _parent: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _configuration_size: usize) -> bool {
    match start() {
        Ok(()) => true,
        Err(Unusable(reason)) => {
            Envoy.log(Level::Error, &reason);
            false
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, _configuration_size: usize) -> bool {
    with_gate((), |gate| {
        gate.on_configure(root);
        // SAFETY: takes a number.
        unsafe { proxy_set_tick_period_milliseconds(TICK_MS) };
    });
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    with_gate((), |gate| gate.on_tick(root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    root: u32,
    token: u32,
    _headers: u32,
    _body_size: usize,
    _trailers: u32,
) {
    with_gate((), |gate| gate.on_answer(token, root));
}

/// 0 lets the stream go on, 1 holds it. Where there is no gate to ask, nothing passes: a filter
/// that is misconfigured as the pin must not let everyone in.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(stream: u32, _headers: u32, _end_of_stream: bool) -> u32 {
    match with_gate(None, |gate| Some(gate.on_request_headers(stream))) {
        Some(Action::Continue) => 0,
        Some(Action::Pause) => 1,
        None => {
            Envoy.reply(&Reply::new(&Refusal::plain(Reason::Busy), None));
            1
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(stream: u32) {
    with_gate((), |gate| gate.on_log(stream));
}

/// True: the proxy need not wait. It would not, and what is to be said is said.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> bool {
    with_gate((), |gate| gate.on_done(context));
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    with_gate((), |gate| gate.on_delete(context));
}
