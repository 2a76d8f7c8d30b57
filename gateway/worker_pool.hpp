#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "gateway/worker.hpp"

namespace usher::gateway {

/// All workers as one. start() to join() belong to the thread that owns the daemon; the rest is thread-safe in between.
class WorkerPool {
public:
    ~WorkerPool();

    /// The bound, listening sockets that the workers of `config` need, one each.
    static base::Result<std::vector<base::UniqueFd>> open_listeners(const Config& config);

    /// One worker for each listener, not running yet.
    base::Result<void> create(Services& services, std::vector<base::UniqueFd> listeners);
    void start();
    /// The listeners, for as long as the workers accept.
    std::vector<int> listeners() const;
    void stop_accepting();
    /// Ends every connection, and the threads; returns when they are gone.
    void end();
    /// After end(): nobody refers to the workers any more.
    void clear() { workers_.clear(); }

    /// Cuts what is no longer allowed; returns how many that were when it is done on every worker. Never from a
    /// worker's thread.
    std::uint64_t enforce(const Enforcement& what);
    /// How many accesses stand on the sessions; none where they have not all answered `by` then. Never from a worker's
    /// thread.
    std::optional<std::uint64_t> count_accesses(std::span<const std::string> session_ids,
                                                std::chrono::steady_clock::time_point by);
    /// Open accesses, without those to the control API.
    std::size_t live() const;
    std::size_t connections() const;  ///< open, whatever they are doing
    std::size_t size() const noexcept { return workers_.size(); }

private:
    std::vector<std::unique_ptr<Worker>> workers_;
    std::atomic<bool> running_{false}, gone_{false};
};

}  // namespace usher::gateway
