#pragma once
#include <p11-kit/pkcs11.h>

#include <memory>

#include "base/result.hpp"
#include "clients/device/token_uri.hpp"

namespace usher::clients::device {

/// Where a token is: a slot of a module that stays initialised as long as `module` lives.
struct TokenSlot {
    std::shared_ptr<CK_FUNCTION_LIST> module;
    CK_SLOT_ID id = 0;
    CK_TOKEN_INFO info{};
};

/// Looks for the one token that the URI names, in the module of its module-path, else in those that p11-kit has
/// registered on this machine (pkcs11.conf(5)). Any thread. A module's code is never unloaded: it may have threads and
/// exit handlers.
/// not_found: no such module; unavailable: no such token now (says which there are); failed_precondition: more than one
/// fits.
base::Result<TokenSlot> find_slot(const TokenUri& uri);

}  // namespace usher::clients::device
