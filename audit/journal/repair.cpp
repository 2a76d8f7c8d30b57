#include "audit/journal/repair.hpp"

#include <algorithm>
#include <map>

#include "audit/audit.hpp"
#include "audit/journal/recovery.hpp"
#include "audit/journal/segment.hpp"

namespace usher::audit::journal {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using Kind = Finding::Kind;

constexpr const char* draft_name = "repaired.tmp";
constexpr std::uint64_t file_granularity = 4096;
constexpr std::uint64_t file_bytes_max = 1u << 30;
constexpr int copies_max = 1000;

std::string corruption_payload(std::string detail) {
    usher::v1::SystemRecord record;
    record.set_event(usher::v1::SystemRecord::Event::CORRUPTION);
    record.set_detail(std::move(detail));
    return encode(record).payload;
}

std::string sequences(std::uint64_t first, std::uint64_t last) {
    return first == last ? "record " + std::to_string(first)
                         : "records " + std::to_string(first) + " to " + std::to_string(last);
}

class Repair {
public:
    Repair(Disk& disk, const std::string& directory, const RepairOptions& options, const base::Clock& clock)
        : disk_(disk), directory_(directory), options_(options), clock_(clock) {}

    Result<std::vector<Repaired>> run() {
        auto seen = inspect(disk_, directory_, {});
        if (!seen) return std::move(seen).error();
        for (const auto& finding : seen->findings)
            if (finding.kind == Kind::newer)
                return Error{Errc::failed_precondition, directory_ + "/" + finding.file + ": offset " +
                                                            std::to_string(finding.offset) + ": " + finding.found +
                                                            "; only the release that wrote it can repair it"};
        if (seen->segments.empty())
            return Error{Errc::data_loss, directory_ + ": no segment is left; restore them, or use a new data_dir"};
        gateway_ = seen->gateway;
        if (gateway_.is_nil())
            return Error{Errc::data_loss, directory_ +
                                              ": neither gateway_id nor any segment's header says whose "
                                              "journal it is; write the gateway's UUID into gateway_id"};
        const auto id_wrong = std::any_of(seen->findings.begin(), seen->findings.end(),
                                          [](const Finding& f) { return f.file == gateway_id_name; });
        if (id_wrong)
            if (auto written = write_gateway_id(); !written) return std::move(written).error();
        for (std::size_t i = 0; i < seen->segments.size(); ++i) {
            const SegmentReport& segment = seen->segments[i];
            std::optional<std::uint64_t> next;
            if (i + 1 < seen->segments.size()) next = seen->segments[i + 1].first;
            const bool corrupt = std::any_of(segment.findings.begin(), segment.findings.end(),
                                             [](const Finding& f) { return f.kind == Kind::corrupt; });
            const bool short_of = !next && segment.last < options_.through;
            if (!corrupt && !short_of) continue;
            if (auto done = mend(segment.first, next); !done) return std::move(done).error();
        }
        return std::move(result_);
    }

private:
    /// What the new file is made of.
    struct Rebuilt {
        std::vector<std::uint8_t> bytes;
        Repaired report;
    };

    Result<void> mend(std::uint64_t first, std::optional<std::uint64_t> next) {
        const std::string path = directory_ + "/" + segment_name(first);
        auto file = disk_.open(path, false);
        if (!file) return std::move(file).error();
        auto bytes = read_segment_file(**file, path);
        if (!bytes) return std::move(bytes).error();
        auto rebuilt = rebuild(*bytes, first, next);
        if (!rebuilt) return std::move(rebuilt).error();
        if (options_.accept_loss) {
            if (auto kept = replace(rebuilt->report.kept_as, *bytes); !kept) return kept;
            if (auto written = replace(segment_name(first), rebuilt->bytes); !written) return written;
        }
        result_.push_back(std::move(rebuilt->report));
        return {};
    }

    Result<Rebuilt> rebuild(const std::vector<std::uint8_t>& bytes, std::uint64_t first,
                            std::optional<std::uint64_t> next) {
        std::map<std::uint64_t, JournalRecord> records;
        const auto seen = inspect_segment(bytes, {first, next, gateway_},
                                          [&](const RecordView& r) { records.emplace(r.sequence, r.to_record()); });
        Rebuilt out;
        out.report.file = segment_name(first);
        auto kept_as = free_name(out.report.file, bytes);
        if (!kept_as) return std::move(kept_as).error();
        out.report.kept_as = std::move(*kept_as);
        std::uint64_t last = next ? *next - 1 : std::max(seen.last, options_.through);
        for (const auto& finding : seen.findings)
            if (finding.kind == Kind::corrupt) last = std::max(last, finding.last_missing);

        const auto decoded = decode_header(bytes);
        base::UtcTime at = records.empty() ? clock_.utc() : records.begin()->second.recorded_at;
        const SegmentHeader header{gateway_, first, decoded ? decoded->created_at : at};
        out.bytes = encode_header(header);
        bool in_loss = false;
        for (std::uint64_t sequence = first; sequence <= last; ++sequence) {
            if (out.bytes.size() > file_bytes_max - frame_bytes(payload_bytes_max))
                return Error{Errc::data_loss, directory_ + ": " + sequences(sequence, last) +
                                                  " are missing, more than one file can stand for; restore the "
                                                  "segments, or use a new data_dir"};
            const auto record = records.find(sequence);
            RecordView view;
            view.sequence = sequence;
            std::string payload;
            if (record != records.end()) {
                at = std::max(at, record->second.recorded_at);
                view.type = record->second.type;
                view.access_id = record->second.access_id;
                payload = std::move(record->second.payload);
                ++out.report.saved;
            } else {
                view.type = RecordType::system;
                std::string detail;
                if (!in_loss) {
                    const auto behind = records.lower_bound(sequence);
                    detail =
                        loss(seen, sequence, behind == records.end() ? last : behind->first - 1, out.report.kept_as);
                    out.report.losses.push_back(detail);
                }
                payload = corruption_payload(std::move(detail));
                ++out.report.lost;
            }
            in_loss = record == records.end();
            view.recorded_at = at;
            view.payload = payload;
            encode_record(view, header.seed(), out.bytes);
        }
        const auto size = std::max<std::uint64_t>(bytes.size(), out.bytes.size());
        out.bytes.resize((size + file_granularity - 1) / file_granularity * file_granularity);
        return out;
    }

    std::string loss(const SegmentReport& seen, std::uint64_t from, std::uint64_t to, const std::string& kept) const {
        std::string text = sequences(from, to) + " lost: " + seen.file;
        for (const auto& finding : seen.findings) {
            if (finding.kind != Kind::corrupt || finding.first_missing > to || finding.last_missing < from) continue;
            text += ": offset " + std::to_string(finding.offset) + " to " + std::to_string(finding.end) + ": found " +
                    finding.found;
            break;
        }
        return text + "; kept as " + kept;
    }

    /// A name for the damaged bytes: one that is free, or holds just these from a repair that was cut short.
    Result<std::string> free_name(const std::string& file, const std::vector<std::uint8_t>& bytes) const {
        for (int n = 1; n <= copies_max; ++n) {
            const std::string name = file + ".damaged-" + std::to_string(n);
            auto taken = disk_.open(directory_ + "/" + name, false);
            if (!taken && taken.error().code == Errc::not_found) return name;
            if (!taken) return std::move(taken).error();
            const auto held = read_segment_file(**taken, name);
            if (held && *held == bytes) return name;
        }
        return Error{Errc::resource_exhausted, directory_ + ": there are " + std::to_string(copies_max) +
                                                   " damaged copies of " + file + " already; move them away"};
    }

    /// Puts a file in place at once and durably, whatever was there.
    Result<void> replace(const std::string& name, Bytes bytes) {
        const std::string draft = directory_ + "/" + draft_name;
        if (auto removed = disk_.unlink(draft); !removed && removed.error().code != Errc::not_found) return removed;
        auto file = disk_.create(draft, bytes.size());
        if (!file) return std::move(file).error();
        auto done = (*file)->write_at(0, bytes);
        if (done) done = (*file)->sync();
        if (done) done = disk_.rename(draft, directory_ + "/" + name);
        if (done) done = disk_.sync_directory(directory_);
        return done;
    }

    Result<void> write_gateway_id() {
        Repaired report;
        report.file = gateway_id_name;
        report.losses.push_back("no record lost: the segments say " + gateway_.to_string());
        result_.push_back(std::move(report));
        if (!options_.accept_loss) return {};
        const std::string text = gateway_.to_string() + "\n";
        return replace(gateway_id_name, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    }

    Disk& disk_;
    const std::string& directory_;
    const RepairOptions& options_;
    const base::Clock& clock_;
    base::Uuid gateway_;
    std::vector<Repaired> result_;
};

}  // namespace

Result<std::vector<Repaired>> repair(Disk& disk, const std::string& directory, const RepairOptions& options,
                                     const base::Clock& clock) {
    // Before the lock, which would make a file in a directory that holds no journal.
    if (auto seen = inspect(disk, directory, {}); !seen) return std::move(seen).error();
    auto lock = disk.lock(directory + "/" + lock_name);
    if (!lock) {
        if (lock.error().code != Errc::failed_precondition) return std::move(lock).error();
        return Error{Errc::failed_precondition, "the journal in " + directory + " is in use: " + lock.error().message +
                                                    "; stop the gateway first"};
    }
    return Repair(disk, directory, options, clock).run();
}

}  // namespace usher::audit::journal
