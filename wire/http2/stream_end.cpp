#include "wire/http2/stream_end.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>

namespace usher::wire::http2 {
namespace asio = boost::asio;

namespace {
constexpr base::Microseconds mark_distance{500'000};
}  // namespace

IoStatus StreamEnd::try_read(std::span<char> out, std::size_t& count) {
    count = 0;
    if (gone()) return IoStatus::failed;
    if (arrived_.empty()) return peer_ended_ ? IoStatus::eof : IoStatus::would_block;
    count = std::min(out.size(), arrived_.size() - taken_);
    std::memcpy(out.data(), arrived_.data() + taken_, count);
    taken_ += count;
    if (taken_ == arrived_.size()) {
        OPENSSL_cleanse(arrived_.data(), arrived_.size());
        arrived_ = std::string();  // an idle stream holds no buffer
        taken_ = 0;
    }
    carrier_.session().consumed(id_, count, carrier_.now());
    carrier_.wake_writer();
    return IoStatus::done;
}

asio::awaitable<bool> StreamEnd::wait_readable() {
    while (!gone() && arrived_.empty() && !peer_ended_) co_await may_read_.wait();
    co_return !gone();
}

std::size_t StreamEnd::room() {
    if (gone() || closed_ || ended_) return 0;
    return std::min(carrier_.session().room(id_), BufferPool::chunk_bytes);
}

asio::awaitable<bool> StreamEnd::wait_room() {
    while (!gone() && !closed_ && !ended_ && room() == 0) co_await may_write_.wait();
    co_return !gone() && !closed_ && !ended_;
}

IoStatus StreamEnd::put(BufferPool::Block block, std::size_t count) {
    if (gone() || closed_ || ended_) return IoStatus::failed;
    sending_ = std::move(block);
    put_total_ += count;
    carrier_.session().send(id_, {sending_.data(), count});
    carrier_.wake_writer();
    return IoStatus::done;
}

asio::awaitable<IoStatus> StreamEnd::shutdown_send() {
    while (!gone() && !closed_ && carrier_.session().unsent(id_) > 0) co_await may_write_.wait();
    if (gone() || closed_) co_return IoStatus::failed;
    ended_ = true;
    carrier_.session().end(id_);
    carrier_.wake_writer();
    co_return IoStatus::done;
}

void StreamEnd::abort(bool reset) noexcept {
    if (gone()) return;
    aborted_ = true;
    if (!closed_ && !(ended_ && peer_ended_)) {
        unsent_ = carrier_.session().unsent(id_);
        // RFC 9113 §8.5: CONNECT_ERROR stands for a reset of the TCP connection behind the tunnel.
        carrier_.session().reset(id_, reset ? ErrorCode::connect_error : ErrorCode::cancel);
        carrier_.wake_writer();
    }
    sending_.reset();
    may_read_.set();
    may_write_.set();
}

std::size_t StreamEnd::unacknowledged() const noexcept {
    return gone() || closed_ ? unsent_ : carrier_.session().unsent(id_);
}

void StreamEnd::on_data(std::string_view bytes) {
    arrived_.append(bytes);
    may_read_.set();
}

void StreamEnd::on_end() {
    peer_ended_ = true;
    may_read_.set();
}

std::uint64_t StreamEnd::unconfirmed() const noexcept {
    const std::uint64_t on_the_wire = carrier_.unconfirmed();
    if (on_the_wire == 0) return unacknowledged();
    const std::uint64_t reached = carrier_.encrypted() - on_the_wire;
    // The connection may never be quiet, so there have to be places that it has surely passed.
    for (const Mark& mark : marks_)
        if (mark.place <= reached) return put_total_ - mark.bytes;
    return put_total_;
}

void StreamEnd::on_sent() {
    // Its last bytes are in the chunk that the session is filling.
    marks_[0] = {put_total_, carrier_.encrypted() + BufferPool::chunk_bytes};
    if (const auto now = carrier_.now(); now - marked_at_ >= mark_distance) {
        marks_[2] = marks_[1];
        marks_[1] = marks_[0];
        marked_at_ = now;
    }
    sending_.reset();
    may_write_.set();
}

void StreamEnd::on_lost() {
    const std::size_t unsent = carrier_.session().unsent(id_);
    carrier_.session().drop(id_);
    on_closed(true, unsent);
}

void StreamEnd::on_closed(bool reset, std::size_t unsent) {
    if (closed_) return;
    closed_ = true;
    if (!aborted_) unsent_ = unsent;
    if (reset) reset_ = true;
    sending_.reset();
    may_read_.set();
    may_write_.set();
}

}  // namespace usher::wire::http2
