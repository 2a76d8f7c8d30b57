#include "auth/rule_index.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace usher::auth {

RuleIndex::RuleIndex(std::vector<PlacedRule> rules) : rules_(std::move(rules)) {
    std::vector<std::pair<Key, std::uint32_t>> entries;
    for (std::uint32_t n = 0; n < rules_.size(); ++n) {
        const Rule& rule = *rules_[n].rule;
        const std::pair<Field, const std::vector<std::string>*> lists[] = {
            {Field::account, &rule.accounts}, {Field::group, &rule.groups}, {Field::department, &rule.departments}};
        const std::pair<Field, const std::vector<std::string>*>* shortest = nullptr;
        for (const auto& list : lists) {
            if (list.second->empty() || list.second->size() > listed_max) continue;
            if (shortest == nullptr || list.second->size() < shortest->second->size()) shortest = &list;
        }
        if (shortest != nullptr)
            for (const auto& value : *shortest->second) entries.emplace_back(key_of(shortest->first, value), n);
        else if (!rule.roles.empty() && rule.roles.size() <= listed_max)
            for (const auto role : rule.roles) entries.emplace_back(key_of(role), n);
        else
            entries.emplace_back(for_everybody, n);
    }
    if (entries.empty()) return;
    std::sort(entries.begin(), entries.end());
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());

    const auto slots = std::max<std::size_t>(2, std::bit_ceil(entries.size() * 2));
    slots_.resize(slots);
    shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
    filed_.reserve(entries.size());
    for (std::size_t i = 0; i < entries.size();) {
        const Key key = entries[i].first;
        Slot slot{key, static_cast<std::uint32_t>(filed_.size()), 0};
        for (; i < entries.size() && entries[i].first == key; ++i) filed_.push_back(entries[i].second);
        slot.end = static_cast<std::uint32_t>(filed_.size());
        std::size_t at = key >> shift_;
        while (slots_[at].key != 0) at = (at + 1) & (slots - 1);
        slots_[at] = slot;
    }
}

}  // namespace usher::auth
