//! Reads a stream of server-sent events from bytes as they arrive, and the JSON that Gemini sometimes
//! sends unframed at the tail of one.

use std::fmt;

/// A message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SseItem {
    /// The data of one event; several `data:` lines are joined by line feeds.
    Data(String),
    /// Lines that are no events. JSON comes whole, be it pretty-printed over many lines: this is how an error
    /// arrives that happened after the reply had begun.
    Raw(String),
}

/// An item is longer than the reader's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseTooLong {
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for SseTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one event of the stream is longer than {} bytes", self.limit)
    }
}

impl std::error::Error for SseTooLong {}

/// An incremental reader: bytes in, items out, whatever the borders of the chunks.
///
/// ```
/// use keyrot_gemini::{SseItem, SseReader};
/// let mut reader = SseReader::new(1024);
/// assert!(reader.push(b"data: {\"a\"").unwrap().is_empty());
/// assert_eq!(reader.push(b":1}\r\n\r\n").unwrap(), [SseItem::Data("{\"a\":1}".to_owned())]);
/// ```
#[derive(Clone, Debug)]
pub struct SseReader {
    limit: usize,
    /// The line under way, without its end.
    line: Vec<u8>,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    first_line: bool,
    data: Option<String>,
    raw: Raw,
}

impl SseReader {
    /// A reader that holds at most about `limit` bytes of an item that is not complete.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            first_line: true,
            data: None,
            raw: Raw::default(),
        }
    }

    /// Takes the next bytes and gives the items that are complete with them.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<SseItem>, SseTooLong> {
        let mut items = Vec::new();
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.line.extend_from_slice(bytes);
                break;
            };
            self.line.extend_from_slice(&bytes[..end]);
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.check()?;
            self.end_line(&mut items);
        }
        self.check()?;
        Ok(items)
    }

    /// What was left when the stream ended: an event without the empty line that ends it, or JSON cut short.
    pub fn finish(mut self) -> Vec<SseItem> {
        let mut items = Vec::new();
        if !self.line.is_empty() {
            self.end_line(&mut items);
        }
        self.flush_data(&mut items);
        items.extend(self.raw.take());
        items
    }

    fn check(&self) -> Result<(), SseTooLong> {
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len) + self.raw.text.len();
        if held > self.limit { Err(SseTooLong { limit: self.limit }) } else { Ok(()) }
    }

    fn end_line(&mut self, items: &mut Vec<SseItem>) {
        let line = std::mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&line); // the line is whole: no character is cut here
        if std::mem::take(&mut self.first_line)
            && let Some(rest) = line.strip_prefix('\u{feff}')
        {
            line = rest.to_owned().into();
        }
        if line.is_empty() {
            self.flush_data(items);
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        match field {
            "data" => {
                items.extend(self.raw.take());
                let value = value.strip_prefix(' ').unwrap_or(value);
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                }
            }
            "" | "event" | "id" | "retry" => {} // comments keep a connection alive; names and ids are not used
            _ => {
                self.flush_data(items);
                items.extend(self.raw.add(&line));
            }
        }
    }

    fn flush_data(&mut self, items: &mut Vec<SseItem>) {
        items.extend(self.data.take().map(SseItem::Data));
    }
}

/// Lines outside of events, until the brackets of their JSON balance.
#[derive(Clone, Debug, Default)]
struct Raw {
    text: String,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Raw {
    fn add(&mut self, line: &str) -> Option<SseItem> {
        let mut complete = false;
        for byte in line.bytes() {
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = byte == b'\\' && !self.escaped;
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    complete = self.depth == 0;
                }
                _ => {}
            }
        }
        self.text.push_str(line);
        self.text.push('\n');
        if complete && self.depth == 0 { self.take() } else { None }
    }

    fn take(&mut self) -> Option<SseItem> {
        let text = std::mem::take(self).text;
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == ',');
        (!text.is_empty()).then(|| SseItem::Raw(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> SseItem {
        SseItem::Data(text.to_owned())
    }

    fn raw(text: &str) -> SseItem {
        SseItem::Raw(text.to_owned())
    }

    /// The items of `text`, the same for every way to cut it in two and for single bytes.
    fn items(text: &str) -> Vec<SseItem> {
        let read = |parts: &[&[u8]]| {
            let mut reader = SseReader::new(1 << 16);
            let mut items: Vec<SseItem> = parts.iter().flat_map(|part| reader.push(part).unwrap()).collect();
            items.extend(reader.finish());
            items
        };
        let whole = read(&[text.as_bytes()]);
        for cut in 0..=text.len() {
            assert_eq!(read(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]), whole, "cut at {cut}");
        }
        assert_eq!(read(&text.as_bytes().chunks(1).collect::<Vec<_>>()), whole);
        whole
    }

    #[test]
    fn events_end_at_an_empty_line_of_any_kind() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                "data: {\"я\":1}||data:{}||:keep alive||event: x|data: 1|data: 2|id: 7||".replace('|', end);
            assert_eq!(items(&text), [data("{\"я\":1}"), data("{}"), data("1\n2")], "{end:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_a_last_event_needs_no_empty_line() {
        assert_eq!(items("\u{feff}data: a\n\ndata: b"), [data("a"), data("b")]);
        assert_eq!(items("data\n\ndata:\n\n"), [data(""), data("")]);
        assert_eq!(items("\n\n\r\n"), []);
    }

    #[test]
    fn json_at_the_tail_comes_whole() {
        let error = "{\n  \"error\": {\n    \"code\": 503,\n\n    \"message\": \"a } \\\" {\"\n  }\n}";
        let kept = error.replace("\n\n", "\n"); // an empty line between members says nothing
        assert_eq!(items(&format!("data: 1\n\n{error}\n")), [data("1"), raw(&kept)]);
        assert_eq!(items(&format!("data: 1\n{error}")), [data("1"), raw(&kept)]);
        assert_eq!(items(&format!("[{error}\n]\n")), [raw(&format!("[{kept}\n]"))]);
        assert_eq!(items("{\"error\": {\ndata: 1\n\n"), [raw("{\"error\": {"), data("1")]);
    }

    #[test]
    fn words_that_are_no_json_come_at_the_end() {
        assert_eq!(items("<html>\n<p>no</p>"), [raw("<html>\n<p>no</p>")]);
    }

    #[test]
    fn a_line_or_an_event_without_end_is_refused() {
        let mut reader = SseReader::new(10);
        assert!(reader.push(b"data: 12345").is_err());
        let mut reader = SseReader::new(10);
        assert!((0..5).any(|_| reader.push(b"data: 1\n").is_err()));
        let mut reader = SseReader::new(10);
        assert!((0..5).any(|_| reader.push(b"{\n ").is_err()));
        let mut reader = SseReader::new(10);
        for _ in 0..100 {
            assert_eq!(reader.push(b"data: 1\n\n").unwrap(), [data("1")]); // what was handed out counts no more
        }
    }
}
