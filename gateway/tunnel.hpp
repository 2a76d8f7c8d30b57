#pragma once
#include <boost/asio/awaitable.hpp>

#include "gateway/exchange.hpp"
#include "wire/http1/request_parser.hpp"

namespace usher::gateway {

/// Serves one CONNECT from its credential to its CLOSED record. Returns true when a refusal was sent and the connection
/// should linger; false when it is over.
boost::asio::awaitable<bool> run_tunnel(Exchange& exchange, wire::http1::Request request);

}  // namespace usher::gateway
