#include "base/text.hpp"
#include "tests/fuzz/require.hpp"
#include "wire/http1/authorization.hpp"

using usher::fuzz::require;
using namespace usher::wire::http1;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto value = usher::fuzz::text_of(data, size);
    const auto parsed = parse_authorization(value);
    if (const auto* bearer = std::get_if<Bearer>(&parsed)) {
        require(!bearer->token.empty() && value.substr(7) == bearer->token.reveal());
    }
    if (const auto* basic = std::get_if<Basic>(&parsed)) {
        require(!basic->username.empty() && basic->username.find(':') == std::string::npos);
        // There is one encoding of a pair: what was decoded is what was sent.
        const auto pair = basic->username + ':' + std::string(basic->password.reveal());
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(pair.data());
        require(usher::base::is_utf8(pair) && usher::base::base64_encode({bytes, pair.size()}) == value.substr(6));
    }
    return 0;
}
