#include "audit/journal/recovery.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "audit/journal/format.hpp"
#include "base/log.hpp"

namespace usher::audit::journal {
namespace {

using base::Errc;
using base::Error;
using base::Result;

/// Larger files are no segments of ours (JournalOptions::segment_bytes is bounded by open()).
constexpr std::uint64_t segment_file_bytes_max = 1u << 30;

class Recovery {
public:
    Recovery(Disk& disk, const std::string& directory) : disk_(disk), directory_(directory) {}

    Result<Recovered> run() {
        if (auto listed = list(); !listed) return std::move(listed).error();
        auto id = read_gateway_id(disk_, directory_);
        if (!id) return std::move(id).error();
        if (firsts_.empty()) {
            if (*id)
                return Error{Errc::data_loss,
                             directory_ + ": the journal of gateway " + (*id)->to_string() +
                                 " has no segment left; expected at least one (restore them, or use a new data_dir)"};
            return std::move(result_);
        }
        if (*id) {
            result_.gateway = **id;
            result_.gateway_id_written = true;
        }
        for (std::size_t i = 0; i < firsts_.size(); ++i) {
            std::optional<std::uint64_t> next;
            if (i + 1 < firsts_.size()) next = firsts_[i + 1];
            if (auto scanned = scan(firsts_[i], next); !scanned) return std::move(scanned).error();
        }
        // gateway_id is written when the first segment is there and before its first record is.
        if (!result_.gateway_id_written && (firsts_.size() != 1 || result_.next_sequence != 1))
            return Error{Errc::data_loss, directory_ + "/" + gateway_id_name +
                                              ": missing; the segments are of gateway " + result_.gateway.to_string() +
                                              " (write that and a newline into it)"};
        if (auto repaired = repair(); !repaired) return std::move(repaired).error();
        return std::move(result_);
    }

private:
    Result<void> list() {
        auto names = disk_.list(directory_);
        if (!names) return std::move(names).error();
        for (const auto& name : *names)
            if (auto first = parse_segment_name(name)) firsts_.push_back(*first);
        std::sort(firsts_.begin(), firsts_.end());
        return {};
    }

    Error damage(const std::string& path, const ScanEnd& end) const {
        if (end.kind == ScanEnd::Kind::newer)
            return {Errc::failed_precondition, path + ": offset " + std::to_string(end.offset) + ": " + end.found +
                                                   "; this Usher reads format version " +
                                                   std::to_string(format_version) +
                                                   " only: start the release that wrote it"};
        return {Errc::data_loss, path + ": offset " + std::to_string(end.offset) + ": expected record " +
                                     std::to_string(end.expected) + ", found " +
                                     (end.found.empty() ? "the end of the records" : end.found)};
    }

    /// `next` is the first sequence of the segment behind this one, where this one's records end.
    Result<void> scan(std::uint64_t first, std::optional<std::uint64_t> next) {
        auto segment = std::make_shared<Segment>();
        segment->path = directory_ + "/" + segment_name(first);
        segment->first = first;
        auto file = disk_.open(segment->path, false);
        if (!file) return std::move(file).error();
        auto bytes = read_segment_file(**file, segment->path);
        if (!bytes) return std::move(bytes).error();
        auto header = decode_header(*bytes);
        if (!header) return Error{header.error().code, segment->path + ": " + header.error().message};
        if (header->first_sequence != first)
            return Error{Errc::data_loss, segment->path + ": offset 32: expected first sequence " +
                                              std::to_string(first) + ", found " +
                                              std::to_string(header->first_sequence)};
        if (result_.gateway.is_nil()) result_.gateway = header->gateway;
        if (header->gateway != result_.gateway)
            return Error{Errc::data_loss, segment->path + ": offset 16: expected gateway " +
                                              result_.gateway.to_string() + ", found " + header->gateway.to_string()};
        if (!result_.segments.empty() && result_.next_sequence != first)
            return Error{Errc::internal, segment->path + ": the segment before it was not read up to it"};

        SegmentScanner scanner(*bytes, *header);
        std::size_t batch_start = header_bytes;
        result_.next_sequence = first;
        while (!next || result_.next_sequence < *next) {
            const std::size_t at = scanner.offset();
            const auto record = scanner.next();
            if (!record) break;
            if (record->batch_index == 0) batch_start = at;
            segment->mark(record->sequence, at);
            remember(*record);
        }
        segment->last = result_.next_sequence - 1;
        segment->end = scanner.offset();
        result_.segments.push_back(segment);

        if (next) {
            // What follows in this file is a batch whose sync failed; it was written again into the next one.
            if (result_.next_sequence < *next) return damage(segment->path, scanner.end());
            return {};
        }
        if (scanner.end().kind == ScanEnd::Kind::corrupt || scanner.end().kind == ScanEnd::Kind::newer)
            return damage(segment->path, scanner.end());
        torn_ = scanner.end().kind == ScanEnd::Kind::torn;
        last_bytes_ = std::move(*bytes);
        last_batch_start_ = batch_start;
        return {};
    }

    void remember(const RecordView& record) {
        result_.next_sequence = record.sequence + 1;
        result_.last_recorded_at = std::max(result_.last_recorded_at, record.recorded_at);
        if (record.type == RecordType::access_opened || record.type == RecordType::access_progress)
            result_.open_accesses[record.access_id] = record.to_record();
        else if (record.type == RecordType::access_closed)
            result_.open_accesses.erase(record.access_id);
    }

    Result<void> repair() {
        const Segment& last = *result_.segments.back();
        auto file = disk_.open(last.path, true);
        if (!file) return std::move(file).error();
        const auto end = static_cast<std::size_t>(last.end);
        if (torn_) {
            base::log_warning("The journal's last write was cut short by a crash; its rest is removed.",
                              {{"file", last.path}, {"offset", last.end}, {"next_sequence", result_.next_sequence}});
            std::fill(last_bytes_.begin() + static_cast<std::ptrdiff_t>(end), last_bytes_.end(), std::uint8_t{0});
        }
        // Written again up to the end of the file also when nothing is torn: after a sync that failed the kernel shows
        // what was written and keeps it clean, while the disk still has what was there before. An earlier start may
        // have failed like that with its zeros, and what they were to cover would come back behind new records.
        if (auto written = (*file)->write_at(last_batch_start_, Bytes(last_bytes_).subspan(last_batch_start_));
            !written)
            return written;
        if (auto synced = (*file)->sync(); !synced) return synced;
        // The last rename may not have been synced either.
        if (auto synced = disk_.sync_directory(directory_); !synced) return synced;
        result_.active_bytes = last_bytes_.size();
        result_.active = std::move(*file);
        return {};
    }

    Disk& disk_;
    const std::string& directory_;
    std::vector<std::uint64_t> firsts_;
    Recovered result_;
    std::vector<std::uint8_t> last_bytes_;
    std::size_t last_batch_start_ = header_bytes;
    bool torn_ = false;
};

}  // namespace

Result<std::vector<std::uint8_t>> read_segment_file(const File& file, const std::string& path) {
    auto size = file.size();
    if (!size) return std::move(size).error();
    if (*size > segment_file_bytes_max) return Error{Errc::data_loss, path + ": too large for a journal segment"};
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(*size));
    auto read = file.read_at(0, bytes);
    if (!read) return std::move(read).error();
    if (*read != bytes.size()) return Error{Errc::unavailable, path + ": the file became shorter while it was read"};
    return bytes;
}

Result<std::optional<base::Uuid>> read_gateway_id(const Disk& disk, const std::string& directory) {
    const std::string path = directory + "/" + gateway_id_name;
    auto file = disk.open(path, false);
    if (!file) {
        if (file.error().code == Errc::not_found) return std::optional<base::Uuid>{};
        return std::move(file).error();
    }
    std::array<std::uint8_t, 64> text{};
    auto read = (*file)->read_at(0, text);
    if (!read) return std::move(read).error();
    std::string_view id(reinterpret_cast<const char*>(text.data()), *read);
    if (id.ends_with('\n')) id.remove_suffix(1);
    auto uuid = base::Uuid::parse(id);
    if (!uuid || uuid->is_nil())
        return Error{Errc::data_loss, path + ": expected a gateway's UUID and a newline, found something else"};
    return uuid;
}

std::string way_out(const std::string& directory) {
    return " ('usherctl journal inspect " + directory + "' shows the damage, 'usherctl journal repair " + directory +
           "' what can be saved)";
}

Result<Recovered> recover(Disk& disk, const std::string& directory) {
    auto recovered = Recovery(disk, directory).run();
    if (!recovered && recovered.error().code == Errc::data_loss)
        return Error{Errc::data_loss, recovered.error().message + way_out(directory)};
    return recovered;
}

}  // namespace usher::audit::journal
