#pragma once
#include <string>
#include <utility>
#include <vector>

#include "auth/support.hpp"

/// What tests of policies are about.
namespace usher::test {

/// At NAME.example:443.
inline auth::App app(std::string name) {
    auth::App out;
    out.destinations = {auth::DestinationPattern::parse(name + ".example:443").value()};
    out.name = std::move(name);
    return out;
}

inline auth::App crm() {
    auth::App out;
    out.name = "crm";
    out.destinations = {auth::DestinationPattern::parse("10.0.0.1:1").value()};
    return out;
}

/// About the app "crm".
inline auth::Policy policy(std::string name, std::vector<auth::Rule> allow, std::vector<auth::Rule> deny = {}) {
    auth::Policy out;
    out.name = std::move(name);
    out.apps = {"crm"};
    out.allow = std::move(allow);
    out.deny = std::move(deny);
    return out;
}

/// alice, in the group "staff".
inline auth::Account staff() {
    auto account = named("alice");
    account.groups = {"staff"};
    return account;
}

}  // namespace usher::test
