#include "data/curriculum.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "base/random.h"

namespace pupil {
namespace {

constexpr uint64_t kStream = 0x637572726963;  // apart from every other use of the seed
constexpr double kLeastWeight = 0.02;         // what is always passed may be forgotten

const TaskRecord& record_of(const TaskRecords& records, const std::string& id) {
  static const TaskRecord unknown;
  auto found = records.find(id);
  return found == records.end() ? unknown : found->second;
}

struct Candidate {
  size_t index;
  int64_t draws;
  double pass_rate;  // unknown: above every other
  double tie;
};

std::vector<size_t> easy_first(
    std::span<const std::string> ids,
    const TaskRecords& records,
    uint64_t seed,
    uint64_t first,
    size_t count) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto& record = record_of(records, ids[i]);
    double rate = record.answers > 0 ? record.pass_rate : 2.0;
    all.push_back({i, record.draws, rate, keyed_uniform({kStream, seed, first, i})});
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    if (a.draws != b.draws) return a.draws < b.draws;
    if (a.pass_rate != b.pass_rate) return a.pass_rate > b.pass_rate;
    return a.tie < b.tie;
  });
  std::vector<size_t> chosen;
  for (size_t i = 0; i < count; ++i) chosen.push_back(all[i % all.size()].index);
  return chosen;
}

double weight_of(const TaskRecord& record) {
  double answers = static_cast<double>(record.answers);
  double p = (record.pass_rate * answers + 1) / (answers + 2);
  return p * (1 - p) + kLeastWeight;
}

// The index where the running sum of the weights passes `share` of it all.
size_t at_share(const std::vector<double>& weights, double share) {
  double left = share * std::accumulate(weights.begin(), weights.end(), 0.0);
  size_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    last = i;
    if ((left -= weights[i]) < 0) break;
  }
  return last;
}

std::vector<size_t> uncertain(
    std::span<const std::string> ids,
    const TaskRecords& records,
    uint64_t seed,
    uint64_t first,
    size_t count) {
  std::vector<double> all, weights;
  for (const auto& id : ids) all.push_back(weight_of(record_of(records, id)));
  std::vector<size_t> chosen;
  for (size_t i = 0; i < count; ++i) {
    if (i % ids.size() == 0) weights = all;
    chosen.push_back(at_share(weights, keyed_uniform({kStream, seed, first + i})));
    weights[chosen.back()] = 0;
  }
  return chosen;
}

}  // namespace

void TaskRecord::add(double passed) {
  pass_rate += (passed - pass_rate) / static_cast<double>(++answers);
}

Curriculum curriculum_of(std::string_view name) {
  if (name == "none") return Curriculum::none;
  if (name == "easy_first") return Curriculum::easy_first;
  if (name == "uncertain") return Curriculum::uncertain;
  throw std::invalid_argument(
      "[data] curriculum: expected none, easy_first or uncertain, got " +
      std::string(name));
}

std::vector<size_t> choose_tasks(
    Curriculum curriculum,
    std::span<const std::string> ids,
    const TaskRecords& records,
    uint64_t seed,
    uint64_t first,
    size_t count) {
  if (curriculum == Curriculum::easy_first) {
    return easy_first(ids, records, seed, first, count);
  }
  return uncertain(ids, records, seed, first, count);
}

}  // namespace pupil
