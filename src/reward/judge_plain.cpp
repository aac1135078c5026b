#include "reward/judge_plain.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "reward/judge_data.h"

namespace pupil {

namespace {

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

/// Walks over code and sorts its pieces.
class Reader {
 public:
  Reader(std::string_view code, std::string_view language)
      : code_(code),
        python_(language == "python"),
        hash_(has_hash_comments(language)) {}

  PlainCode read() {
    while (at_ < code_.size()) {
      size_t comment = comment_length();
      char c = code_[at_];
      if (comment > 0) {
        talk(comment);
      } else if (c == '"' || c == '\'' || (c == '`' && !hash_)) {
        string();
      } else {
        plain(c);
      }
    }
    return std::move(out_);
  }

 private:
  std::string_view rest() const { return code_.substr(at_); }

  size_t until(std::string_view end, size_t from, size_t after) const {
    auto found = rest().find(end, from);
    return found == std::string_view::npos ? code_.size() - at_ : found + after;
  }

  size_t comment_length() const {
    if (hash_) return code_[at_] == '#' ? until("\n", 0, 0) : 0;
    if (rest().starts_with("//")) return until("\n", 0, 0);
    return rest().starts_with("/*") ? until("*/", 2, 2) : 0;
  }

  void talk(size_t length) {
    out_.talk += std::string(rest().substr(0, length)) + "\n";
    at_ += length;
  }

  void plain(char c) {
    if (c == '(' || c == '[' || c == '{') ++depth_;
    if (c == ')' || c == ']' || c == '}') --depth_;
    line_is_empty_ = c == '\n' || (line_is_empty_ && (c == ' ' || c == '\t'));
    out_.code += c;
    ++at_;
  }

  size_t string_length(std::string_view quote) const {
    for (size_t i = quote.size(); i < rest().size(); ++i) {
      if (rest()[i] == '\\') {
        ++i;
      } else if (rest().substr(i).starts_with(quote)) {
        return i + quote.size();
      } else if (rest()[i] == '\n' && quote.size() == 1 && quote != "`") {
        return i;  // never closed
      }
    }
    return rest().size();
  }

  void string() {
    std::string_view three = rest().substr(0, 3);
    bool is_long = python_ && (three == "\"\"\"" || three == "'''");
    std::string_view quote = is_long ? three : rest().substr(0, 1);
    size_t length = string_length(quote);
    bool statement = python_ && line_is_empty_ && depth_ <= 0;
    bool silent = !statement && !speaks_to_judge(rest().substr(0, length));
    if (silent) {
      out_.code += rest().substr(0, length);
      at_ += length;
    } else {
      talk(length);
      out_.code += "\"\"";
    }
    line_is_empty_ = false;
  }

  std::string_view code_;
  bool python_, hash_;
  size_t at_ = 0;
  int depth_ = 0;  // of open brackets
  bool line_is_empty_ = true;
  PlainCode out_;
};

// In lower case; '*' stands for any end of a word.
constexpr std::array<std::string_view, 24> kTriggers = {
    "score*",     "grade*",           "grading",      "rubric*",
    "judge*",     "judging",          "evaluator*",   "reviewer*",
    "teacher*",   "assistant*",       "instruction*", "10/10",
    "full marks", "top marks",        "out of 10",    "system:",
    "user:",      "disregard*",       "override*",    "ignore previous",
    "ignore all", "ignore the above", "as an ai",     "prompt*"};

bool holds_trigger(const std::string& text, std::string_view trigger) {
  bool open = trigger.ends_with('*');
  if (open) trigger.remove_suffix(1);
  for (size_t at = 0; (at = text.find(trigger, at)) != std::string::npos; ++at) {
    size_t end = at + trigger.size();
    bool begins = at == 0 || !is_word(text[at - 1]);
    bool ends = open || end == text.size() || !is_word(text[end]);
    if (begins && ends) return true;
  }
  return false;
}

}  // namespace

std::string fenced(std::string_view answer, std::string* outside) {
  std::string inside_text, outside_text;
  bool inside = false;
  bool any = false;
  for (size_t at = 0; at < answer.size();) {
    size_t end = std::min(answer.find('\n', at), answer.size());
    std::string_view line = answer.substr(at, end - at);
    auto first = line.find_first_not_of(" \t");
    bool fence =
        first != std::string_view::npos && line.substr(first).starts_with("```");
    if (fence) {
      inside = !inside;
      any = true;
    }
    // The words after a fence's marks are talk as well.
    (inside && !fence ? inside_text : outside_text) += std::string(line) + '\n';
    at = end + 1;
  }
  if (!any) return std::string(answer);
  if (outside) *outside += outside_text;
  return inside_text;
}

bool has_hash_comments(std::string_view language) {
  return language == "python" || language == "bash" || language == "ruby" ||
         language == "r" || language == "shell";
}

PlainCode plain_code(std::string_view answer, std::string_view language) {
  std::string outside;
  std::string code = fenced(answer, &outside);
  PlainCode plain = Reader(code, language).read();
  plain.talk += outside;
  return plain;
}

bool speaks_to_judge(std::string_view text) {
  std::string lower;
  for (unsigned char c : text) lower += static_cast<char>(std::tolower(c));
  for (auto trigger : kTriggers) {
    if (holds_trigger(lower, trigger)) return true;
  }
  return false;
}

bool is_suspicious(std::string_view answer, std::string_view language) {
  return holds_hidden(answer) || speaks_to_judge(plain_code(answer, language).talk);
}

}  // namespace pupil
