#include "audit/journal/inspect.hpp"

#include <algorithm>
#include <unordered_set>

#include "audit/journal/recovery.hpp"
#include "audit/journal/segment.hpp"

namespace usher::audit::journal {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using Kind = Finding::Kind;

/// How often the end of the last segment is read again while a gateway writes there. A batch is written with one call,
/// so that a reader that sees a part of it sees all of it soon.
constexpr int readings_max = 5;

class Looker {
public:
    Looker(const Disk& disk, const std::string& directory, const Visit& visit)
        : disk_(disk), directory_(directory), visit_(visit) {}

    Result<Inspection> run() {
        auto firsts = list();
        if (!firsts) return std::move(firsts).error();
        if (auto read = read_gateway(*firsts); !read) return std::move(read).error();
        for (std::size_t i = 0; i < firsts->size(); ++i) {
            if (i + 1 == firsts->size()) {
                if (auto read = read_last(*firsts); !read) return std::move(read).error();
                break;
            }
            auto report = read_segment((*firsts)[i], (*firsts)[i + 1]);
            if (!report) {
                if (report.error().code == Errc::not_found && removed((*firsts)[i])) continue;
                return std::move(report).error();
            }
            keep(std::move(*report));
        }
        if (auto read = read_spare(); !read) return std::move(read).error();
        result_.open_accesses = open_.size();
        return std::move(result_);
    }

private:
    Result<std::vector<std::uint64_t>> list() const {
        auto names = disk_.list(directory_);
        if (!names) return std::move(names).error();
        std::vector<std::uint64_t> firsts;
        for (const auto& name : *names)
            if (auto first = parse_segment_name(name)) firsts.push_back(*first);
        std::sort(firsts.begin(), firsts.end());
        const bool has_id = std::find(names->begin(), names->end(), gateway_id_name) != names->end();
        if (firsts.empty() && !has_id)
            return Error{Errc::not_found, directory_ +
                                              ": expected a journal (files like 00000000000000000001.usj), found none; "
                                              "a gateway's is data_dir/journal"};
        return firsts;
    }

    void add(Kind kind, std::string file, std::uint64_t offset, std::uint64_t end, std::string found) {
        Finding finding;
        finding.kind = kind;
        finding.file = std::move(file);
        finding.offset = offset;
        finding.end = end;
        finding.found = std::move(found);
        result_.findings.push_back(std::move(finding));
    }

    /// Two places say whose journal it is; the headers have a checksum and win.
    Result<void> read_gateway(const std::vector<std::uint64_t>& firsts) {
        for (const auto first : firsts) {
            auto file = disk_.open(directory_ + "/" + segment_name(first), false);
            if (!file) continue;  // read_segment() says what there is to say
            std::array<std::uint8_t, header_bytes> bytes{};
            const auto read = (*file)->read_at(0, bytes);
            if (!read || *read != bytes.size()) continue;
            if (const auto header = decode_header(bytes)) {
                result_.gateway = header->gateway;
                break;
            }
        }
        const bool in_header = !result_.gateway.is_nil();
        auto id = read_gateway_id(disk_, directory_);
        if (!id && id.error().code != Errc::data_loss) return std::move(id).error();
        std::string text;
        if (id && *id) text = (*id)->to_string() + "\n";
        if (id && *id && !in_header) result_.gateway = **id;
        if (id && !*id) {
            // It is written when the first segment is there and before its first record is.
            if (firsts.size() > 1 || (!firsts.empty() && firsts.front() > 1))
                add(Kind::corrupt, gateway_id_name, 0, 0,
                    "no such file" + (in_header ? "; the segments are of gateway " + result_.gateway.to_string() : ""));
            else
                id_missing_ = true;
            return {};
        }
        if (id && *id == result_.gateway && holds(gateway_id_name, text)) return {};
        const std::string whose = in_header ? "; the segments are of gateway " + result_.gateway.to_string() : "";
        add(Kind::corrupt, gateway_id_name, 0, 37,
            (id ? "gateway " + (*id)->to_string() : std::string("no gateway's UUID and newline")) + whose);
        return {};
    }

    bool holds(const char* name, std::string_view expected) const {
        auto file = disk_.open(directory_ + "/" + name, false);
        if (!file) return false;
        std::array<std::uint8_t, 64> bytes{};
        const auto read = (*file)->read_at(0, bytes);
        return read && std::string_view(reinterpret_cast<const char*>(bytes.data()), *read) == expected;
    }

    Result<SegmentReport> read_segment(std::uint64_t first, std::optional<std::uint64_t> next) {
        const std::string path = directory_ + "/" + segment_name(first);
        auto file = disk_.open(path, false);
        if (!file) return std::move(file).error();
        auto bytes = read_segment_file(**file, path);
        if (!bytes) return std::move(bytes).error();
        return inspect_segment(*bytes, {first, next, result_.gateway},
                               [this](const RecordView& record) { see(record); });
    }

    /// Records of a segment that is read twice are seen once.
    void see(const RecordView& record) {
        if (record.sequence <= result_.last) return;
        if (result_.records == 0) {
            result_.first = record.sequence;
            result_.first_at = record.recorded_at;
        }
        result_.last = record.sequence;
        result_.last_at = record.recorded_at;
        ++result_.records;
        ++result_.by_type[static_cast<std::size_t>(record.type)];
        if (record.type == RecordType::access_opened || record.type == RecordType::access_progress)
            open_.insert(record.access_id);
        if (record.type == RecordType::access_closed) open_.erase(record.access_id);
        if (visit_) visit_(record);
    }

    bool removed(std::uint64_t first) const {
        const auto now = list();
        return now && !now->empty() && now->front() > first;
    }

    /// A gateway may be writing to the last segment, and begin another one.
    Result<void> read_last(std::vector<std::uint64_t> firsts) {
        std::optional<std::uint64_t> next;
        const std::uint64_t first = firsts.back();
        auto report = read_segment(first, next);
        for (int readings = 1; report && !report->findings.empty() && readings < readings_max; ++readings) {
            const auto now = list();
            if (!now) return now.error();
            const auto behind = std::upper_bound(now->begin(), now->end(), first);
            if (behind != now->end()) next = *behind;
            const auto before = report->findings.front();
            report = read_segment(first, next);
            const bool same = report && !next && !report->findings.empty() &&
                              report->findings.front().offset == before.offset &&
                              report->findings.front().end == before.end;
            if (same || next) break;
        }
        if (!report) {
            if (report.error().code == Errc::not_found && removed(first)) return {};
            return std::move(report).error();
        }
        keep(std::move(*report));
        return {};
    }

    void keep(SegmentReport report) {
        if (id_missing_ && report.records > 0)
            add(Kind::corrupt, gateway_id_name, 0, 0,
                "no such file; the segments are of gateway " + result_.gateway.to_string());
        result_.findings.insert(result_.findings.end(), report.findings.begin(), report.findings.end());
        result_.segments.push_back(std::move(report));
    }

    /// The reserve is zeros; one that is not is made anew by the next start.
    Result<void> read_spare() {
        const std::string path = directory_ + "/" + spare_name;
        auto file = disk_.open(path, false);
        if (!file) {
            if (file.error().code == Errc::not_found) return {};
            return std::move(file).error();
        }
        auto bytes = read_segment_file(**file, path);
        if (!bytes) return std::move(bytes).error();
        const auto used = [](std::uint8_t b) { return b != 0; };
        const auto from = std::find_if(bytes->begin(), bytes->end(), used);
        if (from == bytes->end()) return {};
        const auto to = std::find_if(bytes->rbegin(), bytes->rend(), used).base();
        add(Kind::remnant, spare_name, static_cast<std::uint64_t>(from - bytes->begin()),
            static_cast<std::uint64_t>(to - bytes->begin()), "bytes in the reserve, which is zeros until it is used");
        return {};
    }

    const Disk& disk_;
    const std::string& directory_;
    const Visit& visit_;
    Inspection result_;
    std::unordered_set<base::Uuid> open_;
    bool id_missing_ = false;
};

}  // namespace

bool Inspection::refused() const noexcept {
    if (segments.empty()) return true;
    return std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
        return finding.kind == Kind::corrupt || finding.kind == Kind::newer;
    });
}

Result<Inspection> inspect(const Disk& disk, const std::string& directory, const Visit& visit) {
    // All that was listed may have been shipped and removed before it was read; then nothing was visited either.
    auto seen = Looker(disk, directory, visit).run();
    for (int again = 1; again < readings_max && seen && seen->segments.empty(); ++again)
        seen = Looker(disk, directory, visit).run();
    return seen;
}

}  // namespace usher::audit::journal
