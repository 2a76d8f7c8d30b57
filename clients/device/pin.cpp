#include "clients/device/pin.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "clients/common/password.hpp"
#include "clients/common/private_file.hpp"

namespace usher::clients::device {

using base::Errc;
using base::Error;
using base::Result;
using base::Secret;

namespace {

// Nothing that has a token behind it takes so many; past it nothing is tried any more.
constexpr std::size_t refused_limit = 16;

Result<Secret> pin_of_file(const std::string& path) {
    const std::string shown = base::escape_for_terminal(path);
    auto text = read_private_file(path, true, "change the PIN");
    if (!text) return std::move(text).error();
    if (!*text)
        return Error{Errc::failed_precondition, "there is no file " + shown + ", which pin-source names as the PIN's"};
    auto pin = password_line(**text);
    base::wipe(**text);
    if (!pin) return Error{Errc::invalid_argument, shown + " has no PIN in its first line"};
    return pin;
}

Result<Secret> ask(const std::string& token) {
    auto pin = read_password("PIN of the token " + token + ": ", {});
    if (pin || pin.error().code != Errc::failed_precondition) return pin;
    return Error{Errc::failed_precondition, "there is no terminal to ask for the PIN of the token " + token +
                                                "; name a file of mode 0600 with it in the key's URI: "
                                                "pin-source=file:/PATH"};
}

}  // namespace

Result<Secret> Pin::get(const PinSource& source, const std::string& token, bool last_try) {
    if (refused_.size() >= refused_limit)
        return Error{Errc::permission_denied, "the token " + token + " has refused " + std::to_string(refused_limit) +
                                                  " PINs; no other is tried before this program is started anew"};
    if (source.file && last_try)
        return Error{Errc::permission_denied,
                     "the token " + token + " locks after one more wrong PIN, so the one of " +
                         base::escape_for_terminal(*source.file) +
                         " is not tried; log in to the token once by hand (pkcs11-tool --module FILE --login "
                         "--list-objects), and try again"};
    if (!source.file && !asked_ && source.asking == PinAsking::never)
        return Error{Errc::failed_precondition,
                     "the token " + token +
                         " wants its PIN, and there is nobody to ask here; write it into a file of "
                         "mode 0600 and add pin-source=file:/PATH to the URI in ~/.config/usher/device.key"};
    auto pin = source.file ? pin_of_file(*source.file) : asked_ ? Result<Secret>(Secret(asked_->reveal())) : ask(token);
    if (!pin) return pin;
    const bool known =
        std::any_of(refused_.begin(), refused_.end(), [&](const Secret& one) { return one.equals(pin->reveal()); });
    if (known)
        return Error{
            Errc::permission_denied,
            "the token " + token +
                " has refused this PIN before; it is not tried "
                "again" +
                (source.file ? ". Put the right one into " + base::escape_for_terminal(*source.file) : std::string())};
    return pin;
}

void Pin::accepted(Secret pin, const PinSource& source) {
    if (!source.file) asked_ = std::move(pin);
}

void Pin::refused(Secret pin) {
    asked_.reset();
    refused_.push_back(std::move(pin));
}

}  // namespace usher::clients::device
