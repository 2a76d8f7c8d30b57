#pragma once
#include <string>
#include <string_view>

#include "wire/socks5/handshake.hpp"

namespace usher::clients::agent {

/// Why a local program gets no tunnel, in one line that an employee understands.
struct Refusal {
    enum class Kind {
        signed_out,       ///< nobody is signed in here, or the session's time is over
        session_over,     ///< the gateway knows the session no longer
        unreachable,      ///< there is no connection to the gateway
        busy,             ///< a bound, or a gateway that can't serve now
        policy,           ///< the gateway says no
        app_unreachable,  ///< the gateway cannot reach the app
        app_timeout,      ///< the app did not answer the gateway
        malformed,        ///< the gateway or this program was given what it does not take
    };
    Kind kind = Kind::unreachable;
    std::string words;  ///< one line, safe for a terminal

    /// Of the gateway's answer to a CONNECT that is no 200, with the first line of its text.
    static Refusal of_answer(int status, std::string_view text);

    /// What a program that asked by HTTP is answered. Never 407: no credential that a program could ask its user for
    /// would help.
    int http_status() const noexcept;
    wire::socks5::Reply socks_reply() const noexcept;
};

}  // namespace usher::clients::agent
