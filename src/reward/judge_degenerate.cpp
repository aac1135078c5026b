// Answers that need no judge. Some judges reward an empty answer or a bare "Solution:"
// (arXiv:2507.08794); here those are worth 0 before anybody is asked.

#include <cctype>

#include "reward/judge.h"
#include "reward/judge_plain.h"

namespace pupil {

namespace {

constexpr size_t kMaxAnswerBytes = 64 << 10;

// Jumps over what starts at `at` and is no code: a comment, or in Python a string that
// stands as a statement. Returns `at` where code begins.
size_t skip_comment(std::string_view code, size_t at, std::string_view language) {
  std::string_view rest = code.substr(at);
  auto past = [&](std::string_view end, size_t from) {
    auto found = rest.find(end, from);
    return found == std::string_view::npos ? code.size() : at + found + end.size();
  };
  if (has_hash_comments(language)) {
    if (rest.starts_with('#')) return past("\n", 0);
    if (language == "python" && rest.starts_with("\"\"\"")) return past("\"\"\"", 3);
    if (language == "python" && rest.starts_with("'''")) return past("'''", 3);
    return at;
  }
  if (rest.starts_with("//") || rest.starts_with("--")) return past("\n", 0);
  if (rest.starts_with("/*")) return past("*/", 2);
  return at;
}

// `code` from its first statement on; empty if there is none.
std::string_view from_first_statement(
    std::string_view code, std::string_view language) {
  size_t at = 0;
  while (at < code.size()) {
    auto byte = static_cast<unsigned char>(code[at]);
    size_t next = std::isspace(byte) ? at + 1 : skip_comment(code, at, language);
    if (next == at) break;
    at = next;
  }
  return code.substr(std::min(at, code.size()));
}

bool has_letter(std::string_view text) {
  for (unsigned char c : text) {
    if (std::isalnum(c)) return true;
  }
  return false;
}

}  // namespace

std::optional<std::string> degenerate(
    std::string_view answer, std::string_view language) {
  if (answer.size() > kMaxAnswerBytes) return "longer than 64 KiB";
  if (answer.find_first_not_of(" \t\r\n") == std::string_view::npos) return "empty";
  std::string code = fenced(answer);
  if (code.find_first_not_of(" \t\r\n") == std::string::npos)
    return "an empty code block";
  std::string_view statements = from_first_statement(code, language);
  if (statements.empty()) return "comments only";
  // A Python program of any use calls, indexes or assigns something.
  bool python = language == "python";
  bool shaped = !python || statements.find_first_of("([{=") != std::string_view::npos;
  if (!has_letter(statements) || !shaped) return "no code";
  return std::nullopt;
}

}  // namespace pupil
