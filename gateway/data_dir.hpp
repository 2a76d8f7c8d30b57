#pragma once
#include <memory>
#include <string>

#include "base/result.hpp"

namespace usher::gateway {

/// The daemon's own directory, held by one process at a time (flock on data_dir/lock, taken without waiting).
class DataDir {
public:
    /// Makes the directory (mode 0700) where it is missing. Refuses one that belongs to another user, that others may
    /// enter or write, that is a symbolic link, or that another daemon holds (its process id is named).
    static base::Result<std::unique_ptr<DataDir>> open(const std::string& path);
    ~DataDir();
    DataDir(const DataDir&) = delete;
    DataDir& operator=(const DataDir&) = delete;

    const std::string& path() const noexcept { return path_; }  ///< absolute
    std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    DataDir(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
    std::string path_;
    int lock_;
};

/// Writes `content` to `path` so that a reader sees the old file or the whole new one: temporary file of `mode`, fsync,
/// rename, fsync of the directory.
base::Result<void> write_file_atomically(const std::string& path, const std::string& content, unsigned mode);

}  // namespace usher::gateway
