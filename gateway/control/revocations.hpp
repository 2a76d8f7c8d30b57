#pragma once
#include <grpcpp/support/status.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "audit/journal/journal.hpp"
#include "auth/affected.hpp"
#include "auth/devices.hpp"
#include "auth/directory.hpp"
#include "auth/sessions.hpp"
#include "gateway/control/caller.hpp"
#include "gateway/cut_off.hpp"
#include "gateway/revocation.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::gateway::control {

/// Carries out what takes access away: first on record, then in force at this gateway, then in the database. Whoever
/// orders it needs no database to be there for the first two, and is told honestly how far it came. What the database
/// has not taken stays in force here and is tried until it has. Whoever is told so is told what is in a file by then,
/// so that a restart forgets nothing of it; a gateway that is killed before it has told may. Thread-safe.
class Revocations {
public:
    struct Parts {
        auth::Directory& directory;
        auth::Sessions& sessions;
        auth::Devices& devices;
        audit::Journal& journal;
        const base::Clock& clock;
        CutOff& cut_off;
        /// Cuts what is no longer allowed, on all workers, and returns how many accesses that were.
        std::function<std::uint64_t(const auth::Affected&)> enforce;
        /// The same by what is known here already: no process is asked to read the database first.
        std::function<std::uint64_t(const auth::Affected&)> enforce_known;
        /// Tells the process of before an upgrade that a session is no more.
        std::function<void(const std::string& session_id)> session_ended;
        std::string file;                                ///< where the pending ones are kept
        std::chrono::milliseconds answer_within{3'000};  ///< whoever ordered is told then, done or not
    };
    /// Reads the file; what is in it is in force from then on. An error names file and line: the gateway must not
    /// start.
    static base::Result<std::unique_ptr<Revocations>> open(Parts parts);
    ~Revocations();

    /// Between stop() and start(): what another process has written into the file meanwhile is in force here as well,
    /// beside what was pending here, which that one may have brought into the database or not. A file that cannot be
    /// read is moved aside, so that it is not written over; the error says so.
    base::Result<void> read_again();

    /// Begins, or goes on, to bring what is pending into the database.
    void start();
    /// Answers everybody who still waits, and keeps what is pending in the file. Waits for the database. Idempotent.
    void stop();

    /// What came of it, when the database has taken it.
    struct Done {
        std::optional<auth::Account> account{};  ///< of disable_account()
        std::optional<auth::Device> device{};    ///< of change_device()
        std::uint64_t ended_sessions = 0;
        std::uint64_t closed_accesses = 0;
    };
    /// Called exactly once, on another thread, with what to answer: when the database has taken it, has refused it, or
    /// has done neither in time. `done` is null unless the status is OK.
    using Answer = std::function<void(grpc::Status, const Done* done)>;

    // Each returns when the order is on record and in force here, or cannot be; the database is not waited for.

    void disable_account(const std::string& username, const Caller& caller, Answer answer);
    void delete_account(const std::string& username, const Caller& caller, Answer answer);
    /// lock, lose or unbind.
    void change_device(const std::string& device_id, auth::DeviceAct act, const Caller& caller, Answer answer);
    void revoke_session(const std::string& session_id, const Caller& caller, Answer answer);
    void revoke_sessions_of(const std::string& username, const Caller& caller, Answer answer);

    /// Whether the session is covered by one that the database has not taken.
    bool covers(const auth::Session& session) const { return parts_.cut_off.covers(session); }
    /// Whether there is such a one about the account or device itself, and not only its sessions: it must not be given
    /// back before.
    bool pending_on(std::string_view id) const;
    /// What the database has not taken for so long that somebody was told so. For metrics.
    std::size_t pending() const;

private:
    struct Entry;
    using EntryPtr = std::shared_ptr<Entry>;

    explicit Revocations(Parts parts);
    void order(Revocation revocation, auth::Change change, const Caller& caller, bool cut, std::string name,
               Answer answer);
    void add(std::vector<Revocation> revocations);
    void write_pending();
    void put_in_force();
    std::vector<std::string> covered(const Revocation& revocation) const;
    std::optional<std::string> name_of(const Entry& entry) const;
    void finish(const EntryPtr& entry, usher::v1::AdminRecord::Outcome::Value outcome, const std::string& detail,
                bool always);
    void answer(const EntryPtr& entry, grpc::Status status, const Done* done);
    void overdue(const EntryPtr& entry, const std::string& why);
    base::Result<void> keep(const EntryPtr& gone);
    void run();
    void watch();
    enum class Tried { done, failed, away };  ///< failed by itself; or the database is away, or a row is held
    Tried carry_out(const EntryPtr& entry);
    void leave(const EntryPtr& entry);
    base::Result<Done> persist(Entry& entry, const auth::RecordChange& record);
    bool is_void(const Entry& entry, const base::Error& error) const;

    Parts parts_;
    mutable std::mutex mutex_;  ///< of what follows, up to the next empty line
    std::condition_variable changed_;
    std::list<EntryPtr> entries_;  ///< oldest first
    bool stopping_ = false;
    bool away_ = false;  ///< the last try found the database away

    std::mutex telling_mutex_;  ///< taken first: of the file, and of what the record says of a pending one
    std::thread keeper_, watcher_;
};

}  // namespace usher::gateway::control
