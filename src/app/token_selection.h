// Which tokens of a request clip_cov and kl_cov select.

#pragma once

#include <optional>

#include "algo/policy_loss.h"
#include "app/trl_request.h"

namespace pupil {

/// 1 on the selected ones, the request being the whole step; none where the loss type
/// selects none. clip_cov draws by the request's `seed`, 42 where it is unset as in
/// TRL. [B, T]
std::optional<mx::array> selected_tokens(
    const TrlRequest& request,
    const PolicyLossInputs& in,
    const PolicyLossConfig& config);

}  // namespace pupil
