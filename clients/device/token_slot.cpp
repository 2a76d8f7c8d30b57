#include "clients/device/token_slot.hpp"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include <map>
#include <mutex>
#include <vector>

#include "base/text.hpp"
#include "clients/device/token_error.hpp"

namespace usher::clients::device {

using base::Errc;
using base::Error;
using base::Result;

namespace {

using ModulePtr = std::shared_ptr<CK_FUNCTION_LIST>;

/// The modules that this process has loaded, and how many use each: C_Finalize ends a module for all its users.
class Modules {
public:
    /// Never destroyed: a token may be closed when static objects are gone.
    static Modules& of_process() {
        static Modules& modules = *new Modules;
        return modules;
    }

    Result<std::vector<ModulePtr>> use(const TokenUri& uri) {
        const std::lock_guard lock(mutex_);
        auto loaded = uri.module_path().empty() ? registered(uri.module_name()) : at(uri.module_path());
        if (!loaded) return std::move(loaded).error();
        std::vector<ModulePtr> used;
        CK_RV last = CKR_OK;
        for (CK_FUNCTION_LIST* functions : *loaded) {
            if (users_[functions] == 0) last = p11_kit_module_initialize(functions);
            if (users_[functions] == 0 && last != CKR_OK)
                continue;  // a reader's driver may be broken beside a good one
            ++users_[functions];
            used.emplace_back(functions, [this](CK_FUNCTION_LIST* done) { release(done); });
        }
        if (used.empty())
            return Error{Errc::unavailable, "no PKCS#11 module could be started: " +
                                                base::escape_for_terminal(p11_kit_strerror(last), 200)};
        return used;
    }

private:
    Modules() { p11_kit_be_quiet(); }  // what is wrong is said by this program, once

    Result<std::vector<CK_FUNCTION_LIST*>> at(const std::string& path) {
        CK_FUNCTION_LIST*& functions = by_path_[path];
        if (functions == nullptr) functions = p11_kit_module_load(path.c_str(), P11_KIT_MODULE_CRITICAL);
        if (functions != nullptr) return std::vector{functions};
        const char* why = p11_kit_message();
        return Error{Errc::not_found,
                     "the PKCS#11 module " + base::escape_for_terminal(path) + " cannot be loaded" +
                         (why != nullptr ? ": " + base::escape_for_terminal(why, 300) : std::string()) +
                         "; module-path= has to name the .so file of the token's module"};
    }

    Result<std::vector<CK_FUNCTION_LIST*>> registered(const std::string& name) {
        if (registered_ == nullptr) registered_ = p11_kit_modules_load(nullptr, 0);
        std::vector<CK_FUNCTION_LIST*> found;
        if (registered_ != nullptr && !name.empty()) {
            if (auto* one = p11_kit_module_for_name(registered_, name.c_str())) found.push_back(one);
        } else if (registered_ != nullptr) {
            for (auto** one = registered_; *one != nullptr; ++one) found.push_back(*one);
        }
        if (!found.empty()) return found;
        return Error{Errc::not_found,
                     "no PKCS#11 module " +
                         (name.empty() ? std::string() : "'" + base::escape_for_terminal(name) + "' ") +
                         "is registered on this machine (p11-kit list-modules); install the one of "
                         "your token, or name it with module-path=/PATH.so"};
    }

    void release(CK_FUNCTION_LIST* functions) {
        const std::lock_guard lock(mutex_);
        if (--users_[functions] == 0) p11_kit_module_finalize(functions);
    }

    std::mutex mutex_;
    std::map<std::string, CK_FUNCTION_LIST*> by_path_;
    CK_FUNCTION_LIST** registered_ = nullptr;
    std::map<CK_FUNCTION_LIST*, int> users_;
};

std::vector<CK_SLOT_ID> slots_with_token(CK_FUNCTION_LIST& module) {
    std::vector<CK_SLOT_ID> slots;
    CK_ULONG count = 0;
    // The first call has the module look for what was put in; a token that comes between the two is found next time.
    if (module.C_GetSlotList(CK_TRUE, nullptr, &count) != CKR_OK) return {};
    slots.resize(count);
    if (count == 0 || module.C_GetSlotList(CK_TRUE, slots.data(), &count) != CKR_OK) return {};
    slots.resize(count);
    return slots;
}

bool slot_fits(const TokenUri& uri, CK_FUNCTION_LIST& module, CK_SLOT_ID slot) {
    auto* parsed = const_cast<p11_kit_uri*>(uri.handle());  // it takes no const, and changes nothing
    const CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(parsed);
    CK_SLOT_INFO info{};
    return (wanted == static_cast<CK_SLOT_ID>(-1) || wanted == slot) && module.C_GetSlotInfo(slot, &info) == CKR_OK &&
           p11_kit_uri_match_slot_info(parsed, &info) == 1;
}

/// A field of fixed length, filled up with blanks (PKCS#11 v2.40 §3.2).
template <std::size_t N>
std::string field(const unsigned char (&text)[N]) {
    return base::escape_for_terminal(
        std::string_view(reinterpret_cast<const char*>(text), p11_kit_space_strlen(text, N)), 100);
}

}  // namespace

Result<TokenSlot> find_slot(const TokenUri& uri) {
    auto modules = Modules::of_process().use(uri);
    if (!modules) return std::move(modules).error();
    std::vector<TokenSlot> found;
    std::string others;
    for (const auto& module : *modules) {
        CK_INFO about{};
        if (module->C_GetInfo(&about) != CKR_OK || p11_kit_uri_match_module_info(uri.handle(), &about) != 1) continue;
        for (const CK_SLOT_ID slot : slots_with_token(*module)) {
            TokenSlot one{module, slot, {}};
            if (module->C_GetTokenInfo(slot, &one.info) != CKR_OK) continue;
            if ((one.info.flags & CKF_TOKEN_INITIALIZED) == 0) continue;
            const bool fits =
                p11_kit_uri_match_token_info(uri.handle(), &one.info) == 1 && slot_fits(uri, *module, slot);
            if (!fits) others += (others.empty() ? "" : ", ") + ("'" + field(one.info.label) + "'");
            if (fits) found.push_back(std::move(one));
        }
    }
    if (found.size() > 1)
        return Error{Errc::failed_precondition,
                     "more than one token is " + uri.shown_token() + ", their serial numbers are " +
                         field(found[0].info.serialNumber) + " and " + field(found[1].info.serialNumber) +
                         "; add serial=NUMBER to the URI, or module-path=/PATH.so where one token is reached by two "
                         "modules"};
    if (!found.empty()) return std::move(found.front());
    return Error{Errc::unavailable,
                 "there is no token " + uri.shown_token() + "; put it in and try again" +
                     (others.empty() ? std::string(" (no other is there either; is its module the right one?)")
                                     : " (there is: " + others + ")")};
}

}  // namespace usher::clients::device
