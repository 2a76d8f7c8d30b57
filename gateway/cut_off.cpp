#include "gateway/cut_off.hpp"

#include <utility>

namespace usher::gateway {

void CutOff::set(Subjects subjects) {
    const bool any = !subjects.empty();
    auto next = std::make_shared<const Subjects>(std::move(subjects));
    std::lock_guard lock(mutex_);
    subjects_ = std::move(next);
    any_.store(any, std::memory_order_release);
}

std::shared_ptr<const CutOff::Subjects> CutOff::now() const {
    if (!any_.load(std::memory_order_acquire)) return nullptr;
    std::lock_guard lock(mutex_);
    return subjects_;
}

bool CutOff::covers(const auth::Session& session) const {
    const auto subjects = now();
    if (!subjects) return false;
    if (subjects->accounts.count(session.account_id) != 0 || subjects->sessions.count(session.id) != 0) return true;
    if (session.device_key && subjects->devices.count(*session.device_key) != 0) return true;
    const auto until = subjects->sessions_until.find(session.account_id);
    return until != subjects->sessions_until.end() && session.created_at <= until->second;
}

bool CutOff::covers_account(const std::string& account_id) const {
    const auto subjects = now();
    return subjects && subjects->accounts.count(account_id) != 0;
}

bool CutOff::covers_device(const auth::DeviceKeyHash& key) const {
    const auto subjects = now();
    return subjects && subjects->devices.count(key) != 0;
}

}  // namespace usher::gateway
