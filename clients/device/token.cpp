#include "clients/device/token.hpp"

#include "clients/device/token_error.hpp"

namespace usher::clients::device {

using base::Errc;
using base::Error;
using base::Result;
using base::Secret;

namespace {

/// Modules do not write to the PIN, and take no const.
CK_RV call_login(CK_FUNCTION_LIST& module, CK_SESSION_HANDLE session, const Secret& pin) {
    auto* bytes = reinterpret_cast<CK_UTF8CHAR*>(const_cast<char*>(pin.reveal().data()));
    return module.C_Login(session, CKU_USER, bytes, pin.size());
}

bool is_logged_in(CK_RV code) noexcept { return code == CKR_OK || code == CKR_USER_ALREADY_LOGGED_IN; }

}  // namespace

Result<void> Token::run(const PinSource& pin, Access access, std::string_view doing,
                        const std::function<CK_RV(const TokenSession&)>& work) {
    const std::lock_guard lock(mutex_);
    for (bool again = false;; again = true) {
        if (auto opened = open(pin); !opened) return opened;
        const CK_RV code = work_in(access, work);
        if (code == CKR_OK) return {};
        if (is_session_lost(code)) drop();
        if (again || !is_session_lost(code)) return token_error(code, doing, shown());
    }
}

CK_RV Token::work_in(Access access, const std::function<CK_RV(const TokenSession&)>& work) {
    CK_FUNCTION_LIST& module = *slot_->module;
    if (access == Access::read) return work({module, session_, slot_->id});
    // The login is the application's, so it holds in this session as well (PKCS#11 v2.40 §2.6.4).
    CK_SESSION_HANDLE writing = 0;
    const CK_RV opened =
        module.C_OpenSession(slot_->id, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &writing);
    if (opened != CKR_OK) return opened;
    const CK_RV code = work({module, writing, slot_->id});
    module.C_CloseSession(writing);
    return code;
}

Result<void> Token::open(const PinSource& pin) {
    if (slot_) return {};
    auto slot = find_(uri_);
    if (!slot) return std::move(slot).error();
    CK_SESSION_HANDLE session = 0;
    const CK_RV code = slot->module->C_OpenSession(slot->id, CKF_SERIAL_SESSION, nullptr, nullptr, &session);
    if (code != CKR_OK) return token_error(code, "open a session", shown());
    auto logged_in = log_in(pin, *slot, session);
    if (!logged_in) {
        slot->module->C_CloseSession(session);
        return logged_in;
    }
    slot_ = std::move(*slot);
    session_ = session;
    return {};
}

Result<void> Token::log_in(const PinSource& source, const TokenSlot& slot, CK_SESSION_HANDLE session) {
    const CK_FLAGS flags = slot.info.flags;
    const auto failed = [this](CK_RV code) { return token_error(code, "log in", shown()); };
    if ((flags & CKF_LOGIN_REQUIRED) == 0) return {};
    if ((flags & CKF_USER_PIN_LOCKED) != 0) return failed(CKR_PIN_LOCKED);
    if ((flags & CKF_USER_PIN_INITIALIZED) == 0) return failed(CKR_USER_PIN_NOT_INITIALIZED);
    if ((flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0) {  // it has a keypad of its own
        const CK_RV code = slot.module->C_Login(session, CKU_USER, nullptr, 0);
        return is_logged_in(code) ? Result<void>() : failed(code);
    }
    auto pin = pin_.get(source, shown(), (flags & CKF_USER_PIN_FINAL_TRY) != 0);
    if (!pin) return std::move(pin).error();
    const CK_RV code = call_login(*slot.module, session, *pin);
    if (is_logged_in(code)) {
        pin_.accepted(std::move(*pin), source);
        return {};
    }
    if (is_pin_refused(code)) pin_.refused(std::move(*pin));
    return failed(code);
}

void Token::drop() noexcept {
    if (!slot_) return;
    slot_->module->C_CloseSession(session_);  // the last one logs out; of a token that is gone it fails
    slot_.reset();
}

void Token::close() noexcept {
    const std::lock_guard lock(mutex_);
    drop();
}

}  // namespace usher::clients::device
