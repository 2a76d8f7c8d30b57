#include "audit/journal/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "base/text.hpp"

namespace usher::audit::journal {
namespace {

using base::Errc;
using base::Error;
using base::Result;

Error error(std::string_view what, const std::string& path, int number) {
    Errc code = Errc::unavailable;
    if (number == ENOSPC || number == EDQUOT || number == EFBIG) code = Errc::resource_exhausted;
    if (number == ENOENT) code = Errc::not_found;
    if (number == EEXIST) code = Errc::already_exists;
    return {code, std::string(what) + " " + path + ": " + std::generic_category().message(number)};
}

class Descriptor {
public:
    explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    // Nothing depends on what close() answers: whatever must last has been synced before.
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

template <class Call>
auto again(Call call) noexcept {
    for (;;) {
        const auto result = call();
        if (result >= 0 || errno != EINTR) return result;
    }
}

Result<void> write_all(int fd, const std::string& path, std::uint64_t offset, std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
        const auto n = again([&] { return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
        if (n < 0) return error("cannot write to", path, errno);
        if (n == 0) return error("cannot write to", path, EIO);
        offset += static_cast<std::uint64_t>(n);
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

Result<void> write_zeros(int fd, const std::string& path, std::uint64_t bytes) {
    static constexpr std::array<std::uint8_t, 65536> zeros{};
    for (std::uint64_t at = 0; at < bytes; at += zeros.size()) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(zeros.size(), bytes - at));
        if (auto written = write_all(fd, path, at, std::span(zeros).first(n)); !written) return written;
    }
    return {};
}

class SystemFile final : public File {
public:
    SystemFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

    Result<void> write_at(std::uint64_t offset, std::span<const std::uint8_t> bytes) override {
        return write_all(fd_.get(), path_, offset, bytes);
    }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) const override {
        std::size_t done = 0;
        while (done < out.size()) {
            const auto n = again([&] {
                return ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
            });
            if (n < 0) return error("cannot read", path_, errno);
            if (n == 0) break;
            done += static_cast<std::size_t>(n);
        }
        return done;
    }
    Result<void> sync() override {
        // EINTR is a failure like any other here: whether the data got out is not known.
        if (::fdatasync(fd_.get()) != 0) return error("cannot fdatasync", path_, errno);
        return {};
    }
    Result<std::uint64_t> size() const override {
        struct stat st {};
        if (::fstat(fd_.get(), &st) != 0) return error("cannot stat", path_, errno);
        return static_cast<std::uint64_t>(st.st_size);
    }

    void write_ahead() override {
        const auto bytes = size();
        if (!bytes || !write_zeros(fd_.get(), path_, *bytes)) return;
        (void)::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);  // starts it, and does not wait
    }

private:
    Descriptor fd_;
    std::string path_;
};

class SystemLock final : public DirectoryLock {
public:
    explicit SystemLock(Descriptor fd) : fd_(std::move(fd)) {}

private:
    Descriptor fd_;
};

Result<void> allocate(int fd, const std::string& path, std::uint64_t bytes) {
    if (bytes == 0) return {};
    if (again([&] { return ::fallocate(fd, 0, 0, static_cast<off_t>(bytes)); }) == 0) return {};
    if (errno != EOPNOTSUPP && errno != ENOSYS) return error("cannot allocate space for", path, errno);
    return write_zeros(fd, path, bytes);
}

Result<void> sync_directory_at(const std::string& path) {
    const Descriptor fd(again([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (fd.get() < 0) return error("cannot open directory", path, errno);
    if (::fsync(fd.get()) != 0) return error("cannot fsync directory", path, errno);
    return {};
}

class SystemDisk final : public Disk {
public:
    Result<void> make_directory(const std::string& path) override {
        if (::mkdir(path.c_str(), 0700) == 0) {
            const auto slash = path.find_last_of('/', path.find_last_not_of('/'));
            return sync_directory_at(slash == std::string::npos ? "." : path.substr(0, slash + 1));
        }
        const int number = errno;
        struct stat st {};
        if (number == EEXIST && ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return {};
        return error("cannot make directory", path, number == EEXIST ? ENOTDIR : number);
    }
    Result<std::unique_ptr<File>> create(const std::string& path, std::uint64_t bytes) override {
        Descriptor fd(
            again([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600); }));
        if (fd.get() < 0) return error("cannot create", path, errno);
        if (auto allocated = allocate(fd.get(), path, bytes); !allocated) {
            if (::unlink(path.c_str()) != 0) return error("cannot allocate space for, nor remove,", path, errno);
            return std::move(allocated).error();
        }
        return std::unique_ptr<File>(std::make_unique<SystemFile>(std::move(fd), path));
    }
    Result<std::unique_ptr<File>> open(const std::string& path, bool writable) const override {
        Descriptor fd(
            again([&] { return ::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW); }));
        if (fd.get() < 0) return error("cannot open", path, errno);
        return std::unique_ptr<File>(std::make_unique<SystemFile>(std::move(fd), path));
    }
    Result<void> rename(const std::string& from, const std::string& to) override {
        if (::rename(from.c_str(), to.c_str()) != 0) return error("cannot rename to", to, errno);
        return {};
    }
    Result<void> unlink(const std::string& path) override {
        if (::unlink(path.c_str()) != 0) return error("cannot remove", path, errno);
        return {};
    }
    Result<void> sync_directory(const std::string& path) override { return sync_directory_at(path); }
    Result<std::vector<std::string>> list(const std::string& path) const override {
        const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
        if (!directory) return error("cannot list", path, errno);
        std::vector<std::string> names;
        errno = 0;
        while (const dirent* entry = ::readdir(directory.get())) {
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") names.emplace_back(name);
            errno = 0;
        }
        if (errno != 0) return error("cannot list", path, errno);
        std::sort(names.begin(), names.end());
        return names;
    }
    Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override {
        Descriptor fd(again([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600); }));
        if (fd.get() < 0) return error("cannot open", path, errno);
        if (again([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
            if (errno != EWOULDBLOCK) return error("cannot lock", path, errno);
            return Error{Errc::failed_precondition, path + " is held by " + holder(fd.get())};
        }
        const std::string pid = std::to_string(::getpid()) + "\n";
        if (::ftruncate(fd.get(), 0) != 0) return error("cannot write to", path, errno);
        // A full disk may refuse the number, which is for people only: the lock holds without it.
        (void)write_all(fd.get(), path, 0, {reinterpret_cast<const std::uint8_t*>(pid.data()), pid.size()});
        return std::unique_ptr<DirectoryLock>(std::make_unique<SystemLock>(std::move(fd)));
    }

private:
    static std::string holder(int fd) {
        std::array<char, 24> text{};
        const auto n = again([&] { return ::pread(fd, text.data(), text.size(), 0); });
        std::string_view number(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
        number = number.substr(0, number.find('\n'));
        if (!base::parse_unsigned(number, 1u << 30)) return "another process";
        return "process " + std::string(number);
    }
};

}  // namespace

Disk& system_disk() {
    static SystemDisk disk;
    return disk;
}

}  // namespace usher::audit::journal
