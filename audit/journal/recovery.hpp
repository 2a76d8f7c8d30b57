#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "audit/journal/file.hpp"
#include "audit/journal/journal.hpp"
#include "audit/journal/segment.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace usher::audit::journal {

/// What is in a journal's directory.
struct Recovered {
    base::Uuid gateway;  ///< nil when the directory is new
    bool gateway_id_written = false;
    std::deque<std::shared_ptr<Segment>> segments;  ///< oldest first; empty only when the directory is new
    std::unique_ptr<File> active;                   ///< the last segment, writable
    std::uint64_t active_bytes = 0;                 ///< its size
    std::uint64_t next_sequence = 1;
    base::UtcTime last_recorded_at;
    std::unordered_map<base::Uuid, JournalRecord> open_accesses;  ///< the latest record of each
};

/// Reads every segment, checks that their records are whole and dense, and then repairs the last one: a batch that a
/// crash cut short is overwritten with zeros, and the last whole batch is written and synced again, because a sync that
/// failed before the crash may have left it in memory only. All else is data_loss, which names file, offset, what was
/// expected and what was found; then nothing has been changed. The caller holds the directory's lock.
base::Result<Recovered> recover(Disk& disk, const std::string& directory);

/// All bytes of a file that is to be a segment; data_loss when it is too large for one. `path` is for messages.
base::Result<std::vector<std::uint8_t>> read_segment_file(const File& file, const std::string& path);

/// What directory/gateway_id says; nullopt when there is no such file. data_loss when it says something else.
base::Result<std::optional<base::Uuid>> read_gateway_id(const Disk& disk, const std::string& directory);

/// What an operator can do about damaged files, as the end of an error's message.
std::string way_out(const std::string& directory);

}  // namespace usher::audit::journal
