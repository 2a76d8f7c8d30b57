#include "audit/denial_merger.hpp"

#include "base/net.hpp"

namespace usher::audit {

using usher::v1::AccessRecord;

std::string DenialMerger::key_of(const AccessRecord& record) {
    std::string network = record.client_ip();
    if (auto address = base::IpAddress::parse(network)) {
        const bool v4 = address->is_v4();
        for (std::size_t i = v4 ? 15 : 8; i < 16; ++i) address->bytes[i] = 0;
        network = address->to_string();
    }
    const std::string reason = record.reasons().empty() ? std::string() : record.reasons(0);
    return reason + '\n' + network + '\n' + record.destination_host() + '\n' +
           std::to_string(record.destination_port());
}

std::optional<AccessRecord> DenialMerger::offer(AccessRecord record, base::MonoTime now) {
    std::string key = key_of(record);
    auto found = entries_.find(key);
    if (found == entries_.end() && entries_.size() >= keys_max) {
        // Coarser: the reasons are a small fixed set, so these few extra keys are bounded too.
        key = record.reasons().empty() ? std::string() : record.reasons(0);
        found = entries_.find(key);
    }
    if (found == entries_.end()) {
        entries_.emplace(std::move(key), Entry{now + window, 0, {}});
        return record;
    }
    Entry& entry = found->second;
    if (entry.merged == 0)
        entry.first = std::move(record);
    else
        *entry.first.mutable_last_at() = record.opened_at();
    ++entry.merged;
    return std::nullopt;
}

std::vector<AccessRecord> DenialMerger::due(base::MonoTime now) {
    std::vector<AccessRecord> out;
    for (auto it = entries_.begin(); it != entries_.end();) {
        if (it->second.ends > now) {
            ++it;
            continue;
        }
        if (it->second.merged > 0) {
            it->second.first.set_count(it->second.merged);
            out.push_back(std::move(it->second.first));
        }
        it = entries_.erase(it);
    }
    return out;
}

}  // namespace usher::audit
