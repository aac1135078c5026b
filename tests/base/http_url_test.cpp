#include "base/http_url.h"

#include <gtest/gtest.h>

namespace pupil {
namespace {

TEST(HttpUrl, AddsThePathAndKeepsTheQuery) {
  auto url = [](const char* base) { return checked_url("k", base, "/chat").text; };
  EXPECT_EQ(url("https://api.test/v1"), "https://api.test/v1/chat");
  EXPECT_EQ(url("https://api.test/v1//"), "https://api.test/v1/chat");
  EXPECT_EQ(url("https://api.test"), "https://api.test/chat");
  EXPECT_EQ(url("https://api.test/v1?version=2"), "https://api.test/v1/chat?version=2");
  EXPECT_EQ(url("http://127.0.0.1:8080/v1"), "http://127.0.0.1:8080/v1/chat");
}

TEST(HttpUrl, PlainHttpGoesToThisMachineOnly) {
  for (const char* base :
       {"http://localhost:1",
        "http://127.0.0.1",
        "http://127.9.9.9",
        "http://[::1]:1"}) {
    EXPECT_TRUE(checked_url("k", base, "").loopback) << base;
  }
  for (const char* base :
       {"http://api.test",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.test",
        "http://localhost.evil.test",
        "http://[::2]"}) {
    EXPECT_THROW(checked_url("k", base, ""), std::invalid_argument) << base;
  }
  EXPECT_FALSE(checked_url("k", "https://api.test", "").loopback);
}

TEST(HttpUrl, RefusesWhatIsNoAddressOfAnApi) {
  for (const char* base :
       {"",
        "api",
        "ftp://api.test",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@api.test",
        "https://secret@api.test",
        "https://api.test/#x",
        "https://api.test/\nX-Header: 1"}) {
    try {
      checked_url("teacher.base_url", base, "");
      FAIL() << base;
    } catch (const std::invalid_argument& error) {
      std::string text = error.what();
      EXPECT_TRUE(text.starts_with("[teacher.base_url]")) << text;
      EXPECT_EQ(text.find("secret"), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace pupil
