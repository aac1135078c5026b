// GETs whose bodies may be larger than memory: bytes go to a sink as they come, over
// one connection that is kept. The rules of base/http.h hold: certificates are
// verified, TLS is 1.2 or newer, redirects are never followed, trouble on the way is a
// value.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/http.h"

namespace pupil {

/// One GET.
struct HttpGet {
  std::string url;                   // from checked_url or redirected_url
  std::vector<std::string> headers;  // "Name: value"
  double connect_timeout_s = 10;
  int stall_s = 30;  // without a byte; there is no limit on the whole
  /// Takes the next bytes of the body, in order, when `head` has the status and the
  /// headers; false ends the transfer. What it throws leaves HttpGetter::get.
  std::function<bool(const HttpReply& head, std::string_view bytes)> sink = {};
};

/// One thread.
class HttpGetter {
 public:
  HttpGetter();
  ~HttpGetter();
  HttpGetter(const HttpGetter&) = delete;
  HttpGetter& operator=(const HttpGetter&) = delete;

  /// Returns at the end of the reply. `body` stays empty: the sink has it.
  HttpReply get(const HttpGet& request);

 private:
  void* easy_;
};

}  // namespace pupil
