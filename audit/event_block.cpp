#include "audit/event_block.hpp"

#include "audit/audit.hpp"

namespace usher::audit {
namespace {
constexpr std::size_t answers_max = 32;
constexpr std::size_t kept_max = 8;
}  // namespace

std::shared_ptr<const EventBlock> EventBlock::make(const base::Uuid& gateway, std::uint64_t after,
                                                   const std::vector<JournalRecord>& records,
                                                   const NamedFilter& filter) {
    auto block = std::make_shared<EventBlock>();
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
    block->answers_.push_back({filter.text, std::move(picks)});
    return block;
}

std::string_view EventBlock::body(std::size_t place) const {
    const std::size_t begin = place == 0 ? 0 : events_[place - 1].end;
    return std::string_view(bytes_).substr(begin, events_[place].end - begin);
}

EventBlock::Picks EventBlock::matching(const NamedFilter& filter) const {
    const std::lock_guard lock(mutex_);
    for (const auto& answer : answers_)
        if (answer.filter == filter.text) return answer.picks;
    auto picks = std::make_shared<std::vector<std::uint32_t>>();
    usher::v1::AuditEvent event;
    for (std::size_t place = 0; place < size(); ++place) {
        const auto bytes = body(place);
        if (event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) && filter.filter.matches(event))
            picks->push_back(static_cast<std::uint32_t>(place));
    }
    if (answers_.size() < answers_max) answers_.push_back({filter.text, picks});
    return picks;
}

std::shared_ptr<const EventBlock::Made> EventBlock::made(
    const std::string& key, const std::function<std::shared_ptr<const Made>()>& make) const {
    const std::lock_guard lock(mutex_);
    for (const auto& kept : kept_)
        if (kept.key == key) return kept.made;
    auto made = make();
    if (kept_.size() < kept_max) kept_.push_back({key, made});
    return made;
}

}  // namespace usher::audit
