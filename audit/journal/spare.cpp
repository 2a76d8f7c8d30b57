#include "audit/journal/spare.hpp"

#include <algorithm>
#include <vector>

#include "audit/journal/segment.hpp"

namespace usher::audit::journal {
namespace {

using base::Errc;
using base::Result;

/// Removes what may not be there.
Result<void> remove(Disk& disk, const std::string& path) {
    auto removed = disk.unlink(path);
    if (!removed && removed.error().code == Errc::not_found) return {};
    return removed;
}

Result<bool> is_blank(const File& file, std::uint64_t bytes) {
    auto size = file.size();
    if (!size) return std::move(size).error();
    if (*size != bytes) return false;
    std::vector<std::uint8_t> chunk(256u << 10);
    for (std::uint64_t at = 0; at < bytes; at += chunk.size()) {
        auto read = file.read_at(at, chunk);
        if (!read) return std::move(read).error();
        if (std::any_of(chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(*read),
                        [](std::uint8_t b) { return b != 0; }))
            return false;
    }
    return true;
}

}  // namespace

Result<bool> Spare::take_over() {
    const std::string path = directory_ + "/" + spare_name;
    auto file = disk_.open(path, true);
    if (!file) {
        if (file.error().code == Errc::not_found) return false;
        return std::move(file).error();
    }
    const auto blank = is_blank(**file, bytes_);
    if (!blank || !*blank) return false;  // one that cannot be read is replaced like one that was used
    file_ = std::move(*file);
    return true;
}

Result<void> Spare::prepare() {
    if (ready()) return {};
    // The name reserved.usj is given only to a file that is whole on disk, so one that is blank can be trusted.
    auto taken = take_over();
    if (!taken) return std::move(taken).error();
    if (*taken) return {};
    const std::string path = directory_ + "/" + spare_name;
    const std::string draft = directory_ + "/" + spare_draft_name;
    for (const auto& old : {path, draft})
        if (auto removed = remove(disk_, old); !removed) return removed;
    auto file = disk_.create(draft, bytes_);
    if (!file) return std::move(file).error();
    auto made = (*file)->sync();
    if (made) made = disk_.rename(draft, path);
    if (made) made = disk_.sync_directory(directory_);
    if (!made) return made;
    (*file)->write_ahead();
    file_ = std::move(*file);
    return {};
}

Result<Spare::Activated> Spare::activate(const SegmentHeader& header) {
    if (!ready()) return {Errc::resource_exhausted, "there is no reserved segment in " + directory_};
    Activated result{std::move(file_), directory_ + "/" + segment_name(header.first_sequence), bytes_};
    auto done = result.file->write_at(0, encode_header(header));
    if (done) done = result.file->sync();
    if (done) done = disk_.rename(directory_ + "/" + spare_name, result.path);
    if (done) done = disk_.sync_directory(directory_);
    if (!done) return std::move(done).error();
    return result;
}

}  // namespace usher::audit::journal
