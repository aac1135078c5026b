// The parser of a judge's reply: a score in [0, 1] or none, whatever the bytes.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "reward/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  static const auto rubric = pupil::checked_rubric(pupil::TeacherConfig().criteria);
  auto judgement = pupil::read_judgement(rubric, text);
  if (judgement.score && !(*judgement.score >= 0 && *judgement.score <= 1)) abort();
  if (judgement.reason.find('\n') != std::string::npos) abort();
  return 0;
}
