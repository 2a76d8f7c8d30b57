#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

/// All that the journal asks of an operating system, so that tests can put a disk beneath it that fails and forgets.
///
/// Errors: resource_exhausted for a full disk, quota or file size limit; not_found for a missing file; already_exists
/// for one that should not be there; failed_precondition for a lock that is held; unavailable for all else. Messages
/// name the path.
namespace usher::audit::journal {

/// An open file. Not thread-safe, except that reads may run beside each other. Closed when destroyed.
class File {
public:
    virtual ~File() = default;
    /// Writes all of `bytes`, or fails having written some.
    virtual base::Result<void> write_at(std::uint64_t offset, std::span<const std::uint8_t> bytes) = 0;
    /// Fills `out` as far as the file goes; returns how many bytes that was.
    virtual base::Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) const = 0;
    /// What was written is on stable storage when it succeeds. When it fails, what was written since the last success
    /// is lost for good, whatever a second call answers.
    virtual base::Result<void> sync() = 0;
    virtual base::Result<std::uint64_t> size() const = 0;
    /// Writes zeros over all of a new file and lets the system take its time with them: space that was only allocated
    /// makes each later sync of what is first written there a change of the file system's own journal. A hint, whose
    /// failure harms nothing.
    virtual void write_ahead() {}
};

/// Held until destroyed or the process ends.
class DirectoryLock {
public:
    virtual ~DirectoryLock() = default;
};

/// The file system. Thread-safe.
class Disk {
public:
    virtual ~Disk() = default;
    /// Makes a directory with mode 0700, durably; one that is there is left as it is.
    virtual base::Result<void> make_directory(const std::string& path) = 0;
    /// Makes a new file of mode 0600 with `bytes` zeros whose space is allocated; nothing is left when it fails. Its
    /// name and content are durable after sync() and sync_directory().
    virtual base::Result<std::unique_ptr<File>> create(const std::string& path, std::uint64_t bytes) = 0;
    virtual base::Result<std::unique_ptr<File>> open(const std::string& path, bool writable) const = 0;
    /// Replaces `to` at once, if it is there. Durable after sync_directory().
    virtual base::Result<void> rename(const std::string& from, const std::string& to) = 0;
    /// Durable after sync_directory().
    virtual base::Result<void> unlink(const std::string& path) = 0;
    virtual base::Result<void> sync_directory(const std::string& path) = 0;
    /// The names in a directory, sorted, without . and ..
    virtual base::Result<std::vector<std::string>> list(const std::string& path) const = 0;
    /// Takes the lock `path` at once or fails with failed_precondition, naming the process that holds it where it is
    /// known.
    virtual base::Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) = 0;
};

/// The operating system's files. Lives as long as the program.
Disk& system_disk();

}  // namespace usher::audit::journal
