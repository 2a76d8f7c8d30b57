#pragma once
#include <memory>
#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace usher::gateway {

/// The daemon's own directory, held by one process at a time (flock on data_dir/lock, taken without waiting).
class DataDir {
public:
    /// Makes the directory (mode 0700) where it is missing. Refuses one that belongs to another user, that others may
    /// enter or write, that is a symbolic link, or that another daemon holds (its process id is named).
    static base::Result<std::unique_ptr<DataDir>> open(const std::string& path);
    /// The same of a directory whose lock another process of this gateway hands over: `lock` is its open, locked file.
    static base::Result<std::unique_ptr<DataDir>> adopt(const std::string& path, base::UniqueFd lock);
    /// Makes the directory where it is missing, and checks it as open() does, without taking it. Returns its absolute
    /// path.
    static base::Result<std::string> examine(const std::string& path);
    DataDir(const DataDir&) = delete;
    DataDir& operator=(const DataDir&) = delete;

    const std::string& path() const noexcept { return path_; }  ///< absolute
    int lock() const noexcept { return lock_.get(); }
    /// Says in the lock's file that this process holds it, as open() and adopt() do.
    base::Result<void> claim();
    std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    DataDir(std::string path, base::UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
    std::string path_;
    base::UniqueFd lock_;
};

/// Writes `content` to `path` so that a reader sees the old file or the whole new one: temporary file of `mode`, fsync,
/// rename, fsync of the directory.
base::Result<void> write_file_atomically(const std::string& path, const std::string& content, unsigned mode);

}  // namespace usher::gateway
