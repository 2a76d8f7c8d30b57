#include "gateway/cut_off.hpp"

#include "catch.hpp"

namespace usher::test {

TEST_CASE("who is cut off is covered by account, session, device or the moment of the sign-in, and nobody else is") {
    auth::Session session;
    session.id = "s1";
    session.account_id = "a1";
    session.device_key.emplace().fill(1);
    session.created_at = base::from_micros(1'000);
    gateway::CutOff cut_off;
    CHECK_FALSE(cut_off.covers(session));

    const auto covered_by = [&](gateway::CutOff::Subjects subjects) {
        cut_off.set(std::move(subjects));
        return cut_off.covers(session);
    };
    auth::DeviceKeyHash other{};
    CHECK(covered_by({{"a1"}, {}, {}, {}}));
    CHECK(cut_off.covers_account("a1"));
    CHECK_FALSE(cut_off.covers_account("a2"));
    CHECK_FALSE(covered_by({{"a2"}, {"s2"}, {other}, {{"a2", base::from_micros(2'000)}}}));
    CHECK(covered_by({{}, {"s1"}, {}, {}}));
    CHECK_FALSE(cut_off.covers_account("a1"));
    CHECK(covered_by({{}, {}, {*session.device_key}, {}}));
    CHECK(cut_off.covers_device(*session.device_key));
    CHECK_FALSE(cut_off.covers_device(other));
    CHECK(covered_by({{}, {}, {}, {{"a1", base::from_micros(1'000)}}}));
    CHECK_FALSE(covered_by({{}, {}, {}, {{"a1", base::from_micros(999)}}}));
    session.device_key.reset();
    CHECK_FALSE(covered_by({{}, {}, {other}, {}}));
    cut_off.set({});
    CHECK_FALSE(cut_off.covers_account("a1"));
}

}  // namespace usher::test
