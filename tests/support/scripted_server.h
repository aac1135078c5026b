// A loopback HTTP server that misbehaves on request. A handler decides what each
// request gets; every request is kept with its time. One thread a connection: for tests
// only.

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pupil::testing {

/// A request as it arrived.
struct SeenRequest {
  size_t index = 0;  // in the order of arrival, from 0
  std::string target;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  double at_s = 0;    // since the server began
  int in_flight = 0;  // requests being served, this one included
};

/// What the server does with it.
struct ScriptedReply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  double delay_s = 0;                         // before the status line
  double stall_s = 0;                         // in the middle of the body
  std::optional<size_t> cut_at = {};          // body bytes sent before the end
  bool reset = false;                         // end by RST
  std::optional<size_t> content_length = {};  // a claim that may be wrong
  bool chunked = false;
  bool no_length = false;      // neither length nor chunks: the end is the end
  bool no_last_chunk = false;  // chunked, but never ended
  bool silent = false;         // close without a status line
  double drip_s = 0;           // pause after each 16 bytes of the body
  size_t padding = 0;          // blanks sent after the body, a mebibyte at a time
  bool half_close = false;     // end our side after the head, and read on
  bool drop_after = false;     // close after a whole reply, without a word about it
};

class ScriptedServer {
 public:
  using Handler = std::function<ScriptedReply(const SeenRequest&)>;

  explicit ScriptedServer(Handler handler);
  ~ScriptedServer();

  /// "http://127.0.0.1:PORT".
  std::string url() const;
  std::vector<SeenRequest> seen() const;
  size_t count() const;
  int most_in_flight() const;

 private:
  void accept_loop();
  void serve(int connection);
  bool serve_one(int connection, std::string& buffer);
  std::optional<SeenRequest> read_request(int connection, std::string& buffer);
  bool play(int connection, const ScriptedReply& reply) const;

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  double began_s_ = 0;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  std::vector<SeenRequest> seen_;
  int in_flight_ = 0;
  int most_in_flight_ = 0;
  std::vector<std::thread> connections_;
  std::thread accepter_;
};

}  // namespace pupil::testing
