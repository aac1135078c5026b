// The C library's allocator, set for what training asks of it.

#pragma once

namespace pupil {

/// Keeps freed memory for the next allocation instead of giving it back to the system:
/// a step frees and takes the same arrays again, and new pages cost a fault each.
/// Blocks of 32 MB and more still go back at once. What one thread freed is any
/// thread's to take. Does nothing without glibc. Before the first thread.
void keep_freed_memory();

/// Returns what is free now to the system, once, where the C library can.
void return_freed_memory();

}  // namespace pupil
