#include "clients/usher/up/control_protocol.hpp"
#include "clients/usher/up/local_program.hpp"
#include "clients/usher/up/packet_socket.hpp"

namespace usher::clients::agent {
namespace asio = boost::asio;

namespace {

class LocalCommand final : public LocalClient {
public:
    LocalCommand(Agent& agent, asio::posix::stream_descriptor socket)
        : agent_(agent), socket_(std::move(socket)), deadline_(agent.clock().mono() + handshake_time) {}

    asio::awaitable<void> run() override {
        std::string packet;
        if (co_await socket_.read_packet(packet)) {
            const auto question = parse_question(packet);
            if (const auto* connect = question ? std::get_if<ConnectQuestion>(&*question) : nullptr) {
                co_await serve(*connect);
            } else {
                const Refusal unknown{Refusal::Kind::malformed, "the agent does not know what it is asked"};
                std::string answer = question ? agent_.status_json() : refusal_answer(unknown);
                co_await socket_.write_packet(std::move(answer));
            }
        }
        socket_.abort(false);
    }

    void tick(base::MonoTime now) override {
        if (deadline_ && now >= *deadline_) socket_.abort(false);
        if (stream_ != nullptr && stream_->broken()) socket_.abort(true);
    }

    void stop() override { socket_.abort(true); }

private:
    /// `question` is the caller's and outlives this.
    asio::awaitable<void> serve(const ConnectQuestion& question) {
        const auto session = agent_.sessions().current();
        if (!session || (*session)->session_id != question.session_id) {
            std::string answer(answer_other_session);
            co_await socket_.write_packet(std::move(answer));
            co_return;
        }
        deadline_.reset();
        auto opened = co_await agent_.gateway().open(question.destination);
        if (const auto* refusal = std::get_if<Refusal>(&opened)) {
            std::string answer = refusal_answer(*refusal);
            co_await socket_.write_packet(std::move(answer));
            co_return;
        }
        auto stream = std::move(std::get<0>(opened));
        std::string ok(answer_ok);
        if (!co_await socket_.write_packet(std::move(ok))) co_return;
        auto& traffic = agent_.traffic();
        ++traffic.tunnels;
        ++traffic.open;
        stream_ = stream.get();
        LocalRelay<PacketSocket> relay(socket_, *stream, agent_.buffers(), traffic);
        const auto on_answered = [] {};
        std::string early;
        co_await relay.run(std::move(early), nullptr, on_answered);
        stream_ = nullptr;
        --traffic.open;
    }

    Agent& agent_;
    PacketSocket socket_;
    std::optional<base::MonoTime> deadline_;
    GatewayStream* stream_ = nullptr;
};

}  // namespace

std::unique_ptr<LocalClient> make_command_client(Agent& agent, asio::posix::stream_descriptor socket) {
    return std::make_unique<LocalCommand>(agent, std::move(socket));
}

}  // namespace usher::clients::agent
