#include "algo/methods.h"

#include <sstream>

namespace pupil {

namespace {

constexpr std::string_view kIntroduction = R"(# Methods

`train.method` fills in the settings below that the config leaves unset; each can be set
by itself. Made by `make docs` from src/algo/methods.h; do not edit.

"KL x ratio" is `use_bias_correction_kl`, of a KL in the loss (`beta` above 0): TRL's, the DeepSeek-V3.2
paper's (arXiv:2512.02556), where the loss is TRL's, and none where the method was published
otherwise.

GDPO (arXiv:2601.05242) is no row: it is how several rewards become one advantage.

)";

constexpr std::string_view kHead =
    "| method | loss_type | level | beta | epsilon | epsilon_high | delta | baseline | "
    "scale_rewards | KL | KL x ratio | paper | departure |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";

constexpr std::string_view kAnswers =
    "\nMethods of given answers ([training.md](training.md)):\n\n"
    "| method | learns from | beta | paper | departure |\n|---|---|---|---|---|\n";

std::string kl_text(const Method& m) {
  if (m.beta == 0) return "off";
  std::string place = m.kl_in_reward ? " in the reward" : " in the loss";
  return std::string(m.kl_estimator) + place;
}

}  // namespace

std::string methods_markdown() {
  std::ostringstream text;
  text << kIntroduction << kHead;
  for (const auto& m : kMethods) {
    text << "| " << m.name << " | " << m.loss_type << " | "
         << m.importance_sampling_level << " | " << m.beta << " | " << m.epsilon
         << " | " << m.epsilon_high << " | ";
    if (m.delta > 0) text << m.delta;
    text << " | " << m.baseline << " | " << m.scale_rewards << " | " << kl_text(m)
         << " | " << (m.use_bias_correction_kl ? "yes" : "no") << " | " << m.source
         << " | " << m.departure << " |\n";
  }
  text << kAnswers;
  for (const auto& m : kAnswerMethods) {
    text << "| " << m.name << " | " << m.from << " | " << m.beta << " | " << m.source
         << " | " << m.departure << " |\n";
  }
  return text.str();
}

}  // namespace pupil
