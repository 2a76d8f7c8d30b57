#include "gateway/sealing_keys.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "gateway/data_dir.hpp"

namespace usher::gateway {
namespace {

using auth::SealingKeys;
using base::Errc;
using base::Error;
using base::Result;

constexpr std::size_t digits = 2 * SealingKeys::key_bytes;

std::string why(int error) { return std::generic_category().message(error); }

/// The descriptor of a file that is fit to hold a key.
class KeyFile {
public:
    explicit KeyFile(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) {}
    ~KeyFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    KeyFile(const KeyFile&) = delete;
    KeyFile& operator=(const KeyFile&) = delete;
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

Result<base::Secret> read_key(const std::string& path) {
    const KeyFile file(path);
    if (file.get() < 0) return Error{Errc::failed_precondition, path + " cannot be opened: " + why(errno)};
    struct stat st {};
    if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode))
        return Error{Errc::failed_precondition, path + " is not a regular file"};
    if (st.st_uid != ::geteuid() && st.st_uid != 0)
        return Error{Errc::failed_precondition,
                     path + " belongs to user id " + std::to_string(st.st_uid) + "; give it to the user of usherd"};
    if ((st.st_mode & 077) != 0)
        return Error{Errc::failed_precondition, path + " may be read by others: chmod 600 " + path};
    std::string text(digits + 2, '\0');
    const ssize_t count = ::read(file.get(), text.data(), text.size());
    if (count < 0) return Error{Errc::unavailable, path + " cannot be read: " + why(errno)};
    std::string_view hex(text.data(), static_cast<std::size_t>(count));
    if (hex.ends_with('\n')) hex.remove_suffix(1);
    auto bytes = hex.size() == digits ? base::from_hex(hex) : std::nullopt;
    base::wipe(text);
    if (!bytes)
        return Error{Errc::invalid_argument,
                     path + " is no sealing key; expected 64 hexadecimal digits, as of: openssl rand -hex 32"};
    std::string key(bytes->begin(), bytes->end());
    std::fill(bytes->begin(), bytes->end(), std::uint8_t{0});
    return base::Secret(std::move(key));
}

Result<void> make_key(const std::string& path) {
    std::array<std::uint8_t, SealingKeys::key_bytes> random{};
    base::random_bytes(random);
    std::string text = base::to_hex(random) + "\n";
    auto written = write_file_atomically(path, text, 0600);
    base::wipe(text);
    random.fill(0);
    return written;
}

}  // namespace

Result<SealingKeys> load_sealing_keys(const std::vector<std::string>& files, const std::string& own_directory) {
    std::vector<std::string> paths = files;
    if (paths.empty()) {
        paths.push_back(own_directory + "/sealing.key");
        if (::mkdir(own_directory.c_str(), 0700) != 0 && errno != EEXIST)
            return Error{Errc::failed_precondition, own_directory + " cannot be made: " + why(errno)};
        if (::access(paths[0].c_str(), F_OK) != 0) {
            if (errno != ENOENT) return Error{Errc::failed_precondition, paths[0] + ": " + why(errno)};
            if (auto made = make_key(paths[0]); !made) return std::move(made).error();
        }
    }
    std::vector<base::Secret> keys;
    for (const auto& path : paths) {
        auto key = read_key(path);
        if (!key) return std::move(key).error();
        keys.push_back(std::move(*key));
    }
    return SealingKeys::of(std::move(keys));
}

}  // namespace usher::gateway
