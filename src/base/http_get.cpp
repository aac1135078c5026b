#include "base/http_get.h"

#include <exception>
#include <stdexcept>

#include "base/curl_transfer.h"

namespace pupil {

namespace {

struct Transfer {
  const HttpGet& request;
  HttpReply reply = {};
  ReplyHead head = {};
  std::exception_ptr thrown = {};  // by the sink: no exception may cross libcurl
  CurlError error = {};
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

size_t take_header(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  std::string_view line(data, size);
  if (line.starts_with("HTTP/"))
    transfer.reply.headers.clear();  // after a 100 Continue
  return transfer.head.take(line, transfer.reply) ? size : 0;
}

void set_request(Transfer& transfer, curl_slist* headers) {
  CURL* easy = transfer.easy;
  const HttpGet& request = transfer.request;
  set_option(easy, CURLOPT_URL, request.url.c_str());
  set_option(easy, CURLOPT_HTTPHEADER, headers);
  set_option(easy, CURLOPT_USERAGENT, "pupil/" PUPIL_VERSION);
  set_option(easy, CURLOPT_NOSIGNAL, 1L);
  set_option(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request.connect_timeout_s));
  set_option(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set_option(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_s));
  set_option(easy, CURLOPT_WRITEFUNCTION, take_body);
  set_option(easy, CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set_option(easy, CURLOPT_HEADERFUNCTION, take_header);
  set_option(easy, CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set_option(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
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
    reply.error = error_text(transfer.error, code);
  }
  return std::move(reply);
}

}  // namespace

HttpGetter::HttpGetter() {
  start_libcurl();
  easy_ = curl_easy_init();
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
