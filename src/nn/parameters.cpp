#include "nn/parameters.h"

#include <sstream>
#include <stdexcept>

namespace pupil {

mx::array Checkpoint::take(const std::string& name, const mx::Shape& shape) {
  auto node = tensors_.extract(name);
  if (node.empty()) fail("missing tensor '" + name + "'");
  if (node.mapped().shape() != shape) {
    std::ostringstream what;
    what << "tensor '" << name << "' has shape " << node.mapped().shape()
         << ", config.json asks for " << shape;
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

void Checkpoint::expect_empty() const {
  if (!tensors_.empty()) fail("unexpected tensor '" + tensors_.begin()->first + "'");
}

void Checkpoint::fail(const std::string& what) const {
  throw std::invalid_argument("[model] " + source_ + ": " + what);
}

}  // namespace pupil
