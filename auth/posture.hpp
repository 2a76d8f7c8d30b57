#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

/// What an agent says of the device that it runs on, and what a policy asks of it. It is the device's own word: whoever
/// owns the machine can make it say anything, so that it keeps honest people from mistakes and no thief out.
namespace usher::auth {

/// "12", "22.04", "0.1.0": one to four numbers of at most nine digits. What is missing counts as 0.
struct Version {
    std::array<std::uint32_t, 4> parts{};
    static std::optional<Version> parse(std::string_view text) noexcept;
    friend auto operator<=>(const Version&, const Version&) = default;
};

/// Each text at most 200 bytes of UTF-8 without control characters; empty or nullopt where the device does not say.
struct Posture {
    using Texts = std::map<std::string, std::string, std::less<>>;

    std::string os;          ///< as os-release(5) has it in ID: "debian"
    std::string os_version;  ///< VERSION_ID: "12.4"
    std::string agent_version;
    std::string device_uid;  ///< the same for one device of one tenant; says nothing of the hardware
    std::string time_zone;   ///< of the tz database
    std::string network_type;
    std::string screen;  ///< "1920x1080"
    /// Said at the sign-in too, and there for good. Here they are as they are now.
    std::string device_name, brand, model, os_name, language;
    std::optional<std::uint64_t> storage_bytes, storage_free_bytes;
    std::optional<std::uint64_t> battery_percent;  ///< at most 100
    std::optional<bool> disk_encrypted, firewall, screen_lock;

    /// Reads what was reported: names as above, numbers in decimal, truths as "yes" and "no". invalid_argument names
    /// the first that is unknown or not in its form. Pure.
    static base::Result<Posture> from_texts(const Texts& texts);
    /// What from_texts() reads the same from.
    Texts to_texts() const;

    /// As one text, a line each ("os=debian"), for a database. nullopt: to_lines() has not made it.
    static std::optional<Posture> from_lines(std::string_view lines);
    std::string to_lines() const;

    /// device_name, brand, model, os_name and language: those of `other` in the place of these; alone; all but them.
    void take_names(const Posture& other);
    Posture names() const;
    Posture without_names() const;

    friend bool operator==(const Posture&, const Posture&) = default;
};
using PosturePtr = std::shared_ptr<const Posture>;

/// One condition of a rule. `disk_encrypted`, `firewall` and `screen_lock`, as they are or behind "not"; `os_version`
/// and `agent_version` with =, !=, <, <=, > or >= and a version; `storage_bytes` and `storage_free_bytes` likewise with
/// a number or a size ("20GiB"), `battery_percent` with a number of 0 to 100; every other one with = or != and a text.
class PostureTest {
public:
    /// invalid_argument says what was expected.
    static base::Result<PostureTest> parse(std::string_view text);
    /// "disk_encrypted", "not firewall", "os_version >= 12"; parse() reads the same from it.
    std::string to_string() const;
    /// Whether it is known to be so. What the device has not said is neither so nor otherwise. Allocates nothing.
    bool holds(const Posture& posture) const noexcept;

    friend bool operator==(const PostureTest&, const PostureTest&) = default;

private:
    enum class Op { is, is_not, below, at_most, above, at_least };
    friend base::Result<Posture> posture_of(std::span<const std::string> facts);
    template <class Value>
    bool compares(const Value& said, const Value& asked) const noexcept;

    std::string field_;
    Op op_ = Op::is;
    std::string value_;  ///< "yes" of a truth
    std::optional<Version> version_;
    std::optional<std::uint64_t> number_;
    std::size_t index_ = 0;  ///< of the field
};

/// A device of which just these facts are known: conditions that say what something is ("disk_encrypted", "not
/// firewall", "os_version = 12"). invalid_argument names the first that is none. For questions and expectations.
base::Result<Posture> posture_of(std::span<const std::string> facts);
/// The facts that conditions can be about, as posture_of() reads them.
std::vector<std::string> facts_of(const Posture& posture);

}  // namespace usher::auth
