;; A plugin that logs every callback, counts ticks in shared data, and asks about each request.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
  (import "env" "proxy_get_shared_data"
    (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data"
    (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $choose (param i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek"
    (func $fd_seek (param i32 i64 i32 i32) (result i32)))

  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 4096))
  (global $asking (mut i32) (i32.const 0))

  (data (i32.const 0) "initialize")
  (data (i32.const 16) "context")
  (data (i32.const 32) "vm_start")
  (data (i32.const 48) "configure")
  (data (i32.const 64) "headers")
  (data (i32.const 80) "answer")
  (data (i32.const 96) "log")
  (data (i32.const 112) "done")
  (data (i32.const 128) "delete")
  (data (i32.const 144) "ticks")
  (data (i32.const 160) "elsewhere")
  (data (i32.const 176) "response\00code")
  (data (i32.const 192) "code")
  (data (i32.const 208) "no")
  ;; 3 pairs: `:method` GET, `:path` /, `:authority` a
  (data (i32.const 256)
    "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00"
    ":method\00GET\00:path\00/\00:authority\00a\00")

  (func $say (param $at i32) (param $length i32)
    (drop (call $log (i32.const 2) (local.get $at) (local.get $length))))

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize") (call $say (i32.const 0) (i32.const 10)))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get $size))))
  (func (export "proxy_on_context_create") (param i32 i32)
    (call $say (i32.const 16) (i32.const 7)))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
    (call $say (i32.const 32) (i32.const 8))
    (drop (call $set_tick (i32.const 100)))
    (i32.eq (call $fd_seek (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0))
      (i32.const 58)))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (call $say (i32.const 48) (i32.const 9))
    (i32.const 1))

  ;; ticks += 1 by compare-and-swap; the value is one byte, its address at 1024, its number at 1032
  (func (export "proxy_on_tick") (param i32)
    (if (call $get (i32.const 144) (i32.const 5) (i32.const 1024) (i32.const 1028)
          (i32.const 1032))
      (then
        (i32.store8 (i32.const 1040) (i32.const 1)))
      (else
        (i32.store8 (i32.const 1040)
          (i32.add (i32.load8_u (i32.load (i32.const 1024))) (i32.const 1)))))
    (drop (call $set (i32.const 144) (i32.const 5) (i32.const 1040) (i32.const 1)
      (i32.load (i32.const 1032)))))

  ;; asks `elsewhere` for 500 ms and holds the request back; answers 500 if it may not ask
  (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
    (call $say (i32.const 64) (i32.const 7))
    (global.set $asking (local.get $id))
    (if (call $call (i32.const 160) (i32.const 9) (i32.const 256) (i32.const 64)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 500)
          (i32.const 1048))
      (then (call $answer (i32.const 500))))
    (i32.const 1))
  (func $answer (param $status i32)
    (drop (call $reply (local.get $status) (i32.const 0) (i32.const 0) (i32.const 208)
      (i32.const 2) (i32.const 0) (i32.const 0) (i32.const -1))))

  ;; no headers: 502; no body: 503; else the request goes on
  (func (export "proxy_on_http_call_response") (param i32 i32) (param $headers i32)
    (param $body i32) (param i32)
    (call $say (i32.const 80) (i32.const 6))
    (if (call $choose (global.get $asking)) (then (return)))
    (if (i32.eqz (local.get $headers)) (then (call $answer (i32.const 502)) (return)))
    (if (i32.eqz (local.get $body)) (then (call $answer (i32.const 503)) (return)))
    (drop (call $continue (i32.const 0))))

  ;; keeps the caller's status in shared data
  (func (export "proxy_on_log") (param i32)
    (call $say (i32.const 96) (i32.const 3))
    (if (i32.eqz (call $property (i32.const 176) (i32.const 13) (i32.const 1024)
          (i32.const 1028)))
      (then
        (drop (call $set (i32.const 192) (i32.const 4) (i32.load (i32.const 1024))
          (i32.load (i32.const 1028)) (i32.const 0))))))
  (func (export "proxy_on_done") (param i32) (result i32)
    (call $say (i32.const 112) (i32.const 4))
    (i32.const 1))
  (func (export "proxy_on_delete") (param i32) (call $say (i32.const 128) (i32.const 6))))
