#pragma once
#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "auth/second_factor.hpp"
#include "base/secret.hpp"
#include "gateway/services.hpp"
#include "gateway/worker.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::gateway {

/// What somebody says to prove who they are.
struct Claim {
    const auth::Account* account = nullptr;  ///< null: nobody has the name; the caller keeps its snapshot
    std::string username;                    ///< canonical; one text for all that cannot be a username
    std::optional<base::Secret> password;    ///< none: of a live session, which has proved it before
    base::Secret second_factor;              ///< a code; empty where none was given
    /// Nobody yet: that the name has no try left is not said, and looks as if something were wrong (decision 23).
    bool signs_in = false;
};

/// What came of it.
struct Proof {
    int status = 401;              ///< 200: proved so far; 401: not; 429, 503: it was not looked at
    const char* reason = nullptr;  ///< of a 401, for the record only
    std::optional<auth::SecondFactorProof> second_factor{};
    base::Microseconds retry_after{0};  ///< of a 429
    std::string source{};               ///< whose tries it is among: the address, or an enrolled device of the account
    bool known_here = false;            ///< the account is signed in from there, and its tries count here only
    bool own_device = false;            ///< the connection is that of an enrolled device of the account
    bool throttled = false;             ///< the name has no try left: 401 whatever is right
    unsigned rank = 0;                  ///< whose password is looked at before others': auth::HashingTurn
    std::string password_hash{};        ///< that the claimed password was compared with
};

/// Takes a try of the claim's source and account. False, and the proof says 429, when there is none left; but true, and
/// the proof is throttled, when somebody signs in whose source has one and the name has not.
bool take_try(Services& services, Worker& worker, const Peer& peer, const Claim& claim, Proof& proof);

/// The try was not looked at, or it succeeded.
void give_back_try(Services& services, const Claim& claim, const Proof& proof);
void try_succeeded(Services& services, const Claim& claim, const Proof& proof);

/// Checks a claim, which takes a try of its source and account. The same work is done, in the same order, for every
/// reason to fail: two questions to the database, one password hash (where a password is claimed), three codes. Nothing
/// is recorded. Where a password would find no room to be hashed (503), nothing is done at all.
boost::asio::awaitable<Proof> prove(Services& services, Worker& worker, const Peer& peer, Claim& claim);

/// Uses the proof's second factor up, where it has one, and gives the try back. The status becomes 401 when another use
/// of the same code came first, 503 when it is not known.
boost::asio::awaitable<void> use_proof(Services& services, const Claim& claim, Proof& proof);

/// "totp", "recovery-code" or "".
std::string_view second_factor_word(const Proof& proof) noexcept;

usher::v1::SessionRecord session_record(usher::v1::SessionRecord::Event::Value event, const Peer& peer,
                                        const std::string& username);
/// Of somebody who is signed in, and the session.
usher::v1::SessionRecord session_record(usher::v1::SessionRecord::Event::Value event, const Peer& peer,
                                        const Gatekeeper::Subject& subject);
/// Appends and waits; false when it did not become durable.
boost::asio::awaitable<bool> record_durably(Services& services, usher::v1::SessionRecord record);

}  // namespace usher::gateway
