#include "audit/recent_events.hpp"

#include <algorithm>

namespace usher::audit {
namespace {
constexpr std::size_t records_max = 256;
constexpr std::size_t read_bytes = 256 * 1024;
}  // namespace

RecentEvents::RecentEvents(Journal& journal, Store& store, const base::Clock& clock, std::size_t bytes_max)
    : journal_(journal), store_(store), clock_(clock), bytes_max_(bytes_max) {}

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
                                                       const NamedFilter& filter) {
    Found found;
    const bool own = gateway == journal_.gateway_id();
    if (own && after >= journal_.durable_sequence()) {
        found.at_end = true;
        return found;
    }
    std::shared_ptr<Window> window;
    {
        const std::lock_guard lock(mutex_);
        auto& place = windows_[gateway];
        if (!place) place = std::make_shared<Window>();
        window = place;
        if (look(*window, after, found) != Place::at_end) return found;
    }
    const std::lock_guard reading(window->reading);
    {
        const std::lock_guard lock(mutex_);
        if (look(*window, after, found) != Place::at_end) return found;
    }
    auto records = read(gateway, after);
    if (!records) {
        if (own && records.error().code == base::Errc::not_found) return found;
        return std::move(records).error();
    }
    found.block = EventBlock::make(gateway, after, *records, filter);
    if (found.block) keep(*window, found.block);
    return found;
}

void RecentEvents::keep(Window& window, const std::shared_ptr<const EventBlock>& block) {
    const std::lock_guard lock(mutex_);
    // Nobody has followed for a while, or not up to a gap: what is kept ends before this one begins.
    while (!window.blocks.empty() && window.blocks.back().block->last() + 1 != block->first()) drop_oldest(window);
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
        drop_oldest(*oldest);
    }
}

void RecentEvents::drop_oldest(Window& window) {
    bytes_ -= window.blocks.front().block->bytes();
    window.blocks.pop_front();
}

void RecentEvents::forget(base::MonoTime before) {
    const std::lock_guard lock(mutex_);
    for (auto it = windows_.begin(); it != windows_.end();) {
        auto& window = *it->second;
        while (!window.blocks.empty() && window.blocks.front().read_at < before) drop_oldest(window);
        // Somebody may be reading for it: what that one keeps goes with the window.
        it = window.blocks.empty() && it->second.use_count() == 1 ? windows_.erase(it) : std::next(it);
    }
}

}  // namespace usher::audit
