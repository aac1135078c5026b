// Text to token ids and back, and chat templates, from the files of a model directory:
// Hugging Face's own tokenizer and a Jinja engine behind rust/'s C interface.

#pragma once

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/types.h"

namespace pupil {

/// A model's tokenizer and chat template. Immutable after construction; may be used
/// from many threads.
class Tokenizer {
 public:
  /// Reads tokenizer.json (or vocab.json + merges.txt), tokenizer_config.json and
  /// chat_template.jinja. Where `num_embeddings` of a model are given, text that has a
  /// token with an id from there on is refused by whatever encodes it.
  /// Throws std::invalid_argument naming the file at fault.
  explicit Tokenizer(
      const std::string& model_dir, std::optional<int> num_embeddings = {});
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Ids of `text`: special tokens are recognised and nothing is added, as Hugging Face
  /// does with add_special_tokens=False.
  std::vector<int> encode(std::string_view text) const;

  /// Ids of `text` with special-token literals taken as plain text.
  std::vector<int> encode_plain(std::string_view text) const;

  /// Text of `ids`; special tokens are kept unless `skip_special`. Bytes that are not
  /// UTF-8 become U+FFFD.
  std::string decode(std::span<const int> ids, bool skip_special = false) const;

  /// The chat template rendered over `messages`, as text.
  std::string chat_text(
      std::span<const Message> messages, bool add_generation_prompt) const;

  /// Ids of `chat_text`, but special-token literals inside message content are encoded
  /// as plain text, so that no message can forge a turn.
  std::vector<int> chat_ids(
      std::span<const Message> messages, bool add_generation_prompt) const;

  /// Largest id + 1 over vocabulary and added tokens.
  int vocab_size() const;
  /// The same without the added tokens that come after all others.
  int base_vocab_size() const;
  /// The id of a token as it is written in the vocabulary; -1 if there is none.
  int token_id(std::string_view token) const;
  /// eos_token of tokenizer_config.json; -1 if there is none.
  int eos_id() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Decodes a growing id sequence piece by piece; the pieces together are the text of
/// all ids at once. A piece ends at a whole UTF-8 character, so a character split over
/// tokens is held back until it is complete, and a run of byte tokens ("<0x0A>", of
/// Llama 2's kind) until it has ended: one bad byte in it spoils them all.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer);
  /// Text that `id` completes; may be empty.
  std::string push(int id);
  /// What was held back, with U+FFFD for broken characters.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::set<int> byte_ids_;
  std::vector<int> ids_;  // what may still change the next piece
  size_t shown_ = 0;      // bytes of their text that are out
};

}  // namespace pupil
