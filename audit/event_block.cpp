#include "audit/event_block.hpp"

#include <algorithm>
#include <stdexcept>

#include "audit/audit.hpp"

namespace usher::audit {
namespace {
constexpr std::size_t answers_max = 32;
constexpr std::size_t kept_max = 32;
}  // namespace

std::shared_ptr<const EventBlock> EventBlock::make(const base::Uuid& gateway, std::uint64_t after,
                                                   const std::vector<JournalRecord>& records, const NamedFilter& filter,
                                                   MadeBytes made) {
    auto block = std::make_shared<EventBlock>(std::move(made));
    block->first_ = after + 1;
    auto picks = std::make_shared<std::vector<std::uint32_t>>();
    for (const auto& record : records) {
        if (record.sequence != block->first_ + block->size()) break;
        auto event = decode(gateway, record);
        if (!event) break;
        if (filter.filter.matches(*event)) picks->push_back(static_cast<std::uint32_t>(block->size()));
        event->clear_cursor();
        event->AppendToString(&block->bytes_);
        block->events_.push_back({block->bytes_.size(), record.recorded_at});
    }
    if (block->events_.empty()) return nullptr;
    block->bytes_.shrink_to_fit();
    block->events_.shrink_to_fit();
    block->keep({filter.text, std::move(picks)});
    return block;
}

std::string_view EventBlock::body(std::size_t place) const {
    const std::size_t begin = place == 0 ? 0 : events_[place - 1].end;
    return std::string_view(bytes_).substr(begin, events_[place].end - begin);
}

void EventBlock::read(std::size_t place, usher::v1::AuditEvent& event) const {
    const auto bytes = body(place);
    if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        throw std::runtime_error("an event that was written into a block cannot be read from it");
}

EventBlock::Picks EventBlock::find(const std::string& text) const {
    for (const auto& answer : answers_)
        if (answer.filter == text) return answer.picks;
    return nullptr;
}

void EventBlock::keep(Answer answer) const {
    if (answers_.size() == answers_max) {
        *made_bytes_ -= answers_.front().bytes();
        answers_.pop_front();
    }
    *made_bytes_ += answer.bytes();
    answers_.push_back(std::move(answer));
}

EventBlock::Picks EventBlock::matching(const NamedFilter& filter) const {
    {
        const std::lock_guard lock(mutex_);
        if (auto picks = find(filter.text)) return picks;
    }
    // Without the lock: who has the answer already does not wait.
    auto picks = std::make_shared<std::vector<std::uint32_t>>();
    usher::v1::AuditEvent event;
    for (std::size_t place = 0; place < size(); ++place) {
        read(place, event);
        if (filter.filter.matches(event)) picks->push_back(static_cast<std::uint32_t>(place));
    }
    const std::lock_guard lock(mutex_);
    if (auto found = find(filter.text)) return found;
    keep({filter.text, picks});
    return picks;
}

std::shared_ptr<const EventBlock::Made> EventBlock::made(
    const std::string& key, const std::function<std::shared_ptr<const Made>(MadeBytes)>& make) const {
    std::shared_ptr<const Made> gone;  // after the lock
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.key == key; });
    if (found != kept_.end()) {
        std::rotate(found, found + 1, kept_.end());  // the last one used goes last
        return kept_.back().made;
    }
    auto made = make(made_bytes_);
    if (kept_.size() == kept_max) {
        gone = std::move(kept_.front().made);
        kept_.pop_front();
    }
    kept_.push_back({key, made});
    return made;
}

void EventBlock::forget_made() const {
    std::deque<Kept> gone;  // after the lock
    const std::lock_guard lock(mutex_);
    for (const auto& answer : answers_) *made_bytes_ -= answer.bytes();
    answers_.clear();
    gone.swap(kept_);
}

}  // namespace usher::audit
