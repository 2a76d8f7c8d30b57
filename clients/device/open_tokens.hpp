#pragma once
#include <memory>

#include "clients/device/token_uri.hpp"

namespace usher::clients::device {

class Token;

/// The token of this URI as this process has it: the same object for the same token_name(), so that it is logged in to
/// once and a refused PIN stays refused. Any thread.
std::shared_ptr<Token> open_token(const TokenUri& uri);

/// Closes all tokens at the end of main(), while the modules and what they use are still whole.
struct TokensClosedAtEnd {
    TokensClosedAtEnd() = default;
    ~TokensClosedAtEnd();
    TokensClosedAtEnd(const TokensClosedAtEnd&) = delete;
    TokensClosedAtEnd& operator=(const TokensClosedAtEnd&) = delete;
};

}  // namespace usher::clients::device
