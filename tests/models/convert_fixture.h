// A Hugging Face directory of the tiny decoder and where its conversion goes.

#pragma once

#include <gtest/gtest.h>

#include "base/json.h"
#include "formats/model_index.h"
#include "models/convert.h"
#include "support/temp_dir.h"
#include "support/tiny_checkpoint.h"

namespace pupil::testing {

namespace fs = std::filesystem;
using nlohmann::json;

inline bool same(const mx::array& a, const mx::array& b) {
  return a.dtype() == b.dtype() && mx::array_equal(a, b).item<bool>();
}

class ConvertTest : public ::testing::Test {
 protected:
  fs::path from() const { return folder_.path() / "from"; }
  fs::path to() const { return folder_.path() / "out/model"; }

  Checkpoint::Tensors put(DecoderConfig config = wide_config()) {
    fs::remove_all(from());
    auto tensors = tiny_tensors(config, 5);
    put_huggingface(from(), huggingface_config(config), tensors);
    return tensors;
  }
  ConvertOptions options() const {
    ConvertOptions options;
    options.from = from();
    options.to = to();
    return options;
  }
  ConvertSummary convert(const ConvertOptions& options) {
    return convert_model(options, [](size_t, size_t, int64_t) {});
  }
  Checkpoint::Tensors written() {
    Checkpoint::Tensors all;
    for (const auto& shard : model_shards(to())) {
      all.merge(mx::load_safetensors(shard).first);
    }
    return all;
  }
  json config() { return read_json_file(to() / "config.json"); }

  // Why the conversion is refused; then there is nothing at the target, nor beside it.
  std::string error(const ConvertOptions& options) {
    auto text = refusal([&] { convert(options); });
    if (text == "accepted") return text;
    auto parent = to().parent_path();
    EXPECT_TRUE(!fs::exists(parent) || fs::is_empty(parent));
    return text;
  }
  std::string error() { return error(options()); }

  void change_config(const json& changes) {
    auto config = read_json_file(from() / "config.json");
    config.update(changes);
    write_text(from() / "config.json", config.dump());
  }

 private:
  TempDir folder_;
};

}  // namespace pupil::testing
