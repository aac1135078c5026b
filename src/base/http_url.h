// The addresses that we send keys to, and those that they send us to: checked before
// anything is sent.

#pragma once

#include <string>

namespace pupil {

struct HttpUrl {
  std::string text;       // normalised
  std::string host;       // lower case, as in the address
  bool loopback = false;  // localhost, 127.0.0.0/8 or ::1
};

/// Reads `base`, adds `path` to its path and keeps its query. Throws
/// std::invalid_argument, in the name of `key`, unless it is https, or http to a
/// loopback address, without user, password or fragment.
HttpUrl checked_url(
    const std::string& key, const std::string& base, const std::string& path);

/// Where a redirect by `location` (relative or not) leads from `from`. Throws
/// std::invalid_argument, in the name of `key`, for what checked_url refuses, and for
/// http unless `from` was loopback itself.
HttpUrl redirected_url(
    const std::string& key, const HttpUrl& from, const std::string& location);

/// Scheme, host and port are the same: what one may see, the other may.
bool same_origin(const HttpUrl& a, const HttpUrl& b);

}  // namespace pupil
