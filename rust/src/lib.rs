//! Hugging Face tokenizers, Jinja chat templates and Python syntax trees for C++, behind
//! the C interface that include/pupil_text.h documents. One module an interface part;
//! `ffi` holds what they share: statuses, caught panics, buffers that cross the border.

mod encode;
mod ffi;
mod generation;
mod python;
mod syntax;
mod template;
mod tokenizer;
