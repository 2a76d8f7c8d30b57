#include "audit/denial_merger.hpp"

#include <algorithm>

#include "base/net.hpp"

namespace usher::audit {

using usher::v1::AccessRecord;

namespace {

std::string reason_of(const AccessRecord& record) {
    return record.reasons().empty() ? std::string() : record.reasons(0);
}

/// Takes out of `merged` what is not true of `other` as well, so that nobody is charged with what others did.
void keep_common(AccessRecord& merged, const AccessRecord& other) {
    if (merged.client_ip() != other.client_ip()) merged.clear_client_ip();
    if (merged.client_ip() != other.client_ip() || merged.client_port() != other.client_port())
        merged.clear_client_port();
    if (merged.session_id() != other.session_id()) {
        merged.clear_session_id();
        merged.clear_device();
        merged.clear_enrolled_device_id();
        merged.clear_enrolled_device_name();
        merged.clear_enrolled_device_state();
        merged.clear_second_factor_at();
    }
    if (merged.account_id() != other.account_id()) {
        merged.clear_account_id();
        merged.clear_username();
        merged.clear_department();
    }
    if (merged.app() != other.app()) merged.clear_app();
    if (merged.destination_host() != other.destination_host() ||
        merged.destination_port() != other.destination_port()) {
        merged.clear_destination_host();
        merged.clear_destination_port();
    }
    if (merged.destination_ip() != other.destination_ip()) merged.clear_destination_ip();
    if (merged.policy() != other.policy()) merged.clear_policy();
    if (reason_of(merged) != reason_of(other))
        merged.clear_reasons();
    else if (!std::equal(merged.reasons().begin(), merged.reasons().end(), other.reasons().begin(),
                         other.reasons().end()))
        merged.mutable_reasons()->DeleteSubrange(1, merged.reasons_size() - 1);
}

}  // namespace

std::string DenialMerger::key_of(const AccessRecord& record) {
    std::string network = record.client_ip();
    if (auto address = base::IpAddress::parse(network)) {
        const bool v4 = address->is_v4();
        for (std::size_t i = v4 ? 15 : 8; i < 16; ++i) address->bytes[i] = 0;
        network = address->to_string();
    }
    return reason_of(record) + '\n' + network + '\n' + record.destination_host() + '\n' +
           std::to_string(record.destination_port()) + '\n' + record.session_id();
}

std::optional<AccessRecord> DenialMerger::offer(AccessRecord record, base::MonoTime now) {
    std::string key = key_of(record);
    auto found = entries_.find(key);
    bool coarse = false;
    if (found == entries_.end() && entries_.size() >= keys_max) {
        // Coarser: by reason alone, and should the reasons be many as well, all together.
        coarse = true;
        key = reason_of(record);
        found = entries_.find(key);
        if (found == entries_.end() && entries_.size() >= keys_max + coarse_keys_max) {
            key.clear();
            found = entries_.find(key);
        }
    }
    if (found == entries_.end()) {
        entries_.emplace(std::move(key), Entry{now + window, 0, {}});
        return record;
    }
    Entry& entry = found->second;
    if (entry.merged == 0 && entry.ends <= now) {
        // Nothing followed within its second: this one is a first again.
        entry.ends = now + window;
        return record;
    }
    entry.merged += std::max<std::uint64_t>(record.count(), 1);
    const auto last = record.has_last_at() ? record.last_at() : record.opened_at();
    if (!entry.first.has_last_at()) {
        entry.first = std::move(record);
    } else if (coarse) {
        keep_common(entry.first, record);
    }
    *entry.first.mutable_last_at() = last;
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
