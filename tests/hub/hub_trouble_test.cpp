// Downloads that break off, lie, are refused or are led elsewhere.

#include <sys/resource.h>

#include <csignal>

#include "base/file.h"
#include "hub/hub_fixture.h"

namespace pupil::testing {
namespace {

const std::string kWeights = "model.safetensors";

TEST_F(HubTest, WhatBrokeOffGoesOnWithinARun) {
  int left = 2;
  change(kWeights, [&](ScriptedReply& reply) {
    if (left-- > 0) reply.cut_at = 30000;
  });
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
  auto seen = hub_.seen(hub_.path_of(kWeights));
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_FALSE(seen[0].headers.contains("range"));
  EXPECT_EQ(seen[1].headers.at("range"), "bytes=30000-");
  EXPECT_EQ(seen[2].headers.at("range"), "bytes=60000-");
}

TEST_F(HubTest, WhatBrokeOffGoesOnInTheNextRun) {
  auto rest = blob(kWeights).string() + ".incomplete";
  int asked = 0;
  change(kWeights, [&](ScriptedReply& reply) {
    reply.cut_at = asked++ == 0 ? 40000 : 0;
    reply.silent = asked > 1;
  });
  EXPECT_TRUE(has(error(), "goes on where this one ended"));
  EXPECT_EQ(fs::file_size(rest), 40000u);
  EXPECT_FALSE(fs::exists(model() / "snapshots"));
  change(kWeights, [](ScriptedReply&) {});
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
  EXPECT_EQ(
      hub_.seen(hub_.path_of(kWeights)).back().headers.at("range"), "bytes=40000-");
  EXPECT_FALSE(fs::exists(rest));
}

TEST_F(HubTest, AFileThatAnotherProcessLoadsIsLeftToIt) {
  auto locks = settings_.cache / ".locks/models--owner--model";
  fs::create_directories(locks);
  {
    FileLock other(locks / (blob(kWeights).filename().string() + ".lock"));
    EXPECT_TRUE(has(error(), "is in use by process " + std::to_string(getpid())));
    EXPECT_EQ(hub_.seen(hub_.path_of(kWeights)).size(), 0u);
  }
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
}

TEST_F(HubTest, AServerWithoutRangesBeginsAgain) {
  write_text(blob(kWeights).string() + ".incomplete", "wwww");
  change(
      kWeights, [&](ScriptedReply& reply) { reply = {.body = hub_.files[kWeights]}; });
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
}

TEST_F(HubTest, WrongBytesAreRemoved) {
  for (std::string name : {kWeights, std::string("tokenizer.json")}) {
    change(name, [](ScriptedReply& reply) { reply.body.back() ^= 1; });
    EXPECT_TRUE(has(error(), name + ": wrong bytes, expected "));
    EXPECT_FALSE(fs::exists(blob(name)));
    EXPECT_FALSE(fs::exists(blob(name).string() + ".incomplete"));
  }
  hub_.hook = [](const SeenRequest&) { return std::nullopt; };
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
}

TEST_F(HubTest, AWrongBeginningOfAnOldDownloadIsFoundByTheHash) {
  write_text(blob(kWeights).string() + ".incomplete", "abc");
  EXPECT_TRUE(has(error(), "wrong bytes"));
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
}

TEST_F(HubTest, MoreBytesThanListedAreRefused) {
  change(kWeights, [](ScriptedReply& reply) { reply.body += "more"; });
  EXPECT_TRUE(has(error(), "more bytes than the hub's listing says, 100000"));
  EXPECT_EQ(hub_.seen(hub_.path_of(kWeights)).size(), 1u);
  EXPECT_FALSE(fs::exists(blob(kWeights).string() + ".incomplete"));
}

TEST_F(HubTest, APlaceThatWasNotAskedForIsRefused) {
  write_text(blob(kWeights).string() + ".incomplete", "wwww");
  int left = 1;
  change(kWeights, [&](ScriptedReply& reply) {
    if (left-- > 0) reply.headers = {{"Content-Range", "bytes 0-99999/100000"}};
  });
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
}

TEST_F(HubTest, PassingTroubleIsWaitedFor) {
  int left = 3;
  hub_.hook = [&](const SeenRequest&) -> std::optional<ScriptedReply> {
    if (left-- > 0) return ScriptedReply{.status = 500 + left, .body = "no"};
    return std::nullopt;
  };
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
  hub_.hook = [&](const SeenRequest&) { return ScriptedReply{.status = 503}; };
  EXPECT_TRUE(has(error(), "[hub] owner/model: the hub answered HTTP 503"));
  EXPECT_EQ(hub_.seen("/").size(), 3u + 4u + 5u);
}

struct Refusal {
  int status;
  std::string code, says;
};

TEST_F(HubTest, EachRefusalIsOneLine) {
  const Refusal refusals[] = {
      {401, "RepoNotFound", "no such public model (HTTP 401); check the name"},
      {401,
       "GatedRepo",
       "accept the licence at " + hub_.url() + "/owner/model and set"},
      {403, "GatedRepo", "access is restricted (HTTP 403)"},
      {403, "", "access is restricted (HTTP 403)"},
      {404, "RepoNotFound", "there is no such path here"},
      {404, "RevisionNotFound", "no revision 'main' (HTTP 404)"}};
  for (const auto& refusal : refusals) {
    hub_.hook = [&](const SeenRequest&) {
      return ScriptedReply{
          .status = refusal.status, .headers = {{"X-Error-Code", refusal.code}}};
    };
    EXPECT_TRUE(has(error(), refusal.says));
    EXPECT_FALSE(fs::exists(model()));
  }
}

TEST_F(HubTest, AGatedFileSaysSo) {
  change(kWeights, [](ScriptedReply& reply) {
    reply = {.status = 403, .headers = {{"X-Error-Code", "GatedRepo"}}};
  });
  EXPECT_TRUE(
      has(error(), "[hub] owner/model/model.safetensors: access is restricted"));
}

TEST_F(HubTest, NoHubIsOneLineAtOnce) {
  settings_.endpoint = "http://127.0.0.1:1";
  settings_.retry_pause_s = 600;
  EXPECT_TRUE(has(error(), "check the network"));
  settings_.endpoint = "http://hub.example";
  EXPECT_TRUE(has(error(), "[HF_ENDPOINT] http to hub.example"));
  settings_.endpoint = "https://hub.example?a=b";
  EXPECT_TRUE(has(error(), "has a query"));
}

TEST_F(HubTest, ARedirectTakesNoTokenToAnotherHost) {
  settings_.token = "hf_secret";
  ScriptedServer elsewhere([&](const SeenRequest& request) {
    return HubServer::content_reply(request, hub_.files[kWeights]);
  });
  change(kWeights, [&](ScriptedReply& reply) {
    auto to = elsewhere.url() + "/x?signature=a%2Fb";
    reply = {.status = 302, .headers = {{"Location", to}}, .body = "moved"};
  });
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
  ASSERT_EQ(elsewhere.count(), 1u);
  EXPECT_EQ(elsewhere.seen()[0].target, "/x?signature=a%2Fb");
  EXPECT_FALSE(elsewhere.seen()[0].headers.contains("authorization"));
  for (const auto& request : hub_.seen("/")) {
    EXPECT_EQ(request.headers.at("authorization"), "Bearer hf_secret");
  }
}

TEST_F(HubTest, ARenamedModelIsFoundOnItsHostWithTheToken) {
  settings_.token = "hf_secret";
  hub_.hook = [](const SeenRequest& request) -> std::optional<ScriptedReply> {
    auto at = request.target.find("old/name");
    if (at == std::string::npos) return std::nullopt;
    auto to = request.target;
    return ScriptedReply{
        .status = 307, .headers = {{"Location", to.replace(at, 8, "owner/model")}}};
  };
  EXPECT_EQ(read_text(load("old/name") / kWeights), hub_.files[kWeights]);
  for (const auto& request : hub_.seen("/")) {
    EXPECT_EQ(request.headers.at("authorization"), "Bearer hf_secret");
  }
}

TEST_F(HubTest, RedirectsEndAndStayAmongAddressesThatAreSafe) {
  auto lead_to = [&](const std::string& to) {
    hub_.hook = [=](const SeenRequest&) {
      return ScriptedReply{.status = 302, .headers = {{"Location", to}}};
    };
  };
  lead_to("/again");
  EXPECT_TRUE(has(error(), "more than 10 redirects"));
  lead_to("file:///etc/passwd");
  EXPECT_TRUE(has(error(), "neither https nor http"));
  lead_to("http://hub.example/");
  EXPECT_TRUE(has(error(), "http to hub.example"));
}

// No file may grow beyond a few bytes, as on a disk that is full.
TEST_F(HubTest, AFullDiskIsOneLineAndLeavesNoWholeName) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small{50000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  auto text = error();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(has(text, ".incomplete: cannot write: "));
  EXPECT_FALSE(fs::exists(blob(kWeights)));
  EXPECT_EQ(read_text(load() / kWeights), hub_.files[kWeights]);
}

TEST_F(HubTest, ADownloadLargerThanTheDiskDoesNotBegin) {
  hub_.edit_listing = [](nlohmann::json& reply) {
    for (auto& file : reply["siblings"]) {
      if (file.contains("lfs")) file["lfs"]["size"] = int64_t{1} << 49;
    }
  };
  EXPECT_TRUE(has(error(), "no space for the download, which needs 562949"));
  EXPECT_EQ(hub_.downloads(), 0u);
}

}  // namespace
}  // namespace pupil::testing
