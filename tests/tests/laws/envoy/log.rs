//! What Envoy itself says of its calls: an access log, beside what the gate has made of them.

use std::fs;
use std::path::Path;

use super::site::Site;

/// One call, as Envoy saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Logged {
    pub(super) path: String,
    pub(super) status: u16,
    /// Of its response flags, the short names.
    pub(super) flags: String,
    /// Bytes of bodies and headers, of request and response.
    pub(super) bytes: u64,
}

const FILE: &str = "access.log";
const FORMAT: &str = "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% \
    %BYTES_RECEIVED% %REQUEST_HEADERS_BYTES% %BYTES_SENT% %RESPONSE_HEADERS_BYTES% \
    %RESPONSE_TRAILERS_BYTES%";

/// A configuration with such a log.
pub(super) fn added(configuration: &str, directory: &Path) -> String {
    let log = format!(
        "                access_log:
                  - name: envoy.access_loggers.file
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: \"{}\"
                      log_format: {{ text_format_source: {{ inline_string: \"{FORMAT}\\n\" }} }}
",
        directory.join(FILE).display()
    );
    after(configuration, "                stat_prefix: tollgate\n", &log)
}

/// A configuration with more behind a part that is there once.
pub(super) fn after(configuration: &str, part: &str, more: &str) -> String {
    let (before, behind) = configuration.split_once(part).unwrap();
    assert!(!behind.contains(part), "{part} is there once");
    [before, part, more, behind].concat()
}

/// Ends a site's Envoy, which writes its log out then, and reads it.
pub(super) fn read(site: &mut Site) -> Vec<Logged> {
    site.envoy.process().stop();
    let text = fs::read_to_string(site.directory.join(FILE)).unwrap();
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (told, sizes) = words.split_at(3);
        Logged {
            path: told[0].to_owned(),
            status: told[1].parse().unwrap(),
            flags: told[2].to_owned(),
            bytes: sizes.iter().map(|bytes| bytes.parse::<u64>().unwrap()).sum(),
        }
    };
    text.lines().map(line).collect()
}
