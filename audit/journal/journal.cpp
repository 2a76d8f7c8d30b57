#include "audit/journal/journal.hpp"

#include <pthread.h>

#include <algorithm>

#include "audit/journal/file_journal.hpp"

namespace usher::audit {

base::Result<std::unique_ptr<Journal>> Journal::open(JournalOptions options, const base::Clock& clock) {
    return journal::FileJournal::open(std::move(options), clock, journal::system_disk());
}

namespace journal {
namespace {

using base::Errc;
using base::Error;
using base::Result;

constexpr std::uint64_t segment_bytes_min = 64u << 10;
constexpr std::uint64_t segment_bytes_max = 1u << 30;
constexpr std::uint64_t segment_granularity = 4096;

Result<void> check(const JournalOptions& options) {
    if (options.directory.empty()) return {Errc::invalid_argument, "the journal needs a directory"};
    if (options.segment_bytes < segment_bytes_min || options.segment_bytes > segment_bytes_max)
        return {Errc::invalid_argument, "a journal segment has between 64 KiB and 1 GiB, not " +
                                            std::to_string(options.segment_bytes) + " bytes"};
    if (options.queue_records == 0 || options.queue_bytes == 0)
        return {Errc::invalid_argument, "the journal's queue must have room for a record"};
    return {};
}

}  // namespace

FileJournal::FileJournal(JournalOptions options, const base::Clock& clock, Disk& disk)
    : options_(std::move(options)),
      clock_(clock),
      disk_(disk),
      spare_(disk, options_.directory, options_.segment_bytes) {}

Result<std::unique_ptr<FileJournal>> FileJournal::make(JournalOptions options, const base::Clock& clock, Disk& disk) {
    if (auto checked = check(options); !checked) return std::move(checked).error();
    options.segment_bytes = options.segment_bytes / segment_granularity * segment_granularity;
    std::unique_ptr<FileJournal> journal(new FileJournal(std::move(options), clock, disk));
    if (auto started = journal->start(); !started) return std::move(started).error();
    return journal;
}

Result<std::unique_ptr<Journal>> FileJournal::open(JournalOptions options, const base::Clock& clock, Disk& disk) {
    auto journal = make(std::move(options), clock, disk);
    if (!journal) return std::move(journal).error();
    (*journal)->thread_ = std::thread([self = journal->get()] {
        pthread_setname_np(pthread_self(), "journal");
        self->run();
    });
    return std::unique_ptr<Journal>(std::move(*journal));
}

Result<std::unique_ptr<FileJournal>> FileJournal::open_stepped(JournalOptions options, const base::Clock& clock,
                                                               Disk& disk) {
    return make(std::move(options), clock, disk);
}

Result<void> FileJournal::start() {
    const std::string& directory = options_.directory;
    if (auto made = disk_.make_directory(directory); !made) return made;
    auto locked = disk_.lock(directory + "/" + lock_name);
    if (!locked) {
        if (locked.error().code != Errc::failed_precondition) return std::move(locked).error();
        return {Errc::failed_precondition, "the journal in " + directory + " is in use: " + locked.error().message};
    }
    lock_ = std::move(*locked);

    auto recovered = recover(disk_, directory);
    if (!recovered) return std::move(recovered).error();
    if (auto ready = require_spare(); !ready) return ready;

    payload_max_ = std::min<std::size_t>(payload_bytes_max, options_.segment_bytes - header_bytes - frame_bytes(0));
    gateway_ = recovered->gateway;
    if (recovered->segments.empty()) {
        if (auto created = create_first(); !created) return created;
    } else {
        segments_ = std::move(recovered->segments);
        active_ = {std::move(recovered->active), segments_.back(), recovered->active_bytes, 0};
        active_.seed = SegmentHeader{gateway_, active_.segment->first, {}}.seed();
        next_sequence_ = recovered->next_sequence;
        last_recorded_at_ = recovered->last_recorded_at;
    }
    if (!recovered->gateway_id_written) {
        if (auto written = write_gateway_id(); !written) return written;
    }
    if (auto ready = require_spare(); !ready) return ready;
    spare_ready_ = true;

    for (auto& [id, record] : recovered->open_accesses) {
        const auto after =
            std::upper_bound(segments_.begin(), segments_.end(), record.sequence,
                             [](std::uint64_t wanted, const auto& segment) { return wanted < segment->first; });
        const auto& segment = *std::prev(after);
        ++segment->open_accesses;
        open_accesses_.emplace(id, LatestEvent{record.sequence, segment});
        found_open_.push_back(std::move(record));
    }
    std::sort(found_open_.begin(), found_open_.end(),
              [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    open_count_ = open_accesses_.size();
    durable_ = next_sequence_ - 1;
    return {};
}

Result<void> FileJournal::require_spare() {
    auto ready = spare_.prepare();
    if (ready || ready.error().code != Errc::resource_exhausted) return ready;
    return {Errc::resource_exhausted,
            "the journal in " + options_.directory + " needs " + std::to_string(options_.segment_bytes) +
                " bytes for its reserved segment: " + ready.error().message + " (make room and start again)"};
}

Result<void> FileJournal::create_first() {
    gateway_ = base::new_uuid(clock_);
    const SegmentHeader header{gateway_, 1, clock_.utc()};
    auto activated = spare_.activate(header);
    if (!activated) return std::move(activated).error();
    auto segment = std::make_shared<Segment>();
    segment->path = activated->path;
    segment->end = header_bytes;
    segments_.push_back(segment);
    active_ = {std::move(activated->file), std::move(segment), activated->bytes, header.seed()};
    return {};
}

Result<void> FileJournal::write_gateway_id() {
    const std::string path = options_.directory + "/" + gateway_id_name;
    const std::string draft = options_.directory + "/" + gateway_id_draft_name;
    if (auto removed = disk_.unlink(draft); !removed && removed.error().code != Errc::not_found) return removed;
    auto file = disk_.create(draft, 0);
    if (!file) return std::move(file).error();
    const std::string text = gateway_.to_string() + "\n";
    auto done = (*file)->write_at(0, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    if (done) done = (*file)->sync();
    if (done) done = disk_.rename(draft, path);
    if (done) done = disk_.sync_directory(options_.directory);
    return done;
}

FileJournal::~FileJournal() {
    {
        std::unique_lock lock(durable_mutex_);
        closing_ = true;
        durable_grew_.notify_all();
    }
    if (thread_.joinable()) {
        {
            const std::lock_guard lock(queue_mutex_);
            stopping_ = true;
        }
        work_.notify_one();
        thread_.join();
    }
    std::unique_lock lock(durable_mutex_);
    waiters_left_.wait(lock, [&] { return waiters_ == 0; });
}

}  // namespace journal
}  // namespace usher::audit
