#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/buffer_pool.hpp"
#include "wire/io_status.hpp"

namespace usher::wire {

/// The client's end of a tunnel: a TLS connection as a whole, or one stream of an HTTP/2 connection. Steps never block
/// and never suspend; one reader and one writer may wait at the same time. Lives on one worker's thread.
class TunnelEnd {
public:
    virtual ~TunnelEnd() = default;

    /// Takes what has arrived; `count` is how many bytes. Reading it gives the client room to send more. An `out` of
    /// more than BufferPool::chunk_bytes says that more is expected than usual.
    virtual IoStatus try_read(std::span<char> out, std::size_t& count) = 0;
    virtual boost::asio::awaitable<bool> wait_readable() = 0;  ///< false: aborted

    /// How many bytes put() takes now, at most BufferPool::bulk_bytes; 0 while earlier ones wait for the client.
    virtual std::size_t room() = 0;
    virtual boost::asio::awaitable<bool> wait_room() = 0;  ///< false: aborted or broken
    /// Takes the first `count` bytes of the block, at most room(), for sending: `done`, or `failed` and takes nothing.
    virtual IoStatus put(BufferPool::Block block, std::size_t count) = 0;
    /// Ends this direction behind what was put; reading goes on.
    virtual boost::asio::awaitable<IoStatus> shutdown_send() = 0;

    /// Ends both directions, with a reset if `reset`; waits return. Idempotent.
    virtual void abort(bool reset) noexcept = 0;
    /// Bytes given to put() that are known not to have reached the client's host.
    virtual std::size_t unacknowledged() const noexcept = 0;
    /// An upper bound of the bytes given to put() that the client's program could not get any more if this process died
    /// now: what the client's host has not acknowledged, in whole records, and what lies here.
    virtual std::uint64_t unconfirmed() const noexcept = 0;
    /// Whether the client is known to have gone, for whoever does not read just now.
    virtual bool peer_gone() noexcept { return false; }
};

}  // namespace usher::wire
