//! A caller who does not wait for the end of an answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::site::SAID_WITHIN;

/// How it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// It closes its connection (HTTP/1.1).
    Closes,
    /// It resets the one stream and keeps the connection, as browsers and gRPC do (HTTP/2).
    Resets,
}

pub(super) struct Leaver {
    connection: TcpStream,
    way: Way,
}

impl Leaver {
    /// Sends a call.
    pub(super) fn call(to: SocketAddr, way: Way, path: &str, key: &str) -> Self {
        let mut connection = TcpStream::connect(to).unwrap();
        connection.set_read_timeout(Some(SAID_WITHIN)).unwrap();
        let request = match way {
            Way::Closes => {
                format!("GET {path} HTTP/1.1\r\nhost: api\r\nx-api-key: {key}\r\n\r\n").into_bytes()
            }
            Way::Resets => {
                let headers = [
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":authority", "api"),
                    (":path", path),
                    ("x-api-key", key),
                ];
                let headers = headers.map(|(name, value)| literal(name, value)).concat();
                let end_of_stream_and_headers = 0x5;
                [
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                    frame(SETTINGS, 0, 0, &[]),
                    frame(HEADERS, end_of_stream_and_headers, 1, &headers),
                ]
                .concat()
            }
        };
        connection.write_all(&request).unwrap();
        Self { connection, way }
    }

    /// Reads until this has come, in whatever frames around it.
    pub(super) fn read(&mut self, text: &str) {
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        while !all.windows(text.len()).any(|window| window == text.as_bytes()) {
            let bytes = self.connection.read(&mut some).unwrap();
            assert!(bytes > 0, "{}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&some[..bytes]);
        }
    }

    pub(super) fn leave(mut self) {
        if self.way == Way::Resets {
            let cancel = 8_u32.to_be_bytes();
            self.connection.write_all(&frame(RST_STREAM, 0, 1, &cancel)).unwrap();
        }
    }
}

/// Types of frames (RFC 9113, 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field that refers to no table (RFC 7541, 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| {
        assert!(text.len() < 127, "one byte tells its length");
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    [vec![0], string(name), string(value)].concat()
}
