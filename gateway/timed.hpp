#pragma once
#include <boost/intrusive/list.hpp>

#include "base/clock.hpp"

namespace usher::gateway {

/// What its worker looks at a few times a second while it has a deadline. Most connections have none, and are not even
/// read then. On its worker's thread; leaves the list by itself when it goes.
class Timed : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    Timed() = default;
    Timed(const Timed&) = delete;
    Timed& operator=(const Timed&) = delete;

    /// May end what it is about, but neither destroys it nor touches another one.
    virtual void check_deadline(base::MonoTime now) = 0;

protected:
    ~Timed() = default;
};

class TimedList {
public:
    void set(Timed& one, bool timed) noexcept {
        if (timed == one.is_linked()) return;
        if (timed)
            list_.push_back(one);
        else
            one.unlink();
    }
    void check(base::MonoTime now) {
        for (auto next = list_.begin(); next != list_.end();) (next++)->check_deadline(now);
    }

private:
    boost::intrusive::list<Timed, boost::intrusive::constant_time_size<false>> list_;
};

}  // namespace usher::gateway
