#include "nn/parameters.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace pupil {

mx::array Checkpoint::take(
    const std::string& name, const mx::Shape& shape, mx::Dtype::Category kind) {
  auto node = tensors_.extract(name);
  if (node.empty()) fail("missing tensor '" + name + "'");
  if (node.mapped().shape() != shape) {
    std::ostringstream what;
    what << "tensor '" << name << "' has shape " << node.mapped().shape()
         << ", config.json asks for " << shape;
    fail(what.str());
  }
  if (!mx::issubdtype(node.mapped().dtype(), kind)) {
    std::ostringstream what;
    what << "tensor '" << name << "' holds " << node.mapped().dtype() << ", expected "
         << (kind == mx::floating ? "floating point" : "packed uint32");
    fail(what.str());
  }
  return std::move(node.mapped());
}

Quantization Checkpoint::quantization(const std::string& scope) const {
  if (auto own = quantization_.find(scope); own != quantization_.end()) {
    return own->second;
  }
  auto common = quantization_.find("");
  if (common == quantization_.end()) {
    fail("'" + scope + "' has scales but config.json has no \"quantization\"");
  }
  return common->second;
}

void Checkpoint::expect_packed() const {
  bool any = std::any_of(tensors_.begin(), tensors_.end(), [](const auto& entry) {
    return entry.first.ends_with(".scales");
  });
  if (!quantization_.empty() && !any) {
    fail(
        "config.json has \"quantization\" but no weight has scales, all are dense; "
        "remove the key, or convert with -q");
  }
  for (const auto& [scope, packing] : quantization_) {
    if (!contains(scope + ".weight") || contains(scope + ".scales")) continue;
    fail(
        "config.json calls '" + scope +
        "' quantised, but its weight is dense; remove that entry");
  }
}

void Checkpoint::expect_empty() const {
  if (!tensors_.empty()) fail("unexpected tensor '" + tensors_.begin()->first + "'");
}

void Checkpoint::fail(const std::string& what) const {
  throw std::invalid_argument("[model] " + source_ + ": " + what);
}

}  // namespace pupil
