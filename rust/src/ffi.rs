//! The border to C: every entry runs inside `guard`, so no panic crosses it.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, CString};
use std::panic::{catch_unwind, set_hook, take_hook, AssertUnwindSafe};
use std::sync::Once;

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ok = 0,
    Invalid = 1,
    Bug = 2,
}

/// Ours to report: one line about the input at fault.
pub type Outcome<T> = Result<T, String>;

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `f`; an error or a panic becomes a status and this thread's last error.
pub fn guard(f: impl FnOnce() -> Outcome<()>) -> Status {
    let (status, message) = match catch_quietly(f) {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(message)) => (Status::Invalid, message),
        Err(message) => (Status::Bug, message),
    };
    let line = message.replace(['\n', '\0'], " ");
    LAST_ERROR.with(|last| *last.borrow_mut() = CString::new(line).unwrap_or_default());
    status
}

/// Runs `f`; a panic becomes its message and place instead of a report on stderr.
pub fn catch_quietly<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| match GUARDED.get() {
            true => PANIC.with(|panic| *panic.borrow_mut() = info.to_string()),
            false => usual(info),
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(outer);
    result.map_err(|_| PANIC.with(|panic| panic.take()))
}

#[no_mangle]
pub extern "C" fn pt_last_error() -> *const c_char {
    LAST_ERROR.with(|last| last.borrow().as_ptr())
}

/// # Safety
/// `data` points at `len` readable items, or `len` is 0.
pub unsafe fn slice<'a, T>(data: *const T, len: usize) -> &'a [T] {
    match len {
        0 => &[],
        _ => std::slice::from_raw_parts(data, len),
    }
}

/// # Safety
/// As `slice`.
pub unsafe fn text<'a>(data: *const c_char, len: usize) -> Outcome<&'a str> {
    std::str::from_utf8(slice(data.cast(), len))
        .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))
}

/// Hands `items` to the caller.
///
/// # Safety
/// `data` and `len` are writable.
pub unsafe fn give<T>(items: Vec<T>, data: *mut *mut T, len: *mut usize) {
    let items = items.into_boxed_slice();
    *len = items.len();
    *data = Box::into_raw(items).cast();
}

/// # Safety
/// `data` and `len` are writable.
pub unsafe fn give_text(text: String, data: *mut *mut c_char, len: *mut usize) {
    give(text.into_bytes(), data.cast::<*mut u8>(), len);
}

unsafe fn free<T>(data: *mut T, len: usize) {
    if !data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, len)));
    }
}

/// # Safety
/// `text` and `len` came from this library, or `text` is null.
#[no_mangle]
pub unsafe extern "C" fn pt_free_text(text: *mut c_char, len: usize) {
    free(text.cast::<u8>(), len);
}

/// # Safety
/// `ids` and `count` came from this library, or `ids` is null.
#[no_mangle]
pub unsafe extern "C" fn pt_free_ids(ids: *mut u32, count: usize) {
    free(ids, count);
}
