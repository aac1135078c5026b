#include "app/worker_loop.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "base/json.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxLine = size_t{16} << 20;

struct RequestError : std::invalid_argument {
  RequestError(std::string type_in, const std::string& what)
      : std::invalid_argument(what), type(std::move(type_in)) {}
  std::string type;
};

/// Lines of stdin; of one that is too long, only the fact.
class LineReader {
 public:
  struct Line {
    std::string text;
    bool too_long = false;
  };

  /// False at the end of stdin. A last line without an end is one.
  bool next(Line& line) {
    line = {};
    while (true) {
      auto end = buffer_.find('\n', searched_);
      if (end != std::string::npos) return take(end, line);
      searched_ = buffer_.size();
      if (buffer_.size() > kMaxLine) skipping_ = true;
      if (skipping_) buffer_.clear(), searched_ = 0;
      if (!fill()) return (skipping_ || !buffer_.empty()) && take(buffer_.size(), line);
    }
  }

 private:
  bool take(size_t end, Line& line) {
    line.too_long = std::exchange(skipping_, false) || end > kMaxLine;
    if (!line.too_long) line.text = buffer_.substr(0, end);
    buffer_.erase(0, std::min(end + 1, buffer_.size()));
    searched_ = 0;
    return true;
  }

  bool fill() {
    char bytes[1 << 16];
    ssize_t count = 0;
    do {
      count = ::read(STDIN_FILENO, bytes, sizeof bytes);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(count));
    return true;
  }

  std::string buffer_;
  size_t searched_ = 0;
  bool skipping_ = false;
};

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

nlohmann::json parse_request(const std::string& line) {
  nlohmann::json request;
  try {
    request = parse_json(line, "request");
  } catch (const std::invalid_argument& error) {
    throw RequestError("invalid_json", error.what());
  }
  if (!request.is_object())
    throw RequestError("invalid_request", "expected a JSON object");
  return request;
}

/// Numbers and texts are given back as they came; anything else is no id.
Json id_of(const nlohmann::json& request) {
  auto it = request.find("id");
  bool valid = it != request.end() && (it->is_number_integer() || it->is_string());
  return valid ? Json(*it) : Json(nullptr);
}

// Without a conversion of what "op" may be.
bool asks_for(const nlohmann::json& request, const char* op) {
  auto it = request.find("op");
  return it != request.end() && *it == op;
}

const WorkerOp& op_of(const nlohmann::json& request, const WorkerOps& ops) {
  auto it = request.find("op");
  if (it == request.end() || !it->is_string())
    throw RequestError("invalid_request", "op: expected the name of an operation");
  auto found = ops.find(it->get<std::string>());
  if (found != ops.end()) return found->second;
  std::string known = "ping, shutdown";
  for (const auto& [name, op] : ops) known += ", " + name;
  throw RequestError(
      "unknown_op", "op: expected one of " + known + ", got " + it->dump());
}

Json failure(const Json& id, const std::string& type, const std::string& what) {
  return {{"id", id}, {"ok", false}, {"error", {{"type", type}, {"message", what}}}};
}

// Nobody reads the replies any more: whoever asked is gone, in the middle of work too.
void end_with_reader(int replies) {
  std::thread([replies] {
    pollfd entry{replies, 0, 0};
    while (::poll(&entry, 1, -1) < 0 && errno == EINTR) {
    }
    if (entry.revents & (POLLERR | POLLHUP | POLLNVAL)) ::_exit(0);
  }).detach();
}

}  // namespace

WorkerLoop::WorkerLoop() : replies_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) {
  if (!replies_ || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
    throw std::runtime_error("[worker] stdout cannot be set aside");
  ::signal(SIGPIPE, SIG_IGN);
}

void WorkerLoop::say(const Json& message) const {
  std::string line = json_text(message) + '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    auto count = ::write(replies_.get(), rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw std::runtime_error("[worker] nobody reads the replies");
    rest.remove_prefix(static_cast<size_t>(count));
  }
}

void WorkerLoop::refuse(const std::string& why) {
  say(failure(nullptr, "failed", why));
}

void WorkerLoop::serve(Json hello, const WorkerOps& ops) {
  end_with_reader(replies_.get());
  Json first = {{"op", "hello"}, {"proto", 1}, {"version", PUPIL_VERSION}};
  first["pid"] = ::getpid();
  first.update(hello);
  say(first);
  LineReader reader;
  LineReader::Line line;
  while (reader.next(line)) {
    if (line.too_long) {
      say(failure(nullptr, "invalid_request", "a line of more than 16 MiB"));
    } else if (!is_blank(line.text) && !answer(line.text, ops)) {
      return;
    }
  }
}

// False after "shutdown".
bool WorkerLoop::answer(const std::string& line, const WorkerOps& ops) {
  Json id = nullptr;
  try {
    auto request = parse_request(line);
    id = id_of(request);
    bool shutdown = asks_for(request, "shutdown");
    Json reply = {{"id", id}, {"ok", true}};
    if (!shutdown && !asks_for(request, "ping"))
      reply.update(op_of(request, ops)(request, [&](const Json& message) {
        Json told = {{"id", id}};
        told.update(message);
        say(told);
      }));
    say(reply);
    return !shutdown;
  } catch (const RequestError& error) {
    say(failure(id, error.type, error.what()));
  } catch (const std::invalid_argument& error) {
    say(failure(id, "invalid_request", error.what()));
  } catch (const std::exception& error) {
    say(failure(id, "failed", error.what()));
  }
  return true;
}

}  // namespace pupil
