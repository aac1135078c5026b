// One file's content from the hub into the cache: resumed, checked, then named.

#pragma once

#include <functional>
#include <string>

#include "hub/cache.h"
#include "hub/client.h"

namespace pupil {

/// Told of the bytes of a file that are there now, of which a broken download may have
/// left some; the number falls where it has to begin again.
using BlobProgress = std::function<void(int64_t bytes)>;

/// Downloads `file` of `commit` to its blob by way of BLOB.incomplete, which stays
/// where the download breaks off and is where the next one goes on. The blob gets its
/// name when its size and hash are those of the listing. Holds the blob's lock. Throws
/// std::runtime_error: the hub has it not, wrong bytes (they are removed), the disk.
void download_blob(
    HubClient& client,
    const HubCache& cache,
    const HubName& name,
    const std::string& commit,
    const HubFile& file,
    const BlobProgress& progress);

}  // namespace pupil
