#include "gateway/stream_exchange.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>

#include "gateway/multiplexer.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using wire::http2::ErrorCode;

Worker& StreamExchange::worker() noexcept { return connection_.worker(); }
const Peer& StreamExchange::peer() const noexcept { return connection_.peer(); }

asio::awaitable<bool> StreamExchange::read_body(std::size_t count, std::string& body) {
    auto& services = worker().services();
    deadline_ = services.clock.mono() + services.config.timeouts.header;
    body.reserve(count);
    while (body.size() < count) {
        char block[1024];
        std::size_t n = 0;
        const wire::IoStatus status = try_read({block, std::min(sizeof block, count - body.size())}, n);
        body.append(block, n);
        OPENSSL_cleanse(block, n);  // a password may have been in it
        if (status == wire::IoStatus::done) continue;
        if (status != wire::IoStatus::would_block || !co_await wait_readable()) co_return false;
    }
    co_return true;
}

asio::awaitable<bool> StreamExchange::send(const wire::http1::Response& response) {
    if (gone() || closed_) co_return false;
    connection_.session().respond(id_, response);
    answered_ = ended_ = true;
    connection_.wake_writer();
    co_return true;
}

asio::awaitable<bool> StreamExchange::establish() {
    if (gone() || closed_) co_return false;
    connection_.session().establish(id_);
    connection_.wake_writer();
    co_return true;
}

wire::IoStatus StreamExchange::try_read(std::span<char> out, std::size_t& count) {
    count = 0;
    if (gone()) return wire::IoStatus::failed;
    if (arrived_.empty()) return client_ended_ ? wire::IoStatus::eof : wire::IoStatus::would_block;
    count = std::min(out.size(), arrived_.size() - taken_);
    std::memcpy(out.data(), arrived_.data() + taken_, count);
    taken_ += count;
    if (taken_ == arrived_.size()) {
        OPENSSL_cleanse(arrived_.data(), arrived_.size());
        arrived_ = std::string();  // an idle stream holds no buffer
        taken_ = 0;
    }
    connection_.session().consumed(id_, count, worker().services().clock.mono());
    connection_.wake_writer();
    return wire::IoStatus::done;
}

asio::awaitable<bool> StreamExchange::wait_readable() {
    while (!gone() && arrived_.empty() && !client_ended_) co_await may_read_.wait();
    co_return !gone();
}

std::size_t StreamExchange::room() {
    if (gone() || closed_ || ended_) return 0;
    return std::min(connection_.session().room(id_), wire::BufferPool::chunk_bytes);
}

asio::awaitable<bool> StreamExchange::wait_room() {
    while (!gone() && !closed_ && !ended_ && room() == 0) co_await may_write_.wait();
    co_return !gone() && !closed_ && !ended_;
}

wire::IoStatus StreamExchange::put(wire::BufferPool::Block block, std::size_t count) {
    if (gone() || closed_ || ended_) return wire::IoStatus::failed;
    sending_ = std::move(block);
    connection_.session().send(id_, {sending_.data(), count});
    connection_.wake_writer();
    return wire::IoStatus::done;
}

asio::awaitable<wire::IoStatus> StreamExchange::shutdown_send() {
    while (!gone() && !closed_ && connection_.session().unsent(id_) > 0) co_await may_write_.wait();
    if (gone() || closed_) co_return wire::IoStatus::failed;
    ended_ = true;
    connection_.session().end(id_);
    connection_.wake_writer();
    co_return wire::IoStatus::done;
}

void StreamExchange::abort(bool reset) noexcept {
    if (gone()) return;
    aborted_ = true;
    if (!closed_ && !(ended_ && client_ended_)) {
        unsent_ = connection_.session().unsent(id_);
        // RFC 9113 §8.5: CONNECT_ERROR stands for a reset of the TCP connection behind the tunnel.
        connection_.session().reset(id_, reset ? ErrorCode::connect_error : ErrorCode::cancel);
        connection_.wake_writer();
    }
    sending_.reset();
    may_read_.set();
    may_write_.set();
}

std::size_t StreamExchange::unacknowledged() const noexcept {
    return gone() || closed_ ? unsent_ : connection_.session().unsent(id_);
}

void StreamExchange::on_data(std::string_view bytes) {
    arrived_.append(bytes);
    may_read_.set();
}

void StreamExchange::on_end() {
    client_ended_ = true;
    may_read_.set();
}

void StreamExchange::on_sent() {
    sending_.reset();
    may_write_.set();
}

void StreamExchange::on_lost() {
    const std::size_t unsent = connection_.session().unsent(id_);
    connection_.session().drop(id_);
    on_closed(true, unsent);
}

void StreamExchange::on_closed(bool reset, std::size_t unsent) {
    if (closed_) return;
    closed_ = true;
    if (!aborted_) unsent_ = unsent;
    if (reset) reset_ = true;
    sending_.reset();
    may_read_.set();
    may_write_.set();
}

void StreamExchange::check_deadline(base::MonoTime now) {
    if (!deadline_ || now < *deadline_) return;
    deadline_.reset();
    abort(false);
}

}  // namespace usher::gateway
