#pragma once
#include <boost/asio/awaitable.hpp>
#include <exception>
#include <string>

#include "gateway/live_access.hpp"
#include "gateway/turns.hpp"
#include "wire/plain_socket.hpp"
#include "wire/tunnel_end.hpp"

namespace usher::gateway {

/// Moves bytes both ways between a client and an app until both directions have ended, carrying each half-close
/// through, and counts what was handed over. All references must outlive run(). One worker's thread.
class Relay {
public:
    Relay(wire::TunnelEnd& client, wire::PlainSocket& app, LiveAccess& access, wire::BufferPool& pool, Turns& turns)
        : client_(client), app_(app), access_(access), pool_(pool), turns_(turns) {
        access_.on_the_way([this](bool stalled) {
            return LiveAccess::OnTheWay{app_.unacknowledged(), client_.unconfirmed(), stalled && client_.peer_gone()};
        });
    }
    ~Relay() { access_.on_the_way(nullptr); }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    /// `early` is what the client sent behind its request; it goes to the app first. Returns why it ended; the sockets
    /// are closed or about to be by the caller.
    boost::asio::awaitable<CloseReason::Value> run(std::string early);

    /// Ends both directions now with resets; run() then returns. What was not delivered is taken off the figures.
    void stop();

private:
    boost::asio::awaitable<void> upload(std::string early);
    boost::asio::awaitable<void> download();
    boost::asio::awaitable<bool> to_app(std::string_view data);
    void ended(CloseReason::Value reason);
    void failed(CloseReason::Value reason);
    void threw(std::exception_ptr failure) noexcept;
    void app_broke();
    void settle();

    wire::TunnelEnd& client_;
    wire::PlainSocket& app_;
    LiveAccess& access_;
    wire::BufferPool& pool_;
    Turns& turns_;
    std::exception_ptr failure_;
    CloseReason::Value reason_ = CloseReason::UNSPECIFIED;
    bool settled_ = false;
    bool app_broke_ = false;
};

}  // namespace usher::gateway
