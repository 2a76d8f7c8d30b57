#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/affected.hpp"
#include "auth/device.hpp"
#include "auth/model.hpp"
#include "auth/shared_change.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/sql/database.hpp"

namespace usher::auth {

struct SessionLimits {
    base::Microseconds idle{std::chrono::hours{12}};  ///< without a use
    base::Microseconds absolute{std::chrono::hours{24 * 7}};
    std::size_t per_account = 50;  ///< the oldest one is ended when there would be more
    std::size_t total = 1'000'000;
};

/// Why a session is no more.
enum class SessionEnd { signed_out, revoked, expired, account_deleted, displaced };
struct EndedSession {
    SessionEnd why = SessionEnd::revoked;
    std::string account_id;
};

/// What a session's agent said last of its device. Thread-safe; a lock is held to copy or swap a pointer.
class CurrentPosture {
public:
    PosturePtr get() const {
        std::lock_guard lock(mutex_);
        return posture_;
    }
    void set(PosturePtr posture) const {
        std::lock_guard lock(mutex_);
        posture_ = std::move(posture);
    }

private:
    mutable std::mutex mutex_;
    mutable PosturePtr posture_;
};

/// One sign-in. Immutable but for what is atomic; shared with the accesses that stand on it. UTC times are labels: both
/// limits are kept by the monotonic clock, so a wall clock that steps neither ends a session nor prolongs it.
struct Session {
    std::string id;  ///< UUIDv7 text
    std::string account_id;
    std::string client_ip;
    DeviceClaims device;
    /// The key that it is bound to: its token is worth nothing on a connection that has not proved this one.
    std::optional<DeviceKeyHash> device_key;
    base::UtcTime created_at{};
    base::UtcTime expires_at{};                         ///< the absolute limit, by the wall clock of its start
    std::array<std::uint8_t, 32> token_sha256{};        ///< of the token's 43 characters
    base::MonoTime expires_mono{};                      ///< the absolute limit
    mutable std::atomic<std::int64_t> last_used_us{0};  ///< UTC microseconds; relaxed, as all of these
    mutable std::atomic<std::int64_t> last_used_mono_us{0};
    mutable std::atomic<std::int64_t> stored_last_used_us{0};  ///< what the database has
    mutable std::atomic<std::int64_t> second_factor_us{0};     ///< UTC microseconds; 0: no second factor yet
    mutable std::atomic<std::int64_t> second_factor_mono_us{0};
    CurrentPosture posture;
    mutable std::atomic<std::int64_t> posture_due_mono_us{0};  ///< of the rate of reports here
    mutable std::atomic<bool> ended{false};
};
using SessionPtr = std::shared_ptr<const Session>;

/// The table of live sessions, in memory for the data path and in the database for restarts. The token itself is
/// nowhere: only its SHA-256. Thread-safe; authenticate() takes one shard's lock for the length of a hash look-up and
/// waits for nothing else.
class Sessions {
public:
    /// Loads what is still valid.
    static base::Result<std::unique_ptr<Sessions>> open(base::sql::Database& database, const base::Clock& clock,
                                                        SessionLimits limits);
    ~Sessions();

    struct Created {
        SessionPtr session;
        base::Secret token;    ///< 43 base64url characters of 256 bits
        Affected displaced{};  ///< by it
    };
    /// Blocks on the database; the session is valid when this returns. When the account has as many as it may, its
    /// oldest one is displaced. failed_precondition when the account is not active, is gone, or has changed since
    /// `account` was read: a password that was verified against the old hash opens no session after the new one is in
    /// force. invalid_argument for device claims that are too long or malformed; resource_exhausted past the total.
    /// `second_factor`: it was signed in with one just now. `device_key`: what the session is bound to;
    /// failed_precondition unless it is the key of a device of the account that may sign in.
    base::Result<Created> create(const Account& account, std::string_view client_ip, DeviceClaims device,
                                 bool second_factor = false, const std::optional<DeviceKeyHash>& device_key = {});

    /// The session of a token, when it is valid now; marks it used. nullptr for anything else, in the same time. No
    /// I/O.
    SessionPtr authenticate(std::string_view token) noexcept;
    /// What became of a session, for whoever shows its token: known of the last thousands that ended since the start.
    std::optional<EndedSession> ended(std::string_view token) const;
    /// Marks use by live traffic (a tunnel that moved bytes keeps its session from idling out).
    void touch(const Session& session) noexcept;
    /// A second factor was proved just now: durably, and in force when this returns. not_found when the session has
    /// ended. Blocks on the database.
    base::Result<void> renew_second_factor(const Session& session);
    /// What the session's agent says of its device now: durably, and in force when this returns. `record` is called
    /// before it is committed, unless the database has just that already; an error of it leaves everything as it was.
    /// Returns whether it was another thing than what was in force here. not_found when the session has ended. Blocks
    /// on the database.
    base::Result<bool> set_posture(const Session& session, Posture posture,
                                   const std::function<base::Result<void>()>& record);
    /// Since the session's last second factor; nullopt when it has none. No I/O.
    std::optional<base::Microseconds> second_factor_age(const Session& session) const noexcept;
    /// Since it was signed in, or longer. No I/O.
    base::Microseconds age(const Session& session) const noexcept;
    /// Whether the session still stands now (not ended, within both limits).
    bool valid(const Session& session) const noexcept;
    base::UtcTime expires_at(const Session& session) const noexcept;  ///< the earlier of both limits
    base::MonoTime ends_at(const Session& session) const noexcept;    ///< the same; use moves it, and nothing else

    /// `record` is called before the row is deleted, as in Directory; an error of it leaves the session as it was.
    /// From there on the session ends in memory before this returns, whatever the database says: when the row cannot be
    /// deleted now, sweep() tries again, and the error says that a restart before that would bring the session
    /// back. not_found when there is none. `record` may be empty.
    base::Result<void> end(std::string_view session_id, SessionEnd why,
                           const std::function<base::Result<void>()>& record);
    /// All sessions of an account, or those that were made until then; returns how many.
    base::Result<std::uint64_t> end_account(std::string_view account_id, SessionEnd why,
                                            const std::function<base::Result<void>()>& record,
                                            std::optional<base::UtcTime> made_until = {});
    /// Deletes the row of a session that is over here, whatever another gateway makes of it. Blocks on the database.
    base::Result<void> erase(std::string_view session_id);

    /// All sessions of the account that are bound to the key, as end_account() does; it is for whoever calls to put
    /// that on record first.
    base::Result<std::uint64_t> end_device(std::string_view account_id, const DeviceKeyHash& device_key,
                                           SessionEnd why);

    SessionPtr find(std::string_view session_id) const;
    /// Whether the account has a session that was signed in from the address. No I/O, no copy: it is asked for each try
    /// of a password, of unknown accounts too, and its time is to say little.
    bool signed_in_from(const std::string& account_id, std::string_view client_ip) const;
    /// By id, at most `limit`, behind `after_id`; of one account when it is not empty.
    std::vector<SessionPtr> list(std::string_view account_id, std::string_view after_id, std::size_t limit) const;

    /// Ends what has expired and writes last_used of what was used since. Call it every few seconds, off the workers.
    /// Before a session idles out that another gateway may have used, the database is asked.
    /// Returns those that expired, so that the caller records them. Database errors are returned and retried next time;
    /// expiry in memory does not wait for the database.
    struct Swept {
        std::vector<SessionPtr> expired;
        Affected affected{};  ///< those, and what was found of the use at other gateways
        base::Result<void> database;
    };
    Swept sweep();

    /// The half of sweep() that writes: nothing expires. For a process that another one has taken over from.
    base::Result<void> flush();
    /// Ends a session of which another process has said that it ended; its row is that one's to delete, and is deleted
    /// here too if it comes to that. False when there is none.
    bool end_here(std::string_view session_id, SessionEnd why);

    /// Takes over what another gateway did in the same database: ends (as revoked) the sessions whose rows are gone,
    /// loads new rows, and the later use and second factor of the two. Returns whom that is about, for nobody is told
    /// of it again. Reads the whole table, and lets no session begin or end meanwhile: for whoever may have missed
    /// something.
    base::Result<Affected> refresh();
    /// The same for what another gateway says that it changed, and perhaps more.
    base::Result<Affected> refresh(const std::vector<SharedChange>& changes);

    /// Called for each session that ended, after it ended, on the ending thread, without a lock held. Set once, before
    /// first use.
    void set_listener(std::function<void(const SessionPtr&, SessionEnd)> on_end);

private:
    Sessions();
    /// Of what seems to have idled out, what another gateway has seen of it.
    base::Result<Affected> see_use(base::MonoTime now);
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace usher::auth
