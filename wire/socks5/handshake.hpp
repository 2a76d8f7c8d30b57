#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/net.hpp"

namespace usher::wire::socks5 {

/// REP of RFC 1928 §6.
enum class Reply : std::uint8_t {
    succeeded = 0,
    general_failure = 1,
    not_allowed = 2,
    network_unreachable = 3,
    host_unreachable = 4,
    connection_refused = 5,
    ttl_expired = 6,
    command_not_supported = 7,
    address_type_not_supported = 8,
};

/// The server's side of a SOCKS5 negotiation (RFC 1928) without authentication, for CONNECT by name, IPv4 and IPv6
/// address. Without I/O. Memory is bounded by the protocol: no message is longer than 262 bytes.
///
/// feed() until `request`, sending output() as it comes; then answer() and send that.
class Handshake {
public:
    enum class State {
        need_more,  ///< feed what comes next
        request,    ///< destination() is what the client wants; say answer()
        refused,    ///< send output() and close: reason() says why
    };

    /// Takes bytes up to the end of the request and sets `consumed` to how many those were. However the bytes are cut
    /// into calls, the outcome is the same.
    State feed(std::string_view bytes, std::size_t& consumed);
    State state() const noexcept { return state_; }

    /// What is to be sent; taken by the call.
    std::string take_output();
    /// The canonical destination: a name in lower case without a dot at its end, or an address.
    const base::Destination& destination() const noexcept { return *destination_; }
    /// The answer to the request. BND.ADDR and BND.PORT are zeros: the connection is made elsewhere.
    static std::string answer(Reply reply);
    std::string_view reason() const noexcept { return reason_; }

private:
    void take(unsigned char byte);
    void end_greeting();
    void end_request();
    void refuse(std::string_view answer, std::string_view reason);
    std::size_t request_size() const;

    State state_ = State::need_more;
    bool greeted_ = false;
    std::string message_;
    std::string output_;
    std::optional<base::Destination> destination_;
    std::string_view reason_;  ///< a literal
};

}  // namespace usher::wire::socks5
