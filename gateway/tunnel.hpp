#pragma once
#include <boost/asio/awaitable.hpp>
#include <memory>

#include "gateway/exchange.hpp"
#include "wire/http1/request_parser.hpp"

namespace usher::gateway {

/// Serves one CONNECT from its credential to its CLOSED record. Returns true when a refusal was sent and the connection
/// should linger; false when it is over. The request is gone before the tunnel begins, which may be there for days.
boost::asio::awaitable<bool> run_tunnel(Exchange& exchange, std::unique_ptr<wire::http1::Request> request);

}  // namespace usher::gateway
