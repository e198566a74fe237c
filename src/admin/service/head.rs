//! Parses the head of an HTTP/1.1 request, which an operator provides: a request line and header lines.

use crate::credential::Header;

/// Envoy's own limit is 60 KiB by default.
const MAX_HEAD: usize = 64 * 1024;

/// A request's path and headers, as `ext_authz` would receive them.
pub(super) struct Head<'a> {
    /// The request target with its query.
    pub(super) path: &'a [u8],
    lines: Vec<(String, &'a [u8])>,
}

impl<'a> Head<'a> {
    /// Parses `bytes`. An error names the line but never repeats it, because it may contain a key.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.len() > MAX_HEAD {
            return Err("is longer than 64 KiB".to_owned());
        }
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut numbered = (1..).zip(lines);
        let Some((_, first)) = numbered.next().filter(|(_, line)| !line.is_empty()) else {
            return Err("line 1: is empty; a request line is expected, such as GET /v1/models HTTP/1.1".to_owned());
        };
        let path = target(first).map_err(|why| format!("line 1: {why}"))?;
        let fields = numbered.take_while(|(_, line)| !line.is_empty());
        let lines = fields.map(|(number, line)| field(line).map_err(|why| format!("line {number}: {why}")));
        Ok(Self { path, lines: lines.collect::<Result<_, _>>()? })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Header<'_>> + Clone {
        self.lines.iter().map(|(name, value)| Header { name, value })
    }

    /// Every line of this header, in order.
    pub(super) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        self.lines.iter().filter(|(found, _)| found == name).map(|(_, value)| *value).collect()
    }
}

fn target(line: &[u8]) -> Result<&[u8], &'static str> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, path, version] = words[..] else {
        return Err("is not a request line, such as GET /v1/models HTTP/1.1");
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err("does not begin with a method");
    }
    if !version.starts_with(b"HTTP/") {
        return Err("does not end with a version, such as HTTP/1.1");
    }
    // Envoy sends only the path, even if a client sent a whole URL.
    if path.first() != Some(&b'/') && path != b"*" {
        return Err("the request target must begin with /; leave out scheme and host");
    }
    if has_control(path) { Err("contains a control character") } else { Ok(path) }
}

/// The name in lower case and the value without outer white space, as Envoy's codec returns them.
fn field(line: &[u8]) -> Result<(String, &[u8]), &'static str> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err("continues the line before it, which HTTP/1.1 no longer allows; join the two lines");
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or("has no colon; a header is NAME: VALUE")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err("has no header name before its colon");
    }
    if has_control(value) {
        return Err("contains a control character, which Envoy rejects");
    }
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value.trim_ascii()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn has_control(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_line_endings_and_a_missing_end_are_accepted() {
        for text in [
            "POST /v1/x?key=K HTTP/1.1\r\nHost: h\r\nX-API-Key:  K \r\nx-api-key:\tL\r\n\r\nbody: no",
            "POST /v1/x?key=K HTTP/2\nhost:h\nx-api-key:K\nx-api-key:L",
        ] {
            let head = Head::parse(text.as_bytes()).unwrap_or_else(|why| panic!("{text:?}: {why}"));
            assert_eq!((head.path, head.iter().count()), (&b"/v1/x?key=K"[..], 3), "{text:?}");
            assert_eq!(head.values("x-api-key"), [b"K", b"L"], "{text:?}");
        }
        let head = Head::parse(b"GET / HTTP/1.1\nx-api-key: \xff\xfe").unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(head.values("x-api-key"), [b"\xff\xfe"], "raw bytes are kept");
    }

    #[test]
    fn an_error_names_the_line_and_does_not_repeat_it() {
        for (text, expected) in [
            ("", "line 1: is empty"),
            ("\nGET / HTTP/1.1", "line 1: is empty"),
            ("GET /SeCrEt", "line 1: is not a request line"),
            ("GET /SeCrEt  HTTP/1.1", "line 1: is not a request line"),
            ("G@T /SeCrEt HTTP/1.1", "line 1: does not begin with a method"),
            ("GET /SeCrEt SeCrEt", "line 1: does not end with a version"),
            ("GET http://h/SeCrEt HTTP/1.1", "line 1: the request target must begin with /"),
            ("GET /SeCr\0Et HTTP/1.1", "line 1: contains a control character"),
            ("GET / HTTP/1.1\nHost: h\nSeCrEt", "line 3: has no colon"),
            ("GET / HTTP/1.1\n: SeCrEt", "line 2: has no header name"),
            ("GET / HTTP/1.1\nx-api-key : SeCrEt", "line 2: has no header name"),
            ("GET / HTTP/1.1\nx-api-key: a\n SeCrEt", "line 3: continues the line before it"),
            ("GET / HTTP/1.1\nx-api-key: SeC\rrEt", "line 2: contains a control character"),
        ] {
            let why = Head::parse(text.as_bytes()).err().unwrap_or_default();
            assert!(why.starts_with(expected) && !why.contains("SeC"), "{text:?}: {why}");
        }
        assert!(Head::parse(&[b'a'; MAX_HEAD + 1]).err().is_some_and(|why| why == "is longer than 64 KiB"));
    }
}
