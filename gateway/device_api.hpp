#pragma once
#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string_view>

#include "gateway/exchange.hpp"
#include "wire/http1/request_parser.hpp"

namespace usher::gateway {

/// The device of whoever is signed in:
///   POST /.usher/v1/devices                       enrol one: a certificate for the key of a PKCS#10 request
///   POST /.usher/v1/devices/current/certificate   a new certificate for the device that the session is bound to
enum class DeviceRequest { enroll, renew };
std::optional<DeviceRequest> device_request(std::string_view path) noexcept;

/// Serves one. Enrolling takes a session that has proved itself within the last ten minutes: by its second factor where
/// the account has one, else by its sign-in. On record before it is in force. Returns whether the connection may serve
/// another request.
boost::asio::awaitable<bool> serve_device(Exchange& exchange, wire::http1::Request& request, DeviceRequest what,
                                          bool keep);

}  // namespace usher::gateway
