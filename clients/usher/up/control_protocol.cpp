#include "clients/usher/up/control_protocol.hpp"

#include "base/text.hpp"
#include "wire/http1/connect_target.hpp"

namespace usher::clients::agent {

using base::Errc;

std::optional<ControlQuestion> parse_question(std::string_view packet) {
    if (packet == "status") return StatusQuestion{};
    constexpr std::string_view verb = "connect ";
    if (!packet.starts_with(verb)) return std::nullopt;
    packet.remove_prefix(verb.size());
    const auto space = packet.find(' ');
    if (space == std::string_view::npos || space == 0) return std::nullopt;
    auto target = wire::http1::parse_connect_target(packet.substr(space + 1));
    auto* destination = std::get_if<base::Destination>(&target);
    if (destination == nullptr) return std::nullopt;
    return ConnectQuestion{std::string(packet.substr(0, space)), std::move(*destination)};
}

std::string connect_question(std::string_view session_id, std::string_view destination) {
    return "connect " + std::string(session_id) + " " + std::string(destination);
}

std::string refusal_answer(const Refusal& refusal) {
    using Kind = Refusal::Kind;
    const char* kind = "unavailable";
    if (refusal.kind == Kind::policy) kind = "denied";
    if (refusal.kind == Kind::signed_out || refusal.kind == Kind::session_over) kind = "session";
    return "no " + std::string(kind) + " " + refusal.words;
}

base::Error error_of_answer(std::string_view packet) {
    const auto words = [&](std::string_view prefix) {
        return base::escape_for_terminal(packet.substr(prefix.size()), 600);
    };
    for (const auto& [prefix, code] : {std::pair{std::string_view("no denied "), Errc::permission_denied},
                                       std::pair{std::string_view("no session "), Errc::unauthenticated},
                                       std::pair{std::string_view("no unavailable "), Errc::unavailable}})
        if (packet.starts_with(prefix)) return {code, words(prefix)};
    return {Errc::unavailable,
            "the agent's answer is not understood; do this command and the agent differ in version?"};
}

}  // namespace usher::clients::agent
