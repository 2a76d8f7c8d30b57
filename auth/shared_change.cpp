#include "auth/shared_change.hpp"

#include <array>
#include <utility>

#include "base/ids.hpp"

namespace usher::auth {
namespace {

constexpr std::array<std::pair<std::string_view, ChangeKind>, 6> words{{
    {"directory", ChangeKind::directory},
    {"devices", ChangeKind::devices},
    {"session-begun", ChangeKind::session_begun},
    {"session-ended", ChangeKind::session_ended},
    {"session-proved", ChangeKind::session_proved},
    {"sessions-of", ChangeKind::sessions_of},
}};

bool stands_alone(ChangeKind kind) { return kind == ChangeKind::directory || kind == ChangeKind::devices; }

}  // namespace

std::string to_message(const SharedChange& change) {
    std::string message;
    for (const auto& [word, kind] : words)
        if (kind == change.kind) message = word;
    if (!stands_alone(change.kind)) message += " " + change.id;
    return message;
}

std::optional<SharedChange> parse_change(std::string_view message) {
    const auto space = message.find(' ');
    const auto first = message.substr(0, space);
    for (const auto& [word, kind] : words) {
        if (word != first) continue;
        if (stands_alone(kind))
            return space == std::string_view::npos ? std::optional(SharedChange{kind, {}}) : std::nullopt;
        if (space == std::string_view::npos) return std::nullopt;
        const auto id = message.substr(space + 1);
        const auto uuid = base::Uuid::parse(id);
        if (!uuid || uuid->to_string() != id) return std::nullopt;
        return SharedChange{kind, std::string(id)};
    }
    return std::nullopt;
}

}  // namespace usher::auth
