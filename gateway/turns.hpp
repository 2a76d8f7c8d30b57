#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <list>
#include <new>
#include <utility>

namespace usher::gateway {

/// Who moves much takes turns: between two of them the executor runs whatever else is ready, so that a keystroke waits
/// for one piece of one transfer, however many transfers there are. In the order in which they came. For one thread;
/// allocates nothing once as many have waited before.
class Turns {
public:
    /// `executor`: what runs those who wait. Its context must outlive this; who still waits then is let go of when that
    /// goes. Where memory is missing for a turn the process ends.
    explicit Turns(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
    Turns(const Turns&) = delete;
    Turns& operator=(const Turns&) = delete;
    ~Turns() {
        for (auto& waiter : waiting_) waiter.drop();
    }

    /// Waits for the next turn.
    boost::asio::awaitable<void> next() {
        co_await boost::asio::async_initiate<decltype(boost::asio::use_awaitable), void()>(
            [this](auto handler) {
                if (spare_.empty()) spare_.emplace_back();
                spare_.front().keep(std::move(handler));
                waiting_.splice(waiting_.end(), spare_, spare_.begin());
                call();
            },
            boost::asio::use_awaitable);
    }

private:
    /// A completion handler, in place.
    class Waiter {
    public:
        template <class Handler>
        void keep(Handler handler) {
            static_assert(sizeof(Handler) <= sizeof storage_ && alignof(Handler) <= alignof(std::max_align_t));
            new (storage_) Handler(std::move(handler));
            take_ = [](Waiter& waiter, bool resume) {
                auto* const kept = std::launder(reinterpret_cast<Handler*>(waiter.storage_));
                Handler moved(std::move(*kept));
                kept->~Handler();
                if (resume) std::move(moved)();
            };
        }
        void resume() { take_(*this, true); }
        void drop() { take_(*this, false); }

    private:
        alignas(std::max_align_t) std::byte storage_[64];
        void (*take_)(Waiter&, bool resume) = nullptr;
    };

    void call() {
        if (called_ || waiting_.empty()) return;
        called_ = true;
        boost::asio::post(executor_, [this] {
            std::list<Waiter> now;
            now.splice(now.end(), waiting_, waiting_.begin());
            now.front().resume();
            spare_.splice(spare_.end(), now);
            // Behind what came during this turn.
            called_ = false;
            call();
        });
    }

    boost::asio::any_io_executor executor_;
    std::list<Waiter> waiting_, spare_;
    bool called_ = false;
};

}  // namespace usher::gateway
