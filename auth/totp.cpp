#include "auth/totp.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include <array>
#include <stdexcept>

#include "base/ids.hpp"

namespace usher::auth {
namespace {

constexpr std::size_t sha1_bytes = 20;
constexpr std::string_view base32_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

using Digits = std::array<char, totp_digits>;

/// RFC 4226 §5.3: HMAC of the counter, dynamically truncated, modulo 10^6.
Digits digits_of(const base::Secret& seed, std::int64_t step) {
    std::array<unsigned char, 8> counter{};
    const auto count = static_cast<std::uint64_t>(step);
    for (std::size_t i = 0; i < counter.size(); ++i)
        counter[i] = static_cast<unsigned char>(count >> (8 * (counter.size() - 1 - i)));
    std::array<unsigned char, sha1_bytes> mac{};
    unsigned length = 0;
    const auto key = seed.reveal();
    if (HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()), counter.data(), counter.size(), mac.data(),
             &length) == nullptr ||
        length != mac.size())
        throw std::runtime_error("OpenSSL has no HMAC-SHA-1");
    const std::size_t at = mac.back() & 0x0f;
    std::uint32_t value = (mac[at] & 0x7fu) << 24 | mac[at + 1] << 16 | mac[at + 2] << 8 | mac[at + 3];
    sodium_memzero(mac.data(), mac.size());
    Digits digits;
    for (std::size_t i = digits.size(); i-- > 0; value /= 10) digits[i] = static_cast<char>('0' + value % 10);
    return digits;
}

void append_percent_encoded(std::string& out, std::string_view text) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                c == '-' || c == '.' || c == '_' || c == '~';
        if (unreserved)
            out += c;
        else
            out.append({'%', hex[byte >> 4], hex[byte & 0x0f]});
    }
}

}  // namespace

base::Secret make_totp_seed() {
    std::string seed(totp_seed_bytes, '\0');
    base::random_bytes({reinterpret_cast<std::uint8_t*>(seed.data()), seed.size()});
    return base::Secret(std::move(seed));
}

std::int64_t totp_step(base::UtcTime now) noexcept {
    return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count() / totp_step_seconds;
}

base::Secret totp_code(const base::Secret& seed, std::int64_t step) {
    const auto digits = digits_of(seed, step);
    return base::Secret(std::string_view(digits.data(), digits.size()));
}

std::optional<std::int64_t> match_totp(const base::Secret& seed, std::string_view code, base::UtcTime now) {
    // A text of another length is compared all the same: whoever waits for the answer learns nothing of the path.
    Digits typed{};
    code.copy(typed.data(), typed.size());
    const std::int64_t current = totp_step(now);
    std::optional<std::int64_t> matched;
    for (std::int64_t step = current - 1; step <= current + 1; ++step) {
        const auto digits = digits_of(seed, step);
        if (sodium_memcmp(digits.data(), typed.data(), digits.size()) == 0) matched = step;
    }
    sodium_memzero(typed.data(), typed.size());
    return code.size() == totp_digits ? matched : std::nullopt;
}

base::Secret base32_encode(std::string_view bytes) {
    std::string out;
    out.reserve((bytes.size() * 8 + 4) / 5);
    std::uint32_t buffer = 0;
    unsigned bits = 0;
    for (const char c : bytes) {
        buffer = buffer << 8 | static_cast<unsigned char>(c);
        for (bits += 8; bits >= 5; bits -= 5) out += base32_alphabet[buffer >> (bits - 5) & 0x1f];
        buffer &= (1u << bits) - 1;
    }
    if (bits > 0) out += base32_alphabet[buffer << (5 - bits) & 0x1f];
    return base::Secret(std::move(out));
}

base::Secret totp_uri(std::string_view issuer, std::string_view username, const base::Secret& seed) {
    const base::Secret secret = base32_encode(seed.reveal());
    std::string uri;
    // Once, so that wiping it wipes every copy.
    uri.reserve(128 + 6 * issuer.size() + 3 * username.size() + secret.size());
    uri = "otpauth://totp/";
    append_percent_encoded(uri, issuer);
    uri += ':';
    append_percent_encoded(uri, username);
    uri.append("?secret=").append(secret.reveal()).append("&issuer=");
    append_percent_encoded(uri, issuer);
    uri += "&algorithm=SHA1&digits=6&period=30";
    return base::Secret(std::move(uri));
}

}  // namespace usher::auth
