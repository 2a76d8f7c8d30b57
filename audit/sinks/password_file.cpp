#include "audit/sinks/password_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include "base/unique_fd.hpp"

namespace usher::audit::sinks {

using base::Errc;
using base::Error;

namespace {

constexpr std::size_t password_bytes_max = 1024;

std::string why(int error) { return std::generic_category().message(error); }

}  // namespace

base::Result<base::Secret> read_password_file(const std::string& path) {
    // A FIFO would not be opened until somebody writes.
    const base::UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) return Error{Errc::failed_precondition, path + ": cannot be opened: " + why(errno)};
    struct stat st {};
    if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode))
        return Error{Errc::failed_precondition, path + ": is not a regular file"};
    if (st.st_uid != ::geteuid() && st.st_uid != 0)
        return Error{Errc::failed_precondition,
                     path + ": belongs to user id " + std::to_string(st.st_uid) + "; give it to the user of usherd"};
    if ((st.st_mode & 077) != 0)
        return Error{Errc::failed_precondition, path + ": may be read by others: chmod 600 " + path};
    std::string text(password_bytes_max + 2, '\0');
    const ssize_t count = ::read(file.get(), text.data(), text.size());
    if (count < 0) {
        const int error = errno;
        return Error{Errc::failed_precondition, path + ": cannot be read: " + why(error)};
    }
    text.resize(static_cast<std::size_t>(count));
    if (text.ends_with('\n')) text.pop_back();
    const bool one_line = text.find_first_of(std::string_view("\n\r\0", 3)) == std::string::npos;
    if (text.empty() || text.size() > password_bytes_max || !one_line) {
        base::wipe(text);
        return Error{Errc::failed_precondition, path + ": holds no password; expected one line of 1 to 1024 bytes"};
    }
    return base::Secret(std::move(text));
}

}  // namespace usher::audit::sinks
