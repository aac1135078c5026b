#include "models/expert_stack.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace pupil {
namespace {

struct Expert {
  std::string stacked;  // the name of the stack it belongs to
  int index;
};

// "a.mlp.experts.3.up_proj.weight" -> {"a.mlp.switch_mlp.up_proj.weight", 3}
std::optional<Expert> expert_of(const std::string& name) {
  constexpr std::string_view kExperts = ".mlp.experts.";
  size_t at = name.find(kExperts);
  if (at == name.npos) return std::nullopt;
  size_t number = at + kExperts.size(), dot = name.find('.', number);
  if (dot == name.npos) return std::nullopt;
  int index = -1;
  const char* end = name.data() + dot;
  auto [stop, error] = std::from_chars(name.data() + number, end, index);
  if (error != std::errc() || stop != end || index < 0) return std::nullopt;
  return Expert{name.substr(0, at) + ".mlp.switch_mlp" + name.substr(dot), index};
}

using Parts = std::map<int, SourceTensor>;

bool is_whole(const Parts& parts, int count) {
  if (static_cast<int>(parts.size()) != count) return false;
  const auto& shape = parts.begin()->second.shape;
  return parts.rbegin()->first == count - 1 &&
         std::all_of(parts.begin(), parts.end(), [&](const auto& part) {
           return part.second.shape == shape;
         });
}

SourceTensor stacked(const std::string& name, const Parts& parts) {
  auto shape = parts.begin()->second.shape;
  shape.insert(shape.begin(), static_cast<int>(parts.size()));
  return {name, shape, [parts]() -> SourceArray {
            std::vector<mx::array> each;
            for (const auto& [_, part] : parts)
              each.push_back(std::get<mx::array>(part.load()));
            return mx::stack(each, 0);
          }};
}

}  // namespace

void stack_experts(std::vector<SourceTensor>& tensors, int count) {
  if (count == 0) return;
  std::vector<SourceTensor> whole;
  std::map<std::string, Parts> stacks;
  for (auto& tensor : tensors) {
    auto expert = expert_of(tensor.name);
    bool is_new =
        expert && stacks[expert->stacked].emplace(expert->index, tensor).second;
    if (!is_new) whole.push_back(tensor);
  }
  for (auto& [name, parts] : stacks) {
    if (is_whole(parts, count)) {
      whole.push_back(stacked(name, parts));
      continue;
    }
    for (auto& [_, part] : parts) whole.push_back(part);
  }
  tensors = std::move(whole);
}

}  // namespace pupil
