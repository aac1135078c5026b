// What the hub says a revision of a model holds.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pupil {

inline constexpr size_t kCommitDigits = 40;

/// Whether `text` is so many lower-case hexadecimal digits, as commits and hashes are.
bool is_hex(const std::string& text, size_t digits);

/// A file of a revision.
struct HubFile {
  std::string name;
  std::string blob;  // lower-case hex: sha256 of the content where is_lfs, else git's
                     // sha1 of a blob; its name in the cache
  int64_t size = 0;  // bytes
  bool is_lfs = false;
};

struct HubListing {
  std::string commit;          // 40 hexadecimal digits
  std::vector<HubFile> files;  // those that a conversion reads
};

/// Reads the hub's reply to /api/models/MODEL/revision/REVISION?blobs=true and chooses
/// config.json, the kTextFiles of formats/model_index.h, and the weights:
/// model.safetensors, else every model*.safetensors with its index. Throws
/// std::invalid_argument "[hub] `model`: ..." for a reply that is not of this form, has
/// a name that leads out of its folder (whichever file it is), or lacks config.json or
/// weights.
HubListing parse_listing(std::string_view reply, const std::string& model);

}  // namespace pupil
