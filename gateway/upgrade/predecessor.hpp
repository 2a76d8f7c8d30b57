#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "audit/journal/journal.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "gateway/upgrade/link.hpp"

namespace usher::gateway::upgrade {

/// The process that was before this one and still has tunnels: its records come into this journal, what is decided here
/// is in force there, and what it leaves open when it ends is closed here. Thread-safe.
class Predecessor {
public:
    using Steady = std::chrono::steady_clock;

    /// `open`: the latest record of each access that it has open. `on_end` is called once, when it has ended and
    /// everything of it is closed on record, on a thread of this object; it must not destroy it. Whoever serves orders
    /// makes this beforehand, so that none passes the predecessor by; what is asked of it waits for start().
    Predecessor(std::shared_ptr<Link> link, const Message::Hello& hello, std::vector<audit::JournalRecord> open,
                audit::Journal& journal, const base::Clock& clock, std::function<void()> on_end);
    /// Ends the link, where it was started: the predecessor ends with it.
    ~Predecessor();

    /// It has been told that another process serves, and listens on the link from now on. At most once.
    void start();
    /// Instead of start(): it is nobody's predecessor and goes on. Whoever asked of it is let go.
    void release();

    struct Status {
        std::int64_t process_id = 0;
        std::string version;
        std::uint64_t tunnels = 0;
        std::optional<base::UtcTime> deadline;  ///< once it has told
    };
    /// nullopt when it has ended. Until it has said how many tunnels it has, those that are open on record count.
    std::optional<Status> status() const;

    /// A session has ended; it is said with the next enforce(). Does not block.
    void session_ended(const std::string& session_id);
    /// The directory has reached this version, or sessions have ended: what is no longer allowed there is cut when this
    /// returns; 0: nothing is to be read for it. A predecessor that does not say so within 5 s, once start() was
    /// called, is killed. Returns how many were cut. Blocks.
    std::uint64_t enforce(std::uint64_t directory_version, const std::string& signed_out);
    /// How many accesses there stand on the sessions; none when it has not said so of all `by` then, and at once for 5
    /// s from there on. Blocks.
    std::optional<std::uint64_t> count_accesses(std::span<const std::string> session_ids, Steady::time_point by);
    /// Its tunnels have so long from now at most.
    void leave(base::Microseconds limit);
    /// Waits until it has ended and is closed on record; false past `limit`.
    bool wait_ended(base::Microseconds limit);
    /// Kills it, and waits until its accesses are closed on record.
    void kill();

private:
    void on_message(const Message& message);
    void append(const Message::Append& append);
    void close_rest();
    void pulse();
    /// None: no answer within 5 s, or `by` then; without that it waits for start() as long as need be.
    std::optional<std::uint64_t> ask(Message::Question question, std::optional<Steady::time_point> by);

    const std::shared_ptr<Link> link_;  ///< shared with what waits in the journal for an answer
    audit::Journal& journal_;
    const base::Clock& clock_;
    const std::int64_t process_id_;
    const std::string version_;
    const base::UniqueFd process_;
    const std::function<void()> on_end_;
    std::unordered_map<base::Uuid, audit::JournalRecord> open_;  ///< of the reading thread

    mutable std::mutex mutex_;  ///< of what follows
    std::condition_variable changed_;
    std::uint64_t next_question_ = 1;
    std::unordered_map<std::uint64_t, std::optional<std::uint64_t>> answers_;  ///< of what was asked
    std::vector<std::string> ended_sessions_;                                  ///< that were not said yet
    std::uint64_t tunnels_ = 0;
    std::optional<base::MonoTime> deadline_;
    bool started_ = false;
    bool lost_ = false;   ///< nothing more comes from it
    bool ended_ = false;  ///< and everything of it is closed on record
    bool stopping_ = false;
    Steady::time_point silent_until_{};  ///< it has not answered a count, and is not asked again before
    std::thread pulse_;
};

}  // namespace usher::gateway::upgrade
