#include "clients/posture/system_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "base/text.hpp"
#include "base/unique_fd.hpp"

namespace usher::clients {

namespace {

constexpr std::size_t line_file_limit_bytes = 4096, entries_limit = 512, value_limit_bytes = 200;

}  // namespace

SystemTree::SystemTree(std::string root) : root_(std::move(root)) {
    while (root_.ends_with('/')) root_.pop_back();
}

std::string SystemTree::at(std::string_view path) const { return root_ + std::string(path); }

std::optional<std::string> SystemTree::read(std::string_view path, std::size_t limit_bytes) const {
    // Non-blocking: a FIFO or a device in the place of a file must not hold the program up before it is told apart.
    const base::UniqueFd file{::open(at(path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    std::string content;
    std::array<char, 4096> bytes{};
    for (;;) {
        const ssize_t n = ::read(file.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return std::nullopt;
        if (n == 0) return content;
        content.append(bytes.data(), static_cast<std::size_t>(n));
        if (content.size() > limit_bytes) return std::nullopt;
    }
}

std::string SystemTree::line(std::string_view path) const {
    auto text = read(path, line_file_limit_bytes).value_or("");
    text.resize(std::min(text.size(), text.find('\n')));
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.pop_back();
    return text;
}

std::optional<std::string> SystemTree::link(std::string_view path) const {
    std::array<char, 4096> target{};
    const ssize_t n = ::readlink(at(path).c_str(), target.data(), target.size());
    if (n <= 0 || static_cast<std::size_t>(n) == target.size()) return std::nullopt;
    return std::string(target.data(), static_cast<std::size_t>(n));
}

std::optional<std::vector<std::string>> SystemTree::list(std::string_view path) const {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder{::opendir(at(path).c_str()), &::closedir};
    std::vector<std::string> names;
    if (!folder) {
        if (errno == ENOENT) return names;
        return std::nullopt;
    }
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(folder.get());
        if (entry == nullptr && errno != 0) return std::nullopt;
        if (entry == nullptr) break;
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        if (names.size() == entries_limit) return std::nullopt;
        names.emplace_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

bool SystemTree::exists(std::string_view path) const {
    struct stat info {};
    return ::lstat(at(path).c_str(), &info) == 0;
}

std::string posture_value(std::string text) {
    const bool fit = text.size() <= value_limit_bytes && base::is_utf8(text) && base::escape_for_terminal(text) == text;
    return fit ? std::move(text) : std::string{};
}

}  // namespace usher::clients
