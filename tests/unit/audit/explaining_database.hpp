#pragma once
#include <functional>
#include <string>
#include <utility>

#include "base/sql/database.hpp"

namespace usher::test {

/// A database that has explained what is read with statements that have `which` in them, after one another in `plan`.
class ExplainingDatabase final : public base::sql::Database {
public:
    using Body = std::function<base::Result<void>(base::sql::Transaction&)>;
    ExplainingDatabase(base::sql::Database& real, std::string which) : real_(real), which_(std::move(which)) {}

    base::sql::Dialect dialect() const noexcept override { return real_.dialect(); }
    base::Result<void> migrate(std::span<const base::sql::Migration> m) override { return real_.migrate(m); }
    base::Result<void> transaction(const Body& body) override { return real_.transaction(body); }
    base::Result<void> read(const Body& body) override {
        return real_.read([&](base::sql::Transaction& tx) {
            Explaining explaining(tx, *this);
            return body(explaining);
        });
    }
    std::string plan;

private:
    class Explaining final : public base::sql::Transaction {
    public:
        Explaining(base::sql::Transaction& real, ExplainingDatabase& database) : real_(real), database_(database) {}
        base::sql::Rows execute(std::string_view sql, std::span<const base::sql::Value> parameters) override {
            if (sql.find(database_.which_) != std::string_view::npos) {
                const bool sqlite = database_.dialect() == base::sql::Dialect::sqlite;
                for (const auto& row :
                     real_.execute((sqlite ? "EXPLAIN QUERY PLAN " : "EXPLAIN ") + std::string(sql), parameters))
                    database_.plan += row.text(sqlite ? 3 : 0) + "\n";
            }
            return real_.execute(sql, parameters);
        }
        std::int64_t changed_rows() const override { return real_.changed_rows(); }

    private:
        base::sql::Transaction& real_;
        ExplainingDatabase& database_;
    };
    base::sql::Database& real_;
    const std::string which_;
};

}  // namespace usher::test
