// `pupil loss` and `pupil advantages`: TRL's losses and advantages on given numbers,
// JSON Lines in and out.

#include <iostream>

#include "app/commands.h"
#include "app/loss_request.h"
#include "app/trl_request.h"

namespace pupil {

void add_loss(CLI::App& app) {
  auto* command = app.add_subcommand(
      "loss",
      "A policy loss and its gradient on given numbers: JSON Lines on stdin and "
      "stdout");
  command->footer(
      "{\"logprobs\",\"old_logprobs\",\"ref_logprobs\",\"entropies\",\"mask\",\"tool_"
      "mask\": "
      "[B][T], \"advantages\": [B],\n \"num_items_in_batch\", and any setting of TRL's "
      "GRPOConfig by its name} ->\n{\"loss\",\"grad_logprobs\": [B][T],\"metrics\"}\n"
      "Null is unset. old_logprobs unset: the current ones, held. num_items_in_batch\n"
      "unset: the tokens of this mask. Settings without effect on the loss are "
      "ignored;\n"
      "use_vllm has one where \"sampling_logprobs\" [B][T] are given. loss_type also "
      "takes\nclip_cov and kl_cov, with cov_share, clip_cov_low, clip_cov_high and "
      "kl_cov_coef\nof docs/config.md: the tokens of the line are then those of the "
      "step.");
  command->callback([] { answer_lines(std::cin, std::cout, "loss", answer_loss); });
}

void add_advantages(CLI::App& app) {
  auto* command = app.add_subcommand(
      "advantages", "Advantages of given rewards: JSON Lines on stdin and stdout");
  command->footer(
      "{\"rewards\": [groups][num_generations] or "
      "[groups][num_generations][functions], "
      "null: unscored,\n \"num_generations\",\"scale_rewards\","
      "\"multi_objective_aggregation\",\"reward_weights\",\n and any setting of TRL's "
      "GRPOConfig by its name} ->\n{\"advantages\": [groups][num_generations]}, null "
      "where "
      "nothing was scored");
  command->callback(
      [] { answer_lines(std::cin, std::cout, "advantages", answer_advantages); });
}

}  // namespace pupil
