#include <algorithm>

#include "audit/journal/file_journal.hpp"

// What readers do: find a segment, read a stretch of it.
namespace usher::audit::journal {

using base::Errc;
using base::Error;
using base::Result;

namespace {
constexpr std::size_t chunk_bytes = 128u << 10;
}

Result<FileJournal::Stretch> FileJournal::find(std::uint64_t sequence) const {
    const std::lock_guard lock(state_mutex_);
    const auto after =
        std::upper_bound(segments_.begin(), segments_.end(), sequence,
                         [](std::uint64_t wanted, const auto& segment) { return wanted < segment->first; });
    if (after == segments_.begin())
        return Error{Errc::not_found, "the journal starts with record " + std::to_string(segments_.front()->first)};
    const Segment& segment = **std::prev(after);
    if (sequence > segment.last)
        return Error{Errc::internal, "record " + std::to_string(sequence) + " is in no segment"};
    return Stretch{segment.path, segment.first, segment.last, segment.before(sequence).offset, segment.end};
}

/// Appends the records of `stretch` from sequence `from` on; false when a bound was reached.
Result<bool> FileJournal::read_stretch(const Stretch& stretch, std::uint64_t from, std::size_t max_records,
                                       std::size_t max_bytes, std::size_t& bytes,
                                       std::vector<JournalRecord>& out) const {
    auto file = disk_.open(stretch.path, false);
    if (!file) return std::move(file).error();
    const auto seed = SegmentHeader{gateway_, stretch.first, {}}.seed();
    std::vector<std::uint8_t> chunk;
    std::uint64_t at = stretch.offset;
    std::size_t wanted = chunk_bytes;
    while (at < stretch.end) {
        chunk.resize(static_cast<std::size_t>(std::min<std::uint64_t>(wanted, stretch.end - at)));
        auto read = (*file)->read_at(at, chunk);
        if (!read) return std::move(read).error();
        chunk.resize(*read);
        std::size_t used = 0;
        for (;;) {
            const Frame frame = decode_frame(Bytes(chunk).subspan(used), seed);
            const bool cut = frame.kind == Frame::Kind::partial || used == chunk.size();
            if (cut && at + chunk.size() < stretch.end && *read != 0) {
                wanted = std::max(chunk_bytes, frame.size);
                break;
            }
            if (used == chunk.size() && *read != 0) break;
            if (frame.kind != Frame::Kind::record)
                return Error{Errc::data_loss, stretch.path + ": offset " + std::to_string(at + used) +
                                                  ": expected a record, found " +
                                                  std::string(frame.found.empty() ? "none" : frame.found)};
            if (frame.record.sequence >= from) {
                if (out.size() >= max_records || (!out.empty() && bytes + frame.record.payload.size() > max_bytes))
                    return false;
                bytes += frame.record.payload.size();
                out.push_back(frame.record.to_record());
            }
            used += frame.size;
        }
        at += used;
    }
    return true;
}

Result<std::vector<JournalRecord>> FileJournal::read(std::uint64_t after, std::size_t max_records,
                                                     std::size_t max_bytes) const {
    std::vector<JournalRecord> out;
    std::size_t bytes = 0;
    const std::uint64_t durable = durable_sequence();
    while (max_records > out.size() && after < durable) {
        auto stretch = find(after + 1);
        if (!stretch) {
            if (!out.empty() && stretch.error().code == Errc::not_found) break;
            return std::move(stretch).error();
        }
        auto more = read_stretch(*stretch, after + 1, max_records, max_bytes, bytes, out);
        if (!more) {
            // Shipped and removed between finding and opening it.
            if (more.error().code == Errc::not_found && find(after + 1).ok())
                return Error{Errc::data_loss, stretch->path + ": the segment is gone"};
            if (more.error().code == Errc::not_found && !out.empty()) break;
            return std::move(more).error();
        }
        if (!*more) break;
        after = stretch->last;
    }
    return out;
}

}  // namespace usher::audit::journal
