#pragma once
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "wire/tls_stream.hpp"

/// TlsStream's asynchronous operations. Each is a small machine over the steps of the stream, which says after each
/// step what it lacks; Operation waits for that, and nothing is waited for that a step has not found missing.
namespace usher::wire {
namespace tls_async {

using boost::system::error_code;

/// What an operation needs before it can go on.
enum class Next {
    nothing,   ///< it is complete
    readable,  ///< wait until the socket has bytes
    writable,  ///< wait until the socket takes bytes
};

/// Carries `Machine` out: `Next step(TlsStream&, error_code&)`, `complete(self, error)` and `cancellation`, the types
/// of it that may stop the operation between two steps.
template <class Machine>
struct Operation {
    TlsStream& stream;
    Machine machine;
    bool begun = false, complete = false;
    error_code result{};

    template <class Self>
    void operator()(Self& self, error_code error = {}) {
        if (complete) return machine.complete(self, result);
        const bool first = !std::exchange(begun, true);
        if (first) self.reset_cancellation_state(typename Machine::cancellation());
        if (!first && (self.cancelled() != boost::asio::cancellation_type::none || stream.aborted()))
            error = boost::asio::error::operation_aborted;
        const Next next = error ? Next::nothing : machine.step(stream, error);
        auto& socket = stream.socket();
        if (next == Next::readable) return socket.async_wait(socket.wait_read, std::move(self));
        if (next == Next::writable) return socket.async_wait(socket.wait_write, std::move(self));
        if (!first) return machine.complete(self, error);
        // A handler is never called by the function that begins its operation.
        complete = true;
        result = error;
        boost::asio::post(socket.get_executor(), std::move(self));
    }
};

/// Sends what lies in the stream. Next::nothing: there is nothing left, or `error` says why not.
inline Next flush(TlsStream& stream, error_code& error) {
    const IoStatus status = stream.flushed() ? IoStatus::done : stream.try_flush();
    if (status == IoStatus::would_block) return Next::writable;
    if (status != IoStatus::done) error = stream.failure();
    return Next::nothing;
}

template <class Buffers>
struct ReadSome {
    using cancellation = boost::asio::enable_total_cancellation;
    Buffers buffers;
    std::size_t count = 0;

    Next step(TlsStream& stream, error_code& error) {
        boost::asio::mutable_buffer into;
        for (auto at = boost::asio::buffer_sequence_begin(buffers); at != boost::asio::buffer_sequence_end(buffers);
             ++at)
            if (into = *at; into.size() > 0) break;
        if (into.size() == 0) return Next::nothing;
        const IoStatus status = stream.try_read({static_cast<char*>(into.data()), into.size()}, count);
        if (status == IoStatus::would_block) return Next::readable;
        if (status == IoStatus::eof) error = boost::asio::error::eof;
        if (status == IoStatus::failed) error = stream.failure();
        return Next::nothing;
    }
    template <class Self>
    void complete(Self& self, error_code error) const {
        self.complete(error, count);
    }
};

template <class Buffers>
struct WriteSome {
    using cancellation = boost::asio::enable_partial_cancellation;
    Buffers buffers;
    std::size_t count = 0;  // taken into the stream

    Next step(TlsStream& stream, error_code& error) {
        // First what an operation before has left, if it was cancelled.
        const Next before = flush(stream, error);
        if (before != Next::nothing || error || count > 0) return before;
        if (!take(stream)) {
            error = stream.failure();
            return Next::nothing;
        }
        return flush(stream, error);
    }
    template <class Self>
    void complete(Self& self, error_code error) const {
        self.complete(error, count);
    }

private:
    /// Encrypts the first buffer, or the beginning of it; small ones that follow each other as one record, so that a
    /// head and a short body do not go separately.
    bool take(TlsStream& stream) {
        boost::asio::const_buffer first;
        for (auto at = boost::asio::buffer_sequence_begin(buffers); at != boost::asio::buffer_sequence_end(buffers);
             ++at)
            if (first = *at; first.size() > 0) break;
        std::array<char, SSL3_RT_MAX_PLAIN_LENGTH> gathered;
        if (first.size() < gathered.size()) {
            const std::size_t size = boost::asio::buffer_copy(boost::asio::buffer(gathered), buffers);
            first = {gathered.data(), size};
        }
        const std::size_t size = std::min(first.size(), BufferPool::chunk_bytes);
        if (size > 0 && stream.encrypt({static_cast<const char*>(first.data()), size}) != IoStatus::done) return false;
        count = size;
        return true;
    }
};

struct Shutdown {
    using cancellation = boost::asio::enable_partial_cancellation;
    bool announced = false;

    Next step(TlsStream& stream, error_code& error) {
        Next next = flush(stream, error);
        if (next != Next::nothing || error) return next;
        if (!std::exchange(announced, true)) {
            if (stream.close_notify() != IoStatus::done) {
                error = stream.failure();
                return Next::nothing;
            }
            (void)stream.try_flush(MSG_MORE);  // the FIN goes in the same segment
            next = flush(stream, error);
            if (next != Next::nothing || error) return next;
        }
        error_code ignored;  // The peer may have reset meanwhile; the next read tells.
        stream.socket().shutdown(boost::asio::socket_base::shutdown_send, ignored);
        return Next::nothing;
    }
    template <class Self>
    void complete(Self& self, error_code error) const {
        self.complete(error);
    }
};

}  // namespace tls_async

template <class MutableBufferSequence, class ReadToken>
auto TlsStream::async_read_some(const MutableBufferSequence& buffers, ReadToken&& token) {
    using Machine = tls_async::ReadSome<MutableBufferSequence>;
    return boost::asio::async_compose<ReadToken, void(boost::system::error_code, std::size_t)>(
        tls_async::Operation<Machine>{*this, Machine{buffers}}, token, socket_);
}

template <class ConstBufferSequence, class WriteToken>
auto TlsStream::async_write_some(const ConstBufferSequence& buffers, WriteToken&& token) {
    using Machine = tls_async::WriteSome<ConstBufferSequence>;
    return boost::asio::async_compose<WriteToken, void(boost::system::error_code, std::size_t)>(
        tls_async::Operation<Machine>{*this, Machine{buffers}}, token, socket_);
}

template <class ShutdownToken>
auto TlsStream::async_shutdown(ShutdownToken&& token) {
    using Machine = tls_async::Shutdown;
    return boost::asio::async_compose<ShutdownToken, void(boost::system::error_code)>(
        tls_async::Operation<Machine>{*this, Machine{}}, token, socket_);
}

}  // namespace usher::wire
