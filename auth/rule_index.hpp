#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/model.hpp"
#include "auth/validate.hpp"

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
/// roles; one without such a list, or whose lists are all longer than listed_max, is read for everybody. What rules ask
/// besides (a network, hours, a device) is the same for many of them, and is looked at once a decision. What a decision
/// reads lies close together: with many accounts and apps its time is that of what the processor's caches do not hold.
/// Refers to the rules; immutable once built.
class RuleIndex {
public:
    static constexpr std::size_t listed_max = 64;  ///< bounds what many apps of one policy cost in memory
    /// So many different sets of what is asked besides are remembered while a decision is made; a rule that asks for
    /// another one is looked at by itself.
    static constexpr std::size_t remembered_max = 64;

    RuleIndex() = default;
    explicit RuleIndex(std::vector<PlacedRule> rules);
    RuleIndex(RuleIndex&&) = default;
    RuleIndex& operator=(RuleIndex&&) = default;

    /// The first rule, in the order given, that matches; null when there is none. `missed` is called with some of the
    /// rules about the account that do not match, and with what they ask besides and is not met first: with each that
    /// stands before the rule that is found, in no order, with some more than once. Allocates nothing.
    /// `above`: the codes of the departments that the account's department lies in.
    template <class Missed>
    const PlacedRule* first(const Account& account, std::span<const std::string> above, const Context& context,
                            Missed missed) const noexcept {
        auto best = static_cast<std::uint32_t>(rules_.size());
        std::array<std::uint8_t, remembered_max> found{};
        const auto unmet_besides = [&](const Filed& filed) -> std::uint8_t {
            if (filed.asks == not_remembered) return to_code(rules_[filed.place].rule->besides().first_unmet(context));
            auto& code = found[filed.asks];
            if (code == 0) code = to_code(asked_[filed.asks].first_unmet(context));
            return code;
        };
        const auto read = [&](Stretch stretch) {
            // A stretch rises, so what is behind the best is of no interest.
            for (; stretch.from != stretch.to && stretch.from->place < best; ++stretch.from) {
                const Filed& filed = *stretch.from;
                if (filed.more_of_whom && rules_[filed.place].rule->first_unmet_by_whom(account, above)) continue;
                if (const auto code = unmet_besides(filed); code == met)
                    best = filed.place;
                else
                    missed(rules_[filed.place], static_cast<RuleField>(code - met - 1));
            }
        };
        read(filed_under({Field::account, account.username}));
        for (const auto& group : account.groups) read(filed_under({Field::group, group}));
        read(filed_under({Field::department, account.department}));
        for (const auto& code : above) read(filed_under({Field::department, code}));
        read(filed_under({Field::role, to_word(account.role)}));
        read(filed_under({Field::everybody, {}}));
        return best == rules_.size() ? nullptr : &rules_[best];
    }

private:
    enum class Field : std::uint8_t { account, group, department, role, everybody };
    /// What a rule is filed under. It is compared itself and not by its hash alone: a rule that is found under it is
    /// not asked again whom it is about.
    struct Value {
        Field field = Field::everybody;
        std::string_view text{};
        friend auto operator<=>(const Value&, const Value&) = default;
        std::uint64_t hash() const noexcept {
            return (std::hash<std::string_view>{}(text) + static_cast<std::uint64_t>(field)) * 0x9e3779b97f4a7c15;
        }
    };

    struct Filed {
        std::uint32_t place;  ///< in rules_
        std::uint16_t asks;   ///< in asked_, or not_remembered
        bool more_of_whom;    ///< that it is found here does not yet say that the rule is about the account
    };
    static constexpr auto not_remembered = std::numeric_limits<std::uint16_t>::max();

    /// What AskedBesides::first_unmet() has said, in a byte; 0: it was not asked.
    static constexpr std::uint8_t met = 1;
    static std::uint8_t to_code(std::optional<RuleField> unmet) noexcept {
        return unmet ? static_cast<std::uint8_t>(met + 1 + static_cast<int>(*unmet)) : met;
    }

    struct Stretch {
        const Filed *from, *to;
    };
    Stretch filed_under(const Value& value) const noexcept {
        if (slots_.empty()) return {nullptr, nullptr};
        const auto hash = value.hash();
        for (std::size_t at = hash >> shift_; tags_[at] != 0; at = (at + 1) & (slots_.size() - 1)) {
            if (tags_[at] != tag_of(hash)) continue;
            const Slot& slot = slots_[at];
            if (slot.field == value.field &&
                std::string_view(texts_).substr(slot.text_begin, slot.text_size) == value.text)
                return {filed_.data() + slot.begin, filed_.data() + slot.end};
        }
        return {nullptr, nullptr};  // at least half of the slots are empty
    }
    void keep_what_is_asked(const std::vector<const Rule*>& one_of_each);

    /// The lower bits of a hash; 0 is an empty slot.
    static std::uint32_t tag_of(std::uint64_t hash) noexcept { return static_cast<std::uint32_t>(hash) | 1; }

    struct Slot {
        std::uint32_t text_begin = 0;
        std::uint32_t text_size = 0;
        Field field = Field::everybody;
        std::uint32_t begin = 0, end = 0;  ///< in filed_
    };
    std::vector<PlacedRule> rules_;
    std::vector<AskedBesides> asked_;  ///< each once, at most remembered_max; of the four lists that follow
    std::vector<base::Cidr> networks_;
    std::vector<TimeWindow> times_;
    std::vector<DeviceState> devices_;
    std::vector<PostureTest> posture_;
    std::vector<Filed> filed_;         ///< those of one value together, their places rising
    std::vector<std::uint32_t> tags_;  ///< of slots_: most of what an account has is filed nowhere, and ends here
    std::vector<Slot> slots_;  ///< a power of two, by the upper bits of the hash; the next free one on collision
    std::string texts_;        ///< of the values, one behind the other
    unsigned shift_ = 0;
};

}  // namespace usher::auth
