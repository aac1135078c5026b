// An HTTP client for a few hosts and many requests at once, on libcurl's multi
// interface. It moves bytes: what a status means and whether to ask again is the
// caller's business. Certificates are always verified, TLS is 1.2 or newer, redirects
// are never followed, bodies are bounded.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pupil {

/// One POST.
struct HttpRequest {
  std::string url;                   // from checked_url
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  double timeout_s = 60;  // of the whole exchange
  double connect_timeout_s = 10;
  double stall_s = 20;  // without a byte once the reply has begun
  size_t max_body_bytes = size_t{8} << 20;
  // Over a connection of its own: what an earlier reply left on an old one, such as
  // bytes beyond its Content-Length, cannot be taken for this one's.
  bool fresh_connection = false;
};

/// What came back. Trouble on the way is a value.
struct HttpReply {
  int status = 0;                              // 0: no status line came
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string error;       // why the reply is not whole; empty: it is
  bool too_large = false;  // cut off at max_body_bytes
  double seconds = 0;
};

/// Requests in flight. One thread drives it; `wake` alone may be called by others.
class HttpMulti {
 public:
  HttpMulti();
  ~HttpMulti();  // drops what is in flight
  HttpMulti(const HttpMulti&) = delete;
  HttpMulti& operator=(const HttpMulti&) = delete;

  /// Begins a request; `id` comes back with its reply.
  void start(uint64_t id, HttpRequest request);

  /// Moves bytes until a reply is whole, `seconds` have passed or `wake` was called;
  /// returns the replies that ended. Throws std::runtime_error if libcurl itself fails.
  std::vector<std::pair<uint64_t, HttpReply>> wait(double seconds);

  void wake();
  size_t in_flight() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// {true, seconds from now to an HTTP date}, or {false, 0} where it cannot be read.
std::pair<bool, double> seconds_until(const std::string& http_date);

}  // namespace pupil
