//! `{% generation %}` marks what an assistant wrote, for masks that are not made here. Jinja
//! runs its body as a block of its own; `{% with %}` does the same and prints no more.

/// `source` with the generation tags replaced, white-space control and lines kept.
pub fn without_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag, after)) = next_tag(rest) {
        out.push_str(before);
        out.push_str(&replaced(tag));
        rest = after;
        if is_tag(tag, "raw") {
            let end = end_of_raw(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out + rest
}

/// The first `{{..}}`, `{%..%}` or `{#..#}`: what stands before it, itself, and the rest.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let begin = ["{{", "{%", "{#"].iter().filter_map(|open| text.find(open)).min()?;
    let len = match text.as_bytes()[begin + 1] {
        b'#' => text[begin..].find("#}")? + 2,
        b'%' => closing(&text[begin..], "%}")?,
        _ => closing(&text[begin..], "}}")?,
    };
    let end = begin + len;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

/// Where the tag at the start of `text` ends; string literals may hold anything.
fn closing(text: &str, close: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 2;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = end_of_string(bytes, at, quote),
            _ if bytes[at..].starts_with(close.as_bytes()) => return Some(at + close.len()),
            _ => at += 1,
        }
    }
    None
}

fn end_of_string(bytes: &[u8], begin: usize, quote: u8) -> usize {
    let mut at = begin + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The word of a `{% word %}` tag, if that is all there is in it.
fn is_tag(tag: &str, word: &str) -> bool {
    let inner = tag.strip_prefix("{%").and_then(|tag| tag.strip_suffix("%}"));
    let signs: &[char] = &['-', '+'];
    inner.is_some_and(|inner| {
        let inner = inner.strip_prefix(signs).unwrap_or(inner);
        inner.strip_suffix(signs).unwrap_or(inner).trim() == word
    })
}

fn replaced(tag: &str) -> String {
    if is_tag(tag, "generation") {
        tag.replace("generation", "with")
    } else if is_tag(tag, "endgeneration") {
        tag.replace("endgeneration", "endwith")
    } else {
        tag.to_owned()
    }
}

fn end_of_raw(text: &str) -> usize {
    let mut at = 0;
    while let Some(begin) = text[at..].find("{%") {
        at += begin;
        match text[at..].find("%}") {
            Some(len) if is_tag(&text[at..at + len + 2], "endraw") => return at,
            Some(_) => at += 2,
            None => break,
        }
    }
    text.len()
}
