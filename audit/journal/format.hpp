#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "audit/journal/journal.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

/// The bytes of a journal segment (docs/journal-format.md), without any file: writer, reader, recovery and fuzzer share
/// it.
namespace usher::audit::journal {

using Bytes = std::span<const std::uint8_t>;

inline constexpr std::uint32_t format_version = 1;
inline constexpr std::size_t header_bytes = 64;        ///< of a segment
inline constexpr std::size_t frame_header_bytes = 48;  ///< of a record
inline constexpr std::size_t payload_bytes_max = 1u << 20;
inline constexpr std::size_t batch_records_max = 4096;
inline constexpr std::size_t sector_bytes = 512;  ///< what a disk writes whole or not at all
inline constexpr std::size_t word_bytes = 8;      ///< what memory and buses move as a whole

/// The bytes a record with such a payload takes: header, payload, 1 to 8 bytes of end mark up to a multiple of 8.
constexpr std::size_t frame_bytes(std::size_t payload) noexcept { return (frame_header_bytes + payload + 8) / 8 * 8; }

struct SegmentHeader {
    base::Uuid gateway;
    std::uint64_t first_sequence = 1;
    base::UtcTime created_at;
    std::uint32_t version = format_version;

    /// Where the checksums of this segment's records start from, so that a record copied or left over from another
    /// segment, or forged inside a payload, is never valid here.
    std::uint32_t seed() const noexcept;
};

std::vector<std::uint8_t> encode_header(const SegmentHeader& header);
/// data_loss when it is no header or a damaged one, failed_precondition when a newer Usher wrote it (both versions are
/// named). The message does not name the file.
base::Result<SegmentHeader> decode_header(Bytes bytes);

/// A record as it lies in a segment. `payload` points into the bytes it was decoded from.
struct RecordView {
    std::uint64_t sequence = 0;
    base::UtcTime recorded_at;
    RecordType type{};
    base::Uuid access_id;
    std::string_view payload;
    /// How many records of the same batch come before it. A batch is one write and one sync, and the next batch is
    /// written only when the sync has returned: so sequence - batch_index tells which records were durable before it.
    std::uint16_t batch_index = 0;

    JournalRecord to_record() const { return {sequence, recorded_at, type, access_id, std::string(payload)}; }
};

/// Appends the frame of `record` to `out`. The payload is at most payload_bytes_max.
void encode_record(const RecordView& record, std::uint32_t seed, std::vector<std::uint8_t>& out);

struct Frame {
    enum class Kind {
        record,   ///< `record` and `size` are set
        partial,  ///< the bytes end inside of the frame; `size` are needed
        zeros,    ///< a frame header of zeros: nothing was written here
        bad,      ///< no valid record; `size` is set when the frame header is intact, else 0
        newer,    ///< an intact record of a later version; `found` says which
    };
    Kind kind = Kind::bad;
    std::size_t size = 0;
    RecordView record;
    std::string_view found;  ///< of bad and newer: what is wrong
};

/// Decodes the frame at the start of `bytes`.
Frame decode_frame(Bytes bytes, std::uint32_t seed) noexcept;

/// How the records of a segment end.
struct ScanEnd {
    enum class Kind {
        clean,    ///< zeros up to the end
        torn,     ///< a batch that was being written when the power went: none of what is missing was durable
        corrupt,  ///< a record that was durable is damaged, or bytes are where none were written
        newer,    ///< a record of a later version
    };
    Kind kind = Kind::clean;
    std::size_t offset = 0;      ///< of the first byte after the last good record
    std::uint64_t expected = 0;  ///< the sequence that should be there, or would be next
    std::string found;           ///< what is there instead, for the operator
};

/// Walks the records of one whole segment (header included) in order. Pure; `segment` must outlive it and what it
/// returns.
class SegmentScanner {
public:
    SegmentScanner(Bytes segment, const SegmentHeader& header) noexcept
        : bytes_(segment), seed_(header.seed()), expected_(header.first_sequence) {}

    /// The next record, or nothing: then end() tells why.
    std::optional<RecordView> next();
    /// Goes on behind damage with the intact record at `offset`, which next() returns then.
    void resume(std::size_t offset, const RecordView& record) noexcept {
        offset_ = offset;
        expected_ = record.sequence;
        next_index_ = record.batch_index;
    }
    /// Where the record that next() will look at starts.
    std::size_t offset() const noexcept { return offset_; }
    /// Valid once next() has returned nothing.
    const ScanEnd& end() const noexcept { return end_; }

private:
    std::optional<RecordView> finish(ScanEnd::Kind kind, std::string found);
    std::optional<RecordView> judge_damage(const Frame& frame);
    bool all_zero(std::size_t from, std::size_t to) const noexcept;
    bool something_missing(const Frame& frame) const noexcept;

    Bytes bytes_;
    std::uint32_t seed_;
    std::uint64_t expected_;
    std::size_t offset_ = header_bytes;
    std::uint16_t next_index_ = 0;
    ScanEnd end_;
};

}  // namespace usher::audit::journal
