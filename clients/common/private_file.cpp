#include "clients/common/private_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/text.hpp"
#include "base/unique_fd.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;

namespace {

constexpr std::size_t file_limit_bytes = 64 * 1024;

std::string shown(const std::string& path) { return base::escape_for_terminal(path); }

base::Error failed(const std::string& what, const std::string& path) {
    const int error = errno;
    return {error == EACCES ? Errc::permission_denied : Errc::unavailable,
            what + " " + shown(path) + ": " + std::strerror(error)};
}

Result<void> sync_directory(const std::string& path) {
    const base::UniqueFd directory{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory || ::fsync(directory.get()) != 0) return failed("cannot sync", path);
    return {};
}

Result<void> make_directory(const std::string& path) {
    const std::string parent = std::filesystem::path(path).parent_path();
    std::error_code error;
    if (!parent.empty()) std::filesystem::create_directories(parent, error);
    if (error) return {Errc::unavailable, "cannot make " + shown(parent) + ": " + error.message()};
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot make", path);
    return {};
}

}  // namespace

Result<std::string> config_directory(std::string_view program) {
    // The XDG base directory specification: a relative path there is to be ignored.
    if (const char* xdg = std::getenv("XDG_CONFIG_HOME"); xdg != nullptr && xdg[0] == '/')
        return std::string(xdg) + "/" + std::string(program);
    const char* home = std::getenv("HOME");
    if (home == nullptr || home[0] == '\0')
        return {Errc::failed_precondition, "there is no place for settings: set HOME or XDG_CONFIG_HOME"};
    return std::string(home) + "/.config/" + std::string(program);
}

Result<void> write_private_file(const std::string& path, std::string_view content) {
    const std::string directory = std::filesystem::path(path).parent_path();
    if (auto made = make_directory(directory); !made) return made;
    std::string temporary = path + ".XXXXXX";
    base::UniqueFd file{::mkostemp(temporary.data(), O_CLOEXEC)};  // mode 0600
    if (!file) return failed("cannot write in", directory);
    const auto give_up = [&](const std::string& what) {
        auto error = failed(what, path);
        ::unlink(temporary.c_str());
        return error;
    };
    while (!content.empty()) {
        const ssize_t n = ::write(file.get(), content.data(), content.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return give_up("cannot write");
        content.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fchmod(file.get(), 0600) != 0 || ::fsync(file.get()) != 0) return give_up("cannot write");
    if (::rename(temporary.c_str(), path.c_str()) != 0) return give_up("cannot write");
    return sync_directory(directory);
}

Result<std::optional<std::string>> read_private_file(const std::string& path, bool secret, std::string_view if_seen) {
    const base::UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) {
        if (errno == ENOENT || errno == ENOTDIR) return std::optional<std::string>{};
        return failed("cannot read", path);
    }
    struct stat info {};
    if (::fstat(file.get(), &info) != 0) return failed("cannot read", path);
    if (!S_ISREG(info.st_mode)) return {Errc::failed_precondition, shown(path) + " is no regular file"};
    if (secret && info.st_uid != ::geteuid())
        return {Errc::permission_denied,
                shown(path) + " belongs to another user; it is not read. Make it anew as yourself"};
    if (secret && (info.st_mode & 077) != 0)
        return {Errc::permission_denied, "others can read " + shown(path) +
                                             "; it is not used. Mend it with: chmod 600 " + shown(path) + ", and " +
                                             std::string(if_seen) + " if somebody may have seen it"};
    std::string content;
    std::array<char, 4096> bytes{};
    while (true) {
        const ssize_t n = ::read(file.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed("cannot read", path);
        if (n == 0) return std::optional<std::string>{std::move(content)};
        content.append(bytes.data(), static_cast<std::size_t>(n));
        if (content.size() > file_limit_bytes)
            return {Errc::failed_precondition,
                    shown(path) + " is larger than 64 KiB; it was not written by this program"};
    }
}

Result<void> remove_private_file(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed("cannot remove", path);
    return {};
}

}  // namespace usher::clients
