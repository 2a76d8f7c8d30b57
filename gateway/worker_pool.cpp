#include "gateway/worker_pool.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "gateway/sockets.hpp"

namespace usher::gateway {
namespace {
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

/// Collects one number from each worker. The wait ends when all have answered.
class Gather {
public:
    explicit Gather(std::size_t expected) : missing_(expected) {}
    void add(std::uint64_t count) {
        std::lock_guard lock(mutex_);
        total_ += count;
        --missing_;
        done_.notify_all();
    }
    /// Ends early when `abandoned` says that the workers are gone. None: not all have answered `by` then.
    std::optional<std::uint64_t> wait(const std::atomic<bool>& abandoned, Steady::time_point by) {
        std::unique_lock lock(mutex_);
        while (missing_ > 0 && !abandoned.load()) {
            const auto now = Steady::now();
            if (now >= by) return std::nullopt;
            done_.wait_until(lock, std::min(by, now + 50ms));
        }
        return total_;
    }

private:
    std::mutex mutex_;
    std::condition_variable done_;
    std::size_t missing_;
    std::uint64_t total_ = 0;
};

}  // namespace

WorkerPool::~WorkerPool() { end(); }

base::Result<std::vector<base::UniqueFd>> WorkerPool::open_listeners(const Config& config) {
    // SO_REUSEPORT would let a second usherd of the same user share the port in silence; a probe without it finds out.
    auto probe = open_listener(config.listen, "listen", false);
    if (!probe) return probe.error();
    base::UniqueFd{*probe}.reset();
    const unsigned count = config.workers > 0 ? config.workers : std::max(1u, std::thread::hardware_concurrency());
    std::vector<base::UniqueFd> listeners;
    for (unsigned i = 0; i < count; ++i) {
        auto fd = open_listener(config.listen, "listen", true);
        if (!fd) return fd.error();
        listeners.emplace_back(*fd);
    }
    return listeners;
}

base::Result<void> WorkerPool::create(Services& services, std::vector<base::UniqueFd> listeners) {
    const Config& config = services.config;
    auto own = std::make_shared<dial::OwnListeners>();
    own->local_addresses = dial::local_interface_addresses();
    own->listeners.push_back({config.listen.address, config.listen.port});
    if (config.metrics) own->listeners.push_back({config.metrics->address, config.metrics->port});
    for (auto& listener : listeners) {
        try {
            const auto index = static_cast<unsigned>(workers_.size());
            workers_.push_back(std::make_unique<Worker>(services, index, listener.release(), own));
        } catch (const std::runtime_error& e) {
            return base::Error{base::Errc::failed_precondition, e.what()};
        }
    }
    return {};
}

void WorkerPool::start() {
    for (auto& worker : workers_) worker->start();
    running_ = true;
}

std::vector<int> WorkerPool::listeners() const {
    std::vector<int> descriptors;
    for (const auto& worker : workers_) descriptors.push_back(worker->listener());
    return descriptors;
}

void WorkerPool::stop_accepting() {
    for (auto& worker : workers_) worker->stop_accepting();
}

void WorkerPool::end() {
    if (running_.exchange(false)) {
        for (auto& worker : workers_) worker->shut_down();
        // A connection of one of them may wait for something that asks all of them.
        for (auto& worker : workers_) worker->wait_shut_down();
        for (auto& worker : workers_) worker->release();
        for (auto& worker : workers_) worker->join();
    }
    gone_ = true;
}

std::uint64_t WorkerPool::enforce(const Enforcement& what) {
    auto gather = std::make_shared<Gather>(workers_.size());
    for (auto& worker : workers_) worker->enforce(what, [gather](std::uint64_t n) { gather->add(n); });
    return gather->wait(gone_, Steady::time_point::max()).value();
}

std::optional<std::uint64_t> WorkerPool::count_accesses(std::span<const std::string> session_ids,
                                                        Steady::time_point by) {
    const auto ids = std::make_shared<const std::vector<std::string>>(session_ids.begin(), session_ids.end());
    auto gather = std::make_shared<Gather>(workers_.size());
    for (auto& worker : workers_) worker->count_accesses(ids, [gather](std::uint64_t n) { gather->add(n); });
    return gather->wait(gone_, by);
}

std::size_t WorkerPool::live() const {
    std::size_t sum = 0;
    for (const auto& worker : workers_) sum += worker->live();
    return sum;
}

std::size_t WorkerPool::connections() const {
    std::size_t sum = 0;
    for (const auto& worker : workers_) sum += worker->connections();
    return sum;
}

}  // namespace usher::gateway
