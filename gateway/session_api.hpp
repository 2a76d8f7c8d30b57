#pragma once
#include <boost/asio/awaitable.hpp>

#include "gateway/exchange.hpp"
#include "wire/http1/request_parser.hpp"

namespace usher::gateway {

/// Serves one request of the sign-in API (docs/session-api.md):
///   POST   /.usher/v1/sessions           sign in
///   GET    /.usher/v1/sessions/current   who am I
///   DELETE /.usher/v1/sessions/current   sign out
///   GET    /.usher/v1/apps               what may I use
///   POST   /.usher/v1/sessions/current/second-factor, /.usher/v1/second-factor[/confirm]   see second_factor_api.hpp
///   POST   /.usher/v1/devices[/current/certificate]   see device_api.hpp
/// Anything else is 404 or 405. Returns whether the connection may serve another request.
boost::asio::awaitable<bool> serve_session_api(Exchange& exchange, wire::http1::Request& request);

}  // namespace usher::gateway
