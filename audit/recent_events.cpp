#include "audit/recent_events.hpp"

#include <algorithm>

namespace usher::audit {
namespace {
constexpr std::size_t records_max = 256;
constexpr std::size_t read_bytes = 256 * 1024;
/// So far ahead of what is kept somebody may begin, and what lies between is read for those who come to it.
constexpr std::uint64_t ahead_max = 4096;
}  // namespace

RecentEvents::RecentEvents(Journal& journal, Store& store, const base::Clock& clock, std::size_t bytes_max,
                           std::size_t made_bytes_max)
    : journal_(journal), store_(store), clock_(clock), bytes_max_(bytes_max), made_bytes_max_(made_bytes_max) {}

RecentEvents::Place RecentEvents::look(const Window& window, std::uint64_t after, Found& found) const {
    const auto& blocks = window.blocks;
    if (blocks.empty() || after >= blocks.back().block->last()) return Place::at_end;
    if (after + 1 < blocks.front().block->first()) return Place::behind;
    const auto it = std::upper_bound(blocks.begin(), blocks.end(), after, [](std::uint64_t sequence, const Kept& kept) {
        return sequence < kept.block->last();
    });
    found.block = it->block;
    return Place::inside;
}

base::Result<std::vector<JournalRecord>> RecentEvents::read(const base::Uuid& gateway, std::uint64_t after) const {
    if (gateway != journal_.gateway_id()) return store_.read_events(gateway, after, records_max, read_bytes);
    return journal_.read(after, records_max, read_bytes);
}

base::Result<RecentEvents::Found> RecentEvents::behind(const base::Uuid& gateway, std::uint64_t after,
                                                       const NamedFilter& filter,
                                                       std::optional<std::chrono::milliseconds> wait_max) {
    Found found;
    const bool own = gateway == journal_.gateway_id();
    if (own && after >= journal_.durable_sequence()) {
        found.at_end = true;
        return found;
    }
    std::shared_ptr<Window> window;
    std::uint64_t reads = 0;
    {
        Blocks gone;
        const std::lock_guard lock(mutex_);
        auto& place = windows_[gateway];
        if (!place) place = std::make_shared<Window>();
        window = place;
        drop_older(*window, clock_.mono() - recent_age_max, gone);
        if (*made_bytes_ > made_bytes_max_) shed_made();
        reads = window->reads;
        if (look(*window, after, found) != Place::at_end) return found;
    }
    {
        std::unique_lock lock(mutex_);
        const auto is_free = [&window] { return !window->reading; };
        if (own || !wait_max)
            window->has_read.wait(lock, is_free);
        else if (window->given_up || !window->has_read.wait_for(lock, *wait_max, is_free)) {
            window->given_up = window->reading;
            return base::Error{base::Errc::unavailable, "the events of another gateway are waited for already"};
        }
        if (look(*window, after, found) != Place::at_end) return found;
        // Not one attempt after the other for everybody while the database does not answer.
        if (window->reads != reads && window->error) return *window->error;
        window->reading = true;
    }
    const Turn turn(*this, *window);
    auto read = read_on(*window, gateway, after, filter);
    const std::lock_guard lock(mutex_);
    ++window->reads;
    window->error.reset();
    if (!read) window->error = read.error();
    return read;
}

RecentEvents::Turn::~Turn() {
    {
        const std::lock_guard lock(events_.mutex_);
        window_.reading = window_.given_up = false;
    }
    window_.has_read.notify_all();
}

base::Result<RecentEvents::Found> RecentEvents::read_on(Window& window, const base::Uuid& gateway, std::uint64_t after,
                                                        const NamedFilter& filter) {
    Found found;
    auto from = after;
    {
        const std::lock_guard lock(mutex_);
        if (!window.blocks.empty() && after - window.blocks.back().block->last() <= ahead_max)
            from = window.blocks.back().block->last();
    }
    while (true) {
        auto records = read(gateway, from);
        std::shared_ptr<const EventBlock> block;
        if (records) block = EventBlock::make(gateway, from, *records, filter, made_bytes_);
        if (block) {
            keep(window, block);
            if (block->last() > after) {
                found.block = std::move(block);
                return found;
            }
            from = block->last();
        } else if (from != after) {
            from = after;  // something is missing between
        } else {
            if (records || (gateway == journal_.gateway_id() && records.error().code == base::Errc::not_found))
                return found;
            return std::move(records).error();
        }
    }
}

void RecentEvents::keep(Window& window, const std::shared_ptr<const EventBlock>& block) {
    Blocks gone;
    const std::lock_guard lock(mutex_);
    // Nobody has followed for a while, or not up to a gap: what is kept ends before this one begins.
    while (!window.blocks.empty() && window.blocks.back().block->last() + 1 != block->first())
        drop_oldest(window, gone);
    window.blocks.push_back({block, clock_.mono()});
    bytes_ += block->bytes();
    while (bytes_ > bytes_max_) {
        Window* oldest = nullptr;
        for (const auto& [gateway, each] : windows_) {
            // The last one stays: without it the next reader would not be seen to follow.
            if (each->blocks.size() < 2) continue;
            if (oldest == nullptr || each->blocks.front().read_at < oldest->blocks.front().read_at) oldest = each.get();
        }
        if (oldest == nullptr) return;
        drop_oldest(*oldest, gone);
    }
}

void RecentEvents::drop_oldest(Window& window, Blocks& gone) {
    auto& block = window.blocks.front().block;
    bytes_ -= block->bytes();
    gone.push_back(std::move(block));
    window.blocks.pop_front();
}

void RecentEvents::drop_older(Window& window, base::MonoTime before, Blocks& gone) {
    while (!window.blocks.empty() && window.blocks.front().read_at < before) drop_oldest(window, gone);
}

void RecentEvents::shed_made() {
    std::vector<const Kept*> oldest_first;
    for (const auto& [gateway, window] : windows_)
        for (const auto& kept : window->blocks) oldest_first.push_back(&kept);
    std::sort(oldest_first.begin(), oldest_first.end(),
              [](const Kept* left, const Kept* right) { return left->read_at < right->read_at; });
    for (const auto* kept : oldest_first) {
        if (*made_bytes_ <= made_bytes_max_ / 2) return;
        kept->block->forget_made();
    }
}

void RecentEvents::forget(base::MonoTime before) {
    Blocks gone;
    const std::lock_guard lock(mutex_);
    for (auto it = windows_.begin(); it != windows_.end();) {
        auto& window = *it->second;
        drop_older(window, before, gone);
        // Somebody may be reading for it: what that one keeps goes with the window.
        it = window.blocks.empty() && it->second.use_count() == 1 ? windows_.erase(it) : std::next(it);
    }
}

}  // namespace usher::audit
