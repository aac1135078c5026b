#include "ops/cpu/row_pages.h"

namespace pupil::cpu {

PageTable::PageTable(const std::vector<RowPages>& rows) {
  for (const auto& row : rows) {
    held_.insert(held_.end(), row.pages().begin(), row.pages().end());
    last_.push_back(row.pages().back().get());
    lengths_.push_back(row.length());
    places_.push_back((row.position() - 1) % static_cast<int>(kPageTokens));
  }
  for (const auto& page : held_) pages_.push_back(page.get());
  const float* const* next = pages_.data();
  for (const auto& row : rows) {
    rows_.push_back(next);
    next += row.pages().size();
  }
}

}  // namespace pupil::cpu
