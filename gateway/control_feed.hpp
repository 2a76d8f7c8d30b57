#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "auth/affected.hpp"
#include "auth/devices.hpp"
#include "auth/directory.hpp"
#include "auth/sessions.hpp"
#include "base/sql/database.hpp"
#include "gateway/control_age.hpp"

namespace usher::gateway {

/// Follows what the other gateways of a database commit, and brings it into force here: a thread that listens, reads
/// what has changed and has it enforced. Once a second it sends itself a message: when that comes back, everything that
/// was committed before has been heard, because the database delivers in the order of commits. That is what ControlAge
/// says.
class ControlFeed {
public:
    struct Parts {
        base::sql::Database& database;
        auth::Directory& directory;
        auth::Devices& devices;
        auth::Sessions& sessions;
        const base::Clock& clock;
        ControlAge& age;
        /// Sessions have changed: cuts what is no longer allowed. (A change of the directory or of
        /// a device calls its own listener.)
        std::function<void(const auth::Affected&)> enforce;
    };
    /// nullptr where there is nobody to follow (SQLite).
    static std::unique_ptr<ControlFeed> start(Parts parts);
    explicit ControlFeed(Parts parts);
    ~ControlFeed();

    /// Whether it hears everything now.
    bool follows() const noexcept { return follows_.load(std::memory_order_relaxed); }

private:
    void run();
    base::Result<void> follow(base::sql::Listener& listener);
    base::Result<void> catch_up();
    base::Result<void> take_in(const std::vector<std::string>& messages);
    bool stopping() const;
    void pause(base::Microseconds so_long);

    Parts parts_;
    std::atomic<bool> follows_{false};
    mutable std::mutex mutex_;
    std::condition_variable stopped_;
    bool stopping_ = false;
    base::sql::Listener* listener_ = nullptr;  ///< to be cut by the end
    std::thread thread_;
};

}  // namespace usher::gateway
