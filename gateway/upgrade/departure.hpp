#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "gateway/upgrade/handover_journal.hpp"
#include "gateway/upgrade/link.hpp"

namespace usher::gateway::upgrade {

/// What this process still owes to the one that took over from it: its records go there, and what is asked from there
/// is done here. Thread-safe.
class Departure {
public:
    /// Called one after another on a thread of this object; may block.
    struct Duties {
        std::function<std::uint64_t(const Message::Question::Enforce&)> enforce;
        std::function<std::uint64_t(const std::string& session_id)> count_accesses;
        std::function<void(base::Microseconds)> leave;
    };
    Departure(std::unique_ptr<Link> link, HandoverJournal& journal, Duties duties);
    ~Departure();

    /// Says how far this process is.
    void report(std::uint64_t tunnels, base::Microseconds left);
    /// The other process has ended: nothing can be recorded any more, so this one has to end too.
    bool lost() const;

private:
    void on_message(const Message& message);
    void answer_questions();

    HandoverJournal& journal_;
    Duties duties_;
    mutable std::mutex mutex_;  ///< of what follows
    std::condition_variable asked_;
    std::deque<Message> questions_;
    bool lost_ = false, stopping_ = false;
    std::unique_ptr<Link> link_;
    std::thread answering_;
};

}  // namespace usher::gateway::upgrade
