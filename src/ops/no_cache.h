// MLX's cache of freed arrays, switched off for a while.

#pragma once

namespace pupil {

/// On a CPU, freed arrays go back to the C library's allocator while any of these
/// lives. MLX would keep them for arrays of about the same size, which seldom come
/// where rows come and go. A GPU's allocator is slow without its cache, which stays.
class NoCache {
 public:
  NoCache();
  ~NoCache();
  NoCache(const NoCache&) = delete;
  NoCache& operator=(const NoCache&) = delete;
};

}  // namespace pupil
