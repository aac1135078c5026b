// What every transfer with libcurl has in common, above all the rules that keep keys
// safe: certificates are verified, TLS is 1.2 or newer, redirects are never followed,
// no child inherits a connection.

#pragma once

#include <curl/curl.h>

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/http.h"

namespace pupil {

/// Starts libcurl, once. Throws std::runtime_error if it cannot.
void start_libcurl();

/// Throws std::runtime_error where this libcurl does not know the option.
template <class T>
void set_option(CURL* easy, CURLoption option, T value) {
  if (curl_easy_setopt(easy, option, value) != CURLE_OK)
    throw std::runtime_error(
        "[http] this libcurl lacks an option that keeps keys safe");
}

/// The rules for a request of `url`, which is https, or http on this machine.
void set_security(CURL* easy, const std::string& url);

/// At least one, as libcurl takes 0 for its default.
long milliseconds(double seconds);

/// The head of a reply as it comes; no more than 64 KiB of it.
class ReplyHead {
 public:
  /// Takes one line into `reply.headers`; false, and `reply.too_large`, beyond the
  /// limit.
  bool take(std::string_view line, HttpReply& reply);

 private:
  size_t bytes_ = 0;
};

using CurlError = std::array<char, CURL_ERROR_SIZE>;

/// Why a transfer failed, in libcurl's words.
std::string error_text(const CurlError& error, CURLcode code);

}  // namespace pupil
