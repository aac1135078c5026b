#include "base/http_url.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <stdexcept>

namespace pupil {

namespace {

using Handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

[[noreturn]] void refuse(
    const std::string& key, const std::string& what, const std::string& fix) {
  throw std::invalid_argument("[" + key + "] " + what + "; " + fix);
}

std::string part(CURLU* url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, 0) != CURLUE_OK) return "";
  std::string out = text;
  curl_free(text);
  return out;
}

bool is_loopback(const std::string& host) {
  bool ipv4 = host.starts_with("127.") &&
              host.find_first_not_of("0123456789.") == std::string::npos;
  return host == "localhost" || host == "[::1]" || ipv4;
}

void check(const std::string& key, CURLU* url, const HttpUrl& out) {
  std::string scheme = part(url, CURLUPART_SCHEME);
  if (scheme != "https" && scheme != "http") {
    refuse(key, "the address is neither https nor http", "write https://...");
  }
  if (!part(url, CURLUPART_USER).empty() || !part(url, CURLUPART_PASSWORD).empty()) {
    refuse(
        key,
        "the address holds a user or a password",
        "keys come from the environment");
  }
  if (!part(url, CURLUPART_FRAGMENT).empty()) {
    refuse(key, "the address has a fragment (#...)", "leave it out");
  }
  if (scheme == "http" && !out.loopback) {
    refuse(
        key,
        "http to " + out.host + " would send the key in the clear",
        "use https; http is for this machine only (127.0.0.1, localhost, [::1])");
  }
}

void take(const std::string& key, CURLU* url, const std::string& text) {
  if (!url || curl_url_set(url, CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    refuse(key, "cannot be read as an address", "expected https://host/path");
  }
}

// The checked address without its text.
HttpUrl checked_host(const std::string& key, CURLU* url) {
  HttpUrl out;
  out.host = part(url, CURLUPART_HOST);
  std::transform(
      out.host.begin(), out.host.end(), out.host.begin(), [](unsigned char c) {
        return std::tolower(c);
      });
  out.loopback = is_loopback(out.host);
  check(key, url, out);
  return out;
}

std::string origin(const HttpUrl& address) {
  Handle url(curl_url(), curl_url_cleanup);
  take("http", url.get(), address.text);
  char* port = nullptr;
  curl_url_get(url.get(), CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
  std::string text = part(url.get(), CURLUPART_SCHEME) + "://" + address.host + ":" +
                     (port ? port : "");
  curl_free(port);
  return text;
}

}  // namespace

HttpUrl checked_url(
    const std::string& key, const std::string& base, const std::string& path) {
  Handle url(curl_url(), curl_url_cleanup);
  take(key, url.get(), base);
  HttpUrl out = checked_host(key, url.get());

  std::string whole = part(url.get(), CURLUPART_PATH);
  while (whole.ends_with('/')) whole.pop_back();
  whole += path;
  if (curl_url_set(url.get(), CURLUPART_PATH, whole.c_str(), 0) != CURLUE_OK) {
    refuse(key, "cannot be read as an address", "expected https://host/path");
  }
  out.text = part(url.get(), CURLUPART_URL);
  return out;
}

HttpUrl redirected_url(
    const std::string& key, const HttpUrl& from, const std::string& location) {
  Handle url(curl_url(), curl_url_cleanup);
  take(key, url.get(), from.text);
  take(key, url.get(), location);  // relative to what the handle holds
  HttpUrl out = checked_host(key, url.get());
  out.text = part(url.get(), CURLUPART_URL);
  if (out.text.starts_with("http:") && !from.loopback) {
    refuse(
        key,
        "a redirect from " + from.host + " to " + out.host + " by http",
        "expected https");
  }
  return out;
}

bool same_origin(const HttpUrl& a, const HttpUrl& b) {
  return origin(a) == origin(b);
}

}  // namespace pupil
