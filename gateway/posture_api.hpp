#pragma once
#include <boost/asio/awaitable.hpp>
#include <string>

#include "auth/devices.hpp"
#include "gateway/exchange.hpp"
#include "wire/http1/request_parser.hpp"

namespace usher::gateway {

/// What agents derive a device's unique id with: 43 base64url characters, the same for every gateway of a database and
/// for no other. It is no secret of the gateway's; it keeps two tenants from knowing a device by the same id.
std::string tenant_of(const auth::Devices& devices);

/// PUT /.usher/v1/sessions/current/posture: what the session's agent says of its device, a JSON object of strings (see
/// auth::Posture). 204 when it is on record, in the database and in force: what it does not allow any more has been cut
/// then. 204 too when the database has just that already; 429 when it says another thing more than five times at once,
/// and then more often than each five seconds. Returns whether the connection may serve another request.
boost::asio::awaitable<bool> serve_posture(Exchange& exchange, wire::http1::Request& request, bool keep);

}  // namespace usher::gateway
