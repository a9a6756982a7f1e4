/* The feed: that each update tells of all that readers don't know yet, and of nothing else. */
#include "status/feed.h"

#include "base/clock.h"
#include "base/file.h"
#include "status/ledger.h"
#include "status/live.h"
#include "tests/unit/db/scratch.h"
#include <string.h>

#define PERIOD_USEC 1000
#define LIMIT_USEC  (20 * USEC_PER_SEC) /* only guards against a hang */
#define BYTES_MAX   (1 << 20)

typedef struct Host {
        Scratch scratch;
        sd_event *event; /* owned */
        Spool *spool;    /* owned */
        Live *live;      /* owned */
        Ledger *ledger;  /* owned */
        Feed *feed;      /* owned */
        Board board;
        Pace pace;
        uint64_t now_usec; /* as readers are told */
} Host;

/* Somebody who reads; what has not been looked at yet. */
typedef struct Client {
        Host *host;
        StreamReader *reader; /* owned */
        char *bytes;          /* owned */
        size_t size;
} Client;

static json_t *storage(void *userdata) {
        return json_object();
}

static int setup(void **state) {
        Host *host = calloc(1, sizeof(*host));
        LedgerOptions options;

        scratch_init(&host->scratch);
        host->spool = scratch_open(&host->scratch);
        assert_int_equal(live_new(&host->live), 0);
        options = (LedgerOptions){ .live = host->live, .spool = host->spool, .storage = storage };
        assert_int_equal(ledger_new(&options, &host->ledger), 0);
        host->board = (Board){ .live = host->live, .ledger = host->ledger, .spool = host->spool, .storage = storage };
        assert_true(sd_event_new(&host->event) >= 0);
        assert_int_equal(feed_new(host->event, &host->board, &host->pace, PERIOD_USEC, &host->feed), 0);
        host->now_usec = clock_boottime_usec();
        *state = host;
        return 0;
}

static int teardown(void **state) {
        Host *host = *state;

        feed_free(host->feed);
        sd_event_unref(host->event);
        ledger_free(host->ledger);
        live_free(host->live);
        spool_free(host->spool);
        scratch_deinit(&host->scratch);
        free(host);
        return 0;
}

static void take(Host *host, const char *op, json_t *packet) {
        assert_non_null(packet);
        assert_int_equal(live_take(host->live, op, packet), 0);
        json_decref(packet);
}

/* The more memory, the nearer to its end. */
static void begin_run(Host *host, const char *run_id, int memory) {
        take(host, "process",
                json_pack("{s:{s:s, s:s, s:i, s:i, s:i}}", "run", "run_id", run_id, "state", "running", "uid", 1000,
                        "memory_bytes", memory, "memory_limit_bytes", 1000));
}

static void end_run(Host *host, const char *run_id) {
        take(host, "run", json_pack("{s:{s:s}}", "run", "run_id", run_id));
}

static void join(Client *client, Host *host) {
        *client = (Client){ .host = host, .bytes = calloc(1, BYTES_MAX) };
        assert_non_null(client->bytes);
        assert_int_equal(stream_reader_new(feed_stream(host->feed), NULL, &client->reader), 0);
}

static void leave(Client *client) {
        stream_reader_free(client->reader);
        free(client->bytes);
}

static void read_more(Client *client) {
        int n;

        while ((n = stream_reader_read(client->reader, client->host->now_usec, client->bytes + client->size,
                        BYTES_MAX - 1 - client->size)) > 0)
                client->size += (size_t)n;
        assert_int_equal(n, 0);
        client->bytes[client->size] = '\0';
}

/* The data of the next message of that name; the loop runs until it has come. Caller owns it. */
static json_t *next_message(Client *client, const char *name) {
        uint64_t end_usec = clock_boottime_usec() + LIMIT_USEC;

        for (;;) {
                _cleanup_(freep) char *head = text_printf("event: %s\n", name);
                char *end;

                read_more(client);
                while ((end = strstr(client->bytes, "\n\n"))) {
                        char *data = strstr(client->bytes, "data: ");
                        bool is_it = strncmp(client->bytes, head, strlen(head)) == 0;
                        json_t *document = NULL;

                        end[1] = '\0';
                        if (is_it) {
                                data += strlen("data: ");
                                assert_int_equal(json_parse(data, strcspn(data, "\n"), &document), 0);
                        }
                        client->size -= (size_t)(end + 2 - client->bytes);
                        memmove(client->bytes, end + 2, client->size + 1);
                        if (document)
                                return document;
                }
                if (sd_event_run(client->host->event, LIMIT_USEC) <= 0 || clock_boottime_usec() > end_usec)
                        fail_msg("nobody says %s", name);
        }
}

/* The next update that is not only a sign of life. */
static json_t *next_update(Client *client) {
        uint64_t end_usec = clock_boottime_usec() + LIMIT_USEC;

        for (;;) {
                json_t *update = next_message(client, "update");

                if (!json_is_null(json_object_get(update, "watchdog")))
                        return update;
                json_decref(update);
                assert_true(clock_boottime_usec() <= end_usec);
        }
}

static bool tells(const json_t *document, const char *run_id) {
        const json_t *run;
        size_t i;

        json_array_foreach(json_object_get(document, "runs"), i, run) {
                if (strcmp(json_string_value(json_object_get(run, "run_id")), run_id) == 0)
                        return true;
        }
        return false;
}

static bool tells_gone(const json_t *document, const char *run_id) {
        const json_t *gone;
        size_t i;

        json_array_foreach(json_object_get(document, "gone"), i, gone) {
                if (strcmp(json_string_value(gone), run_id) == 0)
                        return true;
        }
        return false;
}

static size_t n_of(const json_t *document, const char *key) {
        return json_array_size(json_object_get(document, key));
}

/* Reads the snapshot, and the first update, which tells of all that is there. */
static void join_and_settle(Client *client, Host *host) {
        join(client, host);
        json_decref(next_message(client, "snapshot"));
        json_decref(next_update(client));
}

static void each_run_that_has_changed_is_told_and_no_other(void **state) {
        Host *host = *state;
        _cleanup_(json_decrefp) json_t *update = NULL;
        Client client;

        begin_run(host, "r1", 1);
        begin_run(host, "r2", 2);
        begin_run(host, "r3", 3);
        begin_run(host, "r4", 4);
        join_and_settle(&client, host);
        take(host, "state", json_pack("{s:[[s,s],[s,s]]}", "rows", "r1", "grace", "r3", "killing"));
        begin_run(host, "r5", 5);
        update = next_update(&client);
        assert_true(tells(update, "r1") && tells(update, "r3") && tells(update, "r5"));
        assert_int_equal(n_of(update, "runs"), 3);
        assert_int_equal(n_of(update, "gone"), 0);
        leave(&client);
}

static void a_run_that_changes_again_is_told_again(void **state) {
        Host *host = *state;
        Client client;

        begin_run(host, "r1", 1);
        join_and_settle(&client, host);
        for (int i = 0; i < 3; i++) {
                _cleanup_(json_decrefp) json_t *update = NULL;

                begin_run(host, "r1", 1);
                update = next_update(&client);
                assert_true(tells(update, "r1"));
        }
        leave(&client);
}

static void a_run_that_only_a_snapshot_has_shown_is_told_to_be_gone(void **state) {
        Host *host = *state;
        _cleanup_(json_decrefp) json_t *snapshot = NULL, *update = NULL;
        Client early, late;

        begin_run(host, "r1", 1);
        join_and_settle(&early, host);
        begin_run(host, "short", 1);
        host->now_usec += STREAM_SNAPSHOT_USEC;
        join(&late, host);
        snapshot = next_message(&late, "snapshot");
        assert_true(tells(snapshot, "short"));
        end_run(host, "short");
        update = next_update(&late);
        assert_true(tells_gone(update, "short"));
        leave(&late);
        leave(&early);
}

/* It moves up without having changed itself: the late one has it from a snapshot, the early one only by an update. */
static void a_run_that_moves_up_is_told_to_all(void **state) {
        Host *host = *state;
        _cleanup_(json_decrefp) json_t *snapshot = NULL, *update = NULL;
        Client early, late;

        begin_run(host, "last", 1);
        for (int i = 0; i < FEED_RUNS_MAX; i++) {
                _cleanup_(freep) char *run_id = text_printf("r%d", i);

                begin_run(host, run_id, 100 + i);
        }
        join(&early, host);
        snapshot = next_message(&early, "snapshot");
        assert_int_equal(n_of(snapshot, "runs"), FEED_RUNS_MAX);
        assert_false(tells(snapshot, "last"));
        json_decref(next_update(&early));
        end_run(host, "r7");
        host->now_usec += STREAM_SNAPSHOT_USEC;
        join(&late, host);
        json_decref(snapshot);
        snapshot = next_message(&late, "snapshot");
        assert_true(tells(snapshot, "last"));
        update = next_update(&early);
        assert_true(tells_gone(update, "r7"));
        assert_true(tells(update, "last"));
        assert_int_equal(n_of(update, "runs"), 1);
        leave(&late);
        leave(&early);
}

/* The snapshot from before is still good enough, but nobody has had updates made meanwhile. */
static void who_comes_after_a_rest_is_told_what_changes(void **state) {
        Host *host = *state;
        _cleanup_(json_decrefp) json_t *update = NULL;
        Client before, after;

        begin_run(host, "r1", 1);
        join_and_settle(&before, host);
        leave(&before);
        while (sd_event_run(host->event, 10 * PERIOD_USEC) > 0)
                ;
        join(&after, host);
        json_decref(next_message(&after, "snapshot"));
        begin_run(host, "r2", 2);
        update = next_update(&after);
        assert_true(tells(update, "r2"));
        leave(&after);
}

static void nobody_who_reads_costs_no_wakeup(void **state) {
        Host *host = *state;

        begin_run(host, "r1", 1);
        assert_int_equal(sd_event_run(host->event, 10 * PERIOD_USEC), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(each_run_that_has_changed_is_told_and_no_other, setup, teardown),
                cmocka_unit_test_setup_teardown(a_run_that_changes_again_is_told_again, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_run_that_only_a_snapshot_has_shown_is_told_to_be_gone, setup, teardown),
                cmocka_unit_test_setup_teardown(a_run_that_moves_up_is_told_to_all, setup, teardown),
                cmocka_unit_test_setup_teardown(who_comes_after_a_rest_is_told_what_changes, setup, teardown),
                cmocka_unit_test_setup_teardown(nobody_who_reads_costs_no_wakeup, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
