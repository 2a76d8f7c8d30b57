#include "gateway/data_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace usher::gateway {
namespace {
using base::Errc;
using base::Error;

std::string why(int error) { return std::generic_category().message(error); }
}  // namespace

base::Result<std::string> DataDir::examine(const std::string& given) {
    std::error_code ec;
    std::string path = std::filesystem::absolute(given, ec).lexically_normal().string();
    if (ec) return Error{Errc::invalid_argument, "data_dir " + given + ": " + ec.message()};
    while (path.size() > 1 && path.back() == '/') path.pop_back();

    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
        return Error{Errc::failed_precondition, "data_dir " + path + " cannot be made: " + why(errno)};
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0)
        return Error{Errc::failed_precondition, "data_dir " + path + " cannot be examined: " + why(errno)};
    if (!S_ISDIR(st.st_mode)) return Error{Errc::failed_precondition, "data_dir " + path + " is not a directory"};
    if (st.st_uid != ::geteuid())
        return Error{Errc::failed_precondition, "data_dir " + path + " belongs to user id " +
                                                    std::to_string(st.st_uid) + ", but usherd runs as user id " +
                                                    std::to_string(::geteuid()) +
                                                    "; run it as the owner, or give the directory to this user"};
    if ((st.st_mode & 077) != 0)
        return Error{Errc::failed_precondition,
                     "data_dir " + path + " may be entered by others; it holds keys and records: chmod 700 " + path};
    return path;
}

base::Result<std::unique_ptr<DataDir>> DataDir::open(const std::string& given) {
    auto examined = examine(given);
    if (!examined) return examined.error();
    std::string path = std::move(*examined);
    const std::string lock_path = path + "/lock";
    base::UniqueFd fd{::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!fd) return Error{Errc::failed_precondition, lock_path + " cannot be opened: " + why(errno)};
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        const int error = errno;
        char pid[24] = {};
        const ssize_t n = ::pread(fd.get(), pid, sizeof pid - 1, 0);
        if (error != EWOULDBLOCK)
            return Error{Errc::failed_precondition, lock_path + " cannot be locked: " + why(error)};
        std::string holder = n > 0 ? " (process " + std::string(pid, static_cast<std::size_t>(n)) + ")" : "";
        return Error{Errc::failed_precondition, "data_dir " + path + " is in use by another usherd" + holder +
                                                    "; stop it first, or give this one its own data_dir"};
    }
    std::unique_ptr<DataDir> dir(new DataDir(std::move(path), std::move(fd)));
    if (auto claimed = dir->claim(); !claimed) return claimed.error();
    return dir;
}

base::Result<std::unique_ptr<DataDir>> DataDir::adopt(const std::string& path, base::UniqueFd lock) {
    struct stat held {
    }, there{};
    const std::string lock_path = path + "/lock";
    // Locking what is locked by the same open file changes nothing; any other file that is not free is refused.
    if (::fstat(lock.get(), &held) != 0 || ::stat(lock_path.c_str(), &there) != 0 || held.st_dev != there.st_dev ||
        held.st_ino != there.st_ino || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
        return Error{Errc::failed_precondition, "what was handed over is not the lock of data_dir " + path};
    std::unique_ptr<DataDir> dir(new DataDir(path, std::move(lock)));
    if (auto claimed = dir->claim(); !claimed) return claimed.error();
    return dir;
}

base::Result<void> DataDir::claim() {
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(lock_.get(), 0) != 0 ||
        ::pwrite(lock_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
        return Error{Errc::resource_exhausted, path_ + "/lock cannot be written: " + why(errno)};
    return {};
}

base::Result<void> write_file_atomically(const std::string& path, const std::string& content, unsigned mode) {
    const std::string temporary = path + ".new";
    const auto failed = [&](const char* step) {
        const int error = errno;
        ::unlink(temporary.c_str());
        return Error{Errc::unavailable, path + ": " + step + ": " + why(error)};
    };
    ::unlink(temporary.c_str());
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) return failed("cannot be created");
    std::size_t done = 0;
    while (done < content.size()) {
        const ssize_t n = ::write(fd, content.data() + done, content.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const Error error = failed("cannot be written");
            ::close(fd);
            return error;
        }
        done += static_cast<std::size_t>(n);
    }
    const bool synced = ::fsync(fd) == 0;
    const bool closed = ::close(fd) == 0;
    if (!synced || !closed) return failed("cannot be made durable");
    if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("cannot be put in place");
    const auto slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    const int dir = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return failed("directory cannot be opened");
    const bool dir_synced = ::fsync(dir) == 0;
    ::close(dir);
    if (!dir_synced) return failed("directory cannot be made durable");
    return {};
}

}  // namespace usher::gateway
