#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace usher::auth {

/// What the gateways of one database tell each other when it is committed (Transaction::notify). A message says where
/// to look, never what is there: whoever hears it reads the database, so that it may be heard twice, late or by
/// mistake.
enum class ChangeKind {
    directory,      ///< another version
    devices,        ///< likewise
    session_begun,  ///< `id` of the session
    session_ended,
    session_proved,  ///< its second factor, or what its device says of itself
    sessions_of,     ///< all of the account `id`
};
struct SharedChange {
    ChangeKind kind = ChangeKind::directory;
    std::string id{};
    friend bool operator==(const SharedChange&, const SharedChange&) = default;
};

std::string to_message(const SharedChange& change);
/// nullopt for what is none of ours: another version's, or somebody else's on the channel. An id is a UUID. Pure.
std::optional<SharedChange> parse_change(std::string_view message);

}  // namespace usher::auth
