#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "usher/v1/upgrade.pb.h"

namespace usher::gateway::upgrade {

using Message = usher::v1::UpgradeMessage;

/// One end of what connects two processes of one gateway: whole messages, in order, over a SOCK_SEQPACKET pair. First
/// spoken by one thread, question and answer; after start() by a thread that reads and one that writes.
class Link {
public:
    /// Both ends.
    static base::Result<std::pair<base::UniqueFd, base::UniqueFd>> make_pair();
    /// `socket`: one end. Its file is checked: invalid_argument for anything but a connected packet socket.
    static base::Result<std::unique_ptr<Link>> adopt(base::UniqueFd socket);
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    // -- before start(), by one thread

    /// `descriptors` go with it, as copies; they stay the caller's.
    base::Result<void> send(const Message& message, std::span<const int> descriptors = {});
    struct Received {
        Message message;
        std::vector<base::UniqueFd> descriptors;
    };
    /// Waits at most `limit`: deadline_exceeded past it, unavailable when the other end is gone, data_loss for what is
    /// no message.
    base::Result<Received> receive(base::Microseconds limit);

    // -- afterwards

    /// `on_message` and then, once, `on_end` are called on the reading thread. Once only.
    void start(std::function<void(Message)> on_message, std::function<void()> on_end);
    /// Queues a message; never blocks, any thread. False when the link has ended; it ends when the other end leaves
    /// more than 64 MiB unread.
    bool post(const Message& message);
    /// Ends the link for both; on_end follows. Any thread.
    void close();
    /// Sends what is queued, for at most `limit`.
    void flush(base::Microseconds limit);

private:
    explicit Link(base::UniqueFd socket) : socket_(std::move(socket)) {}
    void read_loop(const std::function<void(Message)>& on_message);
    void write_loop();

    base::UniqueFd socket_;
    std::mutex mutex_;  ///< of what follows
    std::condition_variable changed_;
    std::deque<std::string> queue_;
    std::size_t queued_bytes_ = 0;
    bool sending_ = false, closed_ = false;
    std::thread reader_, writer_;
};

}  // namespace usher::gateway::upgrade
