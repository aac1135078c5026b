#include "base/http.h"

#include <curl/curl.h>
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

namespace pupil {

namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;

struct Transfer {
  uint64_t id = 0;
  HttpRequest request;
  HttpReply reply;
  CURL* easy = curl_easy_init();
  curl_slist* headers = nullptr;
  size_t header_bytes = 0;
  double moved_s = 0;  // when the last byte of the reply came; 0: none has
  bool stalled = false;
  std::array<char, CURL_ERROR_SIZE> error{};

  Transfer() {
    if (!easy) throw std::runtime_error("[http] libcurl cannot start a request");
  }
  ~Transfer() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
};

double now_s() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// Called about once a second, whatever happens on the wire; not 0: end the transfer.
int watch_for_stall(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(self);
  if (transfer.moved_s == 0) return 0;
  if (now_s() - transfer.moved_s < transfer.request.stall_s) return 0;
  transfer.stalled = true;
  return 1;
}

size_t take_body(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.moved_s = now_s();
  if (transfer.reply.body.size() + size > transfer.request.max_body_bytes) {
    transfer.reply.too_large = true;
    return 0;
  }
  transfer.reply.body.append(data, size);
  return size;
}

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

size_t take_header(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  std::string_view line(data, size);
  transfer.moved_s = now_s();
  transfer.header_bytes += size;
  if (transfer.header_bytes > kMaxHeaderBytes) {
    transfer.reply.too_large = true;
    return 0;
  }
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

long milliseconds(double seconds) {
  return std::max(1L, static_cast<long>(seconds * 1e3));
}

void set_request(Transfer& transfer) {
  CURL* easy = transfer.easy;
  const HttpRequest& request = transfer.request;
  for (const auto& header : request.headers) {
    transfer.headers = curl_slist_append(transfer.headers, header.c_str());
  }
  transfer.headers = curl_slist_append(transfer.headers, "Expect:");
  set(easy, CURLOPT_URL, request.url.c_str());
  set(easy, CURLOPT_HTTPHEADER, transfer.headers);
  set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  set(easy, CURLOPT_POSTFIELDS, request.body.c_str());
  set(easy, CURLOPT_USERAGENT, "pupil/" PUPIL_VERSION);
  set(easy, CURLOPT_ACCEPT_ENCODING, "");  // whatever libcurl can unpack
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_FRESH_CONNECT, request.fresh_connection ? 1L : 0L);
  set(easy, CURLOPT_TIMEOUT_MS, milliseconds(request.timeout_s));
  set(easy,
      CURLOPT_CONNECTTIMEOUT_MS,
      milliseconds(std::min(request.connect_timeout_s, request.timeout_s)));
}

void set_sinks(Transfer& transfer) {
  CURL* easy = transfer.easy;
  set(easy, CURLOPT_WRITEFUNCTION, take_body);
  set(easy, CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(easy, CURLOPT_HEADERFUNCTION, take_header);
  set(easy, CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(easy, CURLOPT_XFERINFOFUNCTION, watch_for_stall);
  set(easy, CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  set(easy, CURLOPT_NOPROGRESS, 0L);
  set(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
  set(easy, CURLOPT_PRIVATE, static_cast<void*>(&transfer));
}

HttpReply finished(Transfer& transfer, CURLcode code) {
  HttpReply& reply = transfer.reply;
  long status = 0;
  curl_off_t microseconds = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer.easy, CURLINFO_TOTAL_TIME_T, &microseconds);
  reply.status = static_cast<int>(status);
  reply.seconds = static_cast<double>(microseconds) * 1e-6;
  if (reply.too_large) {
    reply.error = "the reply is larger than the limit";
  } else if (transfer.stalled) {
    reply.error = "the reply stopped in its middle";
  } else if (code != CURLE_OK) {
    reply.error = transfer.error[0] ? transfer.error.data() : curl_easy_strerror(code);
  }
  return std::move(reply);
}

CURLM* new_multi() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = started == CURLE_OK ? curl_multi_init() : nullptr;
  if (!multi) throw std::runtime_error("[http] libcurl cannot start");
  return multi;
}

void require(CURLMcode code) {
  if (code != CURLM_OK) {
    throw std::runtime_error(
        std::string("[http] libcurl: ") + curl_multi_strerror(code));
  }
}

}  // namespace

struct HttpMulti::State {
  CURLM* multi = new_multi();
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> transfers;

  ~State() {
    for (auto& [easy, transfer] : transfers) curl_multi_remove_handle(multi, easy);
    transfers.clear();
    curl_multi_cleanup(multi);
  }

  std::vector<std::pair<uint64_t, HttpReply>> take_finished() {
    std::vector<std::pair<uint64_t, HttpReply>> out;
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* easy = message->easy_handle;
      CURLcode code = message->data.result;  // the message dies with its handle
      auto node = transfers.extract(easy);
      curl_multi_remove_handle(multi, easy);
      out.emplace_back(node.mapped()->id, finished(*node.mapped(), code));
    }
    return out;
  }
};

HttpMulti::HttpMulti() : state_(std::make_unique<State>()) {}

HttpMulti::~HttpMulti() = default;

void HttpMulti::start(uint64_t id, HttpRequest request) {
  auto transfer = std::make_unique<Transfer>();
  transfer->id = id;
  transfer->request = std::move(request);
  set_security(transfer->easy, transfer->request.url);
  set_request(*transfer);
  set_sinks(*transfer);
  require(curl_multi_add_handle(state_->multi, transfer->easy));
  CURL* easy = transfer->easy;
  state_->transfers.emplace(easy, std::move(transfer));
}

std::vector<std::pair<uint64_t, HttpReply>> HttpMulti::wait(double seconds) {
  int running = 0;
  require(curl_multi_perform(state_->multi, &running));
  auto done = state_->take_finished();
  if (!done.empty()) return done;
  int timeout = static_cast<int>(std::clamp(seconds * 1e3, 0.0, 60e3)) + 1;
  require(curl_multi_poll(state_->multi, nullptr, 0, timeout, nullptr));
  require(curl_multi_perform(state_->multi, &running));
  return state_->take_finished();
}

void HttpMulti::wake() {
  curl_multi_wakeup(state_->multi);
}

size_t HttpMulti::in_flight() const {
  return state_->transfers.size();
}

std::pair<bool, double> seconds_until(const std::string& http_date) {
  time_t when = curl_getdate(http_date.c_str(), nullptr);
  if (when < 0) return {false, 0};
  return {true, std::difftime(when, std::time(nullptr))};
}

}  // namespace pupil
