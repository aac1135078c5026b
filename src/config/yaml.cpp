#include "config/yaml.h"

#include <yaml-cpp/eventhandler.h>

#include <sstream>

namespace pupil {

namespace {

constexpr size_t kMaxBytes = 256 << 10;
constexpr int kMaxDepth = 16;

/// Sees every event before a node is built of it.
class Guard : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(
      const YAML::Mark&,
      const std::string&,
      YAML::anchor_t,
      const std::string&) override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw ConfigProblem{mark, "aliases (*name) are not supported: repeat the value"};
  }
  void OnSequenceStart(
      const YAML::Mark& mark,
      const std::string&,
      YAML::anchor_t,
      YAML::EmitterStyle::value) override {
    enter(mark);
  }
  void OnMapStart(
      const YAML::Mark& mark,
      const std::string&,
      YAML::anchor_t,
      YAML::EmitterStyle::value) override {
    enter(mark);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapEnd() override { --depth_; }

 private:
  void enter(const YAML::Mark& mark) {
    if (++depth_ <= kMaxDepth) return;
    throw ConfigProblem{
        mark, "nested deeper than " + std::to_string(kMaxDepth) + " levels"};
  }

  int depth_ = 0;
};

void check(const std::string& text) {
  if (text.size() > kMaxBytes) {
    throw ConfigProblem{
        YAML::Mark::null_mark(),
        "expected at most 256 KiB of YAML, got " + std::to_string(text.size()) +
            " bytes"};
  }
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Guard guard;
  if (parser.HandleNextDocument(guard) && parser.HandleNextDocument(guard)) {
    throw ConfigProblem{
        YAML::Mark::null_mark(), "expected one YAML document, got several"};
  }
}

}  // namespace

YAML::Node parse_yaml(const std::string& text) {
  try {
    check(text);
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw ConfigProblem{error.mark, "not YAML: " + error.msg};
  }
}

}  // namespace pupil
