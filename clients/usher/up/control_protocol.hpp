#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/net.hpp"
#include "base/result.hpp"
#include "clients/usher/up/refusal.hpp"

namespace usher::clients::agent {

// What the other commands of `usher` ask the running agent, and its answers: one packet each way (packet_socket.hpp).

struct StatusQuestion {};  ///< "status"; the answer is a JSON object
/// "connect SESSION HOST:PORT"; the answer is "ok", and then a tunnel, or a refusal.
struct ConnectQuestion {
    std::string session_id;  ///< of whoever asks: nobody gets a tunnel on a session that is not his
    base::Destination destination;
};
using ControlQuestion = std::variant<StatusQuestion, ConnectQuestion>;

/// nullopt: malformed. Pure, as all of these.
std::optional<ControlQuestion> parse_question(std::string_view packet);
std::string connect_question(std::string_view session_id, std::string_view destination);

constexpr std::string_view answer_ok = "ok";
/// The agent is signed in as somebody else: the command goes on by itself.
constexpr std::string_view answer_other_session = "other-session";
/// "no KIND WORDS".
std::string refusal_answer(const Refusal& refusal);
/// An error with the agent's words; unavailable for what is no refusal.
base::Error error_of_answer(std::string_view packet);

}  // namespace usher::clients::agent
