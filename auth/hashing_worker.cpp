#include "auth/hashing_worker.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <variant>

#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Result;

struct VerifyJob {
    std::string hash;
    base::Secret password;
    HashingWorker::VerifyDone done;
};
struct HashJob {
    base::Secret password;
    HashingWorker::HashDone done;
};
using Job = std::variant<VerifyJob, HashJob>;

/// So many known ones before it is anybody's turn, where both wait.
constexpr unsigned known_turns = 4;

void refuse(Job& job, Errc code, const char* why) {
    std::visit([&](auto& j) { j.done(base::Error{code, why}); }, job);
}

void lower_priority() noexcept {
    // On Linux a nice value belongs to the thread, so this leaves the workers as they are.
    const auto thread = static_cast<id_t>(::syscall(SYS_gettid));
    if (::setpriority(PRIO_PROCESS, thread, 10) != 0) {
        base::log_warning("the hashing thread keeps its priority", {{"errno", errno}});
    }
}

}  // namespace

struct HashingWorker::Impl {
    Impl(std::size_t limit, HashCost hash_cost) : queue_limit(limit), cost(hash_cost) {
        std::array<std::uint8_t, 32> random{};
        base::random_bytes(random);
        auto hash = hash_password(base::Secret(base::base64url_encode(random)), cost);
        if (!hash) throw std::runtime_error("cannot hash passwords: " + hash.error().message);
        dummy_hash = std::move(*hash);
        thread = std::thread([this] { run(); });
    }

    ~Impl() {
        std::array<std::deque<Job>, 2> left;
        {
            std::lock_guard lock(mutex);
            stopping = true;
            left.swap(queues);
        }
        wake.notify_all();
        for (auto& queue : left)
            for (auto& job : queue) refuse(job, Errc::unavailable, "the gateway is stopping");
        thread.join();
    }

    void push(Job job, HashingWorker::Turn turn) {
        bool stopped = false;
        {
            std::lock_guard lock(mutex);
            stopped = stopping;
            auto& queue = queues[turn == HashingWorker::Turn::known];
            if (!stopping && queue.size() < queue_limit) {
                queue.push_back(std::move(job));
                wake.notify_one();
                return;
            }
        }
        if (stopped) return refuse(job, Errc::unavailable, "the gateway is stopping");
        refuse(job, Errc::resource_exhausted, "too many sign-ins are waiting; try again in a few seconds");
    }

    void run() {
        lower_priority();
        for (;;) {
            std::unique_lock lock(mutex);
            wake.wait(lock, [this] { return stopping || !queues[0].empty() || !queues[1].empty(); });
            if (stopping) return;
            auto& queue = next_queue();
            Job job = std::move(queue.front());
            queue.pop_front();
            lock.unlock();
            std::visit([this](auto& j) { work(j); }, job);
        }
    }

    /// The one whose turn it is, of those that hold something.
    std::deque<Job>& next_queue() {
        const bool known = queues[0].empty() || (!queues[1].empty() && known_in_a_row < known_turns);
        known_in_a_row = known ? known_in_a_row + 1 : 0;
        return queues[known];
    }

    void work(VerifyJob& job) {
        const bool known = is_password_hash(job.hash);
        const bool equal = verify_password(known ? job.hash : dummy_hash, job.password);
        // Before anybody hears of it: this thread may not run again for a while.
        job.password = base::Secret();
        job.done(known && equal);
    }
    void work(HashJob& job) {
        auto hashed = hash_password(job.password, cost);
        job.password = base::Secret();
        job.done(std::move(hashed));
    }

    const std::size_t queue_limit;
    const HashCost cost;
    std::string dummy_hash;  ///< of a random password that nobody knows
    mutable std::mutex mutex;
    std::condition_variable wake;
    std::array<std::deque<Job>, 2> queues;  ///< of anybody, and of who is known
    unsigned known_in_a_row = 0;
    bool stopping = false;
    std::thread thread;
};

HashingWorker::HashingWorker(std::size_t queue_limit, HashCost cost)
    : impl_(std::make_unique<Impl>(queue_limit, cost)) {}

HashingWorker::~HashingWorker() = default;

void HashingWorker::verify(std::string hash, base::Secret password, VerifyDone done, Turn turn) {
    impl_->push(VerifyJob{std::move(hash), std::move(password), std::move(done)}, turn);
}

void HashingWorker::hash(base::Secret password, HashDone done, Turn turn) {
    impl_->push(HashJob{std::move(password), std::move(done)}, turn);
}

Result<std::string> HashingWorker::hash_and_wait(base::Secret password) {
    // Shared with the job: the hashing thread may still be inside set_value() when this one goes on.
    auto answer = std::make_shared<std::promise<Result<std::string>>>();
    auto arrived = answer->get_future();
    hash(
        std::move(password), [answer](Result<std::string> hashed) { answer->set_value(std::move(hashed)); },
        Turn::known);
    return arrived.get();
}

bool HashingWorker::is_outdated(std::string_view hash) const noexcept { return is_cheaper(hash, impl_->cost); }

std::size_t HashingWorker::queued() const noexcept {
    std::lock_guard lock(impl_->mutex);
    return impl_->queues[0].size() + impl_->queues[1].size();
}

}  // namespace usher::auth
