// Requests on stdin, replies on stdout, one JSON object a line: the loop of
// `pupil worker` (docs/worker_protocol.md).

#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/unique_fd.h"

namespace pupil {

/// Says something of a request before its reply: a message with the request's id.
using TellMessage = std::function<void(nlohmann::ordered_json)>;

/// A request's answer without "id" and "ok". std::invalid_argument: the request is
/// wrong; any other exception: it could not be served. Neither ends the worker.
using WorkerOp = std::function<nlohmann::ordered_json(
    const nlohmann::json& request, const TellMessage& tell)>;
using WorkerOps = std::map<std::string, WorkerOp>;

/// Owns the process's stdout: whatever else prints there goes to stderr from its
/// construction on, so that a library's word cannot be taken for a reply.
class WorkerLoop {
 public:
  WorkerLoop();

  /// Says hello, then answers until "shutdown", the end of stdin or a lost reader.
  /// "ping" and "shutdown" are its own.
  void serve(nlohmann::ordered_json hello, const WorkerOps& ops);

  /// Instead of `serve`: says why there is nothing to be served.
  void refuse(const std::string& why);

 private:
  UniqueFd replies_;

  bool answer(const std::string& line, const WorkerOps& ops);
  void say(const nlohmann::ordered_json& message) const;
};

}  // namespace pupil
