#include "audit/fleet_reader.hpp"

#include <algorithm>

namespace usher::audit {
namespace {
constexpr std::size_t items_max = 256;
constexpr std::size_t read_bytes = 256 * 1024;

bool is_away(const base::Error& error) {
    return error.code == base::Errc::unavailable || error.code == base::Errc::deadline_exceeded;
}
/// Whether the database may have the gateway and not name it, since it is older than all that it does name.
bool left_out(const FleetWatermarks& watermarks, const base::Uuid& gateway) {
    return watermarks.more && gateway < watermarks.of.begin()->first;
}
}  // namespace

FleetReader::FleetReader(Journal& journal, Store& store, const Filter& filter)
    : journal_(journal), store_(store), filter_(filter), own_(journal, store, filter) {}

base::Result<std::optional<FleetWatermarks>> FleetReader::learn(bool patient) {
    std::optional<FleetWatermarks> none;
    if (!store_.shared()) return none;
    auto found = store_.watermarks();
    if (found) return std::optional(std::move(*found));
    if (patient && is_away(found.error())) return none;
    return std::move(found).error();
}

base::Result<void> FleetReader::start_after(const FleetCursor& after, bool patient) {
    const auto self = journal_.gateway_id();
    const auto unknown = [&](const base::Uuid& gateway) {
        return base::Error{base::Errc::invalid_argument, "the cursor is of gateway " + gateway.to_string() +
                                                             ", this one is " + self.to_string() +
                                                             ", and the database knows no other of that name"};
    };
    for (const auto& [gateway, sequence] : after.positions) {
        if (gateway == self) continue;
        if (!store_.shared()) return unknown(gateway);
        others_[gateway].place = {gateway, sequence, {}};
    }
    known_ = after.whole;  // who is not in it has come since
    // Who has no watermark is not of this database, or too old to be shown. An older cursor of another gateway cannot
    // be told from a wrong one while the database is away.
    const bool must_know = !after.whole && !others_.empty();
    auto watermarks = learn(patient && !must_know);
    if (!watermarks) return std::move(watermarks).error();
    if (*watermarks) {
        for (const auto& [gateway, other] : others_)
            if (!(*watermarks)->of.contains(gateway) && !left_out(**watermarks, gateway)) return unknown(gateway);
        know(**watermarks);
    }

    const auto mine = after.positions.find(self);
    if (mine != after.positions.end()) return own_.start_after({self, mine->second});
    if (!after.whole) own_.start_now();
    return {};
}

base::Result<void> FleetReader::start_since(base::UtcTime since) {
    auto watermarks = learn(false);
    if (!watermarks) return std::move(watermarks).error();
    if (*watermarks) know(**watermarks);
    for (auto& [gateway, other] : others_) {
        auto before = store_.sequence_before(gateway, since);
        if (!before) return before.error();
        if (*before) other.place.sequence = std::min(other.place.sequence, **before);
        other.place.since = since;
    }
    return own_.start_since(since);
}

base::Result<void> FleetReader::start_now(bool patient) {
    own_.start_now();
    auto watermarks = learn(patient);
    if (!watermarks) return std::move(watermarks).error();
    if (*watermarks) know(**watermarks);
    return {};
}

void FleetReader::know(const FleetWatermarks& watermarks) {
    const auto self = journal_.gateway_id();
    for (const auto& [gateway, sequence] : watermarks.of) {
        if (gateway == self) continue;
        auto& other = others_.try_emplace(gateway, Other{{gateway, known_ ? 0 : sequence, {}}, 0}).first->second;
        other.watermark = std::max(other.watermark, sequence);
    }
    // What is not named is kept otherwise: this may be older than what is known already.
    incomplete_ = watermarks.more || others_.size() >= fleet_gateways_max;
    while (others_.size() >= fleet_gateways_max) others_.erase(others_.begin());
    known_ = true;
    paused_ = false;
}

base::Result<TailReader::Batch> FleetReader::next_of(Other& other) {
    TailReader::Batch batch;
    auto& place = other.place;
    // The watermark was known before the store is read: what is missing up to it is missing for good.
    auto records = store_.read_events(place.gateway, place.sequence, items_max / 2, read_bytes);
    if (!records) return records.error();
    for (const auto& record : *records) add_record(batch.items, place, record, filter_);
    if (records->empty()) add_gap(batch.items, place, other.watermark);
    return batch;
}

base::Result<TailReader::Batch> FleetReader::next(bool patient) {
    const auto self = journal_.gateway_id();
    const auto other_with_more = [this] {
        const auto has_more = [this](const auto& entry) {
            return !paused_ && entry.second.place.sequence < entry.second.watermark;
        };
        // The one behind the last, so that no gateway keeps the others waiting.
        auto found = std::find_if(others_.upper_bound(last_other_), others_.end(), has_more);
        return found != others_.end() ? found : std::find_if(others_.begin(), others_.end(), has_more);
    };
    auto other = other_with_more();
    // This gateway's and the others' in turns.
    if (other == others_.end() || !own_came_last_) {
        auto batch = own_.next();
        if (!batch) return batch;
        if (other == others_.end() || !batch->at_end || !batch->items.empty()) {
            own_came_last_ = true;
            set_cursors(batch->items, self);
            batch->at_end = batch->at_end && other == others_.end();
            return batch;
        }
    }
    auto batch = next_of(other->second);
    own_came_last_ = false;
    last_other_ = other->first;
    if (!batch) {
        if (!patient || !is_away(batch.error())) return batch;
        paused_ = true;
        return TailReader::Batch{};
    }
    set_cursors(batch->items, other->first);
    return batch;
}

void FleetReader::set_cursors(TailItems& items, const base::Uuid& gateway) const {
    if (!position_is_whole()) return;
    // Only one number of the cursor changes from item to item.
    auto cursor = position();
    cursor.positions[gateway] = 0;
    const std::string text = cursor.to_string(), mark = gateway.to_string() + ":";
    const auto at = text.find(mark) + mark.size();
    const std::string before = text.substr(0, at), behind = text.substr(at + 1);
    for (auto& item : items) {
        if (item.has_event())
            item.mutable_event()->set_cursor(before + std::to_string(item.event().sequence()) + behind);
        else if (item.has_gap())
            item.mutable_gap()->set_cursor(before + std::to_string(item.gap().last_missing()) + behind);
    }
}

void FleetReader::unread(const TailItems& items, std::size_t first) {
    for (std::size_t i = items.size(); i-- > first;) {
        const bool is_event = items[i].has_event();
        const auto gateway = base::Uuid::parse(is_event ? items[i].event().gateway_id() : items[i].gap().gateway_id());
        const auto behind = (is_event ? items[i].event().sequence() : items[i].gap().first_missing()) - 1;
        if (!gateway) continue;
        if (const auto other = others_.find(*gateway); other != others_.end())
            other->second.place.sequence = behind;
        else
            own_.go_back(behind);
    }
}

FleetCursor FleetReader::position() const {
    FleetCursor out;
    out.positions.emplace(journal_.gateway_id(), own_.position());
    for (const auto& [gateway, other] : others_) out.positions.emplace(gateway, other.place.sequence);
    out.whole = position_is_whole();
    return out;
}

Sequences FleetReader::watermarks() const {
    Sequences out{{journal_.gateway_id(), journal_.durable_sequence()}};
    for (const auto& [gateway, other] : others_) out.emplace(gateway, other.watermark);
    return out;
}

}  // namespace usher::audit
