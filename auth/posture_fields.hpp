#pragma once
#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>

#include "auth/posture.hpp"

namespace usher::auth {

enum class PostureKind { text, version, truth, size, percent };

/// A member of a posture by its name: the one pointer that is not null is that of its kind.
struct PostureField {
    std::string_view name;
    PostureKind kind;
    std::string Posture::*text = nullptr;
    std::optional<bool> Posture::*truth = nullptr;
    std::optional<std::uint64_t> Posture::*number = nullptr;

    bool is_number() const noexcept { return kind == PostureKind::size || kind == PostureKind::percent; }
};

/// All that a device says of itself; conditions can be about each. In the order of the names.
inline constexpr PostureField posture_fields[] = {
    {"agent_version", PostureKind::version, &Posture::agent_version},
    {"battery_percent", PostureKind::percent, nullptr, nullptr, &Posture::battery_percent},
    {"brand", PostureKind::text, &Posture::brand},
    {"device_name", PostureKind::text, &Posture::device_name},
    {"device_uid", PostureKind::text, &Posture::device_uid},
    {"disk_encrypted", PostureKind::truth, nullptr, &Posture::disk_encrypted},
    {"firewall", PostureKind::truth, nullptr, &Posture::firewall},
    {"language", PostureKind::text, &Posture::language},
    {"model", PostureKind::text, &Posture::model},
    {"network_type", PostureKind::text, &Posture::network_type},
    {"os", PostureKind::text, &Posture::os},
    {"os_name", PostureKind::text, &Posture::os_name},
    {"os_version", PostureKind::version, &Posture::os_version},
    {"screen", PostureKind::text, &Posture::screen},
    {"screen_lock", PostureKind::truth, nullptr, &Posture::screen_lock},
    {"storage_bytes", PostureKind::size, nullptr, nullptr, &Posture::storage_bytes},
    {"storage_free_bytes", PostureKind::size, nullptr, nullptr, &Posture::storage_free_bytes},
    {"time_zone", PostureKind::text, &Posture::time_zone},
};

/// Null: there is none of that name.
inline const PostureField* find_posture_field(std::string_view name) noexcept {
    const auto* found = std::find_if(std::begin(posture_fields), std::end(posture_fields),
                                     [&](const PostureField& field) { return field.name == name; });
    return found == std::end(posture_fields) ? nullptr : found;
}

/// A number as it is reported: decimal, without a zero in front, such as a database's and a record's integers, which
/// have a sign, can hold; of a percentage at most 100.
std::optional<std::uint64_t> posture_number(std::string_view text, PostureKind kind) noexcept;

}  // namespace usher::auth
