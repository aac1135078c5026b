// Where the hub and its cache are, by Hugging Face's own environment variables.

#pragma once

#include <filesystem>
#include <string>

namespace pupil {

struct HubSettings {
  std::string endpoint = "https://huggingface.co";
  std::filesystem::path cache;  // holds models--OWNER--MODEL/
  std::string token;            // empty: ask without one
  bool offline = false;         // the cache alone
  double retry_pause_s = 1;     // before the second try; doubles with each
  int stall_s = 30;             // without a byte: the connection is broken
};

/// HF_ENDPOINT; HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub,
/// else ~/.cache/huggingface/hub; HF_TOKEN, else the file HF_TOKEN_PATH, else
/// HF_HOME/token; HF_HUB_OFFLINE. The older names that huggingface_hub reads
/// (HUGGINGFACE_HUB_CACHE, HUGGING_FACE_HUB_TOKEN, TRANSFORMERS_OFFLINE) are read, too.
/// Throws std::invalid_argument for a token that could not be sent, and where there is
/// no home for a cache.
HubSettings hub_settings();

}  // namespace pupil
