#pragma once
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "clients/common/stop_signal.hpp"
#include "clients/posture/screen_lock.hpp"
#include "clients/posture/system_tree.hpp"
#include "clients/usher/up/posture_plan.hpp"
#include "clients/usher/up/session_source.hpp"

namespace usher::clients::agent {

/// Looks at this device when it is told to and reports what has changed, on a thread of its own: reading a battery,
/// asking a desktop or a gateway that is away must not hold up the tunnels. What fails is logged once for each cause.
class PostureWatch {
public:
    /// Begins the thread; std::system_error where there can be none. `clock` must outlive it.
    PostureWatch(SystemTree tree, ScreenLock lock, std::string declined_file, const base::Clock& clock);
    /// Ends a look or a report that is under way at once; only a look-up of the gateway's name is waited for.
    ~PostureWatch();
    PostureWatch(const PostureWatch&) = delete;
    PostureWatch& operator=(const PostureWatch&) = delete;

    /// Asks for a look in `session`. Never waits; while a look is under way the last one that was asked for comes next.
    void look(SharedSession session);

private:
    void run();
    void look_now(const SavedSession& session);
    void say(const std::string& words);

    const SystemTree tree_;
    const std::string declined_file_;
    const base::Clock& clock_;
    StopSignal stop_;

    std::mutex mutex_;
    std::condition_variable changed_;
    SharedSession wanted_;   ///< guarded by mutex_
    bool stopping_ = false;  ///< guarded by mutex_

    // Of the thread alone.
    ScreenLock lock_;
    PosturePlan plan_;
    std::string said_;

    std::thread thread_;  ///< the last one: it uses all of the others
};

}  // namespace usher::clients::agent
