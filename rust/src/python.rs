//! What chat templates expect of Python: `json.dumps` and `datetime.strftime`.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

const MAX_JSON_DEPTH: usize = 100;

fn error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Hugging Face's `tojson`: json.dumps without HTML escapes, non-ASCII kept by default.
pub fn to_json(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<Value>>("indent")?,
    };
    let dump = Dump {
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        indent: indent_text(indent)?,
        separators: options.get::<Option<Value>>("separators")?,
    };
    options.assert_all_used()?;
    let (item, key) = dump.separators()?;
    let mut out = String::new();
    dump.value(value, &item, &key, 0, &mut out)?;
    Ok(out)
}

fn indent_text(indent: Option<Value>) -> Result<Option<String>, Error> {
    let Some(indent) = indent.filter(|indent| !indent.is_none()) else { return Ok(None) };
    if let Some(text) = indent.as_str() {
        return Ok(Some(text.chars().take(64).collect()));
    }
    let width = indent.as_i64().ok_or_else(|| error("tojson: indent is no number or text"))?;
    Ok(Some(" ".repeat(width.clamp(0, 64) as usize)))
}

struct Dump {
    ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    separators: Option<Value>,
}

impl Dump {
    fn separators(&self) -> Result<(String, String), Error> {
        let Some(pair) = self.separators.as_ref().filter(|pair| !pair.is_none()) else {
            let item = if self.indent.is_some() { "," } else { ", " };
            return Ok((item.to_owned(), ": ".to_owned()));
        };
        Ok((pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string()))
    }

    fn value(
        &self,
        value: &Value,
        item: &str,
        key: &str,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Error> {
        if depth > MAX_JSON_DEPTH {
            return Err(error(format!("tojson: nested deeper than {MAX_JSON_DEPTH}")));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(items.len(), "[]", item, depth, out, |at, out| {
                    self.value(&items[at], item, key, depth + 1, out)
                })?;
            }
            ValueKind::Map => {
                let entries = self.entries(value)?;
                self.list(entries.len(), "{}", item, depth, out, |at, out| {
                    self.string(&entries[at].0, out);
                    out.push_str(key);
                    self.value(&entries[at].1, item, key, depth + 1, out)
                })?;
            }
            kind => return Err(error(format!("tojson: {kind} is not JSON serializable"))),
        }
        Ok(())
    }

    fn entries(&self, map: &Value) -> Result<Vec<(String, Value)>, Error> {
        let mut entries = Vec::new();
        for key in map.try_iter()? {
            let value = map.get_item(&key)?;
            entries.push((key_text(&key), value));
        }
        if self.sort_keys {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Ok(entries)
    }

    fn list(
        &self,
        len: usize,
        brackets: &str,
        item: &str,
        depth: usize,
        out: &mut String,
        mut each: impl FnMut(usize, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push_str(&brackets[..1]);
        for at in 0..len {
            if at > 0 {
                out.push_str(item);
            }
            self.new_line(depth + 1, out);
            each(at, out)?;
        }
        if len > 0 {
            self.new_line(depth, out);
        }
        out.push_str(&brackets[1..]);
        Ok(())
    }

    fn new_line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' || (self.ascii && c > '~') => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// Keys that are not text are written as Python writes them.
fn key_text(key: &Value) -> String {
    match key.kind() {
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => key.to_string().to_lowercase(),
        ValueKind::Number => number(key),
        _ => key.to_string(),
    }
}

fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() && !value.is_integer() => {
            if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        _ => value.to_string(),
    }
}

/// C's strftime, which is Python's, in the local time of `now_s`.
pub fn strftime(format: &str, now_s: i64) -> Result<String, Error> {
    let format = std::ffi::CString::new(format).map_err(|_| error("strftime_now: NUL in format"))?;
    if format.as_bytes().len() > 200 {
        return Err(error("strftime_now: format longer than 200 bytes"));
    }
    let seconds = now_s as libc::time_t;
    let mut buffer = [0u8; 4096];
    // SAFETY: the buffers are ours and their sizes are passed on.
    let len = unsafe {
        let mut time: libc::tm = std::mem::zeroed();
        libc::localtime_r(&seconds, &mut time);
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &time)
    };
    Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
}
