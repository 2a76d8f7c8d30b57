#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "auth/directory.hpp"
#include "gateway/control/revocations.hpp"

namespace usher::gateway::control {

/// One order on its way into the database.
struct Revocations::Entry {
    Revocation revocation;
    auth::Change change;
    Caller caller;
    Answer answer;
    bool cut = false;    ///< on record and in force here; else the database decides first, as it does for any change
    std::string name{};  ///< the account's, where the database is asked by it
    std::vector<std::string> sessions{};  ///< that it is about, as far as they were known when it was ordered
    std::uint64_t closed = 0;
    std::chrono::steady_clock::time_point answer_by{};
    bool ready = false;             ///< in force: the database may have it
    std::atomic<bool> told{false};  ///< that the database has not taken it: on record, and in the file
};

inline base::Error no_account(const std::string& username) {
    return {base::Errc::not_found, "account '" + username + "' does not exist"};
}

}  // namespace usher::gateway::control
