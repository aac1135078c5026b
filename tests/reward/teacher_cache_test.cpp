#include "reward/teacher_cache.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

CachedAnswer answer(const std::string& text) {
  return {ChatOutcome::ok, text, {3, 4}, "req"};
}

TEST(TeacherCache, KeepsAnswersAcrossOpenings) {
  TemporaryFolder folder;
  std::string path = folder / "deep/er/cache.sqlite";
  const std::string text("a\0b\xff", 4);
  {
    TeacherCache cache(path);
    EXPECT_FALSE(cache.find("k"));
    cache.store("k", "model", answer(text));
    cache.store("k", "model", answer("another"));  // the first one stays
    cache.store("cut", "model", {ChatOutcome::length, "x", {}, ""});
  }
  TeacherCache cache(path);
  auto found = cache.find("k");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->text, text);
  EXPECT_EQ(found->outcome, ChatOutcome::ok);
  EXPECT_EQ(found->usage.input_tokens, 3);
  EXPECT_EQ(found->usage.output_tokens, 4);
  EXPECT_EQ(found->request_id, "req");
  EXPECT_EQ(cache.find("cut")->outcome, ChatOutcome::length);
  EXPECT_EQ(cache.size(), 2);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(TeacherCache, TheKeyChangesWithEveryField) {
  ChatEndpoint endpoint;
  endpoint.url = "https://a.test";
  endpoint.model = "m";
  ChatRequest request;
  request.system = "s";
  request.messages = {{"user", "u"}, {"assistant", "a"}};
  CacheVersions versions{"r1", "p1", 0};
  auto key = [&](auto change) {
    ChatEndpoint e = endpoint;
    ChatRequest q = request;
    CacheVersions v = versions;
    change(e, q, v);
    return cache_key(e, q, v);
  };
  std::vector<std::string> keys = {
      key([](auto&, auto&, auto&) {}),
      key([](auto& e, auto&, auto&) { e.provider = ChatProvider::anthropic; }),
      key([](auto& e, auto&, auto&) { e.url = "https://b.test"; }),
      key([](auto& e, auto&, auto&) { e.model = "n"; }),
      key([](auto&, auto& q, auto&) { q.system = ""; }),
      key([](auto&, auto& q, auto&) { q.messages[0].role = "assistant"; }),
      key([](auto&, auto& q, auto&) { q.messages[0].content = "v"; }),
      key([](auto&, auto& q, auto&) { std::swap(q.messages[0], q.messages[1]); }),
      key([](auto&, auto& q, auto&) { q.messages.pop_back(); }),
      key([](auto&, auto& q, auto&) { q.messages.push_back({"user", ""}); }),
      key([](auto&, auto& q, auto&) { q.temperature = 1e-9; }),
      key([](auto&, auto& q, auto&) { q.max_tokens = 7; }),
      key([](auto&, auto& q, auto&) { q.json_schema = "{}"; }),
      key([](auto&, auto&, auto& v) { v.rubric = "r2"; }),
      key([](auto&, auto&, auto& v) { v.parser = "p2"; }),
      key([](auto&, auto&, auto& v) { v.sample = 1; }),
      key([](auto&, auto& q, auto&) { q.system = "su", q.messages[0].content = ""; }),
  };
  EXPECT_EQ(std::set<std::string>(keys.begin(), keys.end()).size(), keys.size());
  auto same = [](auto& e, auto&, auto&) {
    e.key = "secret", e.key_env = "X", e.timeout_s = 1;
  };
  EXPECT_EQ(key(same), keys[0]);  // a new key or time-out asks nothing again
}

std::string error_of(const std::string& path) {
  try {
    TeacherCache cache(path);
    cache.find("k");
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

TEST(TeacherCache, DamagedAndForeignFilesAreRefusedAndLeftAlone) {
  TemporaryFolder folder;
  std::string garbage = folder / "garbage";
  std::ofstream(garbage) << std::string(5000, 'x');
  EXPECT_NE(error_of(garbage).find("damaged"), std::string::npos) << error_of(garbage);
  EXPECT_EQ(std::filesystem::file_size(garbage), 5000u);

  std::string foreign = folder / "foreign";
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(foreign.c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "create table t (x)", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  EXPECT_NE(error_of(foreign).find("another program"), std::string::npos);

  EXPECT_NE(error_of(folder / "garbage/x").find("garbage"), std::string::npos);
  EXPECT_NE(error_of(std::filesystem::temp_directory_path()), "");
}

TEST(TeacherCache, APageThatRottedIsAnErrorNotAnAnswer) {
  TemporaryFolder folder;
  std::string path = folder / "cache.sqlite";
  {
    TeacherCache cache(path);
    for (int i = 0; i < 200; ++i) {
      cache.store("key" + std::to_string(i), "m", answer(std::string(500, 'x')));
    }
  }
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(std::filesystem::file_size(path) - 4096, '\xa5');
  file.close();
  EXPECT_NE(error_of(path), "");
}

// Another handle is about to write to the new file while this one turns its mode:
// sqlite's own waiting does not cover that.
TEST(TeacherCache, ANewFileThatAnotherTakesIsWaitedFor) {
  TemporaryFolder folder;
  std::string path = folder / "cache.sqlite";
  sqlite3* writer = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &writer), SQLITE_OK);
  auto run = [&](const char* sql) {
    return sqlite3_exec(writer, sql, nullptr, nullptr, nullptr);
  };
  ASSERT_EQ(run("begin immediate"), SQLITE_OK);
  std::thread later([&] {
    usleep(200'000);
    while (run("commit") == SQLITE_BUSY) usleep(1000);  // the other one is reading
  });
  EXPECT_EQ(error_of(path), "");
  later.join();
  sqlite3_close(writer);
}

// All of them find no file, and each makes it.
TEST(TeacherCache, ManyHandlesOpenANewFileAtOnce) {
  constexpr int kRounds = 30, kHandles = 8;
  for (int round = 0; round < kRounds; ++round) {
    TemporaryFolder folder;
    std::string path = folder / "cache.sqlite";
    std::atomic<int> failed = 0;
    std::vector<std::thread> threads;
    for (int who = 0; who < kHandles; ++who) {
      threads.emplace_back([&] { failed += !error_of(path).empty(); });
    }
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(failed, 0) << "round " << round;
  }
}

TEST(TeacherCache, ManyThreadsAndHandlesShareAFile) {
  TemporaryFolder folder;
  std::string path = folder / "cache.sqlite";
  auto work = [&](int who) {
    TeacherCache cache(path);
    for (int i = 0; i < 50; ++i) {
      std::string key = std::to_string(who) + "/" + std::to_string(i);
      cache.store(key, "m", answer(key));
      EXPECT_EQ(cache.find(key)->text, key);
    }
  };
  std::vector<std::thread> threads;
  for (int who = 0; who < 4; ++who) threads.emplace_back(work, who);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(TeacherCache(path).size(), 200);
}

// A writer that is killed at any moment: what it reported as stored is there.
TEST(TeacherCache, AKilledWriterLosesNothing) {
  TemporaryFolder folder;
  std::string path = folder / "cache.sqlite";
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
      TeacherCache cache(path);
      for (int i = 0;; ++i) {
        cache.store(std::to_string(round) + "/" + std::to_string(i), "m", answer("x"));
        if (write(ends[1], &i, sizeof i) != sizeof i) _exit(1);
      }
    }
    int last = -1;
    EXPECT_EQ(read(ends[0], &last, sizeof last), static_cast<ssize_t>(sizeof last));
    usleep(random() % 5000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ends[1]);
    while (read(ends[0], &last, sizeof last) == static_cast<ssize_t>(sizeof last)) {
    }
    close(ends[0]);
    TeacherCache cache(path);
    for (int i = 0; i <= last; ++i) {
      EXPECT_TRUE(cache.find(std::to_string(round) + "/" + std::to_string(i)));
    }
  }
}

TEST(TeacherCache, FindsItsDefaultPlace) {
  auto environment = [](const char* xdg, const char* home) {
    return [=](const std::string& name) -> std::string {
      return name == "XDG_CACHE_HOME" ? xdg : name == "HOME" ? home : "";
    };
  };
  EXPECT_EQ(cache_path("here.sqlite", environment("/x", "/h")), "here.sqlite");
  EXPECT_EQ(cache_path({}, environment("/x", "/h")), "/x/pupil/teacher.sqlite");
  EXPECT_EQ(cache_path({}, environment("", "/h")), "/h/.cache/pupil/teacher.sqlite");
  EXPECT_THROW(cache_path({}, environment("", "")), std::invalid_argument);
}

}  // namespace
}  // namespace pupil::testing
