#include "auth/directory_rows.hpp"
#include "auth/support.hpp"

using namespace usher;
using namespace usher::test;

// Hidden, because it takes seconds: auth_test "[scale]".
TEST_CASE("a change among 100,000 accounts is in force within a second", "[.][scale]") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        must(f.database->transaction([&](base::sql::Transaction& t) -> base::Result<void> {
            for (int i = 0; i < 100'000; ++i) {
                auto account = named("user" + std::to_string(i));
                account.id = base::new_uuid(f.clock).to_string();
                account.department = "Department " + std::to_string(i % 50);
                account.groups = {"group" + std::to_string(i % 100), "staff"};
                account.created_at = account.updated_at = test_start;
                auth::rows::insert(t, account, test_hash);
            }
            auth::rows::write_version(t, 1);
            return {};
        }));
        const base::SystemClock clock;
        const auto milliseconds = [&](auto act) {
            const auto from = clock.mono();
            act();
            return std::chrono::duration_cast<std::chrono::milliseconds>(clock.mono() - from).count();
        };
        const auto load = milliseconds([&] { CHECK(must(f.directory->refresh())); });
        const auto change =
            milliseconds([&] { must(f.directory->set_status("user77", auth::AccountStatus::disabled, no_record)); });
        WARN("loaded in " << load << " ms, changed in " << change << " ms");
        CHECK(change < 1'000);
    });
}
