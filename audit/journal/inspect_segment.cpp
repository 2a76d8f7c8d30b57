#include <algorithm>

#include "audit/journal/inspect.hpp"
#include "audit/journal/segment.hpp"

namespace usher::audit::journal {
namespace {

using base::Errc;
using Kind = Finding::Kind;

/// Behind the last byte that is not zero, from `from` on; `from` when there is none.
std::size_t end_of_content(Bytes bytes, std::size_t from) noexcept {
    std::size_t end = bytes.size();
    while (end > from && bytes[end - 1] == 0) --end;
    return std::max(end, from);
}

struct Found {
    std::size_t offset;
    RecordView record;
};

/// The next intact record at or behind `from` that belongs at or behind sequence `expected` and before `next`.
std::optional<Found> find_intact(Bytes bytes, std::uint32_t seed, std::size_t from, std::uint64_t expected,
                                 std::optional<std::uint64_t> next) {
    std::size_t at = from;
    while (at + frame_header_bytes < bytes.size()) {
        const Frame frame = decode_frame(bytes.subspan(at), seed);
        const bool record = frame.kind == Frame::Kind::record;
        if (record && frame.record.sequence >= expected && (!next || frame.record.sequence < *next))
            return Found{at, frame.record};
        // The inside of a frame whose header is intact is not searched: a payload may hold what looks like a record.
        at += frame.size > frame_header_bytes ? frame.size : 8;
    }
    return std::nullopt;
}

class Inspector {
public:
    Inspector(Bytes bytes, const SegmentPlace& place, const Visit& visit)
        : bytes_(bytes), place_(place), visit_(visit), expected_(place.first) {
        report_.file = segment_name(place.first);
        report_.bytes = bytes.size();
        report_.first = place.first;
        report_.last = place.first - 1;
        report_.end = std::min(bytes.size(), header_bytes);
    }

    SegmentReport run() {
        SegmentHeader header{place_.gateway, place_.first, {}};
        if (read_header(header)) read_records(header);
        return std::move(report_);
    }

private:
    Finding& add(Kind kind, std::uint64_t offset, std::uint64_t end, std::string found) {
        Finding finding;
        finding.kind = kind;
        finding.file = report_.file;
        finding.offset = offset;
        finding.end = end;
        finding.found = std::move(found);
        return report_.findings.emplace_back(std::move(finding));
    }

    /// False when nothing behind the header can be read.
    bool read_header(SegmentHeader& header) {
        const auto decoded = decode_header(bytes_);
        if (!decoded) {
            const bool newer = decoded.error().code == Errc::failed_precondition;
            auto& finding = add(newer ? Kind::newer : Kind::corrupt, 0, std::min(bytes_.size(), header_bytes),
                                decoded.error().message);
            if (!newer && !header.gateway.is_nil() && bytes_.size() > header_bytes) return true;
            if (!newer) {
                finding.end = bytes_.size();
                finding.first_missing = place_.first;
                finding.last_missing = place_.next ? *place_.next - 1 : place_.first;
            }
            return false;
        }
        if (decoded->first_sequence != place_.first) {
            auto& finding = add(Kind::corrupt, 32, 40,
                                "a header that says its first record is " + std::to_string(decoded->first_sequence));
            finding.first_missing = place_.first;
            finding.last_missing = place_.next ? *place_.next - 1 : place_.first;
            return false;
        }
        if (!header.gateway.is_nil() && decoded->gateway != header.gateway) {
            auto& finding = add(Kind::corrupt, 16, 32, "a header of another gateway, " + decoded->gateway.to_string());
            finding.first_missing = place_.first;
            finding.last_missing = place_.next ? *place_.next - 1 : place_.first;
            return false;
        }
        header = *decoded;
        return true;
    }

    void read_records(const SegmentHeader& header) {
        SegmentScanner scanner(bytes_, header);
        while (!place_.next || expected_ < *place_.next) {
            if (const auto record = scanner.next()) {
                take(*record, scanner.offset());
                continue;
            }
            const ScanEnd& end = scanner.end();
            if (end.kind == ScanEnd::Kind::newer) {
                add(Kind::newer, end.offset, end_of_content(bytes_, end.offset), end.found);
                return;
            }
            if (!place_.next && end.kind == ScanEnd::Kind::clean) return;
            if (!place_.next && end.kind == ScanEnd::Kind::torn) {
                add(Kind::torn, end.offset, end_of_content(bytes_, end.offset), end.found);
                return;
            }
            const auto behind = find_intact(bytes_, header.seed(), end.offset, expected_, place_.next);
            std::size_t to = behind ? behind->offset : end_of_content(bytes_, end.offset);
            if (!behind && place_.next) to = bytes_.size();
            auto& finding =
                add(Kind::corrupt, end.offset, to, end.found.empty() ? "the end of the records" : end.found);
            if (!behind || behind->record.sequence > expected_) {
                finding.first_missing = expected_;
                finding.last_missing = behind        ? behind->record.sequence - 1
                                       : place_.next ? *place_.next - 1
                                                     : expected_;
            }
            if (!behind) return;
            scanner.resume(behind->offset, behind->record);
        }
        const std::size_t from = scanner.offset();
        if (const std::size_t to = end_of_content(bytes_, from); to > from)
            add(Kind::remnant, from, to, "bytes behind the segment's last record");
    }

    void take(const RecordView& record, std::size_t end) {
        if (report_.records == 0) report_.first_at = record.recorded_at;
        report_.last_at = record.recorded_at;
        report_.last = record.sequence;
        report_.end = end;
        ++report_.records;
        expected_ = record.sequence + 1;
        if (visit_) visit_(record);
    }

    Bytes bytes_;
    const SegmentPlace& place_;
    const Visit& visit_;
    std::uint64_t expected_;
    SegmentReport report_;
};

}  // namespace

SegmentReport inspect_segment(Bytes bytes, const SegmentPlace& place, const Visit& visit) {
    return Inspector(bytes, place, visit).run();
}

}  // namespace usher::audit::journal
