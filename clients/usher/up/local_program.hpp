#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <optional>

#include "clients/usher/up/agent.hpp"
#include "wire/http1/response.hpp"
#include "wire/plain_socket.hpp"

namespace usher::clients::agent {

/// A program on one of the agent's loopback ports: SOCKS5 or HTTP, told apart by the first byte, or, on the port of a
/// forward, a tunnel from the first byte on.
class LocalProgram final : public LocalClient {
public:
    /// `destination`: of a forward.
    LocalProgram(Agent& agent, boost::asio::ip::tcp::socket socket, std::optional<base::Destination> destination);

    boost::asio::awaitable<void> run() override;
    void tick(base::MonoTime now) override;
    void stop() override;

private:
    boost::asio::awaitable<bool> read_more(std::string& bytes, std::size_t limit);
    boost::asio::awaitable<bool> write(std::string bytes);
    boost::asio::awaitable<void> serve_socks(std::string bytes);
    boost::asio::awaitable<void> serve_http(std::string bytes);
    boost::asio::awaitable<void> serve_forward();
    boost::asio::awaitable<void> serve_connect(base::Destination destination, std::string early);
    boost::asio::awaitable<void> serve_request(ForwardRequest request, std::string rest);
    boost::asio::awaitable<void> serve_local(LocalRequest request);
    boost::asio::awaitable<void> answer(std::string response);
    boost::asio::awaitable<void> refuse(Refusal refusal);
    boost::asio::awaitable<void> relay(std::unique_ptr<GatewayStream> stream, std::string early, RequestBody* body);
    /// Sends the end and waits for the program's, so that what it was still sending does not destroy the answer.
    boost::asio::awaitable<void> linger();

    Agent& agent_;
    wire::PlainSocket socket_;
    std::optional<base::Destination> destination_;
    std::optional<base::MonoTime> deadline_;
    GatewayStream* stream_ = nullptr;  ///< while it is relayed
};

/// Another command of `usher`, on the agent's Unix socket.
std::unique_ptr<LocalClient> make_command_client(Agent& agent, boost::asio::posix::stream_descriptor socket);

}  // namespace usher::clients::agent
