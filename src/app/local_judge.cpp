#include "app/local_judge.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <stdexcept>

#include "base/sha256.h"
#include "base/visit.h"
#include "formats/model_index.h"
#include "models/attend.h"
#include "models/lora.h"

namespace pupil {

namespace {

constexpr const char* kStudent = "student";

namespace fs = std::filesystem;
using Digits = LocalModel::Digits;
using Ids = std::vector<int>;

constexpr size_t kMaxBatchTokens = 4096;  // beyond the shared prefix; bounds memory

/// A chat as token ids, and where its answer goes.
struct Question {
  size_t index;
  Ids ids;
};

size_t common_prefix(const Ids& a, const Ids& b) {
  auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return static_cast<size_t>(end - a.begin());
}

class DigitJudge {
 public:
  DigitJudge(Decoder decoder, const Tokenizer& tokenizer)
      : decoder_(std::move(decoder)), tokenizer_(tokenizer) {
    for (int digit = 0; digit < 10; ++digit) {
      auto ids = tokenizer.encode_plain(std::to_string(digit));
      if (ids.size() != 1) {
        throw std::invalid_argument(
            "[teacher.model] its tokenizer has no token of its own for the digit " +
            std::to_string(digit) + "; choose another local judge");
      }
      digit_ids_.push_back(ids[0]);
    }
    evaluate_weights();
  }

  // Rewards are scored on threads that come and go; each would make a stream of its
  // own, so that the judge brings one.
  std::vector<Digits> ask(std::span<const ChatRequest> chats) {
    auto work = [&] {
      mx::set_default_device(stream_.device);
      mx::set_default_stream(stream_);
      return answers(chats);
    };
    return std::async(std::launch::async, work).get();
  }

 private:
  // What is loaded lazily belongs to this thread's stream, which no other may use.
  void evaluate_weights() {
    std::vector<mx::array> all = {decoder_.rope_periods, decoder_.local_rope_periods};
    for_each_leaf(decoder_, "", [&](const std::string&, const mx::array& weight) {
      all.push_back(weight);
    });
    mx::eval(all);
  }

  std::vector<Digits> answers(std::span<const ChatRequest> chats) const {
    std::vector<Digits> out(chats.size());
    std::vector<Question> questions;
    for (size_t i = 0; i < chats.size(); ++i) {
      auto ids = ids_of(chats[i], out[i]);
      if (out[i].error.empty()) questions.push_back({i, std::move(ids)});
    }
    for (size_t begin = 0; begin < questions.size();) {
      size_t end = batch_end(questions, begin);
      run(std::span(questions).subspan(begin, end - begin), out);
      begin = end;
    }
    return out;
  }

  Ids ids_of(const ChatRequest& chat, Digits& out) const {
    std::vector<Message> messages = {{"system", chat.system}};
    messages.insert(messages.end(), chat.messages.begin(), chat.messages.end());
    Ids ids;
    try {
      ids = tokenizer_.chat_ids(messages, true);
    } catch (const std::invalid_argument& error) {
      out.error = error.what();
      return {};
    }
    out.tokens = static_cast<int64_t>(ids.size());
    int room = decoder_.config.max_positions;
    if (ids.empty() || ids.size() > static_cast<size_t>(room)) {
      out.error = "the question has " + std::to_string(ids.size()) +
                  " tokens, the judge takes 1 to " + std::to_string(room);
    }
    return ids;
  }

  // Questions of one group share instructions and task. One more joins as long as what
  // the others then share less costs no more than running its prefix again.
  static size_t batch_end(const std::vector<Question>& questions, size_t begin) {
    size_t shared = questions[begin].ids.size(), longest = shared, end = begin + 1;
    for (; end < questions.size(); ++end) {
      const auto& ids = questions[end].ids;
      size_t prefix = std::min(shared, common_prefix(questions[begin].ids, ids));
      size_t width = std::max(longest, ids.size());
      bool fits = (width - prefix) * (end + 1 - begin) <= kMaxBatchTokens;
      bool worth_it = (shared - prefix) * (end - begin) <= prefix;
      if (!worth_it || !fits) break;
      shared = prefix;
      longest = width;
    }
    return end;
  }

  void run(std::span<const Question> batch, std::vector<Digits>& out) const {
    auto logprobs = digit_logprobs(last_hidden(batch));
    logprobs.eval();
    for (size_t i = 0; i < batch.size(); ++i) {
      const float* row = logprobs.data<float>() + 10 * i;
      std::copy(row, row + 10, out[batch[i].index].logprobs.begin());
    }
  }

  // The states after each question's last token, [questions, D]. Each is a branch of
  // the shared prefix that ends in a token nobody looks at.
  mx::array last_hidden(std::span<const Question> batch) const {
    size_t prefix = batch[0].ids.size(), width = 0;
    for (const auto& question : batch) {
      prefix = std::min(prefix, common_prefix(batch[0].ids, question.ids));
      width = std::max(width, question.ids.size());
    }
    width = width - prefix + 1;
    Ids tails(batch.size() * width, 0), lengths, ends;
    int end = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      const auto& ids = batch[i].ids;
      std::copy(ids.begin() + prefix, ids.end(), tails.begin() + i * width);
      lengths.push_back(static_cast<int>(ids.size() - prefix) + 1);
      ends.push_back((end += lengths.back()) - 1);
    }
    int G = static_cast<int>(batch.size());
    auto hidden = completion_hidden(
        decoder_,
        mx::array(batch[0].ids.data(), {static_cast<int>(prefix)}, mx::int32),
        mx::array(tails.data(), {G, static_cast<int>(width)}, mx::int32),
        lengths);
    return mx::take(hidden, mx::array(ends.data(), {G}, mx::int32), 0);
  }

  // hidden [G, D] -> [G, 10] float32, nats
  mx::array digit_logprobs(const mx::array& hidden) const {
    auto logits = mx::astype(decoder_.head(hidden), mx::float32);
    mx::array ids(digit_ids_.data(), {10}, mx::int32);
    auto norm = mx::logsumexp(logits, std::vector<int>{-1}, true);
    return mx::contiguous(mx::take(logits, ids, 1) - norm);
  }

  Decoder decoder_;
  const Tokenizer& tokenizer_;
  Ids digit_ids_;
  mx::Stream stream_ = mx::new_thread_unsafe_stream(mx::default_device());
};

void add_file(Sha256& hash, const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return;
  hash.field(path.filename().string());
  hash.field(static_cast<int64_t>(fs::file_size(path)));
  std::string chunk(1 << 20, '\0');
  while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())),
         in.gcount() > 0) {
    hash.bytes(std::string_view(chunk).substr(0, static_cast<size_t>(in.gcount())));
  }
}

// Everything that a reply follows from.
std::string identity_of(const std::string& model_dir) {
  Sha256 hash;
  bool gpu = mx::default_device() == mx::Device::gpu;
  hash.field("local-judge-1").field(gpu ? "gpu" : "cpu");
  for (const char* name :
       {"config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "merges.txt",
        "chat_template.jinja"}) {
    add_file(hash, fs::path(model_dir) / name);
  }
  for (const auto& shard : model_shards(model_dir)) add_file(hash, shard);
  return "local-" + hash.hex();
}

}  // namespace

LocalModel digit_judge(Decoder decoder, const Tokenizer& tokenizer) {
  auto judge = std::make_shared<DigitJudge>(std::move(decoder), tokenizer);
  LocalModel local;
  local.ask = [judge](std::span<const ChatRequest> chats) { return judge->ask(chats); };
  return local;
}

namespace {

const std::string& judging_model(const TeacherConfig& config) {
  if (config.model && !config.model->empty()) return *config.model;
  throw std::invalid_argument(
      "[teacher.model] is not set; name the local judge's MLX model directory, or "
      "student");
}

LocalModel judge_of_directory(const std::string& model_dir) {
  auto model = std::make_shared<Model>(load_model(model_dir));
  LocalModel local = digit_judge(model->decoder, model->tokenizer);
  local.ask = [model, ask = local.ask](std::span<const ChatRequest> chats) {
    return ask(chats);
  };
  local.identity = identity_of(model->path);
  return local;
}

}  // namespace

LocalModel local_judge(const TeacherConfig& config, const Model& student) {
  const std::string& model = judging_model(config);
  if (model != kStudent) return judge_of_directory(model);
  LocalModel local = digit_judge(without_lora(student.decoder), student.tokenizer);
  local.identity = identity_of(student.path);
  return local;
}

LocalModel local_judge(const TeacherConfig& config, const std::string& student_dir) {
  const std::string& model = judging_model(config);
  return judge_of_directory(model == kStudent ? student_dir : model);
}

}  // namespace pupil
