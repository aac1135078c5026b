// TensorBoard event files: TFRecord framing around Event messages, written by hand
// since a few message types with few fields are all there is. Format:
// tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto,
// summary.proto.

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pupil {

/// CRC-32C (Castagnoli), as of RFC 3720.
uint32_t crc32c(std::string_view bytes);

/// One record: length, masked checksum of the length, `data`, masked checksum of it.
std::string tf_record(std::string_view data);

/// The record that opens a file. `wall_time`: seconds since 1970.
std::string event_file_header(double wall_time);

/// The record by which readers drop what earlier files have of `step` and later ones: a
/// process began there.
std::string session_start_record(double wall_time, int64_t step);

/// Scalars of one step as one record.
std::string scalar_record(
    double wall_time,
    int64_t step,
    const std::vector<std::pair<std::string, float>>& scalars);

/// The histogram of some numbers as a record: 30 buckets of equal width from the
/// least to the largest. None finite: an empty text.
std::string histogram_record(
    double wall_time,
    int64_t step,
    const std::string& tag,
    std::span<const double> values);

/// A text, which TensorBoard shows as Markdown, as a record.
std::string text_record(
    double wall_time, int64_t step, const std::string& tag, std::string_view text);

}  // namespace pupil
