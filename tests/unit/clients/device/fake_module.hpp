#pragma once
#include <p11-kit/pkcs11.h>

#include <atomic>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "clients/device/token_slot.hpp"

namespace usher::clients::device {

/// A PKCS#11 module in memory with one token, for what a real one does only when it is broken: there is one at a time.
struct FakeModule {
    FakeModule() { current() = this; }
    ~FakeModule() { current() = nullptr; }
    FakeModule(const FakeModule&) = delete;
    FakeModule& operator=(const FakeModule&) = delete;

    CK_FLAGS flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
    std::string pin = "1234";
    bool present = true;
    CK_RV opening = CKR_OK, login_answer = CKR_OK;
    std::vector<std::string> logins;  ///< the PINs that were tried
    std::map<CK_SESSION_HANDLE, bool> sessions;
    CK_SESSION_HANDLE next = 1;
    int finds = 0;

    void forget_sessions() { sessions.clear(); }

    base::Result<TokenSlot> find() {
        ++finds;
        if (!present) return {base::Errc::not_found, "there is no token"};
        TokenSlot slot{std::shared_ptr<CK_FUNCTION_LIST>(&functions(), [](CK_FUNCTION_LIST*) {}), 7, {}};
        slot.info.flags = flags;
        return slot;
    }

private:
    static FakeModule*& current() {
        static FakeModule* module = nullptr;
        return module;
    }
    static CK_FUNCTION_LIST& functions() {
        static CK_FUNCTION_LIST list = [] {
            CK_FUNCTION_LIST made{};
            made.C_OpenSession = [](CK_SLOT_ID, CK_FLAGS asked, void*, CK_NOTIFY, CK_SESSION_HANDLE* session) -> CK_RV {
                if (current()->opening != CKR_OK) return current()->opening;
                *session = current()->next++;
                current()->sessions[*session] = (asked & CKF_RW_SESSION) != 0;
                return CKR_OK;
            };
            made.C_CloseSession = [](CK_SESSION_HANDLE session) -> CK_RV {
                return current()->sessions.erase(session) == 1 ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
            };
            made.C_Login = [](CK_SESSION_HANDLE, CK_USER_TYPE, unsigned char* text, CK_ULONG length) -> CK_RV {
                const std::string tried =
                    text == nullptr ? "keypad" : std::string(reinterpret_cast<char*>(text), length);
                current()->logins.push_back(tried);
                if (current()->login_answer != CKR_OK) return current()->login_answer;
                return text == nullptr || tried == current()->pin ? CKR_OK : CKR_PIN_INCORRECT;
            };
            return made;
        }();
        return list;
    }
};

}  // namespace usher::clients::device
