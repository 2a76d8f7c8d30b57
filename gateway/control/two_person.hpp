#pragma once
#include <string>
#include <vector>

#include "audit/journal/journal.hpp"
#include "audit/pending_orders.hpp"
#include "auth/directory.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/control/caller.hpp"

namespace usher::gateway::control {

/// What deletes something of the record, or lets it be deleted sooner, takes two administrators' accounts (decision
/// 41): the first one's order waits, and is carried out when another one gives the same. Blocks on journal and
/// database; thread-safe.
class TwoPerson {
public:
    /// How long an order waits, and how long nobody may have changed an account that counts: whoever sets another
    /// administrator's password, or makes one, is not two persons at once, and those who watch the record have a day.
    static constexpr base::Microseconds lifetime{24LL * 3600 * 1'000'000};

    /// All of them outlive this object.
    TwoPerson(audit::PendingOrders& orders, audit::Journal& journal, auth::Directory& directory,
              const base::Clock& clock)
        : orders_(orders), journal_(journal), directory_(directory), clock_(clock) {}

    /// What is ordered, as it goes on record: what is there, and what is to be there. Two orders with other contents
    /// are two orders.
    struct Order {
        std::string action, resource, before_json, after_json;
    };
    /// Ok: the order has two now, which is on record (APPROVED), and is to be carried out at once; it stands for one
    /// time. failed_precondition: it waits for somebody else, on record as ASKED; or this caller's account does not
    /// count. Others are journal's or database's.
    base::Result<void> approve(const Caller& caller, const Order& order);

    base::Result<std::vector<audit::PendingOrder>> list();
    /// Takes a waiting order back, on record. Any administrator may. not_found.
    base::Result<void> withdraw(const Caller& caller, const std::string& id);

private:
    base::Result<void> ask(const Caller& caller, const Order& order, const std::string& id);
    bool counts(const std::string& account_id, base::UtcTime at) const;

    audit::PendingOrders& orders_;
    audit::Journal& journal_;
    auth::Directory& directory_;
    const base::Clock& clock_;
};

/// Ok at once where one person is enough (nullptr).
inline base::Result<void> approve(TwoPerson* two_person, const Caller& caller, const TwoPerson::Order& order) {
    return two_person == nullptr ? base::Result<void>{} : two_person->approve(caller, order);
}

}  // namespace usher::gateway::control
