#include "support/scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <stdexcept>

namespace pupil::testing {

namespace {

double now_s() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

bool send_all(int connection, std::string_view data) {
  while (!data.empty()) {
    ssize_t sent = send(connection, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// More bytes, or false at the end of the connection or of the server.
bool receive(int connection, std::string& buffer, const std::atomic<bool>& stopping) {
  while (!stopping) {
    pollfd waiting{connection, POLLIN, 0};
    int ready = poll(&waiting, 1, 20);
    if (ready < 0) return false;
    if (ready == 0) continue;
    char chunk[16384];
    ssize_t got = recv(connection, chunk, sizeof chunk, 0);
    if (got <= 0) return false;
    buffer.append(chunk, static_cast<size_t>(got));
    return true;
  }
  return false;
}

void pause_for(double seconds, const std::atomic<bool>& stopping) {
  double until = now_s() + seconds;
  while (!stopping && now_s() < until) {
    double left = std::min(until - now_s(), 0.01);
    std::this_thread::sleep_for(std::chrono::duration<double>(std::max(left, 0.0)));
  }
}

SeenRequest parse_head(const std::string& head) {
  SeenRequest request;
  size_t at = head.find("\r\n");
  std::string first = head.substr(0, at);
  size_t space = first.find(' ');
  request.target = first.substr(space + 1, first.rfind(' ') - space - 1);
  while (at != std::string::npos && at + 2 < head.size()) {
    size_t end = head.find("\r\n", at + 2);
    std::string line = head.substr(at + 2, end - at - 2);
    size_t colon = line.find(':');
    if (colon != std::string::npos) {
      std::string name = line.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
        return std::tolower(c);
      });
      request.headers[name] = line.substr(line.find_first_not_of(' ', colon + 1));
    }
    at = end;
  }
  return request;
}

std::string head_of(const ScriptedReply& reply) {
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " Scripted\r\n";
  for (const auto& [name, value] : reply.headers) head += name + ": " + value + "\r\n";
  if (reply.chunked) {
    head += "Transfer-Encoding: chunked\r\n";
  } else if (!reply.no_length) {
    size_t length = reply.content_length.value_or(reply.body.size() + reply.padding);
    head += "Content-Length: " + std::to_string(length) + "\r\n";
  }
  return head + "\r\n";
}

std::string in_chunks(std::string_view body, bool ended) {
  std::string out;
  for (size_t at = 0; at < body.size(); at += 1000) {
    std::string_view piece = body.substr(at, 1000);
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
    out += size + std::string(piece) + "\r\n";
  }
  return ended ? out + "0\r\n\r\n" : out;
}

void reset_on_close(int connection) {
  linger hard{1, 0};
  setsockopt(connection, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

}  // namespace

ScriptedServer::ScriptedServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || bind(listener_, raw, size) != 0 || listen(listener_, 128) != 0 ||
      getsockname(listener_, raw, &size) != 0) {
    throw std::runtime_error("[scripted server] cannot listen on loopback");
  }
  port_ = ntohs(address.sin_port);
  began_s_ = now_s();
  accepter_ = std::thread([this] { accept_loop(); });
}

ScriptedServer::~ScriptedServer() {
  stopping_ = true;
  accepter_.join();
  for (auto& connection : connections_) connection.join();
  close(listener_);
}

void ScriptedServer::accept_loop() {
  while (!stopping_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (poll(&waiting, 1, 20) <= 0) continue;
    int connection = accept(listener_, nullptr, nullptr);
    if (connection < 0) continue;
    connections_.emplace_back([this, connection] { serve(connection); });
  }
}

void ScriptedServer::serve(int connection) {
  std::string buffer;
  while (!stopping_ && serve_one(connection, buffer)) {
  }
  close(connection);
}

std::optional<SeenRequest> ScriptedServer::read_request(
    int connection, std::string& buffer) {
  size_t end;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!receive(connection, buffer, stopping_)) return std::nullopt;
  }
  SeenRequest request = parse_head(buffer.substr(0, end + 2));
  auto claimed = request.headers.find("content-length");
  size_t length = claimed == request.headers.end() ? 0 : std::stoul(claimed->second);
  while (buffer.size() < end + 4 + length) {
    if (!receive(connection, buffer, stopping_)) return std::nullopt;
  }
  request.body = buffer.substr(end + 4, length);
  buffer.erase(0, end + 4 + length);
  std::lock_guard lock(mutex_);
  request.index = seen_.size();
  request.at_s = now_s() - began_s_;
  request.in_flight = ++in_flight_;
  most_in_flight_ = std::max(most_in_flight_, in_flight_);
  seen_.push_back(request);
  return request;
}

/// Reads one request and plays its reply; false: the connection is to be closed.
bool ScriptedServer::serve_one(int connection, std::string& buffer) {
  auto request = read_request(connection, buffer);
  if (!request) return false;
  ScriptedReply reply = handler_(*request);
  pause_for(reply.delay_s, stopping_);
  {
    std::lock_guard lock(mutex_);
    --in_flight_;  // before the reply, or the next request could overtake this line
  }
  if (reply.reset) reset_on_close(connection);
  if (reply.silent) return false;
  return play(connection, reply);
}

/// False: the connection is to be closed.
bool ScriptedServer::play(int connection, const ScriptedReply& reply) const {
  std::string body =
      reply.chunked ? in_chunks(reply.body, !reply.no_last_chunk) : reply.body;
  size_t cut = std::min(reply.cut_at.value_or(body.size()), body.size());
  size_t half = reply.stall_s > 0 ? cut / 2 : cut;
  std::string_view rest = std::string_view(body).substr(0, cut);
  if (!send_all(connection, head_of(reply))) return false;
  if (reply.half_close) {
    shutdown(connection, SHUT_WR);
    pause_for(0.2, stopping_);
    return false;
  }
  while (reply.drip_s > 0 && !rest.empty()) {
    size_t piece = std::min<size_t>(16, rest.size());
    if (stopping_ || !send_all(connection, rest.substr(0, piece))) return false;
    rest.remove_prefix(piece);
    pause_for(reply.drip_s, stopping_);
  }
  half = std::min(half, rest.size());
  if (!send_all(connection, rest.substr(0, half))) return false;
  pause_for(reply.stall_s, stopping_);
  if (!send_all(connection, rest.substr(half))) return false;
  const std::string blanks(1 << 20, ' ');
  for (size_t left = reply.padding; left > 0;) {
    size_t piece = std::min(left, blanks.size());
    if (!send_all(connection, std::string_view(blanks).substr(0, piece))) return false;
    left -= piece;
  }
  bool whole = cut == body.size() && !reply.content_length && !reply.no_length;
  return whole && !reply.no_last_chunk && !reply.reset && !reply.drop_after;
}

std::string ScriptedServer::url() const {
  return "http://127.0.0.1:" + std::to_string(port_);
}

std::vector<SeenRequest> ScriptedServer::seen() const {
  std::lock_guard lock(mutex_);
  return seen_;
}

size_t ScriptedServer::count() const {
  std::lock_guard lock(mutex_);
  return seen_.size();
}

int ScriptedServer::most_in_flight() const {
  std::lock_guard lock(mutex_);
  return most_in_flight_;
}

}  // namespace pupil::testing
