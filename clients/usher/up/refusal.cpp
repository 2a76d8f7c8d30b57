#include "clients/usher/up/refusal.hpp"

#include "base/text.hpp"

namespace usher::clients::agent {
namespace {

Refusal::Kind kind_of(int status) {
    switch (status) {
        case 403:
            return Refusal::Kind::policy;
        case 407:
            return Refusal::Kind::session_over;
        case 429:
        case 503:
            return Refusal::Kind::busy;
        case 504:
            return Refusal::Kind::app_timeout;
        case 502:
            return Refusal::Kind::app_unreachable;
        default:
            return Refusal::Kind::malformed;
    }
}

}  // namespace

Refusal Refusal::of_answer(int status, std::string_view text) {
    Refusal refusal{kind_of(status), {}};
    if (refusal.kind == Kind::session_over) {
        refusal.words =
            "your session is over: it was ended by an administrator or by a sign-out, or was not used for too long. "
            "Sign in again with: usher login";
        return refusal;
    }
    text = text.substr(0, text.find('\n'));
    while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
    refusal.words = base::escape_for_terminal(text, 500);
    if (refusal.words.empty()) refusal.words = "the gateway answered " + std::to_string(status);
    return refusal;
}

int Refusal::http_status() const noexcept {
    switch (kind) {
        case Kind::policy:
            return 403;
        case Kind::app_unreachable:
        case Kind::malformed:
            return 502;
        case Kind::app_timeout:
            return 504;
        default:
            return 503;
    }
}

wire::socks5::Reply Refusal::socks_reply() const noexcept {
    using wire::socks5::Reply;
    switch (kind) {
        case Kind::policy:
            return Reply::not_allowed;
        case Kind::app_unreachable:
            return Reply::connection_refused;
        case Kind::app_timeout:
            return Reply::host_unreachable;
        default:
            return Reply::general_failure;
    }
}

}  // namespace usher::clients::agent
