// A hub that falls silent: long, because silence takes its time.

#include "hub/hub_fixture.h"

namespace pupil::testing {
namespace {

TEST_F(HubTest, AConnectionThatFallsSilentIsLeftAndTheFileGoesOn) {
  settings_.stall_s = 1;
  int left = 1;
  change("model.safetensors", [&](ScriptedReply& reply) {
    if (left-- > 0) reply.stall_s = 20;
  });
  EXPECT_EQ(read_text(load() / "model.safetensors"), hub_.files["model.safetensors"]);
  auto seen = hub_.seen(hub_.path_of("model.safetensors"));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1].headers.at("range"), "bytes=50000-");
  // libcurl looks at the last 5 s together
  EXPECT_LT(seen[1].at_s - seen[0].at_s, 15);
}

}  // namespace
}  // namespace pupil::testing
