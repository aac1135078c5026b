#include "base/http_get.h"

#include <curl/curl.h>
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <stdexcept>

namespace pupil {

namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;

struct Transfer {
  const HttpGet& request;
  HttpReply reply = {};
  size_t header_bytes = 0;
  std::exception_ptr thrown = {};  // by the sink: no exception may cross libcurl
  std::array<char, CURL_ERROR_SIZE> error = {};
  CURL* easy;
};

size_t take_body(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  long status = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  transfer.reply.status = static_cast<int>(status);
  try {
    return transfer.request.sink(transfer.reply, {data, size}) ? size : 0;
  } catch (...) {
    transfer.thrown = std::current_exception();
    return 0;
  }
}

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

size_t take_header(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  std::string_view line(data, size);
  transfer.header_bytes += size;
  if (transfer.header_bytes > kMaxHeaderBytes) {
    transfer.reply.too_large = true;
    return 0;
  }
  if (line.starts_with("HTTP/"))
    transfer.reply.headers.clear();  // after a 100 Continue
  auto colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return std::tolower(c);
  });
  transfer.reply.headers[name] = trimmed(line.substr(colon + 1));
  return size;
}

// A child process that the program starts must not inherit a connection.
int close_on_exec(void*, curl_socket_t socket, curlsocktype) {
  return fcntl(socket, F_SETFD, FD_CLOEXEC) == 0 ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ERROR;
}

template <class T>
void set(CURL* easy, CURLoption option, T value) {
  if (curl_easy_setopt(easy, option, value) != CURLE_OK) {
    throw std::runtime_error(
        "[http] this libcurl lacks an option that keeps keys safe");
  }
}

void set_security(CURL* easy, const std::string& url) {
  bool plain = url.starts_with("http:");
  set(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
  set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  set(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_SOCKOPTFUNCTION, close_on_exec);
  if (plain) set(easy, CURLOPT_PROXY, "");  // http is loopback: no proxy in between
}

void set_request(Transfer& transfer, curl_slist* headers) {
  CURL* easy = transfer.easy;
  const HttpGet& request = transfer.request;
  set(easy, CURLOPT_URL, request.url.c_str());
  set(easy, CURLOPT_HTTPHEADER, headers);
  set(easy, CURLOPT_USERAGENT, "pupil/" PUPIL_VERSION);
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy,
      CURLOPT_CONNECTTIMEOUT_MS,
      std::max(1L, static_cast<long>(request.connect_timeout_s * 1e3)));
  set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_s));
  set(easy, CURLOPT_WRITEFUNCTION, take_body);
  set(easy, CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(easy, CURLOPT_HEADERFUNCTION, take_header);
  set(easy, CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
}

HttpReply finished(Transfer& transfer, CURLcode code) {
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  HttpReply& reply = transfer.reply;
  long status = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  reply.status = static_cast<int>(status);
  if (reply.too_large) {
    reply.error = "the reply's head is larger than the limit";
  } else if (code != CURLE_OK) {
    reply.error = transfer.error[0] ? transfer.error.data() : curl_easy_strerror(code);
  }
  return std::move(reply);
}

}  // namespace

HttpGetter::HttpGetter() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  easy_ = started == CURLE_OK ? curl_easy_init() : nullptr;
  if (!easy_) throw std::runtime_error("[http] libcurl cannot start");
}

HttpGetter::~HttpGetter() {
  curl_easy_cleanup(easy_);
}

HttpReply HttpGetter::get(const HttpGet& request) {
  Transfer transfer{.request = request, .easy = easy_};
  curl_easy_reset(easy_);  // keeps the connection
  curl_slist* list = nullptr;
  for (const auto& header : request.headers) {
    list = curl_slist_append(list, header.c_str());
  }
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
      list, curl_slist_free_all);
  set_security(easy_, request.url);
  set_request(transfer, headers.get());
  return finished(transfer, curl_easy_perform(easy_));
}

}  // namespace pupil
