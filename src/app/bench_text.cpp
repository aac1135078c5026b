#include "app/bench_text.h"

#include <cstdio>

#include "app/bench_rollout.h"
#include "base/table.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

std::string number_text(const Json& value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value.get<double>());
  return text;
}

std::string policy_work_text(const Json& step) {
  return "policy step, " + std::to_string(step["rows"].get<int>()) + " x (" +
         std::to_string(step["prompt_tokens"].get<int>()) + " + " +
         std::to_string(step["new_tokens"].get<int>()) + ")" +
         (step["unshared"].get<bool>() ? ", unshared" : "");
}

std::string machine_text(const Json& r) {
  return r["model"].get<std::string>() + ", " + r["threads"].dump() + " threads, " +
         r["cpu"].get<std::string>();
}

Table figures_table(const Json& r) {
  Table table{{"work", "figure", "unit"}, {}};
  auto row =
      [&](const std::string& work, const char* at, int digits, const char* unit) {
        const Json::json_pointer pointer(at);
        if (!r.contains(pointer)) return;
        table.rows.push_back({work, number_text(r.at(pointer), digits), unit});
      };
  row("prefill, 512 tokens", "/prefill_tok_s", 0, "tok/s");
  row("decode, 1 row", "/decode_tok_s/1", 0, "tok/s");
  row("decode, 8 rows", "/decode_tok_s/8", 0, "tok/s");
  row(policy_work_text(r["grpo_step"]), "/grpo_step/seconds", 2, "s");
  row("  generation", "/grpo_step/generation_s", 2, "s");
  row("  update", "/grpo_step/update_s", 2, "s");
  row("  peak memory", "/grpo_step/peak_mb", 0, "MB");
  row("  as planned before it", "/grpo_step/planned_mb", 0, "MB");
  row("supervised step, 8 x 160", "/sft_step/seconds", 2, "s");
  row("  peak memory", "/sft_step/peak_mb", 0, "MB");
  row("start to first token", "/start_to_first_token_s", 2, "s");
  row("start to first step's end", "/start_to_first_step_s", 2, "s");
  return table;
}

Table contexts_table(const Json& contexts) {
  Table table{{"context", "batch", "prefill tok/s", "decode tok/s"}, {}};
  for (const auto& row : contexts) {
    auto figure = [&](const char* key) {
      return row[key].is_null() ? std::string("-") : number_text(row[key], 0);
    };
    table.rows.push_back(
        {row["context"].dump(),
         row["batch"].dump(),
         figure("prefill_tok_s"),
         figure("decode_tok_s")});
  }
  return table;
}

Table parts_table(const Json& parts) {
  Table table{{"share of the time", "decode 1", "decode 8", "policy step"}, {}};
  for (const auto& [name, share] : parts["grpo_step"].items()) {
    std::vector<std::string> cells = {name};
    for (const char* work : {"decode_1", "decode_8", "grpo_step"}) {
      auto share_of = parts.value(work, Json::object()).value(name, -1.0);
      cells.push_back(share_of < 0 ? "" : number_text(100 * share_of, 1) + " %");
    }
    table.rows.push_back(cells);
  }
  return table;
}

}  // namespace

std::string rollout_report_text(const Json& r) {
  return machine_text(r) + "\n" + rollout_text(r["rollout"]);
}

std::string bench_text(const Json& r) {
  std::string text = machine_text(r) + "; medians of " + r["runs"].dump() +
                     " runs\n\n" + terminal_table(figures_table(r)) + "\n";
  if (r.contains("contexts"))
    text += terminal_table(contexts_table(r["contexts"])) + "\n";
  return text + terminal_table(parts_table(r["parts"]));
}

}  // namespace pupil
