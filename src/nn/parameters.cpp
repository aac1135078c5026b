#include "nn/parameters.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace pupil {
namespace {

const char* kind_text(mx::Dtype::Category kind) {
  return kind == mx::floating ? "floating point"
                              : "unsigned integers of packed weights";
}

}  // namespace

std::optional<Quantization> packing_of(
    const Packings& packings, const std::string& module) {
  auto own = packings.find(module);
  if (own == packings.end()) own = packings.find("");
  return own == packings.end() ? std::nullopt : std::optional(own->second);
}

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
         << kind_text(kind);
    fail(what.str());
  }
  return std::move(node.mapped());
}

Quantization Checkpoint::quantization(const std::string& scope) const {
  auto packing = packing_of(quantization_, scope);
  if (!packing)
    fail("'" + scope + "' has scales but config.json has no \"quantization\"");
  return *packing;
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
    bool packed = contains(scope + ".scales"), called_packed = packing != kDense;
    if (!contains(scope + ".weight") || packed == called_packed) continue;
    fail(
        "config.json calls '" + scope + (called_packed ? "' quantised" : "' dense") +
        ", but its weight is " + (packed ? "packed" : "dense") + "; remove that entry");
  }
}

void Checkpoint::expect_empty() const {
  if (!tensors_.empty()) fail("unexpected tensor '" + tensors_.begin()->first + "'");
}

void Checkpoint::fail(const std::string& what) const {
  throw std::invalid_argument("[model] " + source_ + ": " + what);
}

}  // namespace pupil
