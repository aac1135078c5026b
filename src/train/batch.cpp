#include "train/batch.h"

#include <algorithm>
#include <cmath>

#include "algo/advantage.h"

namespace pupil {

namespace {

using Rows = std::vector<size_t>;

size_t length_of(const RolloutGroup& group, size_t row) {
  return group.rollouts[row].completion.tokens.size();
}

bool is_masked(const Rollout& rollout, const BatchConfig& config) {
  return config.mask_truncated_completions &&
         rollout.completion.finish == FinishReason::length;
}

// The best and the worst, where they differ.
Rows pair_of(const RolloutGroup& group, const Rows& scored) {
  auto less = [&](size_t a, size_t b) {
    return *group.rollouts[a].reward < *group.rollouts[b].reward;
  };
  auto [worst, best] = std::minmax_element(scored.begin(), scored.end(), less);
  if (scored.empty() || !less(*worst, *best)) return {};
  return {std::min(*worst, *best), std::max(*worst, *best)};
}

// The scored rollouts, the best of them, or a pair; of equals the earlier.
Rows rows_that_count(const RolloutGroup& group, const BatchConfig& config) {
  Rows rows;
  for (size_t i = 0; i < group.rollouts.size(); ++i) {
    if (group.rollouts[i].reward) rows.push_back(i);
  }
  if (config.pairs) return pair_of(group, rows);
  auto most = static_cast<size_t>(config.top_k_samples);
  if (most == 0 || rows.size() <= most) return rows;
  std::stable_sort(rows.begin(), rows.end(), [&](size_t a, size_t b) {
    return *group.rollouts[a].reward > *group.rollouts[b].reward;
  });
  rows.resize(most);
  std::sort(rows.begin(), rows.end());
  return rows;
}

// The rollouts to learn from.
Rows rows_to_train(const RolloutGroup& group, const BatchConfig& config) {
  auto rows = rows_that_count(group, config);
  bool all = config.all_groups || config.pairs;  // who is in a pair, differs
  bool teaches = all || std::any_of(rows.begin(), rows.end(), [&](auto i) {
                   return group.rollouts[i].advantage != 0;
                 });
  if (!teaches) return {};
  std::erase_if(rows, [&](size_t i) {
    const auto& rollout = group.rollouts[i];
    return rollout.completion.tokens.empty() || is_masked(rollout, config);
  });
  if (config.pairs && rows.size() < 2) return {};
  return rows;
}

// Cuts the rows where the next would exceed the token limit.
std::vector<Rows> split(
    const RolloutGroup& group, const Rows& rows, const BatchConfig& config) {
  std::vector<Rows> parts;
  size_t prompt = group.prompt.tokens.size(), tokens = 0, limit = config.max_tokens;
  for (size_t row : rows) {
    tokens += length_of(group, row);
    if (parts.empty() || (tokens > limit && !config.pairs)) {
      parts.emplace_back();
      tokens = prompt + length_of(group, row);
    }
    parts.back().push_back(row);
  }
  return parts;
}

// The host side of a Microbatch, row after row.
struct Table {
  std::vector<int> completions, lengths, positions, slots;
  std::vector<float> mask, sampler, advantages;
  std::vector<uint8_t> likelihood;
};

void add_row(Table& table, const Rollout& rollout, size_t width) {
  const auto& tokens = rollout.completion.tokens;
  const auto& logprobs = rollout.completion.logprobs;
  for (size_t t = 0; t < width; ++t) {
    bool inside = t < tokens.size();
    table.completions.push_back(inside ? tokens[t] : 0);
    table.mask.push_back(inside ? 1.0f : 0.0f);
    table.sampler.push_back(inside && t < logprobs.size() ? logprobs[t] : NAN);
    table.slots.push_back(inside ? static_cast<int>(table.positions.size()) : -1);
    if (inside) table.positions.push_back(static_cast<int>(table.mask.size() - 1));
  }
  table.lengths.push_back(static_cast<int>(tokens.size()));
  table.likelihood.push_back(logprobs.empty());
  table.advantages.push_back(static_cast<float>(rollout.advantage));
}

// 1 for the better one of a pair and -1 for the other, whatever the baseline and the
// scale made of their rewards: a loss of preferences reads the sign alone.
std::vector<float> signs_of_pair(const RolloutGroup& group, const Rows& pair) {
  auto reward = [&](size_t i) { return *group.rollouts[pair.at(i)].reward; };
  bool first = reward(0) > reward(1);
  return {first ? 1.0f : -1.0f, first ? -1.0f : 1.0f};
}

Microbatch to_arrays(Table table, const Prompt& prompt, int rows, int width) {
  int count = static_cast<int>(table.positions.size());
  for (int& slot : table.slots) slot = slot < 0 ? count : slot;
  mx::Shape shape = {rows, width};
  auto ints = [](const std::vector<int>& v, const mx::Shape& s) {
    return mx::array(v.data(), s, mx::int32);
  };
  auto floats = [](const std::vector<float>& v, const mx::Shape& s) {
    return mx::array(v.data(), s, mx::float32);
  };
  return {
      ints(prompt.tokens, {static_cast<int>(prompt.tokens.size())}),
      ints(table.completions, shape),
      std::move(table.lengths),
      floats(table.mask, shape),
      ints(table.positions, {count}),
      ints(table.slots, shape),
      floats(table.sampler, shape),
      mx::astype(mx::array(table.likelihood.data(), {rows, 1}, mx::uint8), mx::bool_),
      floats(table.advantages, {rows}),
      std::nullopt,
      std::nullopt,
      std::nullopt,
      0,
      {}};
}

}  // namespace

StepTotals totals_of(std::span<const RolloutGroup> groups, const BatchConfig& config) {
  StepTotals totals;
  totals.max_completion_length = config.max_completion_length;
  for (const auto& group : groups) {
    for (size_t row : rows_that_count(group, config)) {
      const auto& rollout = group.rollouts[row];
      totals.num_sequences += 1;
      if (is_masked(rollout, config)) continue;
      totals.num_tokens += static_cast<double>(rollout.completion.tokens.size());
    }
  }
  return totals;
}

std::vector<Microbatch> pack(
    std::span<const RolloutGroup> groups, const BatchConfig& config) {
  std::vector<Microbatch> batches;
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto& group = groups[g];
    for (auto& rows : split(group, rows_to_train(group, config), config)) {
      Table table;
      size_t width = 0;
      for (size_t row : rows) width = std::max(width, length_of(group, row));
      for (size_t row : rows) add_row(table, group.rollouts[row], width);
      if (config.pairs) table.advantages = signs_of_pair(group, rows);
      int count = static_cast<int>(rows.size());
      auto batch =
          to_arrays(std::move(table), group.prompt, count, static_cast<int>(width));
      batch.group = g;
      batch.rows = std::move(rows);
      batches.push_back(std::move(batch));
    }
  }
  return batches;
}

mx::array old_logprobs_of(const Microbatch& batch, const mx::array& logprobs) {
  auto now = mx::stop_gradient(logprobs);
  if (!batch.old_logprobs) return now;
  return mx::where(batch.likelihood, now, *batch.old_logprobs);
}

}  // namespace pupil
