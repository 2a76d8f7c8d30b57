#include "auth/validate.hpp"
#include "base/text.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/convert_fields.hpp"

namespace usher::gateway::control {
namespace {

using base::Result;
namespace v1 = usher::v1;

void put(v1::Rule& out, const auth::Rule& rule) {
    out.mutable_accounts()->Assign(rule.accounts.begin(), rule.accounts.end());
    out.mutable_groups()->Assign(rule.groups.begin(), rule.groups.end());
    out.mutable_departments()->Assign(rule.departments.begin(), rule.departments.end());
    for (const auto role : rule.roles) out.add_roles(to_proto(role));
    for (const auto& network : rule.networks) out.add_networks(network.to_string());
    for (const auto& window : rule.times) out.add_times(window.to_string());
    for (const auto state : rule.devices) out.add_devices(to_proto(state));
    for (const auto& test : rule.posture) out.add_posture(test.to_string());
    if (rule.mfa_within) out.set_mfa_within(base::format_duration(*rule.mfa_within));
}

Result<base::Microseconds> get_duration(const std::string& text, const std::string& field) {
    if (const auto duration = base::parse_duration(text)) return *duration;
    return invalid(field, quoted(text) + " is not a duration; expected for example \"15m\", \"12h\" or \"7d\"");
}

Result<base::Cidr> get_block(const std::string& text, const std::string& field) {
    if (const auto block = base::Cidr::parse(text)) return *block;
    return invalid(field, quoted(text) +
                              " is not an address block; expected for example \"127.0.0.0/8\" or \"::1\", with no bits "
                              "set behind the prefix");
}

Result<auth::Rule> get(const v1::Rule& rule, const std::string& where) {
    auth::Rule out{texts(rule.accounts()), texts(rule.groups()), texts(rule.departments())};
    for (int i = 0; i < rule.roles_size(); ++i) {
        auto role = from_proto(rule.roles(i), where + indexed(".roles", i));
        if (!role) return std::move(role).error();
        out.roles.push_back(*role);
    }
    for (int i = 0; i < rule.networks_size(); ++i) {
        auto block = get_block(rule.networks(i), where + indexed(".networks", i));
        if (!block) return std::move(block).error();
        out.networks.push_back(*block);
    }
    for (int i = 0; i < rule.times_size(); ++i) {
        const auto window = auth::TimeWindow::parse(rule.times(i));
        if (!window)
            return invalid(
                where + indexed(".times", i),
                quoted(rule.times(i)) +
                    " is not a time window; expected \"DAYS FROM-TO ZONE\", for example \"mon-fri 08:00-18:00 "
                    "Asia/Shanghai\" or \"daily 22:00-06:00 UTC\", with a zone of the tz database");
        out.times.push_back(*window);
    }
    for (int i = 0; i < rule.devices_size(); ++i) {
        auto state = from_proto(rule.devices(i), where + indexed(".devices", i));
        if (!state) return std::move(state).error();
        out.devices.push_back(*state);
    }
    for (int i = 0; i < rule.posture_size(); ++i) {
        auto test = auth::PostureTest::parse(rule.posture(i));
        if (!test) return invalid(where + indexed(".posture", i), test.error().message);
        out.posture.push_back(std::move(*test));
    }
    if (!rule.mfa_within().empty()) {
        auto age = get_duration(rule.mfa_within(), where + ".mfa_within");
        if (!age) return std::move(age).error();
        out.mfa_within = *age;
    }
    return out;
}

Result<auth::Expectation> get(const v1::Expectation& expected, const std::string& where) {
    if (!expected.has_allow()) return invalid(where + ".allow", "is missing; expected true or false");
    auth::Expectation out{expected.account(), expected.app(), {}, expected.allow()};
    auto context = read_context(expected.client_ip(), expected.has_at() ? &expected.at() : nullptr,
                                expected.second_factor_age(), where + ".");
    if (!context) return std::move(context).error();
    out.context = *context;
    if (expected.device() != v1::EnrolledDevice::State::UNSPECIFIED) {
        auto state = from_proto(expected.device(), where + ".device");
        if (!state) return std::move(state).error();
        out.context.device = *state;
    }
    auto posture = read_posture(expected.posture(), where + ".");
    if (!posture) return std::move(posture).error();
    out.context.posture = std::move(*posture);
    return out;
}

Result<auth::App> get(const v1::App& app, const std::string& where) {
    auth::App out;
    out.name = app.name();
    for (int i = 0; i < app.destinations_size(); ++i) {
        auto pattern = auth::DestinationPattern::parse(app.destinations(i));
        if (!pattern) {
            return invalid(where + indexed(".destinations", i),
                           quoted(app.destinations(i)) +
                               " is not host:port; expected \"host:port\", \"*.domain:port\", \"CIDR:port\" or "
                               "\"[IPv6]:port\", with a port of 1 to 65535 or a range \"first-last\"");
        }
        out.destinations.push_back(std::move(*pattern));
    }
    for (int i = 0; i < app.allow_addresses_size(); ++i) {
        auto block = get_block(app.allow_addresses(i), where + indexed(".allow_addresses", i));
        if (!block) return std::move(block).error();
        out.allow_addresses.push_back(*block);
    }
    if (!app.on_control_loss().empty()) {
        const auto loss = auth::ControlLoss::parse(app.on_control_loss());
        if (!loss)
            return invalid(where + ".on_control_loss", quoted(app.on_control_loss()) +
                                                           " is none of \"continue\", \"refuse_new after 30s\" and "
                                                           "\"close after 5m\", with a time of 10s to 24h");
        out.on_control_loss = *loss;
    }
    return out;
}

Result<auth::Policy> get(const v1::Policy& policy, const std::string& where) {
    auth::Policy out;
    out.name = policy.name();
    out.apps = texts(policy.apps());
    const auto read = [](const auto& from, auto& into, const std::string& list) -> Result<void> {
        for (int i = 0; i < from.size(); ++i) {
            auto item = get(from[i], indexed(list, i));
            if (!item) return std::move(item).error();
            into.push_back(std::move(*item));
        }
        return {};
    };
    if (auto ok = read(policy.allow(), out.allow, where + ".allow"); !ok) return std::move(ok).error();
    if (auto ok = read(policy.deny(), out.deny, where + ".deny"); !ok) return std::move(ok).error();
    if (auto ok = read(policy.expect(), out.expect, where + ".expect"); !ok) return std::move(ok).error();
    return out;
}

}  // namespace

Result<auth::Context> read_context(const std::string& client_ip, const google::protobuf::Timestamp* at,
                                   const std::string& second_factor_age, const std::string& where) {
    auth::Context context;
    if (!client_ip.empty()) {
        context.client_address = base::IpAddress::parse(client_ip);
        if (!context.client_address)
            return invalid(where + "client_ip", quoted(client_ip) + " is not an IPv4 or IPv6 address");
    }
    if (at != nullptr) {
        auto time = from_proto(*at, where + "at");
        if (!time) return std::move(time).error();
        context.time = *time;
    }
    if (!second_factor_age.empty()) {
        auto age = get_duration(second_factor_age, where + "second_factor_age");
        if (!age) return std::move(age).error();
        context.second_factor_age = *age;
    }
    return context;
}

Result<auth::PosturePtr> read_posture(const google::protobuf::RepeatedPtrField<std::string>& facts,
                                      const std::string& where) {
    if (facts.empty()) return auth::PosturePtr();
    const auto list = texts(facts);
    auto posture = auth::posture_of(list);
    if (!posture) return base::Error{posture.error().code, where + "posture" + posture.error().message};
    return std::make_shared<const auth::Posture>(std::move(*posture));
}

v1::App to_proto(const auth::App& app) {
    v1::App out;
    out.set_name(app.name);
    for (const auto& destination : app.destinations) out.add_destinations(destination.to_string());
    for (const auto& block : app.allow_addresses) out.add_allow_addresses(block.to_string());
    if (app.on_control_loss != auth::ControlLoss{}) out.set_on_control_loss(app.on_control_loss.to_string());
    *out.mutable_updated_at() = to_proto(app.updated_at);
    return out;
}

v1::Policy to_proto(const auth::Policy& policy) {
    v1::Policy out;
    out.set_name(policy.name);
    out.mutable_apps()->Assign(policy.apps.begin(), policy.apps.end());
    for (const auto& rule : policy.allow) put(*out.add_allow(), rule);
    for (const auto& rule : policy.deny) put(*out.add_deny(), rule);
    for (const auto& expected : policy.expect) {
        auto& added = *out.add_expect();
        added.set_account(expected.account);
        added.set_app(expected.app);
        if (expected.context.client_address) added.set_client_ip(expected.context.client_address->to_string());
        if (expected.context.time) *added.mutable_at() = to_proto(*expected.context.time);
        if (expected.context.second_factor_age)
            added.set_second_factor_age(base::format_duration(*expected.context.second_factor_age));
        if (expected.context.device) added.set_device(to_proto(*expected.context.device));
        if (expected.context.posture)
            for (const auto& fact : auth::facts_of(*expected.context.posture)) added.add_posture(fact);
        added.set_allow(expected.allow);
    }
    *out.mutable_updated_at() = to_proto(policy.updated_at);
    return out;
}

v1::Department to_proto(const auth::Department& department) {
    v1::Department out;
    out.set_code(department.code);
    out.set_name(department.name);
    out.set_parent(department.parent);
    *out.mutable_updated_at() = to_proto(department.updated_at);
    return out;
}

Result<auth::Resource> from_proto(const v1::Resource& resource, int index) {
    using Model = auth::Resource;
    const auto where = indexed("resources", index);
    switch (resource.resource_case()) {
        case v1::Resource::kApp: {
            auto app = get(resource.app(), where);
            if (!app) return std::move(app).error();
            return Model(std::move(*app));
        }
        case v1::Resource::kPolicy: {
            auto policy = get(resource.policy(), where);
            if (!policy) return std::move(policy).error();
            return Model(std::move(*policy));
        }
        case v1::Resource::kDepartment: {
            const auto& department = resource.department();
            return Model(auth::Department{department.code(), department.name(), department.parent()});
        }
        case v1::Resource::kRetentionClass:
        case v1::Resource::kHold:
            return invalid(where,
                           "classes and holds are applied by themselves, without apps, policies and departments");
        case v1::Resource::RESOURCE_NOT_SET:
            break;
    }
    return invalid(where, "is neither an app, a policy nor a department");
}

Result<auth::Resources> from_proto(const google::protobuf::RepeatedPtrField<v1::Resource>& resources) {
    if (resources.size() > static_cast<int>(auth::resources_max))
        return {base::Errc::invalid_argument,
                "resources: are more than " + std::to_string(auth::resources_max) + " in one call"};
    auth::Resources out;
    out.reserve(static_cast<std::size_t>(resources.size()));
    for (int i = 0; i < resources.size(); ++i) {
        auto resource = from_proto(resources[i], i);
        if (!resource) return std::move(resource).error();
        out.push_back(std::move(*resource));
    }
    return out;
}

}  // namespace usher::gateway::control
