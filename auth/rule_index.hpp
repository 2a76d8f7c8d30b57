#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/model.hpp"

namespace usher::auth {

/// One rule, and where it stands.
struct PlacedRule {
    const Policy* policy;
    bool deny;           ///< policy->deny[number], else policy->allow[number]
    std::size_t number;  ///< in its list
    const Rule* rule;
};

/// Rules in an order, found by whom they are about, so that a decision reads those that can match and hardly any
/// others. A rule is filed under the values of its shortest list of accounts, groups or departments, else under its
/// roles; one without such a list, or whose lists are all longer than listed_max, is read for everybody. Refers to the
/// rules; immutable once built.
class RuleIndex {
public:
    static constexpr std::size_t listed_max = 64;  ///< bounds what many apps of one policy cost in memory

    RuleIndex() = default;
    explicit RuleIndex(std::vector<PlacedRule> rules);

    /// The first rule, in the order given, of which `wanted` is true; null when there is none. `wanted` must be false
    /// for rules about others than the account. It sees rules in no order, some more than once. Allocates nothing.
    /// `above`: the codes of the departments that the account's department lies in.
    template <class Wanted>
    const PlacedRule* first(const Account& account, std::span<const std::string> above, Wanted wanted) const noexcept {
        auto best = static_cast<std::uint32_t>(rules_.size());
        const auto read = [&](Stretch stretch) {
            // A stretch rises, so what is behind the best is of no interest.
            for (; stretch.from != stretch.to && *stretch.from < best; ++stretch.from)
                if (wanted(rules_[*stretch.from])) best = *stretch.from;
        };
        read(filed_under(key_of(Field::account, account.username)));
        for (const auto& group : account.groups) read(filed_under(key_of(Field::group, group)));
        read(filed_under(key_of(Field::department, account.department)));
        for (const auto& code : above) read(filed_under(key_of(Field::department, code)));
        read(filed_under(key_of(account.role)));
        read(filed_under(for_everybody));
        return best == rules_.size() ? nullptr : &rules_[best];
    }

private:
    enum class Field : std::uint64_t { account = 1, group, department, role };
    /// What a rule is filed under, hashed. Values that collide have the same rules, and each rule says for itself whom
    /// it is about.
    using Key = std::uint64_t;
    static constexpr Key for_everybody = 1;
    static Key key_of(Field field, std::string_view value) noexcept {
        const Key key = std::hash<std::string_view>{}(value)*0x9e3779b97f4a7c15 + static_cast<Key>(field);
        return key == 0 ? for_everybody : key;  // 0 is an empty slot
    }
    static Key key_of(Role role) noexcept { return (static_cast<Key>(role) + 1) * 0xbf58476d1ce4e5b9; }

    struct Stretch {
        const std::uint32_t *from, *to;
    };
    Stretch filed_under(Key key) const noexcept {
        if (slots_.empty()) return {nullptr, nullptr};
        for (std::size_t at = key >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
            const Slot& slot = slots_[at];
            if (slot.key == key) return {filed_.data() + slot.begin, filed_.data() + slot.end};
            if (slot.key == 0) return {nullptr, nullptr};  // at least half of the slots are empty
        }
    }

    struct Slot {
        Key key = 0;
        std::uint32_t begin = 0, end = 0;  ///< in filed_
    };
    std::vector<PlacedRule> rules_;
    std::vector<std::uint32_t> filed_;  ///< places in rules_, those of one key together and rising
    std::vector<Slot> slots_;  ///< a power of two, by the upper bits of the key; the next free one on collision
    unsigned shift_ = 0;
};

}  // namespace usher::auth
