// What a model on the Hugging Face Hub is called.

#pragma once

#include <string>

namespace pupil {

struct HubName {
  std::string owner, model;
  std::string revision = "main";  // a branch, a tag or a commit

  std::string id() const { return owner + "/" + model; }
};

/// Whether `text` has the form of a model's name, OWNER/MODEL or OWNER/MODEL@REVISION,
/// and not that of a file.
bool is_hub_name(const std::string& text);

/// Reads a name. A `revision` that is not empty is the one after @. Throws
/// std::invalid_argument if it is not a name, or if it has another revision already.
HubName parse_hub_name(const std::string& text, const std::string& revision = "");

}  // namespace pupil
