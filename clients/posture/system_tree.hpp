#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace usher::clients {

/// Bounded reads of what the system says of itself in /etc, /proc, /run and /sys. Whoever wrote there may be anybody: a
/// file that is too long, no file at all, or one that cannot be read is not known, and nothing waits. Paths begin with
/// '/' and are below `root`, so that a test can give a tree of its own. May be copied; holds no descriptor.
class SystemTree {
public:
    explicit SystemTree(std::string root = "/");

    /// The content of a regular file of at most `limit_bytes`; nullopt when it is longer, no file, or cannot be read.
    std::optional<std::string> read(std::string_view path, std::size_t limit_bytes) const;
    /// The first line of a file of at most 4 KiB, without its end and without blanks behind it; empty when there is
    /// none.
    std::string line(std::string_view path) const;
    /// Where a symbolic link points, as it is written there; nullopt when it is none.
    std::optional<std::string> link(std::string_view path) const;
    /// The names in a folder, sorted; none where there is no such folder. Nullopt where it cannot be read or holds more
    /// than 512.
    std::optional<std::vector<std::string>> list(std::string_view path) const;
    /// Whether there is such an entry; a link need not lead anywhere.
    bool exists(std::string_view path) const;

    const std::string& root() const noexcept { return root_; }

private:
    std::string at(std::string_view path) const;
    std::string root_;  ///< without a '/' at its end; empty for "/"
};

/// `text` where it may be sent as a value: 1 to 200 bytes of UTF-8 of which a terminal would show each character as it
/// is; empty else. A value is never cut, because half of one is another one.
std::string posture_value(std::string text);

}  // namespace usher::clients
