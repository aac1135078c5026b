//! Encoding with a say in which occurrences of special tokens count. `Tokenizer::encode`
//! knows all or none of them, so with plain spans its pipeline is walked here step by step
//! (tokenizers: TokenizerImpl::encode_single_sequence, AddedVocabulary::find_matches):
//! one text, one pre-tokenisation, cut only at the added tokens that count.

use tokenizers::normalizer::Range;
use tokenizers::{
    AddedToken, Model, NormalizedString, Normalizer, OffsetType, PreTokenizedString,
    PreTokenizer, Token, Tokenizer,
};

use crate::ffi::Outcome;

/// Bytes [begin, end) of the text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Span {
    pub begin: usize,
    pub end: usize,
}

/// An added token and what it looks like in the text that is searched.
struct Pattern {
    id: u32,
    literal: String,
    token: AddedToken,
}

pub fn encode(tokenizer: &Tokenizer, text: &str, plain: &[Span]) -> Outcome<Vec<u32>> {
    let encoded = if plain.is_empty() {
        tokenizer.encode_fast(text, false)
    } else {
        encode_with_plain(tokenizer, text, plain)
    };
    Ok(encoded.map_err(|error| error.to_string())?.get_ids().to_vec())
}

fn encode_with_plain(
    tokenizer: &Tokenizer,
    text: &str,
    plain: &[Span],
) -> tokenizers::Result<tokenizers::Encoding> {
    let mut pieces = PreTokenizedString::from(text);
    let raw = patterns(tokenizer, false)?;
    pieces.split(|_, piece| Ok(cut(piece, &raw, plain)))?;
    let normalized = patterns(tokenizer, true)?;
    pieces.split(|_, mut piece| {
        normalize(tokenizer, &mut piece)?;
        Ok(cut(piece, &normalized, plain))
    })?;
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut pieces)?;
    }
    pieces.tokenize(|piece| tokenizer.get_model().tokenize(piece.get()))?;
    pieces.into_encoding(None, 0, OffsetType::None)
}

fn normalize(tokenizer: &Tokenizer, piece: &mut NormalizedString) -> tokenizers::Result<()> {
    match tokenizer.get_normalizer() {
        Some(normalizer) => normalizer.normalize(piece),
        None => Ok(()),
    }
}

/// The added tokens that are searched before (or after) normalisation.
fn patterns(tokenizer: &Tokenizer, normalized: bool) -> tokenizers::Result<Vec<Pattern>> {
    let tokens = tokenizer.get_added_tokens_decoder();
    let chosen = tokens.into_iter().filter(|(_, token)| token.normalized == normalized);
    chosen
        .map(|(id, token)| {
            let mut literal = NormalizedString::from(token.content.as_str());
            if normalized {
                normalize(tokenizer, &mut literal)?;
            }
            Ok(Pattern { id, literal: literal.get().to_owned(), token })
        })
        .filter(|pattern| !matches!(pattern, Ok(p) if p.literal.is_empty()))
        .collect()
}

type Pieces = Vec<(NormalizedString, Option<Vec<Token>>)>;

/// Cuts `piece` at the added tokens in it; those that touch a plain span stay text.
fn cut(piece: NormalizedString, patterns: &[Pattern], plain: &[Span]) -> Pieces {
    let text = piece.get();
    let mut pieces = Pieces::new();
    let mut done = 0;
    let part = |begin, end| piece.slice(Range::Normalized(begin..end)).expect("inside the piece");
    for (pattern, begin, end) in matches(text, patterns) {
        if pattern.token.special && touches(&piece, begin, end, plain) {
            continue;
        }
        let Some((begin, end)) = widen(text, pattern, begin, end, done) else { continue };
        if done < begin {
            pieces.push((part(done, begin), None));
        }
        let token = Token::new(pattern.id, text[begin..end].to_owned(), (0, end - begin));
        pieces.push((part(begin, end), Some(vec![token])));
        done = end;
    }
    if done < text.len() || text.is_empty() {
        pieces.push((part(done, text.len()), None));
    }
    pieces
}

/// Occurrences from left to right, the longest at each place, none inside another.
fn matches<'a>(text: &str, patterns: &'a [Pattern]) -> Vec<(&'a Pattern, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        let here = patterns.iter().filter(|pattern| rest.starts_with(pattern.literal.as_bytes()));
        match here.max_by_key(|pattern| pattern.literal.len()) {
            Some(pattern) => {
                found.push((pattern, at, at + pattern.literal.len()));
                at += pattern.literal.len();
            }
            None => at += 1,
        }
    }
    found
}

fn touches(piece: &NormalizedString, begin: usize, end: usize, plain: &[Span]) -> bool {
    let shift = piece.offsets_original().0;
    let Some(bytes) = piece.convert_offsets(Range::Normalized(begin..end)) else { return true };
    let (begin, end) = (bytes.start + shift, bytes.end + shift);
    plain.iter().any(|span| span.begin < end && begin < span.end)
}

/// Takes in the white space that the token strips; None where it must be a word and is not.
fn widen(
    text: &str,
    pattern: &Pattern,
    begin: usize,
    end: usize,
    done: usize,
) -> Option<(usize, usize)> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let (before, after) = (&text[..begin], &text[end..]);
    let joined = before.ends_with(in_word) || after.starts_with(in_word);
    if pattern.token.single_word && joined {
        return None;
    }
    let begin = if pattern.token.lstrip { before.trim_end().len().max(done) } else { begin };
    let end = if pattern.token.rstrip { text.len() - after.trim_start().len() } else { end };
    Some((begin, end))
}
