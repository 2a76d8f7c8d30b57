#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace usher::audit::journal {

/// A live segment file, as the journal remembers it: what it holds, and where in it a reader starts.
///
/// Not thread-safe; the journal's state mutex guards it.
struct Segment {
    struct Mark {
        std::uint64_t sequence;
        std::uint64_t offset;
    };

    std::string path;
    std::uint64_t first = 1;          ///< the sequence of its first record
    std::uint64_t last = 0;           ///< of its last durable record; first - 1 when it has none
    std::uint64_t end = 0;            ///< the offset behind the last durable record
    std::vector<Mark> marks;          ///< a place to start at every 256 records or 64 KiB, in order
    std::uint64_t open_accesses = 0;  ///< how many accesses have their latest event here, and no CLOSED

    /// Remembers that record `sequence` starts at `offset`, if the last mark is far enough away.
    void mark(std::uint64_t sequence, std::uint64_t offset);
    /// The last mark at or before `sequence`, which must be in [first, last].
    Mark before(std::uint64_t sequence) const;
};

/// "00000000000000000001.usj": the first sequence, so that names sort as the records do.
std::string segment_name(std::uint64_t first_sequence);
/// Nullopt for any other file's name.
std::optional<std::uint64_t> parse_segment_name(std::string_view name) noexcept;

/// The preallocated next segment.
inline constexpr const char* spare_name = "reserved.usj";
inline constexpr const char* spare_draft_name = "reserved.tmp";
inline constexpr const char* gateway_id_name = "gateway_id";
inline constexpr const char* gateway_id_draft_name = "gateway_id.tmp";
inline constexpr const char* lock_name = "lock";

}  // namespace usher::audit::journal
