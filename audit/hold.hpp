#pragma once
#include <optional>
#include <string>
#include <vector>

#include "audit/journal/journal.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace usher::audit {

/// An order to keep records that retention would remove. What it names must all be so: of `account`, with `app`, in
/// [from, until). Any number of holds may keep the same record; it may go when the last of them has gone.
struct Hold {
    std::string name;     ///< letters, digits, "-", "."; 1 to 64, lower-case
    std::string case_id;  ///< [business] what it is for, as the ones who ask for it call it; several holds may share it
    std::string account;  ///< [identity] a username; empty: of anybody
    std::string app;      ///< [business] empty: with any
    std::optional<base::UtcTime> from, until;
    std::string created_by;  ///< [identity]
    base::UtcTime created_at{};

    /// The same order, whoever gave it when.
    bool same_order(const Hold& other) const {
        return name == other.name && case_id == other.case_id && account == other.account && app == other.app &&
               from == other.from && until == other.until;
    }
};

/// invalid_argument, beginning with the field's name: a name or a text that is none, an end that is not behind the
/// start, or a hold that names neither an account nor an app nor a time (it would keep all).
base::Result<void> validate(const Hold& hold);

/// What a hold may ask of a record.
struct RecordFacts {
    base::UtcTime first{}, last{};      ///< from when to when it was
    std::vector<std::string> accounts;  ///< all that it concerns: who acted, and on whom
    std::string app;
};
/// Of a CLOSED or DENIED access, a sign-in, an administrative act or the gateway's own record. nullopt when the record
/// cannot be read: then nobody can say that no hold keeps it.
std::optional<RecordFacts> facts_of(const JournalRecord& record);

/// Whether `hold` keeps a record with these facts. An access is held by a time that it has any moment in.
bool covers(const Hold& hold, const RecordFacts& facts) noexcept;

}  // namespace usher::audit
