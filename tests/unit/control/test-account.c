/* The bookkeeping of one uid: tokens go and come back with time, and an account is forgotten only when that is free. */
#include "control/account.h"

#include "base/cleanup.h"
#include "wire.h"
#include <limits.h>

#define NOW UINT64_C(1000000000)

static const AccountBounds bounds = { .clients = 10, .bytes = 1000, .per_request_usec = 2000, .burst = 100 };

typedef struct Bench {
        AccountTable table;
        Account *account;
} Bench;

static int setup(void **state) {
        static Bench bench;

        bench = (Bench){ .account = NULL };
        LIST_INIT(&bench.table.accounts);
        bench.account = account_get(&bench.table, 1000, false, NOW);
        *state = &bench;
        return bench.account ? 0 : -1;
}

static int teardown(void **state) {
        account_table_deinit(&((Bench *)*state)->table);
        return 0;
}

static void take(Account *account, unsigned n, uint64_t now) {
        while (n-- > 0)
                account_take(account, &bounds, now);
}

static void a_fresh_account_has_its_whole_burst(void **state) {
        Bench *b = *state;

        assert_int_equal(account_tokens(b->account, &bounds, NOW), 100);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 3600 * UINT64_C(1000000)), 100);
}

static void each_request_takes_one_and_time_gives_it_back(void **state) {
        Bench *b = *state;

        take(b->account, 99, NOW);
        assert_int_equal(account_tokens(b->account, &bounds, NOW), 1);
        take(b->account, 1, NOW);
        assert_int_equal(account_tokens(b->account, &bounds, NOW), 0);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 1999), 0);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 2000), 1);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 20000), 10);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 200000), 100);
}

static void it_says_when_so_many_will_be_there(void **state) {
        static const unsigned wanted[] = { 1, 10, 100 };
        Bench *b = *state;

        take(b->account, 100, NOW);
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                uint64_t at = account_ready_usec(b->account, &bounds, wanted[i]);

                assert_int_equal(account_tokens(b->account, &bounds, at), wanted[i]);
                assert_int_equal(account_tokens(b->account, &bounds, at - 1), wanted[i] - 1);
        }
}

static void debt_is_bounded_by_a_second_burst(void **state) {
        Bench *b = *state;

        take(b->account, 100000, NOW);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 200000), 0);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 202000), 1);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 400000), 100);
}

static void a_uid_has_one_account(void **state) {
        Bench *b = *state;

        b->account->n_clients = 1;
        assert_ptr_equal(account_get(&b->table, 1000, false, NOW), b->account);
        assert_ptr_not_equal(account_get(&b->table, 1001, false, NOW), b->account);
        assert_int_equal(b->table.n_accounts, 2);
}

static void connecting_anew_fills_no_bucket(void **state) {
        Bench *b = *state;

        take(b->account, 100, NOW); /* and its last client goes */
        account_sweep(&b->table, NOW + 1);
        assert_ptr_equal(account_get(&b->table, 1000, false, NOW + 1), b->account);
        assert_int_equal(account_tokens(b->account, &bounds, NOW + 1), 0);
}

static void one_without_clients_and_debt_is_forgotten(void **state) {
        Bench *b = *state;

        take(b->account, 100, NOW);
        b->account->n_clients = 1;
        account_sweep(&b->table, NOW + 1000000);
        assert_int_equal(b->table.n_accounts, 1);
        b->account->n_clients = 0;
        account_sweep(&b->table, NOW + 199999);
        assert_int_equal(b->table.n_accounts, 1);
        account_sweep(&b->table, NOW + 200000);
        assert_int_equal(b->table.n_accounts, 0);
}

static void who_is_exempt_is_never_out_of_tokens(void **state) {
        Bench *b = *state;
        Account *root = account_get(&b->table, 0, true, NOW);

        take(root, 1000, NOW);
        assert_int_equal(account_tokens(root, &bounds, NOW), UINT_MAX);
}

static void the_table_is_bounded_and_has_a_place_for_root(void **state) {
        Bench *b = *state;

        b->account->n_clients = 1;
        for (uid_t uid = 2000; b->table.n_accounts < ACCOUNTS_MAX; uid++) {
                Account *account = account_get(&b->table, uid, false, NOW);

                assert_non_null(account);
                account->n_clients = 1;
        }
        assert_null(account_get(&b->table, 70000, false, NOW));
        assert_non_null(account_get(&b->table, 0, true, NOW));
        b->account->n_clients = 0; /* a place that nobody needs is found by itself */
        LIST_FIRST(&b->table.accounts)->n_clients = 0;
        assert_non_null(account_get(&b->table, 70000, false, NOW));
}

int main(void) {
#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                WITH_BENCH(a_fresh_account_has_its_whole_burst),
                WITH_BENCH(each_request_takes_one_and_time_gives_it_back),
                WITH_BENCH(it_says_when_so_many_will_be_there),
                WITH_BENCH(debt_is_bounded_by_a_second_burst),
                WITH_BENCH(a_uid_has_one_account),
                WITH_BENCH(connecting_anew_fills_no_bucket),
                WITH_BENCH(one_without_clients_and_debt_is_forgotten),
                WITH_BENCH(who_is_exempt_is_never_out_of_tokens),
                WITH_BENCH(the_table_is_bounded_and_has_a_place_for_root),
        };

        return cmocka_run_group_tests_name("control-account", tests, NULL, NULL);
}
