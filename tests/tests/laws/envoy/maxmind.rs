//! The smallest database that Envoy's geoip filter reads (`MaxMind` DB File Format 2.0): one country
//! for IPv4 addresses below 128.0.0.0, and nothing of the others.

/// The bytes of one record: 24 bits.
const RECORD_BITS: u16 = 24;
const NODES: u8 = 1;
/// Between the tree and what it leads to.
const GAP: [u8; 16] = [0; 16];

/// The database with this country.
pub(super) fn database(country: &str) -> Vec<u8> {
    // A record is a node's number, the number of nodes for nothing, or more for data behind it.
    let (data, nothing) = (NODES + u8::try_from(GAP.len()).unwrap(), NODES);
    let tree = [0, 0, data, 0, 0, nothing];
    let place = map(&[("country", map(&[("iso_code", text(country))]))]);
    let about = map(&[
        ("binary_format_major_version", uint16(2)),
        ("binary_format_minor_version", uint16(0)),
        ("build_epoch", vec![0x01, 0x02, 0x01]), // a 64-bit number of one byte
        ("database_type", text("Test-Country")),
        ("description", map(&[])),
        ("ip_version", uint16(4)),
        ("languages", vec![0x00, 0x04]),   // an empty array
        ("node_count", vec![0xc1, NODES]), // a 32-bit number of one byte
        ("record_size", uint16(RECORD_BITS)),
    ]);
    [&tree[..], &GAP, &place, b"\xab\xcd\xefMaxMind.com", &about].concat()
}

/// A field's type is in the upper three bits of its first byte, its length in the others.
fn head(kind: u8, length: usize) -> u8 {
    assert!(length < 29, "longer ones are written otherwise");
    kind << 5 | u8::try_from(length).unwrap()
}

fn text(text: &str) -> Vec<u8> {
    [&[head(2, text.len())], text.as_bytes()].concat()
}

fn uint16(number: u16) -> Vec<u8> {
    [&[head(5, 2)], &number.to_be_bytes()[..]].concat()
}

fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| [text(name), value.clone()].concat());
    [vec![head(7, fields.len())], fields.collect::<Vec<_>>().concat()].concat()
}
