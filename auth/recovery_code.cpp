#include "auth/recovery_code.hpp"

#include <sodium.h>

#include <string>

#include "auth/totp.hpp"
#include "base/ids.hpp"

namespace usher::auth {
namespace {

constexpr std::size_t random_bytes_each = 15;
constexpr std::size_t characters = 24;
constexpr std::size_t group = 4;

}  // namespace

base::Secret make_recovery_code() {
    std::string random(random_bytes_each, '\0');
    base::random_bytes({reinterpret_cast<std::uint8_t*>(random.data()), random.size()});
    const base::Secret text = base32_encode(random);
    base::wipe(random);
    std::string code;
    code.reserve(characters + characters / group);
    for (const char c : text.reveal()) {
        if (code.size() % (group + 1) == group) code += '-';
        code += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return base::Secret(std::move(code));
}

std::optional<base::Secret> canonical_recovery_code(std::string_view typed) {
    std::string code;
    code.reserve(characters + 1);
    for (const char typed_char : typed) {
        if (typed_char == '-' || typed_char == ' ') continue;
        const char c = typed_char >= 'A' && typed_char <= 'Z' ? static_cast<char>(typed_char - 'A' + 'a') : typed_char;
        const bool known = (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
        if (!known || code.size() == characters) {
            base::wipe(code);
            return std::nullopt;
        }
        code += c;
    }
    base::Secret canonical(std::move(code));
    if (canonical.size() != characters) return std::nullopt;
    return canonical;
}

RecoveryHash recovery_hash(std::string_view account_id, const base::Secret& canonical_code) {
    crypto_hash_sha256_state state;
    const auto add = [&state](std::string_view text) {
        crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    };
    crypto_hash_sha256_init(&state);
    add("usher recovery code\n");
    add(account_id);
    add("\n");
    add(canonical_code.reveal());
    RecoveryHash hash;
    crypto_hash_sha256_final(&state, hash.data());
    sodium_memzero(&state, sizeof state);
    return hash;
}

}  // namespace usher::auth
