#pragma once
#include <p11-kit/pkcs11.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "clients/device/pin.hpp"
#include "clients/device/token_slot.hpp"
#include "clients/device/token_uri.hpp"

namespace usher::clients::device {

/// What a piece of work on a token is given.
struct TokenSession {
    CK_FUNCTION_LIST& call;
    CK_SESSION_HANDLE handle;
    CK_SLOT_ID slot;
};

/// One token, logged in when it is first needed. Threads take turns: one session, one piece of work at a time, for many
/// tokens have a single processor and some modules are not as safe as they say (PKCS#11 v2.40 §2.6).
///
/// A session that the token no longer knows (taken out and put back, logged out by another program) is opened and
/// logged in anew, once for each piece of work. A call may take as long as the token does; nothing interrupts it.
class Token {
public:
    using Finder = std::function<base::Result<TokenSlot>(const TokenUri&)>;
    enum class Access { read, write };

    explicit Token(TokenUri uri, Finder find = find_slot) : uri_(std::move(uri)), find_(std::move(find)) {}
    ~Token() { close(); }
    Token(const Token&) = delete;
    Token& operator=(const Token&) = delete;

    /// Does `work` in a session of the logged-in user; it may be run twice. `doing`: "sign", for the error. See
    /// find_slot(), Pin and token_error() for what can go wrong.
    base::Result<void> run(const PinSource& pin, Access access, std::string_view doing,
                           const std::function<CK_RV(const TokenSession&)>& work);
    /// Logs out and lets go of the module. The next run() opens it again.
    void close() noexcept;
    /// Safe for a terminal.
    std::string shown() const { return uri_.shown_token(); }

private:
    base::Result<void> open(const PinSource& pin);
    base::Result<void> log_in(const PinSource& pin, const TokenSlot& slot, CK_SESSION_HANDLE session);
    CK_RV work_in(Access access, const std::function<CK_RV(const TokenSession&)>& work);
    void drop() noexcept;

    const TokenUri uri_;
    const Finder find_;
    std::mutex mutex_;
    std::optional<TokenSlot> slot_;
    CK_SESSION_HANDLE session_ = 0;  ///< of slot_
    Pin pin_;
};

}  // namespace usher::clients::device
