// Who may write to the user's terminal: whole lines, and one status line (a progress
// bar) that stays below them. Thread-safe.

#pragma once

#include <cstdio>
#include <string_view>

namespace pupil {

/// Whether `stream` is a terminal that understands cursor movement.
bool is_terminal(std::FILE* stream);

/// Columns of stderr's terminal; 80 where that is not known.
int terminal_width();

/// Writes `text` and a newline to `stream`. A status line is taken away first and put
/// back below.
void print_line(std::FILE* stream, std::string_view text);

/// Shows `text`, one line, at the bottom of stderr's terminal in place of the last
/// status; empty takes it away. Does nothing where stderr is not a terminal.
void show_status(std::string_view text);

}  // namespace pupil
