#pragma once
#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string_view>

#include "gateway/exchange.hpp"
#include "wire/http1/request_parser.hpp"

namespace usher::gateway {

/// The second factor of whoever is signed in:
///   POST /.usher/v1/sessions/current/second-factor   prove it again in this session
///   POST /.usher/v1/second-factor                    begin to enrol one; the password is proved again
///   POST /.usher/v1/second-factor/confirm            finish: the app has the seed
enum class SecondFactorRequest { verify, begin, confirm };
std::optional<SecondFactorRequest> second_factor_request(std::string_view path) noexcept;

/// Serves one of them: who is not signed in gets 401, who does not prove what is asked 403 in the same words for every
/// reason; each try counts as a sign-in does, and each that fails, and each change, is on record. Returns whether the
/// connection may serve another request.
boost::asio::awaitable<bool> serve_second_factor(Exchange& exchange, wire::http1::Request& request,
                                                 SecondFactorRequest what, bool keep);

}  // namespace usher::gateway
