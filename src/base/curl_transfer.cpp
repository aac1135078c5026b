#include "base/curl_transfer.h"

#include <fcntl.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace pupil {

namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// A child process that the program starts must not inherit a connection.
int close_on_exec(void*, curl_socket_t socket, curlsocktype) {
  return fcntl(socket, F_SETFD, FD_CLOEXEC) == 0 ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ERROR;
}

}  // namespace

void start_libcurl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw std::runtime_error("[http] libcurl cannot start");
}

void set_security(CURL* easy, const std::string& url) {
  bool plain = url.starts_with("http:");
  set_option(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
  set_option(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  set_option(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  set_option(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  set_option(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set_option(easy, CURLOPT_SOCKOPTFUNCTION, close_on_exec);
  if (plain)
    set_option(easy, CURLOPT_PROXY, "");  // http is loopback: no proxy in between
}

long milliseconds(double seconds) {
  return std::max(1L, static_cast<long>(seconds * 1e3));
}

bool ReplyHead::take(std::string_view line, HttpReply& reply) {
  bytes_ += line.size();
  reply.too_large = reply.too_large || bytes_ > kMaxHeaderBytes;
  if (reply.too_large) return false;
  auto colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return std::tolower(c);
  });
  reply.headers[name] = trimmed(line.substr(colon + 1));
  return true;
}

std::string error_text(const CurlError& error, CURLcode code) {
  return error[0] ? error.data() : curl_easy_strerror(code);
}

}  // namespace pupil
