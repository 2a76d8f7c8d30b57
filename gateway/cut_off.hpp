#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "auth/sessions.hpp"
#include "base/clock.hpp"

namespace usher::gateway {

/// Who is served nothing at this gateway, whatever the database says: those whose access was taken away while the
/// database has not taken that yet. Hardly ever anybody, which costs the data path one load. Thread-safe.
class CutOff {
public:
    struct Subjects {
        std::unordered_set<std::string> accounts;  ///< by id
        std::unordered_set<std::string> sessions;  ///< by id
        std::set<auth::DeviceKeyHash> devices;     ///< sessions that are bound to the key
        /// By account: sessions that were made until then, so that one of a sign-in that was under way goes too.
        std::unordered_map<std::string, base::UtcTime> sessions_until;

        bool empty() const noexcept {
            return accounts.empty() && sessions.empty() && devices.empty() && sessions_until.empty();
        }
    };

    /// In force for every question that is asked after it has returned.
    void set(Subjects subjects);

    bool covers(const auth::Session& session) const;
    bool covers_account(const std::string& account_id) const;
    bool covers_device(const auth::DeviceKeyHash& key) const;

private:
    std::shared_ptr<const Subjects> now() const;

    std::atomic<bool> any_{false};
    mutable std::mutex mutex_;  ///< held to copy or swap a pointer
    std::shared_ptr<const Subjects> subjects_ = std::make_shared<const Subjects>();
};

}  // namespace usher::gateway
