#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace usher::audit::journal {

/// The functions to call when the durable sequence has grown. Thread-safe; run() is called by one thread.
class Listeners {
public:
    static constexpr std::size_t listeners_max = 64;

    /// 0 when there are listeners_max already.
    std::uint64_t add(std::function<void()> listener);
    /// Returns when the listener is not running and will not run again; called by a listener itself, at once.
    void remove(std::uint64_t id);
    void run();

private:
    std::mutex mutex_;
    std::condition_variable stopped_;
    std::map<std::uint64_t, std::shared_ptr<const std::function<void()>>> listeners_;
    std::uint64_t next_id_ = 1;
    std::uint64_t running_ = 0;
    std::thread::id runner_;
};

}  // namespace usher::audit::journal
