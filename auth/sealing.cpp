#include "auth/sealing.hpp"

#include <sodium.h>

#include <algorithm>
#include <stdexcept>

#include "base/ids.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Result;

constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_bytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(SealingKeys::key_bytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);

const unsigned char* bytes_of(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) noexcept { return reinterpret_cast<unsigned char*>(text.data()); }

/// A hash of the key under a name of its own: it tells two keys apart and says nothing of either.
std::string id_of(const base::Secret& key) {
    constexpr std::string_view purpose = "usher sealing key id";
    std::array<std::uint8_t, crypto_generichash_BYTES_MIN> hash{};
    crypto_generichash(hash.data(), hash.size(), bytes_of(purpose), purpose.size(), bytes_of(key.reveal()), key.size());
    return base::to_hex(std::span(hash).first(8));
}

/// What is authenticated beside the secret.
std::string associated(const std::string& key_id, std::string_view context) {
    return key_id + '\n' + std::string(context);
}

}  // namespace

Result<SealingKeys> SealingKeys::of(std::vector<base::Secret> keys) {
    if (sodium_init() < 0) return {Errc::internal, "libsodium could not be initialised"};
    if (keys.empty() || keys.size() > keys_max)
        return {Errc::invalid_argument, "expected 1 to " + std::to_string(keys_max) + " sealing keys"};
    std::vector<Key> named;
    for (auto& key : keys) {
        if (key.size() != key_bytes)
            return {Errc::invalid_argument, "a sealing key has " + std::to_string(key.size()) + " bytes, expected " +
                                                std::to_string(key_bytes)};
        auto id = id_of(key);
        for (const auto& other : named)
            if (other.id == id) return {Errc::invalid_argument, "the sealing key " + id + " is given twice"};
        named.push_back({std::move(id), std::move(key)});
    }
    return SealingKeys(std::move(named));
}

Sealed SealingKeys::seal(const base::Secret& secret, std::string_view context) const {
    const auto& key = keys_.front();
    const auto beside = associated(key.id, context);
    Sealed sealed{key.id, std::string(nonce_bytes + secret.size() + tag_bytes, '\0')};
    auto* out = bytes_of(sealed.bytes);
    // A random nonce of 192 bits does not come twice.
    base::random_bytes({out, nonce_bytes});
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + nonce_bytes, nullptr, bytes_of(secret.reveal()), secret.size(),
                                               bytes_of(beside), beside.size(), nullptr, out,
                                               bytes_of(key.bytes.reveal()));
    return sealed;
}

Result<base::Secret> SealingKeys::open(const Sealed& sealed, std::string_view context) const {
    const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.id == sealed.key_id; });
    if (key == keys_.end())
        return {Errc::failed_precondition, "a secret is sealed with the key " +
                                               base::escape_for_terminal(sealed.key_id, 64) +
                                               ", which is none of 'sealing_keys'; give that key back"};
    if (sealed.bytes.size() < nonce_bytes + tag_bytes) return {Errc::data_loss, "a sealed secret is cut short"};
    const auto beside = associated(key->id, context);
    std::string plain(sealed.bytes.size() - nonce_bytes - tag_bytes, '\0');
    const auto* in = bytes_of(std::string_view(sealed.bytes));
    const int opened = crypto_aead_xchacha20poly1305_ietf_decrypt(bytes_of(plain), nullptr, nullptr, in + nonce_bytes,
                                                                  sealed.bytes.size() - nonce_bytes, bytes_of(beside),
                                                                  beside.size(), in, bytes_of(key->bytes.reveal()));
    if (opened != 0) return {Errc::data_loss, "a sealed secret is not what was sealed for its owner"};
    return base::Secret(std::move(plain));
}

bool SealingKeys::has(std::string_view key_id) const noexcept {
    return std::any_of(keys_.begin(), keys_.end(), [&](const Key& key) { return key.id == key_id; });
}

}  // namespace usher::auth
