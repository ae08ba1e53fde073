/// What stands before every message, in lower case.
const NAME: &[u8] = b"content-length:";

/// A header longer than this is none.
const MAX_HEADER_BYTES: usize = 4096;

/// What the beginning of some bytes is.
#[derive(Debug, PartialEq)]
pub(super) enum Header {
    /// A whole header of `bytes` bytes, the blank line included, before a body of `length` bytes.
    Complete { bytes: usize, length: usize },
    /// Perhaps a header, when more bytes have come.
    Partial,
    /// Certainly no header.
    Bad,
}

/// Where a header begins inside what should have been a body.
#[derive(Debug, PartialEq)]
pub(super) enum Embedded {
    /// One begins at this offset.
    At(usize),
    /// None begins before this offset.
    NotBefore(usize),
}

/// Reads the header that the bytes begin with.
pub(super) fn parse(bytes: &[u8]) -> Header {
    let mut length = None;
    let mut offset = 0;
    loop {
        let Some(line_bytes) = bytes[offset..].iter().take(MAX_HEADER_BYTES).position(|&byte| byte == b'\n') else {
            return if bytes.len() < MAX_HEADER_BYTES && could_continue(&bytes[offset..]) {
                Header::Partial
            } else {
                Header::Bad
            };
        };
        let line = &bytes[offset..offset + line_bytes];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        offset += line_bytes + 1;
        if offset > MAX_HEADER_BYTES {
            return Header::Bad;
        }
        if line.is_empty() {
            return match length {
                Some(length) => Header::Complete { bytes: offset, length },
                None => Header::Bad,
            };
        }
        match parse_line(line) {
            Line::Length(new) if length.is_none_or(|old| old == new) => length = Some(new),
            Line::Ignored => {}
            Line::Length(_) | Line::Bad => return Header::Bad,
        }
    }
}

/// The offset of the first `Content-Length:`, whole or cut off by the end; the number of bytes where there is none.
pub(super) fn find(bytes: &[u8]) -> usize {
    (0..bytes.len()).find(|&offset| begins_with_name(&bytes[offset..]) != Some(false)).unwrap_or(bytes.len())
}

/// Looks for a whole `Content-Length` line from an offset on.
pub(super) fn find_embedded(bytes: &[u8], from: usize) -> Embedded {
    let mut offset = from;
    loop {
        offset += find(&bytes[offset..]);
        let candidate = &bytes[offset..];
        if begins_with_name(candidate) != Some(true) {
            return Embedded::NotBefore(offset);
        }
        let value = &candidate[NAME.len()..];
        let value_bytes = value.iter().take_while(|&&byte| byte == b' ' || byte.is_ascii_digit()).count();
        match value[value_bytes..] {
            [] | [b'\r'] => return Embedded::NotBefore(offset),
            [b'\n', ..] | [b'\r', b'\n', ..] if value[..value_bytes].iter().any(u8::is_ascii_digit) => {
                return Embedded::At(offset);
            }
            _ => offset += 1,
        }
    }
}

/// What one line of a header says.
enum Line {
    Length(usize),
    Ignored,
    Bad,
}

fn parse_line(line: &[u8]) -> Line {
    let Ok(line) = std::str::from_utf8(line) else {
        return Line::Bad;
    };
    let Some((name, value)) = line.split_once(':') else {
        return Line::Bad;
    };
    let value = value.trim();
    if name.eq_ignore_ascii_case("content-length") {
        // `parse` alone would take a sign as well.
        return match value.parse() {
            Ok(length) if value.bytes().all(|byte| byte.is_ascii_digit()) => Line::Length(length),
            _ => Line::Bad,
        };
    }
    // Garbage in front of a header must not hide it.
    let hides_header = line.as_bytes().windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME));
    if hides_header
        || name.is_empty()
        || !is_name(name.as_bytes())
        || (name.eq_ignore_ascii_case("content-type") && !is_utf8(value))
    {
        return Line::Bad;
    }
    Line::Ignored
}

/// Whether a content type leaves the character set at UTF-8.
fn is_utf8(content_type: &str) -> bool {
    content_type.split(';').skip(1).all(|parameter| match parameter.trim().split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            let value = value.trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    })
}

/// Whether a line without its end may still become one of a header: so that garbage is not waited on.
fn could_continue(line: &[u8]) -> bool {
    let is_value = |byte: &u8| matches!(byte, b'\t' | b'\r' | 0x20..0x7f);
    match line.iter().position(|&byte| byte == b':') {
        Some(name_bytes) => is_name(&line[..name_bytes]) && line[name_bytes..].iter().all(is_value),
        None => line == b"\r" || is_name(line),
    }
}

fn is_name(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

/// Whether the bytes begin with the name, or `None` where they end too early to tell.
fn begins_with_name(bytes: &[u8]) -> Option<bool> {
    let common = bytes.len().min(NAME.len());
    if !bytes[..common].eq_ignore_ascii_case(&NAME[..common]) {
        return Some(false);
    }
    (common == NAME.len()).then_some(true)
}
