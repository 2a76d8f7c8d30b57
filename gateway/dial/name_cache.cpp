#include "gateway/dial/name_cache.hpp"

#include <algorithm>
#include <utility>

namespace usher::gateway::dial {

std::optional<std::vector<base::IpAddress>> NameCache::find(const std::string& name, base::MonoTime now) {
    for (Entries* entries : {&names_, &absent_}) {
        const auto found = entries->find(name);
        if (found == entries->end()) continue;
        if (found->second.expires > now) return found->second.addresses;
        entries->erase(found);
    }
    return std::nullopt;
}

void NameCache::remember(const std::string& name, std::vector<base::IpAddress> addresses, base::Microseconds ttl,
                         base::MonoTime now) {
    absent_.erase(name);
    ttl = std::min(ttl, limits_.ttl_max);
    if (ttl > base::Microseconds::zero()) put(names_, limits_.names, name, {std::move(addresses), now + ttl}, now);
}

void NameCache::remember_absent(const std::string& name, base::MonoTime now) {
    names_.erase(name);
    if (limits_.absent_ttl > base::Microseconds::zero()) {
        put(absent_, limits_.absent_names, name, {{}, now + limits_.absent_ttl}, now);
    }
}

void NameCache::put(Entries& entries, std::size_t limit, const std::string& name, Entry entry, base::MonoTime now) {
    if (limit == 0) return;
    if (entries.size() >= limit && !entries.contains(name)) {
        // One step, however full it is: what has expired is met by find(), or here sooner or later.
        const auto victim =
            std::find_if(entries.begin(), std::next(entries.begin(), std::min<std::ptrdiff_t>(8, std::ssize(entries))),
                         [&](const auto& held) { return held.second.expires <= now; });
        entries.erase(victim != entries.end() ? victim : entries.begin());
    }
    entries.insert_or_assign(name, std::move(entry));
}

}  // namespace usher::gateway::dial
