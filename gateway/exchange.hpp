#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <string>

#include "gateway/record.hpp"
#include "wire/http1/response.hpp"
#include "wire/tunnel_end.hpp"

namespace usher::gateway {

class LiveAccess;
class Worker;

/// One request and its answer, whatever version of HTTP carries it. On its worker's thread; outlives what serves it.
class Exchange {
public:
    virtual ~Exchange() = default;

    virtual Worker& worker() noexcept = 0;
    virtual const Peer& peer() const noexcept = 0;

    /// Reads exactly the `count` bytes of content that the request declared. False when the client is gone.
    virtual boost::asio::awaitable<bool> read_body(std::size_t count, std::string& body) = 0;
    /// The request has been read: what takes time from now on is not the client's doing.
    virtual void clear_deadline() noexcept = 0;
    /// Sends a whole response. False when the client is gone.
    virtual boost::asio::awaitable<bool> send(const wire::http1::Response& response) = 0;

    /// Answers a CONNECT with 200: from now on end() is the tunnel's. False when the client is gone.
    virtual boost::asio::awaitable<bool> establish() = 0;
    virtual wire::TunnelEnd& end() noexcept = 0;
    /// What the client sent behind its CONNECT and end() will not read.
    virtual std::string take_early() = 0;
    /// The access that this exchange carries, so that the end of the connection ends it; nullptr when it is over.
    virtual void set_access(LiveAccess* access) noexcept = 0;
};

}  // namespace usher::gateway
