#include <array>
#include <string>

#include "auth/directory_rows.hpp"

namespace usher::auth::rows {

// Numbers 1 to 99 of the schema are auth's. A migration that was released is never edited: add the next one.
//
// Times are microseconds since 1970, UTC. Lists are rows, not texts to be parsed, so that the database itself refuses a
// policy of an app that does not exist. The order of a list is its `position`.
std::span<const base::sql::Migration> migrations() {
    static constexpr base::sql::Migration list[] = {
        {1,
         "accounts, apps, policies and sessions",
         R"(CREATE TABLE directory_state (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL CHECK (version >= 0)
);
INSERT INTO directory_state (id, version) VALUES (1, 0);
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    department TEXT NOT NULL,
    office_mail TEXT NOT NULL,
    office_phone TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE account_groups (
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (account_id, name)
);
CREATE TABLE apps (
    name TEXT PRIMARY KEY,
    updated_at BIGINT NOT NULL
);
CREATE TABLE app_destinations (
    app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    destination TEXT NOT NULL,
    PRIMARY KEY (app, position)
);
CREATE TABLE app_allow_addresses (
    app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    block TEXT NOT NULL,
    PRIMARY KEY (app, position)
);
CREATE TABLE policies (
    name TEXT PRIMARY KEY,
    updated_at BIGINT NOT NULL
);
CREATE TABLE policy_apps (
    policy TEXT NOT NULL REFERENCES policies (name) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    app TEXT NOT NULL REFERENCES apps (name),
    PRIMARY KEY (policy, position)
);
CREATE INDEX policy_apps_by_app ON policy_apps (app);
CREATE TABLE policy_rule_values (
    policy TEXT NOT NULL REFERENCES policies (name) ON DELETE CASCADE,
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    rule BIGINT NOT NULL,
    field TEXT NOT NULL CHECK (field IN ('account', 'group', 'department')),
    position BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (policy, effect, rule, field, position)
);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_sha256 BLOB NOT NULL UNIQUE,
    client_ip TEXT NOT NULL,
    device_id TEXT NOT NULL,
    device_name TEXT NOT NULL,
    device_brand TEXT NOT NULL,
    device_model TEXT NOT NULL,
    device_os TEXT NOT NULL,
    device_language TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_account ON sessions (account_id)
)",
         {}},
        {2,
         "conditions and expectations of policies, validity of accounts",
         R"(CREATE TABLE policy_rule_values_2 (
    policy TEXT NOT NULL REFERENCES policies (name) ON DELETE CASCADE,
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    rule BIGINT NOT NULL,
    field TEXT NOT NULL CHECK (field IN ('account', 'group', 'department', 'role', 'network', 'time')),
    position BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (policy, effect, rule, field, position)
);
INSERT INTO policy_rule_values_2 (policy, effect, rule, field, position, value)
    SELECT policy, effect, rule, field, position, value FROM policy_rule_values;
DROP TABLE policy_rule_values;
ALTER TABLE policy_rule_values_2 RENAME TO policy_rule_values;
CREATE TABLE policy_expectations (
    policy TEXT NOT NULL REFERENCES policies (name) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    account TEXT NOT NULL,
    app TEXT NOT NULL,
    client_ip TEXT,
    at BIGINT,
    allow BIGINT NOT NULL CHECK (allow IN (0, 1)),
    PRIMARY KEY (policy, position)
);
ALTER TABLE accounts ADD COLUMN valid_from BIGINT;
ALTER TABLE accounts ADD COLUMN valid_until BIGINT
)",
         {}},
        {3,
         "second factors",
         R"(ALTER TABLE accounts ADD COLUMN second_factor BIGINT NOT NULL DEFAULT 0 CHECK (second_factor IN (0, 1));
ALTER TABLE sessions ADD COLUMN second_factor_at BIGINT;
CREATE TABLE second_factors (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    key_id TEXT NOT NULL,
    sealed_seed BLOB NOT NULL,
    last_step BIGINT NOT NULL,
    enrolled_at BIGINT NOT NULL
);
CREATE TABLE recovery_codes (
    account_id TEXT NOT NULL REFERENCES second_factors (account_id) ON DELETE CASCADE,
    code_sha256 BLOB NOT NULL,
    PRIMARY KEY (account_id, code_sha256)
);
CREATE TABLE second_factor_enrolments (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    key_id TEXT NOT NULL,
    sealed_seed BLOB NOT NULL,
    expires_at BIGINT NOT NULL
)
)",
         {}},
        {4,
         "policies ask for the age of a second factor",
         R"(CREATE TABLE policy_rule_values_4 (
    policy TEXT NOT NULL REFERENCES policies (name) ON DELETE CASCADE,
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    rule BIGINT NOT NULL,
    field TEXT NOT NULL
        CHECK (field IN ('account', 'group', 'department', 'role', 'network', 'time', 'mfa_within')),
    position BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (policy, effect, rule, field, position)
);
INSERT INTO policy_rule_values_4 (policy, effect, rule, field, position, value)
    SELECT policy, effect, rule, field, position, value FROM policy_rule_values;
DROP TABLE policy_rule_values;
ALTER TABLE policy_rule_values_4 RENAME TO policy_rule_values;
ALTER TABLE policy_expectations ADD COLUMN second_factor_age BIGINT
)",
         {}},
        {5,
         "passwords that have to be changed",
         R"(ALTER TABLE accounts ADD COLUMN must_change_password BIGINT NOT NULL DEFAULT 0
    CHECK (must_change_password IN (0, 1));
ALTER TABLE accounts ADD COLUMN password_is_short BIGINT NOT NULL DEFAULT 0 CHECK (password_is_short IN (0, 1))
)",
         {}},
        {8,
         "what becomes of an app while the database is away",
         R"(ALTER TABLE apps ADD COLUMN on_control_loss TEXT NOT NULL DEFAULT 'continue'
)",
         {}},
        {9,
         "devices and their authority",
         R"(CREATE TABLE device_state (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL CHECK (version >= 0)
);
INSERT INTO device_state (id, version) VALUES (1, 0);
CREATE TABLE device_authority (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    certificate BLOB NOT NULL,
    key_id TEXT NOT NULL,
    sealed_key BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'active', 'locked', 'lost', 'unbound')),
    public_key BLOB NOT NULL,
    key_sha256 BLOB NOT NULL UNIQUE,
    serial TEXT NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_seen_at BIGINT
);
CREATE INDEX devices_by_account ON devices (account_id);
ALTER TABLE sessions ADD COLUMN device_key_sha256 BLOB DEFAULT NULL
)",
         {}},
        {10,
         "policies ask for enrolled devices",
         R"(CREATE TABLE policy_rule_values_10 (
    policy TEXT NOT NULL REFERENCES policies (name) ON DELETE CASCADE,
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    rule BIGINT NOT NULL,
    field TEXT NOT NULL
        CHECK (field IN ('account', 'group', 'department', 'role', 'network', 'time', 'device', 'mfa_within')),
    position BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (policy, effect, rule, field, position)
);
INSERT INTO policy_rule_values_10 (policy, effect, rule, field, position, value)
    SELECT policy, effect, rule, field, position, value FROM policy_rule_values;
DROP TABLE policy_rule_values;
ALTER TABLE policy_rule_values_10 RENAME TO policy_rule_values;
ALTER TABLE policy_expectations ADD COLUMN device TEXT
)",
         {}},
        // What accounts have as their department is a code already; nothing says that there is such a department.
        {11,
         "departments as a tree",
         R"(CREATE TABLE departments (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    parent TEXT REFERENCES departments (code),
    updated_at BIGINT NOT NULL
)
)",
         {}},
        {13,
         "employee numbers",
         R"(ALTER TABLE accounts ADD COLUMN employee_number TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX accounts_by_employee_number ON accounts (employee_number) WHERE employee_number <> ''
)",
         {}},
        {14,
         "what devices say of themselves",
         R"(CREATE TABLE policy_rule_values_14 (
    policy TEXT NOT NULL REFERENCES policies (name) ON DELETE CASCADE,
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    rule BIGINT NOT NULL,
    field TEXT NOT NULL CHECK (field IN ('account', 'group', 'department', 'role', 'network', 'time', 'device',
        'posture', 'mfa_within')),
    position BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (policy, effect, rule, field, position)
);
INSERT INTO policy_rule_values_14 (policy, effect, rule, field, position, value)
    SELECT policy, effect, rule, field, position, value FROM policy_rule_values;
DROP TABLE policy_rule_values;
ALTER TABLE policy_rule_values_14 RENAME TO policy_rule_values;
ALTER TABLE policy_expectations ADD COLUMN posture TEXT;
ALTER TABLE sessions ADD COLUMN posture TEXT
)",
         {}},
        // A privacy officer's role is an auditor's in `accounts`, and so to a program of before, which shows it less.
        // The source stands apart from the account, which is the gateway's own: who is kept in a directory of the
        // enterprise is known there by an id that outlives names. An account comes from one source at most.
        {15,
         "where accounts come from, and privacy officers",
         R"(CREATE TABLE account_sources (
    source TEXT NOT NULL,
    outside_id TEXT NOT NULL,
    account_id TEXT NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE,
    PRIMARY KEY (source, outside_id)
);
CREATE TABLE privacy_officers (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE
)
)",
         {}},
        // Apart from what was reported before: a program of before, beside this one, takes a session with a line that
        // it does not know for a broken row, and can then follow no change of any session.
        {16, "what devices say of their names", "ALTER TABLE sessions ADD COLUMN posture_names TEXT\n", {}},
    };
    // PostgreSQL's only other word is BYTEA; everything else is shared, so it is derived and cannot drift apart.
    static const auto postgresql = [] {
        std::array<std::string, std::size(list)> texts;
        constexpr std::string_view blob = " BLOB ";
        for (std::size_t i = 0; i < texts.size(); ++i) {
            texts[i] = list[i].sqlite;
            for (auto at = texts[i].find(blob); at != std::string::npos; at = texts[i].find(blob, at))
                texts[i].replace(at, blob.size(), " BYTEA ");
        }
        return texts;
    }();
    static const auto both = [] {
        std::array<base::sql::Migration, std::size(list)> migrations;
        for (std::size_t i = 0; i < migrations.size(); ++i) {
            migrations[i] = list[i];
            migrations[i].postgresql = postgresql[i];
        }
        return migrations;
    }();
    return both;
}

}  // namespace usher::auth::rows
