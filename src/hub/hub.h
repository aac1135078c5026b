// Models from the Hugging Face Hub.

#pragma once

#include <string>

#include "hub/name.h"
#include "hub/settings.h"

namespace pupil {

/// The folder in the cache that holds what a conversion reads of a model: only what is
/// not there yet is downloaded. Offline, the cache alone is asked. Throws
/// std::invalid_argument for a model that does not fit or a hub whose listing is wrong,
/// std::runtime_error where the hub, the network or the disk fails; what has come by
/// then is kept and used the next time.
std::string hub_model(const HubName& name, const HubSettings& settings);

}  // namespace pupil
