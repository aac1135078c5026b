#include "base/http.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <unordered_map>

#include "base/curl_transfer.h"

namespace pupil {

namespace {

struct Transfer {
  uint64_t id = 0;
  HttpRequest request;
  HttpReply reply;
  CURL* easy = curl_easy_init();
  curl_slist* headers = nullptr;
  ReplyHead head;
  double moved_s = 0;  // when the last byte of the reply came; 0: none has
  bool stalled = false;
  CurlError error{};

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

size_t take_header(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.moved_s = now_s();
  return transfer.head.take({data, size}, transfer.reply) ? size : 0;
}

void set_request(Transfer& transfer) {
  CURL* easy = transfer.easy;
  const HttpRequest& request = transfer.request;
  for (const auto& header : request.headers) {
    transfer.headers = curl_slist_append(transfer.headers, header.c_str());
  }
  transfer.headers = curl_slist_append(transfer.headers, "Expect:");
  set_option(easy, CURLOPT_URL, request.url.c_str());
  set_option(easy, CURLOPT_HTTPHEADER, transfer.headers);
  set_option(
      easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  set_option(easy, CURLOPT_POSTFIELDS, request.body.c_str());
  set_option(easy, CURLOPT_USERAGENT, "pupil/" PUPIL_VERSION);
  set_option(easy, CURLOPT_ACCEPT_ENCODING, "");  // whatever libcurl can unpack
  set_option(easy, CURLOPT_NOSIGNAL, 1L);
  set_option(easy, CURLOPT_FRESH_CONNECT, request.fresh_connection ? 1L : 0L);
  set_option(easy, CURLOPT_TIMEOUT_MS, milliseconds(request.timeout_s));
  set_option(
      easy,
      CURLOPT_CONNECTTIMEOUT_MS,
      milliseconds(std::min(request.connect_timeout_s, request.timeout_s)));
}

void set_sinks(Transfer& transfer) {
  CURL* easy = transfer.easy;
  set_option(easy, CURLOPT_WRITEFUNCTION, take_body);
  set_option(easy, CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set_option(easy, CURLOPT_HEADERFUNCTION, take_header);
  set_option(easy, CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set_option(easy, CURLOPT_XFERINFOFUNCTION, watch_for_stall);
  set_option(easy, CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  set_option(easy, CURLOPT_NOPROGRESS, 0L);
  set_option(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
  set_option(easy, CURLOPT_PRIVATE, static_cast<void*>(&transfer));
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
    reply.error = error_text(transfer.error, code);
  }
  return std::move(reply);
}

CURLM* new_multi() {
  start_libcurl();
  CURLM* multi = curl_multi_init();
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
