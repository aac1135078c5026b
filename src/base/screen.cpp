#include "base/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <string>

namespace pupil {

namespace {

constexpr const char* kEraseLine = "\r\x1b[2K";

struct Screen {
  std::mutex mutex;
  std::string status;
};

Screen& screen() {
  static Screen* the_screen = new Screen;  // outlives threads that log at exit
  return *the_screen;
}

void write(std::FILE* stream, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stream);
}

}  // namespace

bool is_terminal(std::FILE* stream) {
  const char* kind = std::getenv("TERM");
  const bool is_dumb = kind == nullptr || std::string_view(kind) == "dumb";
  return !is_dumb && ::isatty(::fileno(stream)) == 1;
}

int terminal_width() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

void print_line(std::FILE* stream, std::string_view text) {
  Screen& s = screen();
  std::lock_guard lock(s.mutex);
  if (!s.status.empty()) write(stderr, kEraseLine);
  write(stream, text);
  write(stream, "\n");
  std::fflush(stream);
  if (!s.status.empty()) write(stderr, s.status);
}

void show_status(std::string_view text) {
  if (!is_terminal(stderr)) return;
  Screen& s = screen();
  std::lock_guard lock(s.mutex);
  if (!s.status.empty() || !text.empty()) write(stderr, kEraseLine);
  write(stderr, text);
  s.status = text;
}

}  // namespace pupil
