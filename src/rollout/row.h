// One completion while it grows: when it ends, and what its text is.

#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/types.h"
#include "models/model.h"

namespace pupil {

class Row {
 public:
  /// Row `index` of prompt number `prompt`, whose random stream is `key`. `model` and
  /// `stop` must outlive the row.
  Row(const Model& model,
      const std::vector<std::string>& stop,
      int min_tokens,
      int max_tokens,
      uint64_t key,
      int prompt,
      int index)
      : model_(&model),
        stop_(&stop),
        min_tokens_(min_tokens),
        max_tokens_(max_tokens),
        key_(key),
        prompt_(prompt),
        index_(index) {}

  /// Adds a sampled token; afterwards `done` says whether it ended the completion: by
  /// an EOS id, by completing a stop string, neither before `min_tokens`, or as the
  /// last of `max_tokens`.
  void push(int token, float logprob);

  /// Decodes the text. To be called once, at the end.
  void finish();

  bool done() const { return done_; }
  int max_tokens() const { return max_tokens_; }
  int num_tokens() const { return static_cast<int>(completion_.tokens.size()); }
  uint64_t key() const { return key_; }
  int prompt() const { return prompt_; }
  int index() const { return index_; }
  const Completion& completion() const { return completion_; }
  Completion take() { return std::move(completion_); }

 private:
  bool ends_with_eos() const;
  bool has_stop_string() const;
  size_t num_free() const;

  const Model* model_;
  const std::vector<std::string>* stop_;
  int min_tokens_, max_tokens_;
  uint64_t key_;
  int prompt_, index_;
  bool done_ = false;
  Completion completion_;
};

}  // namespace pupil
