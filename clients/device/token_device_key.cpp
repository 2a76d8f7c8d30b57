#include "clients/device/token_device_key.hpp"

#include <openssl/rand.h>

#include <new>

#include "base/text.hpp"
#include "clients/common/private_file.hpp"
#include "clients/device/key_pair.hpp"
#include "clients/device/open_tokens.hpp"
#include "clients/device/signing_handle.hpp"
#include "clients/device/token.hpp"

namespace usher::clients::device {

using base::Errc;
using base::Error;
using base::Result;

namespace {

constexpr std::size_t id_bytes = 16;

std::string new_id() {
    std::string id(id_bytes, '\0');
    if (RAND_bytes(reinterpret_cast<unsigned char*>(id.data()), static_cast<int>(id.size())) != 1)
        throw std::bad_alloc();
    return id;
}

}  // namespace

TokenDeviceKey::TokenDeviceKey(std::string path, TokenUri uri, PinAsking asking, std::string replaces)
    : path_(std::move(path)), uri_(std::move(uri)), asking_(asking), replaces_(std::move(replaces)) {}

Result<TokenUri> TokenDeviceKey::parse_reference(std::string_view text) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    auto uri = TokenUri::parse(text);
    if (!uri) return Error{Errc::data_loss, uri.error().message};
    if (!uri->id() || !uri->label()) return Error{Errc::data_loss, "its URI names no key of the token (object=, id=)"};
    return uri;
}

Result<KeyHandle> TokenDeviceKey::handle() const {
    if (!uri_.id()) return KeyHandle();
    const auto token = open_token(uri_);
    const std::string id = *uri_.id();
    P256Point point{};
    auto found = token->run(pin_source(), Token::Access::read, "find this device's key",
                            [&](const TokenSession& on) { return read_point(on, id, point); });
    if (!found) return std::move(found).error();
    return signing_handle(
        point,
        [token, id, pin = pin_source()](std::span<const std::uint8_t> digest) -> Result<std::array<std::uint8_t, 64>> {
            std::array<std::uint8_t, 64> signature{};
            auto done = token->run(pin, Token::Access::read, "sign",
                                   [&](const TokenSession& on) { return sign_digest(on, id, digest, signature); });
            if (!done) return std::move(done).error();
            return signature;
        });
}

Result<KeyHandle> TokenDeviceKey::make() {
    const std::string label = uri_.label().value_or(std::string(default_label));
    const auto token = open_token(uri_);
    std::size_t others = 0;
    auto fit = token->run(pin_source(), Token::Access::read, "tell what it can do", [&](const TokenSession& on) {
        const CK_RV code = check_mechanisms(on);
        return code == CKR_OK ? count_others(on, label, replaces_, others) : code;
    });
    if (!fit) return std::move(fit).error();
    if (others != 0)
        return Error{Errc::already_exists,
                     "the token " + token->shown() + " has a key '" + base::escape_for_terminal(label, 100) +
                         "' already, which is not this device's; choose another name with object=NAME in the URI, or "
                         "remove that key (pkcs11-tool --module FILE --login --delete-object --type privkey --label "
                         "NAME)"};
    uri_ = uri_.with_key(label, new_id());
    if (auto written = write_private_file(path_, uri_.text() + "\n"); !written) return std::move(written).error();
    auto made = token->run(pin_source(), Token::Access::write, "make a key",
                           [&](const TokenSession& on) { return generate_pair(on, label, *uri_.id()); });
    if (made) return handle();
    // What it may have made before it failed; where that fails as well, the next enrolment tries again.
    (void)remove();
    return std::move(made).error();
}

Result<void> TokenDeviceKey::remove() {
    if (uri_.id()) {
        const std::string id = *uri_.id();
        auto gone = open_token(uri_)->run(pin_source(), Token::Access::write, "remove a key",
                                          [&](const TokenSession& on) { return destroy_pair(on, id); });
        if (!gone) return gone;
    }
    return remove_private_file(path_);
}

}  // namespace usher::clients::device
