#include "clients/device/token_error.hpp"

#include <p11-kit/p11-kit.h>

#include <array>
#include <cstdio>

#include "base/text.hpp"

namespace usher::clients::device {

using base::Errc;
using base::Error;

Error token_error(CK_RV code, std::string_view doing, const std::string& token) {
    switch (code) {
        case CKR_TOKEN_NOT_PRESENT:
        case CKR_DEVICE_REMOVED:
        case CKR_SLOT_ID_INVALID:
        case CKR_TOKEN_NOT_RECOGNIZED:
            return {Errc::unavailable, "the token " + token + " is not there any more; put it in and try again"};
        case CKR_PIN_INCORRECT:
        case CKR_PIN_INVALID:
        case CKR_PIN_LEN_RANGE:
            return {Errc::permission_denied, "the token " + token +
                                                 " refuses the PIN; it is not tried again, because tokens lock "
                                                 "themselves after a few wrong ones"};
        case CKR_PIN_LOCKED:
            return {Errc::permission_denied, "the PIN of the token " + token +
                                                 " is locked after too many wrong ones; who administers the token "
                                                 "sets a new one with its security officer's PIN (SO PIN, PUK)"};
        case CKR_PIN_EXPIRED:
            return {Errc::permission_denied,
                    "the PIN of the token " + token + " has expired; change it with the token's own program"};
        case CKR_USER_PIN_NOT_INITIALIZED:
            return {Errc::permission_denied, "the token " + token +
                                                 " has no user PIN yet; set one with the token's own program (or: "
                                                 "pkcs11-tool --module FILE --login --login-type so --init-pin)"};
        case CKR_DEVICE_MEMORY:
            return {Errc::resource_exhausted,
                    "the token " + token +
                        " is full; remove a key that is not needed any more (pkcs11-tool --module FILE --login "
                        "--list-objects, --delete-object), and try again"};
        case CKR_MECHANISM_INVALID:
        case CKR_MECHANISM_PARAM_INVALID:
        case CKR_CURVE_NOT_SUPPORTED:
        case CKR_DOMAIN_PARAMS_INVALID:
        case CKR_FUNCTION_NOT_SUPPORTED:
        case CKR_KEY_SIZE_RANGE:
            return {Errc::failed_precondition,
                    "the token " + token +
                        " cannot make P-256 keys and sign with them (CKM_EC_KEY_PAIR_GEN, CKM_ECDSA), which Usher "
                        "needs; use another token"};
        case CKR_TOKEN_WRITE_PROTECTED:
        case CKR_SESSION_READ_ONLY:
            return {Errc::failed_precondition, "the token " + token + " is write-protected; no key can be made on it"};
        case CKR_KEY_HANDLE_INVALID:
        case CKR_OBJECT_HANDLE_INVALID:
            return {Errc::failed_precondition,
                    "the token " + token +
                        " has this device's key no longer; enrol this device anew with: "
                        "usher enroll --replace (signed out? usher login --without-device first)"};
        default:
            break;
    }
    std::array<char, 24> number{};
    std::snprintf(number.data(), number.size(), "0x%lx", code);
    return {is_session_lost(code) ? Errc::unavailable : Errc::internal,
            "the token " + token + " failed when it was to " + std::string(doing) + ": " +
                base::escape_for_terminal(p11_kit_strerror(code), 200) + " (" + number.data() + ")"};
}

bool is_session_lost(CK_RV code) noexcept {
    switch (code) {
        case CKR_SESSION_HANDLE_INVALID:
        case CKR_SESSION_CLOSED:
        case CKR_USER_NOT_LOGGED_IN:
        case CKR_DEVICE_REMOVED:
        case CKR_DEVICE_ERROR:
        case CKR_TOKEN_NOT_PRESENT:
        case CKR_SLOT_ID_INVALID:
        case CKR_KEY_HANDLE_INVALID:  // what is private is not found by who is logged in no longer
        case CKR_OBJECT_HANDLE_INVALID:
        case CKR_OPERATION_ACTIVE:
        case CKR_CRYPTOKI_NOT_INITIALIZED:
            return true;
        default:
            return false;
    }
}

bool is_pin_refused(CK_RV code) noexcept {
    return code == CKR_PIN_INCORRECT || code == CKR_PIN_INVALID || code == CKR_PIN_LEN_RANGE;
}

}  // namespace usher::clients::device
