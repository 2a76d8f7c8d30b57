#include "clients/usher/up/through_agent.hpp"

#include "clients/usher/up/agent_home.hpp"
#include "clients/usher/up/control_protocol.hpp"

namespace usher::clients::agent {

namespace {

// Longer than the agent takes at most.
constexpr std::chrono::seconds tunnel_time{80}, status_time{5};

Deadline in(std::chrono::seconds time) { return std::chrono::steady_clock::now() + time; }

}  // namespace

base::Result<std::optional<PacketConnection>> tunnel_through_agent(const SavedSession& session,
                                                                   const Endpoint& destination,
                                                                   const StopSignal* stop) {
    using Found = std::optional<PacketConnection>;
    const auto directory = agent_directory();
    if (!directory) return Found{};  // without a place to be found at, no agent runs
    auto socket = connect_agent(*directory);
    if (!socket) return std::move(socket).error();
    if (!*socket) return Found{};
    PacketConnection connection(std::move(**socket));
    if (auto sent = connection.send_packet(connect_question(session.session_id, destination.to_string())); !sent)
        return Found{};  // it stopped in between
    auto answer = connection.receive_packet(in(tunnel_time), stop);
    if (!answer) return std::move(answer).error();
    if (*answer == answer_other_session) return Found{};
    if (*answer != answer_ok) return error_of_answer(*answer);
    return Found{std::move(connection)};
}

base::Result<std::optional<std::string>> ask_agent_status() {
    using Found = std::optional<std::string>;
    const auto directory = agent_directory();
    if (!directory) return Found{};
    auto socket = connect_agent(*directory);
    if (!socket) return std::move(socket).error();
    if (!*socket) return Found{};
    PacketConnection connection(std::move(**socket));
    if (auto sent = connection.send_packet("status"); !sent) return Found{};
    auto answer = connection.receive_packet(in(status_time));
    if (!answer) return std::move(answer).error();
    return Found{std::move(*answer)};
}

}  // namespace usher::clients::agent
