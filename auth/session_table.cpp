#include "auth/session_table.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>

namespace usher::auth {

std::size_t SessionTable::Hash::operator()(const TokenHash& hash) const noexcept {
    std::size_t value;
    std::memcpy(&value, hash.data(), sizeof value);
    return value;
}

bool SessionTable::Equal::operator()(const TokenHash& a, const TokenHash& b) const noexcept {
    return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

void SessionTable::insert(const SessionPtr& session) {
    {
        std::unique_lock lock(index_mutex_);
        by_id_.emplace(session->id, session);
        by_account_[session->account_id].push_back(session);
    }
    // Last: from here on the token is good.
    auto& home = shard(session->token_sha256);
    std::lock_guard lock(home.mutex);
    home.sessions.emplace(session->token_sha256, session);
}

bool SessionTable::end(const SessionPtr& session) {
    if (session->ended.exchange(true)) return false;
    {
        auto& home = shard(session->token_sha256);
        std::lock_guard lock(home.mutex);
        home.sessions.erase(session->token_sha256);
    }
    std::unique_lock lock(index_mutex_);
    by_id_.erase(session->id);
    if (const auto found = by_account_.find(session->account_id); found != by_account_.end()) {
        std::erase(found->second, session);
        if (found->second.empty()) by_account_.erase(found);
    }
    return true;
}

SessionPtr SessionTable::by_token(const TokenHash& hash) const noexcept {
    const auto& home = shard(hash);
    std::lock_guard lock(home.mutex);
    const auto found = home.sessions.find(hash);
    return found == home.sessions.end() ? nullptr : found->second;
}

SessionPtr SessionTable::by_id(std::string_view id) const {
    std::shared_lock lock(index_mutex_);
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

std::vector<SessionPtr> SessionTable::of_account(const std::string& account_id) const {
    std::shared_lock lock(index_mutex_);
    const auto found = by_account_.find(account_id);
    return found == by_account_.end() ? std::vector<SessionPtr>{} : found->second;
}

bool SessionTable::has(const std::string& account_id, std::string_view client_ip) const {
    std::shared_lock lock(index_mutex_);
    const auto found = by_account_.find(account_id);
    return found != by_account_.end() &&
           std::any_of(found->second.begin(), found->second.end(),
                       [&](const SessionPtr& session) { return session->client_ip == client_ip; });
}

std::vector<SessionPtr> SessionTable::page(std::string_view after_id, std::size_t limit) const {
    std::vector<SessionPtr> out;
    std::shared_lock lock(index_mutex_);
    for (auto at = by_id_.upper_bound(after_id); at != by_id_.end() && out.size() < limit; ++at) {
        out.push_back(at->second);
    }
    return out;
}

std::size_t SessionTable::size() const {
    std::shared_lock lock(index_mutex_);
    return by_id_.size();
}

}  // namespace usher::auth
