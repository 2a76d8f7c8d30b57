#include "clients/device/open_tokens.hpp"

#include <map>
#include <mutex>
#include <string>

#include "clients/device/token.hpp"

namespace usher::clients::device {

namespace {

/// Never destroyed: a key may be used by what ends later than static objects do.
struct OpenTokens {
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<Token>> by_name;
    static OpenTokens& of_process() {
        static OpenTokens& tokens = *new OpenTokens;
        return tokens;
    }
};

}  // namespace

std::shared_ptr<Token> open_token(const TokenUri& uri) {
    auto& tokens = OpenTokens::of_process();
    const std::lock_guard lock(tokens.mutex);
    auto& token = tokens.by_name[uri.token_name()];
    if (!token) token = std::make_shared<Token>(uri);
    return token;
}

TokensClosedAtEnd::~TokensClosedAtEnd() {
    auto& tokens = OpenTokens::of_process();
    const std::lock_guard lock(tokens.mutex);
    for (auto& [name, token] : tokens.by_name) token->close();
    tokens.by_name.clear();
}

}  // namespace usher::clients::device
