#include "auth/hashing_worker.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <future>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

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
/// Of so many turns of those who are not known one is the oldest's, whatever its rank.
constexpr unsigned oldest_turns = 4;

/// Those who are not known, by rank and, where that is the same, as they came. Bounded by its owner, and short.
class RankedQueue {
public:
    std::size_t size() const noexcept { return waiting_.size(); }
    bool empty() const noexcept { return waiting_.empty(); }
    void push(unsigned rank, Job job) { waiting_.emplace(rank, Waiting{++pushed_, std::move(job)}); }
    /// Whether somebody waits whose rank is higher.
    bool gives_way_to(unsigned rank) const noexcept { return !waiting_.empty() && waiting_.rbegin()->first > rank; }
    /// Takes out the last one of the highest rank. Somebody waits.
    Job give_way() { return take(std::prev(waiting_.end())); }
    Job pop() {
        if (++popped_ % oldest_turns != 0) return take(waiting_.begin());
        return take(std::min_element(waiting_.begin(), waiting_.end(),
                                     [](const auto& a, const auto& b) { return a.second.number < b.second.number; }));
    }
    /// All that wait; none of them does then.
    std::vector<Job> clear() {
        std::vector<Job> out;
        for (auto& [rank, waiting] : waiting_) out.push_back(std::move(waiting.job));
        waiting_.clear();
        return out;
    }

private:
    struct Waiting {
        std::uint64_t number;
        Job job;
    };
    using Map = std::multimap<unsigned, Waiting>;  // equal ranks stay in the order of insertion
    Job take(Map::iterator place) {
        Job job = std::move(place->second.job);
        waiting_.erase(place);
        return job;
    }

    Map waiting_;
    std::uint64_t pushed_ = 0, popped_ = 0;
};

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
        thread = std::thread([this] {
            pthread_setname_np(pthread_self(), "hashing");
            run();
        });
    }

    ~Impl() {
        std::vector<Job> left;
        {
            std::lock_guard lock(mutex);
            stopping = true;
            left = anybody.clear();
            for (auto& job : known) left.push_back(std::move(job));
            known.clear();
        }
        wake.notify_all();
        for (auto& job : left) refuse(job, Errc::unavailable, "the gateway is stopping");
        thread.join();
    }

    void push(Job job, HashingTurn turn) {
        std::optional<Job> refused;  // without the lock
        bool stopped = false;
        {
            std::lock_guard lock(mutex);
            stopped = stopping;
            refused = stopping ? std::optional<Job>(std::move(job)) : admit(std::move(job), turn);
        }
        wake.notify_one();
        if (!refused) return;
        if (stopped) return refuse(*refused, Errc::unavailable, "the gateway is stopping");
        refuse(*refused, Errc::resource_exhausted, "too many sign-ins are waiting; try again in a few seconds");
    }

    /// Returns the one that there is no room for: none, the job, or another one that gives way to it.
    std::optional<Job> admit(Job job, HashingTurn turn) {
        if (!has_room(turn)) return job;
        if (turn.known) {
            known.push_back(std::move(job));
            return std::nullopt;
        }
        std::optional<Job> gone;
        if (anybody.size() >= queue_limit) gone = anybody.give_way();
        anybody.push(turn.rank, std::move(job));
        return gone;
    }

    /// Under the lock.
    bool has_room(HashingTurn turn) const noexcept {
        if (turn.known) return known.size() < queue_limit;
        return anybody.size() < queue_limit || anybody.gives_way_to(turn.rank);
    }

    void run() {
        lower_priority();
        for (;;) {
            std::unique_lock lock(mutex);
            wake.wait(lock, [this] { return stopping || !known.empty() || !anybody.empty(); });
            if (stopping) return;
            Job job = next();
            lock.unlock();
            std::visit([this](auto& j) { work(j); }, job);
        }
    }

    /// Of those that wait the one whose turn it is.
    Job next() {
        const bool is_known = anybody.empty() || (!known.empty() && known_in_a_row < known_turns);
        known_in_a_row = is_known ? known_in_a_row + 1 : 0;
        if (!is_known) return anybody.pop();
        Job job = std::move(known.front());
        known.pop_front();
        return job;
    }

    void work(VerifyJob& job) {
        const bool usable = is_password_hash(job.hash);
        const bool equal = verify_password(usable ? job.hash : dummy_hash, job.password);
        // Before anybody hears of it: this thread may not run again for a while.
        job.password = base::Secret();
        job.done(usable && equal);
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
    std::deque<Job> known;
    RankedQueue anybody;
    unsigned known_in_a_row = 0;
    bool stopping = false;
    std::thread thread;
};

HashingWorker::HashingWorker(std::size_t queue_limit, HashCost cost)
    : impl_(std::make_unique<Impl>(queue_limit, cost)) {}

HashingWorker::~HashingWorker() = default;

void HashingWorker::verify(std::string hash, base::Secret password, VerifyDone done, HashingTurn turn) {
    impl_->push(VerifyJob{std::move(hash), std::move(password), std::move(done)}, turn);
}

bool HashingWorker::has_room(HashingTurn turn) const noexcept {
    std::lock_guard lock(impl_->mutex);
    return impl_->has_room(turn);
}

void HashingWorker::hash(base::Secret password, HashDone done, HashingTurn turn) {
    impl_->push(HashJob{std::move(password), std::move(done)}, turn);
}

Result<std::string> HashingWorker::hash_and_wait(base::Secret password) {
    // Shared with the job: the hashing thread may still be inside set_value() when this one goes on.
    auto answer = std::make_shared<std::promise<Result<std::string>>>();
    auto arrived = answer->get_future();
    hash(
        std::move(password), [answer](Result<std::string> hashed) { answer->set_value(std::move(hashed)); },
        HashingTurn{true, 0});
    return arrived.get();
}

bool HashingWorker::is_outdated(std::string_view hash) const noexcept { return is_cheaper(hash, impl_->cost); }

std::size_t HashingWorker::queued() const noexcept {
    std::lock_guard lock(impl_->mutex);
    return impl_->known.size() + impl_->anybody.size();
}

}  // namespace usher::auth
