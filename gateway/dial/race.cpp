#include "gateway/dial/race.hpp"

#include <algorithm>

namespace usher::gateway::dial {

Race::Step Race::next(base::MonoTime now) {
    using Kind = Step::Kind;
    const bool more = begun_ < addresses_;
    if (!more && under_way_.empty()) return {.kind = Kind::lost};
    if (now >= deadline_) return {.kind = Kind::timeout};
    if (!more) return {.kind = Kind::wait, .wake = deadline_};
    if (now < next_begin_ && !under_way_.empty()) {
        return {.kind = Kind::wait, .wake = std::min(next_begin_, deadline_)};
    }
    Step step{.kind = Kind::begin, .address = begun_++};
    if (under_way_.size() == attempts_max) {
        step.give_up = under_way_.front();
        under_way_.erase(under_way_.begin());
    }
    under_way_.push_back(step.address);
    next_begin_ = now + delay;
    return step;
}

void Race::failed(std::size_t address, base::MonoTime now) {
    if (std::erase(under_way_, address) > 0) next_begin_ = now;
}

}  // namespace usher::gateway::dial
