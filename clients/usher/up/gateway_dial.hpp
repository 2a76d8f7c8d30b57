#pragma once
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <variant>

#include "clients/common/saved_session.hpp"
#include "wire/tls_stream.hpp"

namespace usher::clients::agent {

/// Why there is no connection to the gateway, in one line for its user.
struct DialFailure {
    std::string words;
    bool lasting = false;  ///< trying again soon would not help
};

/// Makes one connection to the session's gateway: each of its addresses in turn, then TLS, verified, then HTTP/2. All
/// of it within 15 s. Ends at once when the coroutine is cancelled.
boost::asio::awaitable<std::variant<std::unique_ptr<wire::TlsStream>, DialFailure>> dial_gateway(
    std::shared_ptr<const SavedSession> session, wire::BufferPool& pool);

}  // namespace usher::clients::agent
