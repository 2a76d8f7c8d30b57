#include "auth/password.hpp"

#include <sodium.h>

#include <array>
#include <cstring>

#include "auth/password_rules.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;

/// sodium_init() may be called from any thread and any number of times; it must succeed before anything else is used.
bool sodium_ready() noexcept {
    static const bool ready = sodium_init() >= 0;
    return ready;
}

using Encoded = std::array<char, crypto_pwhash_argon2id_STRBYTES>;

/// libsodium reads a NUL-terminated text; a hash with a NUL inside would be cut, so it is none.
bool copy_encoded(std::string_view hash, Encoded& out) noexcept {
    if (hash.empty() || hash.size() >= out.size() || hash.find('\0') != std::string_view::npos) return false;
    out.fill('\0');
    std::memcpy(out.data(), hash.data(), hash.size());
    return true;
}

}  // namespace

base::Result<std::string> hash_password(const base::Secret& password, const HashCost& cost) {
    if (!sodium_ready()) return {Errc::internal, "libsodium could not be initialised"};
    if (password.size() > password_bytes_max) {
        return {Errc::invalid_argument, "password: is longer than " + std::to_string(password_bytes_max) + " bytes"};
    }
    if (cost.operations < crypto_pwhash_argon2id_OPSLIMIT_MIN ||
        cost.operations > crypto_pwhash_argon2id_OPSLIMIT_MAX ||
        cost.memory_bytes < crypto_pwhash_argon2id_MEMLIMIT_MIN ||
        cost.memory_bytes > crypto_pwhash_argon2id_MEMLIMIT_MAX) {
        return {Errc::invalid_argument, "the cost of password hashing is outside of what Argon2id allows"};
    }
    const auto normal = normalize_password(password);
    if (!normal) return {Errc::invalid_argument, "password: is not UTF-8"};
    Encoded encoded{};
    const auto text = normal->reveal();
    if (crypto_pwhash_argon2id_str(encoded.data(), text.data(), text.size(), cost.operations, cost.memory_bytes) != 0) {
        return {Errc::resource_exhausted,
                "there is not enough memory to hash a password (" + std::to_string(cost.memory_bytes) + " bytes)"};
    }
    return std::string(encoded.data());
}

bool is_password_hash(std::string_view hash) noexcept {
    Encoded encoded;
    if (!sodium_ready() || !copy_encoded(hash, encoded)) return false;
    // -1: not a valid encoding. Which cost is asked about does not matter here.
    return crypto_pwhash_argon2id_str_needs_rehash(encoded.data(), crypto_pwhash_argon2id_OPSLIMIT_MIN,
                                                   crypto_pwhash_argon2id_MEMLIMIT_MIN) != -1;
}

bool verify_password(std::string_view hash, const base::Secret& password) noexcept {
    Encoded encoded;
    if (!sodium_ready() || !copy_encoded(hash, encoded)) return false;
    const auto normal = normalize_password(password);
    // The hash is computed in any case: the time says nothing of why it is false.
    const auto text = normal ? normal->reveal() : password.reveal();
    return crypto_pwhash_argon2id_str_verify(encoded.data(), text.data(), text.size()) == 0 && normal;
}

bool is_cheaper(std::string_view hash, const HashCost& cost) noexcept {
    if (!is_password_hash(hash)) return false;
    // "$argon2id$v=19$m=19456,t=2,p=1$..."; the encoding was checked above.
    const auto number = [&](std::string_view key) {
        const auto at = hash.find(key);
        if (at == std::string_view::npos) return std::uint64_t{0};
        const auto digits = hash.substr(at + key.size());
        return base::parse_unsigned(digits.substr(0, digits.find_first_not_of("0123456789")), UINT32_MAX).value_or(0);
    };
    return number("$m=") < cost.memory_bytes / 1024 || number(",t=") < cost.operations;
}

}  // namespace usher::auth
