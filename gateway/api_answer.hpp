#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/exchange.hpp"
#include "gateway/gatekeeper.hpp"
#include "wire/http1/json_object.hpp"
#include "wire/http1/request_parser.hpp"
#include "wire/http1/response.hpp"

/// What the requests of the sign-in API have in common. On the worker's thread.
namespace usher::gateway {

/// Sends, and says whether the connection goes on.
boost::asio::awaitable<bool> answer(Exchange& exchange, wire::http1::Response response, bool keep);

/// {"error": code}; a 401 with its challenge.
wire::http1::Response failure(int status, std::string_view code);
boost::asio::awaitable<bool> fail(Exchange& exchange, int status, std::string_view code, bool keep);
/// 429 with Retry-After.
boost::asio::awaitable<bool> fail_throttled(Exchange& exchange, base::Microseconds retry_after, bool keep,
                                            std::string_view code = "too-many-sign-ins");

/// 200 or 201. `json` may hold a secret; the response wipes its own copy.
wire::http1::Response success(const std::string& json, int status = 200);

/// The bearer's token, or nothing: the API knows Bearer only.
Credential credential_of(const wire::http1::Request& request);

/// Who is signed in on this connection; a token that is shown without its device goes on record.
std::optional<Gatekeeper::Subject> authenticate(Exchange& exchange, const wire::http1::Request& request);

/// Reads a body that is one JSON object of at most 8 KiB. nullopt: it is not, which has been answered, and the
/// connection ends.
boost::asio::awaitable<std::optional<wire::http1::JsonObject>> read_form(Exchange& exchange,
                                                                         const wire::http1::Request& request);

}  // namespace usher::gateway
