#include "gateway/limits/tunnel_limits.hpp"

#include <deque>
#include <string>

#include "catch.hpp"

using usher::auth::Session;
using usher::gateway::Config;
using namespace usher::gateway::limits;

namespace {

Config::Limits limits(std::size_t account, std::size_t device) {
    Config::Limits out;
    out.tunnels_per_account = account;
    out.tunnels_per_device = device;
    return out;
}

struct Crowd {
    explicit Crowd(Config::Limits of) : counted(of) {}
    std::string open(const std::string& account, const std::string& session_id, const std::string& device = {}) {
        Session session;
        session.id = session_id;
        session.account_id = account;
        session.device.device_id = device;
        auto entered = counted.enter(session);
        if (const auto* limit = std::get_if<const char*>(&entered)) return *limit;
        slots.push_back(std::get<TunnelSlot>(std::move(entered)));
        return {};
    }
    TunnelLimits counted;
    std::deque<TunnelSlot> slots;
};

}  // namespace

TEST_CASE("an account's tunnels are counted over all of its sessions and devices") {
    Crowd crowd(limits(4, 3));
    CHECK(crowd.open("alice", "s1", "laptop").empty());
    CHECK(crowd.open("alice", "s2", "laptop").empty());
    CHECK(crowd.open("alice", "s2", "laptop").empty());
    CHECK(crowd.open("alice", "s3", "laptop") == "tunnels_per_device");
    CHECK(crowd.open("alice", "s4", "phone").empty());
    CHECK(crowd.open("alice", "s4", "phone") == "tunnels_per_account");
    CHECK(crowd.open("bob", "s5", "laptop").empty());  // the same name of a device, another account
    crowd.slots.pop_front();
    CHECK(crowd.open("alice", "s4", "phone").empty());
}

TEST_CASE("a session that says nothing of its device is one by itself, and cannot pass for another one's") {
    Crowd crowd(limits(10, 1));
    CHECK(crowd.open("alice", "s1").empty());
    CHECK(crowd.open("alice", "s1") == "tunnels_per_device");
    CHECK(crowd.open("alice", "s2").empty());
    CHECK(crowd.open("alice", "s3", "s1").empty());
    CHECK(crowd.open("alice", "s3", "s1") == "tunnels_per_device");
}

TEST_CASE("what is refused leaves no trace, and nothing is left when all have gone") {
    Crowd crowd(limits(1, 1));
    CHECK(crowd.open("alice", "s1").empty());
    for (int i = 0; i < 1000; ++i)
        CHECK_FALSE(crowd.open("alice", "s" + std::to_string(i), "d" + std::to_string(i)).empty());
    CHECK(crowd.counted.keys() == 2);
    crowd.slots.clear();
    CHECK(crowd.counted.keys() == 0);
}
