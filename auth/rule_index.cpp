#include "auth/rule_index.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace usher::auth {

/// Copies what the rules ask besides into lists of our own, where it is not long.
void RuleIndex::keep_what_is_asked(const std::vector<const Rule*>& one_of_each) {
    std::size_t networks = 0, times = 0, devices = 0, posture = 0;
    const auto kept_size = [](const auto& list) { return list.size() > listed_max ? 0 : list.size(); };
    for (const Rule* rule : one_of_each) {
        networks += kept_size(rule->networks);
        times += kept_size(rule->times);
        devices += kept_size(rule->devices);
        posture += kept_size(rule->posture);
    }
    // All of the room first: what is referred to must not move.
    networks_.reserve(networks);
    times_.reserve(times);
    devices_.reserve(devices);
    posture_.reserve(posture);
    // A long list gains nothing by lying close, and would be there once for each app of its policy.
    const auto kept = []<class T>(std::vector<T>& all, const std::vector<T>& list) -> std::span<const T> {
        if (list.size() > listed_max) return list;
        const auto from = all.size();
        all.insert(all.end(), list.begin(), list.end());
        return std::span(all).subspan(from);
    };
    for (const Rule* rule : one_of_each)
        asked_.push_back({kept(networks_, rule->networks), kept(times_, rule->times), kept(devices_, rule->devices),
                          kept(posture_, rule->posture), rule->mfa_within});
}

RuleIndex::RuleIndex(std::vector<PlacedRule> rules) : rules_(std::move(rules)) {
    std::vector<std::pair<Value, Filed>> entries;
    std::vector<const Rule*> one_of_each;
    const auto number_of_what_is_asked = [&](const Rule& rule) {
        const auto known = std::find_if(one_of_each.begin(), one_of_each.end(),
                                        [&](const Rule* other) { return rule.besides() == other->besides(); });
        const auto number = static_cast<std::uint16_t>(known - one_of_each.begin());
        if (known != one_of_each.end()) return number;
        if (number == remembered_max) return not_remembered;
        one_of_each.push_back(&rule);
        return number;
    };
    for (std::uint32_t n = 0; n < rules_.size(); ++n) {
        const Rule& rule = *rules_[n].rule;
        if (rule.empty()) continue;  // it matches nobody
        const std::pair<Field, const std::vector<std::string>*> lists[] = {
            {Field::account, &rule.accounts}, {Field::group, &rule.groups}, {Field::department, &rule.departments}};
        const std::pair<Field, const std::vector<std::string>*>* shortest = nullptr;
        auto lists_of_whom = rule.roles.empty() ? 0 : 1;
        for (const auto& list : lists) {
            if (list.second->empty()) continue;
            ++lists_of_whom;
            if (list.second->size() > listed_max) continue;
            if (shortest == nullptr || list.second->size() < shortest->second->size()) shortest = &list;
        }
        Filed filed{n, number_of_what_is_asked(rule), lists_of_whom > 1};
        if (shortest != nullptr) {
            for (const auto& value : *shortest->second) entries.push_back({{shortest->first, value}, filed});
        } else if (!rule.roles.empty() && rule.roles.size() <= listed_max) {
            for (const auto role : rule.roles) entries.push_back({{Field::role, to_word(role)}, filed});
        } else {
            filed.more_of_whom = lists_of_whom > 0;
            entries.push_back({{Field::everybody, {}}, filed});
        }
    }
    if (entries.empty()) return;
    keep_what_is_asked(one_of_each);
    // A list may have a value twice; reading its rule twice does no harm.
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first < b.first : a.second.place < b.second.place;
    });

    std::size_t values = 1;
    for (std::size_t i = 1; i < entries.size(); ++i) values += entries[i].first != entries[i - 1].first ? 1 : 0;
    const auto slots = std::max<std::size_t>(2, std::bit_ceil(values * 2));
    slots_.resize(slots);
    tags_.resize(slots);
    shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
    filed_.reserve(entries.size());
    for (std::size_t i = 0; i < entries.size();) {
        const Value value = entries[i].first;
        const auto hash = value.hash();
        Slot slot{static_cast<std::uint32_t>(texts_.size()), static_cast<std::uint32_t>(value.text.size()), value.field,
                  static_cast<std::uint32_t>(filed_.size()), 0};
        texts_ += value.text;
        for (; i < entries.size() && entries[i].first == value; ++i) filed_.push_back(entries[i].second);
        slot.end = static_cast<std::uint32_t>(filed_.size());
        std::size_t at = hash >> shift_;
        while (tags_[at] != 0) at = (at + 1) & (slots - 1);
        slots_[at] = slot;
        tags_[at] = tag_of(hash);
    }
}

}  // namespace usher::auth
