//! Chat templates as Hugging Face renders them (transformers: utils/chat_template_utils.py):
//! Jinja with trim_blocks, lstrip_blocks, loop controls and Python's methods, over data that
//! a template cannot change. Templates come with downloaded models: all they do is bounded.

use std::ffi::c_char;
use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind};

use crate::ffi::{catch_quietly, give_text, guard, text, Outcome, Status};
use crate::generation::without_generation;
use crate::python::{strftime, to_json};

const NAME: &str = "chat template";
const MAX_SOURCE_BYTES: usize = 1 << 20;
/// One fuel is an instruction or 64 bytes of data.
const FUEL: u64 = 1_500_000;
const MAX_OUTPUT_BYTES: usize = 16 << 20;
const MAX_DEPTH: usize = 200;
/// Dropping a value nests as deep as the template built it, and fuel bounds that.
const STACK_BYTES: usize = 512 << 20;

pub struct PtTemplate {
    environment: Environment<'static>,
}

impl PtTemplate {
    fn new(source: &str) -> Outcome<Self> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(format!("{} bytes, expected at most {MAX_SOURCE_BYTES}", source.len()));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(describe)?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_recursion_limit(MAX_DEPTH);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(NAME, without_generation(source)).map_err(describe)?;
        Ok(Self { environment })
    }

    fn render(&self, context: &str, now_s: i64) -> Outcome<String> {
        let context: serde_json::Value =
            serde_json::from_str(context).map_err(|error| format!("context: {error}"))?;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL));
        environment.add_function("strftime_now", move |format: &str| strftime(format, now_s));
        let render = || render_bounded(&environment, Value::from(Serde(context)));
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            let thread = builder.spawn_scoped(scope, || catch_quietly(render));
            match thread.map_err(|error| error.to_string())?.join() {
                Ok(Ok(rendered)) => rendered.map_err(describe),
                Ok(Err(panic)) => Err(panic),
                Err(_) => Err("the rendering thread died".to_owned()),
            }
        })
    }
}

fn render_bounded(environment: &Environment, context: Value) -> Result<String, Error> {
    let mut out = Bounded(Vec::new());
    environment.get_template(NAME)?.render_captured_to(context, &mut out)?;
    String::from_utf8(out.0)
        .map_err(|_| Error::new(ErrorKind::WriteFailure, "the output is not UTF-8"))
}

/// A buffer that refuses to grow past the limit.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::Error::other(format!("more than {MAX_OUTPUT_BYTES} bytes of output")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// What went wrong, with its line and the causes behind it.
fn describe(error: Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("does not end within {FUEL} steps; is there an endless loop?");
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// # Safety
/// Here and below: pointers are valid for their lengths and handles come from this library.
#[no_mangle]
pub unsafe extern "C" fn pt_template_new(
    source: *const c_char,
    len: usize,
    out: *mut *mut PtTemplate,
) -> Status {
    guard(|| {
        *out = Box::into_raw(Box::new(PtTemplate::new(text(source, len)?)?));
        Ok(())
    })
}

/// # Safety
/// As above; null is allowed.
#[no_mangle]
pub unsafe extern "C" fn pt_template_free(template: *mut PtTemplate) {
    if !template.is_null() {
        drop(Box::from_raw(template));
    }
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn pt_template_render(
    template: &PtTemplate,
    context: *const c_char,
    len: usize,
    now_s: i64,
    out: *mut *mut c_char,
    out_len: *mut usize,
) -> Status {
    guard(|| {
        give_text(template.render(text(context, len)?, now_s)?, out, out_len);
        Ok(())
    })
}
