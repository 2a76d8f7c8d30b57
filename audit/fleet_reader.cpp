#include "audit/fleet_reader.hpp"

#include <algorithm>

namespace usher::audit {
namespace {
constexpr std::size_t items_max = 256;
constexpr std::size_t read_bytes = 256 * 1024;
constexpr std::size_t shared_bytes = 256 * 1024;
constexpr std::size_t scanned_max = 4096;
/// What a message has beside its event and the text of its cursor.
constexpr std::size_t message_extra = 16 + 20;
/// So long a reader that has this gateway's events to give waits for what another one reads of the store.
constexpr std::chrono::milliseconds patience{1'000};

bool is_away(const base::Error& error) {
    return error.code == base::Errc::unavailable || error.code == base::Errc::deadline_exceeded;
}
/// Whether the database may have the gateway and not name it, since it is older than all that it does name.
bool left_out(const FleetWatermarks& watermarks, const base::Uuid& gateway) {
    return watermarks.more && gateway < watermarks.of.begin()->first;
}
}  // namespace

FleetReader::FleetReader(Journal& journal, Store& store, NamedFilter filter, RecentEvents* recent)
    : journal_(journal),
      store_(store),
      filter_(std::move(filter)),
      recent_(recent),
      own_(journal, store, filter_.filter) {}

base::Result<std::optional<FleetWatermarks>> FleetReader::learn(bool patient) {
    std::optional<FleetWatermarks> none;
    if (!store_.shared() || (patient && paused_)) return none;
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
    since_ = since;
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

base::Result<bool> FleetReader::share(Batch& batch, TailPlace& place, std::uint64_t until, bool patient) {
    if (recent_ == nullptr) return false;
    batch.frame = frame_of(place.gateway);
    const std::size_t each = batch.frame.before.size() + batch.frame.behind.size() + message_extra;
    std::size_t messages = 0, bytes = 0, scanned = 0;
    std::optional<std::chrono::milliseconds> wait_max;
    if (patient) wait_max = patience;
    while (place.sequence < until && scanned < scanned_max) {
        auto found = recent_->behind(place.gateway, place.sequence, filter_, wait_max);
        // What came before an error is given first: it comes again.
        if (!found && scanned == 0) return std::move(found).error();
        if (!found || !found->block) {
            batch.at_end = found && found->at_end;
            return scanned > 0 || batch.at_end;
        }
        const auto& block = *found->block;
        SharedEvents events{found->block, block.matching(filter_)};
        const auto& picks = *events.picks;
        events.begin = static_cast<std::size_t>(
            std::lower_bound(picks.begin(), picks.end(), place.sequence + 1 - block.first()) - picks.begin());
        while (events.begin < picks.size() && place.since && block.recorded_at(picks[events.begin]) < *place.since)
            ++events.begin;
        for (events.end = events.begin; events.end < picks.size(); ++events.end, ++messages) {
            const auto size = block.body(picks[events.end]).size() + each;
            if (messages == items_max || (messages > 0 && bytes + size > shared_bytes)) break;
            bytes += size;
        }
        const bool full = events.end < picks.size();
        const auto reached = full ? block.first() + picks[events.end] - 1 : block.last();
        scanned += reached - place.sequence;
        place.sequence = reached;
        if (events.end > events.begin) batch.shared.push_back(std::move(events));
        if (full) break;
    }
    return scanned > 0;
}

base::Result<FleetReader::Batch> FleetReader::next_own() {
    Batch batch;
    TailPlace place{journal_.gateway_id(), own_.position(), since_};
    auto shared = share(batch, place, UINT64_MAX, false);
    if (!shared) return std::move(shared).error();
    if (*shared) {
        own_.go_back(place.sequence);  // which is ahead here: it has been given what lies between
        return batch;
    }
    auto alone = own_.next();
    if (!alone) return std::move(alone).error();
    static_cast<TailReader::Batch&>(batch) = std::move(*alone);
    return batch;
}

base::Result<FleetReader::Batch> FleetReader::next_of(Other& other, bool patient) {
    Batch batch;
    auto& place = other.place;
    auto shared = share(batch, place, other.watermark, patient);
    if (!shared) return std::move(shared).error();
    if (*shared) return batch;
    // The watermark was known before the store is read: what is missing up to it is missing for good.
    auto records = store_.read_events(place.gateway, place.sequence, items_max / 2, read_bytes);
    if (!records) return records.error();
    for (const auto& record : *records) add_record(batch.items, place, record, filter_.filter);
    if (records->empty()) add_gap(batch.items, place, other.watermark);
    return batch;
}

base::Result<FleetReader::Batch> FleetReader::next(bool patient) {
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
        auto batch = next_own();
        if (!batch) return batch;
        if (other == others_.end() || !batch->at_end || !batch->empty()) {
            own_came_last_ = true;
            set_cursors(*batch, self);
            batch->at_end = batch->at_end && other == others_.end();
            return batch;
        }
    }
    auto batch = next_of(other->second, patient);
    own_came_last_ = false;
    last_other_ = other->first;
    if (!batch) {
        if (!patient || !is_away(batch.error())) return batch;
        paused_ = true;
        return Batch{};
    }
    set_cursors(*batch, other->first);
    return batch;
}

CursorFrame FleetReader::frame_of(const base::Uuid& gateway) const {
    const std::string mark = gateway.to_string() + ":";
    if (!position_is_whole()) return {mark, {}};
    auto cursor = position();
    cursor.positions[gateway] = 0;
    const std::string text = cursor.to_string();
    const auto at = text.find(mark) + mark.size();
    return {text.substr(0, at), text.substr(at + 1)};
}

void FleetReader::set_cursors(Batch& batch, const base::Uuid& gateway) const {
    if (batch.items.empty() || !position_is_whole()) return;
    const auto frame = frame_of(gateway);
    for (auto& item : batch.items) {
        if (item.has_event())
            item.mutable_event()->set_cursor(frame.around(item.event().sequence()));
        else if (item.has_gap())
            item.mutable_gap()->set_cursor(frame.around(item.gap().last_missing()));
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
