//! tokenizer.json behind a handle: ids of text, text of ids, what the vocabulary holds.

use std::ffi::c_char;

use serde_json::json;
use tokenizers::{AddedToken, Tokenizer};

use crate::encode::{encode, Span};
use crate::ffi::{catch_quietly, give, give_text, guard, slice, text, Outcome, Status};

pub struct PtTokenizer {
    inner: Tokenizer,
    size: i64,
}

impl PtTokenizer {
    fn new(json: &str) -> Outcome<Self> {
        let mut inner = read(json)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        Ok(Self { size: size(&inner), inner })
    }

    fn add(&mut self, tokens: &str) -> Outcome<()> {
        let tokens: Vec<AddedToken> =
            serde_json::from_str(tokens).map_err(|error| format!("added tokens: {error}"))?;
        self.inner.add_tokens(tokens).map_err(|error| error.to_string())?;
        self.size = size(&self.inner);
        Ok(())
    }

    fn added_tokens(&self) -> String {
        let mut tokens: Vec<_> = self.inner.get_added_tokens_decoder().into_iter().collect();
        tokens.sort_unstable_by_key(|(id, _)| *id);
        let rows = tokens.iter().map(|(id, token)| {
            json!({"id": id, "content": token.content, "single_word": token.single_word,
                   "lstrip": token.lstrip, "rstrip": token.rstrip,
                   "normalized": token.normalized, "special": token.special})
        });
        serde_json::Value::Array(rows.collect()).to_string()
    }
}

/// The library panics on some files that no tokenizer wrote: they are at fault all the same.
fn read(json: &str) -> Outcome<Tokenizer> {
    let problem = match catch_quietly(|| Tokenizer::from_bytes(json)) {
        Ok(Ok(tokenizer)) => return Ok(tokenizer),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic.split_once('\n').map_or(panic.clone(), |(_, what)| what.to_owned()),
    };
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(_) => Err(format!("no tokenizer that can be read: {problem}")),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// The largest id + 1.
fn size(tokenizer: &Tokenizer) -> i64 {
    tokenizer.get_vocab(true).into_values().max().map_or(0, |id| i64::from(id) + 1)
}

/// # Safety
/// Here and below: pointers are valid for their lengths and handles come from this library.
#[no_mangle]
pub unsafe extern "C" fn pt_tokenizer_new(
    json: *const c_char,
    len: usize,
    out: *mut *mut PtTokenizer,
) -> Status {
    guard(|| {
        *out = Box::into_raw(Box::new(PtTokenizer::new(text(json, len)?)?));
        Ok(())
    })
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn pt_tokenizer_add(
    tokenizer: &mut PtTokenizer,
    tokens: *const c_char,
    len: usize,
) -> Status {
    guard(|| tokenizer.add(text(tokens, len)?))
}

/// # Safety
/// As above; null is allowed.
#[no_mangle]
pub unsafe extern "C" fn pt_tokenizer_free(tokenizer: *mut PtTokenizer) {
    if !tokenizer.is_null() {
        drop(Box::from_raw(tokenizer));
    }
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn pt_encode(
    tokenizer: &PtTokenizer,
    data: *const c_char,
    len: usize,
    plain: *const Span,
    num_plain: usize,
    ids: *mut *mut u32,
    count: *mut usize,
) -> Status {
    guard(|| {
        let found = encode(&tokenizer.inner, text(data, len)?, slice(plain, num_plain))?;
        give(found, ids, count);
        Ok(())
    })
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn pt_decode(
    tokenizer: &PtTokenizer,
    ids: *const u32,
    count: usize,
    skip_special: bool,
    out: *mut *mut c_char,
    len: *mut usize,
) -> Status {
    guard(|| {
        let decoded = tokenizer.inner.decode(slice(ids, count), skip_special);
        give_text(decoded.map_err(|error| error.to_string())?, out, len);
        Ok(())
    })
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn pt_added_tokens(
    tokenizer: &PtTokenizer,
    out: *mut *mut c_char,
    len: *mut usize,
) -> Status {
    guard(|| {
        give_text(tokenizer.added_tokens(), out, len);
        Ok(())
    })
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn pt_token_id(
    tokenizer: &PtTokenizer,
    token: *const c_char,
    len: usize,
    id: *mut i64,
) -> Status {
    guard(|| {
        *id = tokenizer.inner.token_to_id(text(token, len)?).map_or(-1, i64::from);
        Ok(())
    })
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn pt_vocab_size(tokenizer: &PtTokenizer, size: *mut i64) -> Status {
    guard(|| {
        *size = tokenizer.size;
        Ok(())
    })
}
