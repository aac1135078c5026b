#include "text/python_source.h"

#include <pupil_text.h>

#include "text/text_library.h"

namespace pupil {

PythonFacts analyze_python(std::string_view source) {
  pt_python_facts_out facts{};
  const pt_status status = pt_python_facts(source.data(), source.size(), &facts);
  if (status == PT_INVALID) return {};  // not UTF-8
  check_text(status, "[python] syntax tree");
  auto count = [](uint32_t number) { return static_cast<int>(number); };
  return {
      .parses = facts.parses,
      .functions = count(facts.functions),
      .documented = count(facts.documented),
      .comments = count(facts.comments),
      .statements = count(facts.statements),
      .code_lines = count(facts.code_lines),
      .nesting = count(facts.nesting),
      .loop_nesting = count(facts.loop_nesting),
      .complexity = count(facts.complexity),
      .names = count(facts.names),
      .short_names = count(facts.short_names),
      .odd_names = count(facts.odd_names),
      .bare_excepts = count(facts.bare_excepts)};
}

bool parses_as_python(std::string_view source) {
  return analyze_python(source).parses;
}

}  // namespace pupil
