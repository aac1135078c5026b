// A checkpoint's folder on the disk (train/checkpoint.h): its manifest, and how it
// comes into its place.

#pragma once

#include <filesystem>
#include <string_view>

namespace pupil {

/// A new file in a folder that nobody reads yet: written and synced, no more.
void write_synced(const std::filesystem::path& path, std::string_view text);

/// Writes manifest.json about the files in `folder`, to be called when all are there.
void write_manifest(const std::filesystem::path& folder);

/// Throws std::exception that names the file which is not as the manifest says. Files
/// of any size, read block by block.
void verify(const std::filesystem::path& folder);

/// Whether `verify` throws nothing.
bool verifies(const std::filesystem::path& folder);

/// Gives the folder `made`, which is verified, the name `target`. What is there stays
/// if it is good and says the same, and else until the new one has its name.
void put_in_place(
    const std::filesystem::path& made, const std::filesystem::path& target);

}  // namespace pupil
