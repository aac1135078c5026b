// GETs from the hub: with the token where it belongs, through redirects, again after
// trouble that passes.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/http_get.h"
#include "base/http_url.h"
#include "hub/name.h"
#include "hub/settings.h"

namespace pupil {

/// `text` as one part of an address: what is not a letter, digit or "-._~" becomes %XX.
std::string in_address(const std::string& text);

class HubClient {
 public:
  using Sink = std::function<bool(const HttpReply& head, std::string_view bytes)>;

  /// Throws std::invalid_argument for an endpoint that no key may go to.
  explicit HubClient(HubSettings settings);

  /// The reply to a GET of `path` ("/api/...", with its query), at most 10 redirects
  /// further. The token goes to the endpoint's own scheme, host and port only. The sink
  /// gets the body of the last reply, if its status is a success.
  HttpReply get(
      const std::string& path,
      const std::vector<std::string>& headers,
      const Sink& sink);

  /// Calls `attempt` until its reply is whole and no passing trouble (429, 5xx), at
  /// most 5 times in a row without progress, with pauses; a hub that has never answered
  /// is not waited for. `progress` says, since the
  /// last time that it was asked, whether an attempt brought anything. The last reply.
  HttpReply with_retries(
      const std::function<HttpReply()>& attempt, const std::function<bool()>& progress);

  /// Throws std::runtime_error, one line on why there is no `what`: its licence, its
  /// name, the network, the hub.
  [[noreturn]] void fail(
      const HttpReply& reply, const HubName& name, const std::string& what) const;

 private:
  HubSettings settings_;
  HttpUrl endpoint_;
  HttpGetter getter_;
  bool has_answered_ = false;
};

}  // namespace pupil
