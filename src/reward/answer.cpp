#include "reward/answer.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "text/python_source.h"

namespace pupil {
namespace {

/// A line that opens or closes a block: its fence ("```"), the spaces before it and
/// what stands behind it.
struct FenceLine {
  std::string_view fence, rest;
  size_t indent;
};

std::optional<FenceLine> as_fence(std::string_view line) {
  const size_t indent = std::min(line.find_first_not_of(' '), line.size());
  if (indent > 3 || indent == line.size()) return std::nullopt;
  line.remove_prefix(indent);
  const char mark = line[0];
  if (mark != '`' && mark != '~') return std::nullopt;
  const size_t length = std::min(line.find_first_not_of(mark), line.size());
  if (length < 3) return std::nullopt;
  const auto rest = line.substr(length);
  // Behind backticks another one means code within a line, not a fence.
  if (mark == '`' && rest.find('`') != std::string_view::npos) return std::nullopt;
  return FenceLine{line.substr(0, length), rest, indent};
}

std::string first_word_lower(std::string_view text) {
  std::string word;
  for (const char c :
       text.substr(std::min(text.find_first_not_of(" \t"), text.size()))) {
    const bool space = std::isspace(static_cast<unsigned char>(c));
    if (space || c == '{' || c == ',' || c == ':') break;
    word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return word;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// `line` without the spaces that the fence of its block has before it.
std::string_view without_indent(std::string_view line, size_t indent) {
  line.remove_prefix(std::min({line.find_first_not_of(' '), line.size(), indent}));
  return line;
}

bool closes(const FenceLine& line, const std::string& fence) {
  return line.fence[0] == fence[0] && line.fence.size() >= fence.size() &&
         is_blank(line.rest);
}

bool may_be_python(const FencedBlock& block) {
  const auto& language = block.language;
  return language.empty() || language == "python" || language == "py" ||
         language == "python3";
}

std::string choose_block(
    const std::vector<FencedBlock>& blocks, const std::string& entry_point) {
  const FencedBlock* longest = nullptr;
  for (const auto& block : blocks) {
    if (!parses_as_python(block.code)) continue;
    if (!entry_point.empty() && defines(block.code, entry_point)) return block.code;
    if (!longest || block.code.size() > longest->code.size()) longest = &block;
  }
  return longest ? longest->code : blocks.front().code;
}

}  // namespace

std::vector<FencedBlock> fenced_blocks(std::string_view answer) {
  std::vector<FencedBlock> blocks;
  std::string fence;  // of the block we are in; empty outside
  size_t indent = 0;  // of that fence
  while (!answer.empty()) {
    const size_t length = std::min(answer.find('\n'), answer.size());
    const auto line = answer.substr(0, length);
    answer.remove_prefix(std::min(length + 1, answer.size()));
    const auto mark = as_fence(line);
    if (fence.empty()) {
      if (!mark) continue;
      fence = mark->fence;
      indent = mark->indent;
      blocks.push_back({.language = first_word_lower(mark->rest), .code = ""});
    } else if (mark && closes(*mark, fence)) {
      fence.clear();
      blocks.back().closed = true;
    } else {
      (blocks.back().code += without_indent(line, indent)) += '\n';
    }
  }
  return blocks;
}

std::string code_of_answer(std::string_view answer, const std::string& entry_point) {
  auto blocks = fenced_blocks(answer);
  const bool fenced = !blocks.empty();
  std::erase_if(blocks, [](const FencedBlock& b) {
    return !may_be_python(b) || is_blank(b.code);
  });
  if (!blocks.empty()) return choose_block(blocks, entry_point);
  if (fenced || is_blank(answer) || !parses_as_python(answer)) return "";
  return std::string(answer);
}

std::string completed_function(
    const std::string& signature,
    std::string_view answer,
    const std::string& entry_point) {
  const auto code = code_of_answer(answer, entry_point);
  if (signature.empty() || is_blank(answer) || defines(code, entry_point)) return code;
  const auto blocks = fenced_blocks(answer);
  const auto body = blocks.empty() ? std::string(answer) : blocks.front().code;
  const auto whole = signature + (signature.ends_with('\n') ? "" : "\n") + body;
  return parses_as_python(whole) ? whole : code;
}

namespace {

Language language_of(const std::vector<FencedBlock>& blocks) {
  for (const auto& block : blocks) {
    if (const auto language = language_named(block.language)) return *language;
  }
  return Language::python;
}

/// The longest block whose mark is of `language`; of none: without a mark.
std::string longest_block(
    const std::vector<FencedBlock>& blocks, std::optional<Language> language) {
  std::string longest;
  for (const auto& block : blocks) {
    const bool fits =
        language ? language_named(block.language) == language : block.language.empty();
    if (fits && !is_blank(block.code) && block.code.size() > longest.size()) {
      longest = block.code;
    }
  }
  return longest;
}

}  // namespace

std::optional<AnswerProgram> program_of_answer(
    std::string_view answer, const std::string& task_language) {
  const auto blocks = fenced_blocks(answer);
  const auto named = language_named(task_language);
  if (!named && task_language != "any") return std::nullopt;
  AnswerProgram program{.language = named.value_or(language_of(blocks)), .code = ""};
  program.code = longest_block(blocks, program.language);
  if (program.code.empty()) program.code = longest_block(blocks, std::nullopt);
  const bool bare = blocks.empty() && !is_blank(answer);
  const bool python = program.language == Language::python;
  if (bare && (!python || parses_as_python(answer))) program.code = answer;
  return program;
}

bool defines(std::string_view code, const std::string& name) {
  for (size_t begin = 0; begin < code.size();) {
    const size_t end = std::min(code.find('\n', begin), code.size());
    std::string_view line = code.substr(begin, end - begin);
    begin = end + 1;
    for (const std::string_view keyword : {"async def ", "def ", "class "}) {
      if (!line.starts_with(keyword)) continue;
      line.remove_prefix(keyword.size());
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      if (!line.starts_with(name)) break;
      if (name.empty()) return true;
      const char next = line.size() > name.size() ? line[name.size()] : '\0';
      if (!std::isalnum(static_cast<unsigned char>(next)) && next != '_') return true;
      break;
    }
  }
  return false;
}

}  // namespace pupil
