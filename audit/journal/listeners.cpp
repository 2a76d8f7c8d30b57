#include "audit/journal/listeners.hpp"

namespace usher::audit::journal {

std::uint64_t Listeners::add(std::function<void()> listener) {
    const std::lock_guard lock(mutex_);
    if (listeners_.size() >= listeners_max) return 0;
    const auto id = next_id_++;
    listeners_.emplace(id, std::make_shared<const std::function<void()>>(std::move(listener)));
    return id;
}

void Listeners::remove(std::uint64_t id) {
    std::unique_lock lock(mutex_);
    listeners_.erase(id);
    if (std::this_thread::get_id() == runner_) return;
    stopped_.wait(lock, [&] { return running_ != id; });
}

void Listeners::run() {
    std::unique_lock lock(mutex_);
    runner_ = std::this_thread::get_id();
    for (auto next = listeners_.begin(); next != listeners_.end();) {
        const auto id = next->first;
        const auto listener = next->second;
        running_ = id;
        lock.unlock();
        (*listener)();
        lock.lock();
        running_ = 0;
        stopped_.notify_all();
        next = listeners_.upper_bound(id);
    }
    runner_ = {};
}

}  // namespace usher::audit::journal
