/* The stream: what a reader gets, and that one that does not read costs nothing. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "base/clock.h"
#include "base/file.h"
#include "status/stream.h"
#include <stdio.h>
#include <string.h>

#define READ_MAX (4 << 20)

/* A record of events e1, e2, …; what the snapshot says counts how often it was made. */
typedef struct Source {
        int n_events, n_snapshots, n_news;
        Stream *stream; /* owned */
} Source;

static char *source_snapshot(void *userdata) {
        Source *source = userdata;

        return text_printf("\"n\":%d", ++source->n_snapshots);
}

static const char *source_newest(void *userdata) {
        const Source *source = userdata;
        static char id[16];

        (void)snprintf(id, sizeof(id), "e%d", source->n_events);
        return source->n_events > 0 ? id : NULL;
}

static int source_find(const char *event_id, int64_t *ret_place, void *userdata) {
        const Source *source = userdata;
        long n = *event_id == 'e' ? strtol(event_id + 1, NULL, 10) : 0;

        if (n < 1 || n > source->n_events)
                return -ENOENT;
        *ret_place = n;
        return 0;
}

static int source_replay(int64_t *place, char **ret_id, char **ret_data, void *userdata) {
        const Source *source = userdata;

        if (*place >= source->n_events)
                return -ENOENT;
        *place += 1;
        *ret_id = text_printf("e%d", (int)*place);
        *ret_data = strdup("{\"missed\":1}");
        return 0;
}

static void source_news(void *userdata) {
        Source *source = userdata;

        source->n_news++;
}

static int setup(void **state) {
        Source *source = calloc(1, sizeof(*source));
        StreamSource functions = { .snapshot = source_snapshot,
                .newest = source_newest,
                .find = source_find,
                .replay = source_replay,
                .userdata = source };

        assert_int_equal(stream_new(&functions, &source->stream), 0);
        stream_on_news(source->stream, source_news, source);
        *state = source;
        return 0;
}

static int teardown(void **state) {
        Source *source = *state;

        stream_free(source->stream);
        free(source);
        return 0;
}

static StreamReader *join(Source *source, const char *last) {
        StreamReader *reader = NULL;

        assert_int_equal(stream_reader_new(source->stream, last, &reader), 0);
        return reader;
}

/* Everything there is, in pieces. Caller frees. */
static char *read_all(StreamReader *reader, uint64_t now, size_t piece) {
        char *text = calloc(1, READ_MAX);
        size_t size = 0;
        int n;

        while ((n = stream_reader_read(reader, now, text + size, piece)) > 0)
                size += (size_t)n;
        assert_int_equal(n, 0);
        return text;
}

static void assert_reads(StreamReader *reader, uint64_t now, const char *expected) {
        _cleanup_(freep) char *text = read_all(reader, now, 7);

        assert_string_equal(text, expected);
}

static void who_joins_gets_a_snapshot_then_what_is_said(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *reader = join(source, NULL);

        assert_reads(reader, 1, "retry: 2000\n\nevent: snapshot\ndata: {\"reset\":false,\"n\":1}\n\n");
        assert_reads(reader, 1, "");
        stream_say(source->stream, "update", NULL, strdup("{}"));
        stream_say(source->stream, "event", "e1", strdup("{\"a\":1}"));
        assert_int_equal(source->n_news, 2);
        assert_reads(reader, 2, "event: update\ndata: {}\n\nevent: event\nid: e1\ndata: {\"a\":1}\n\n");
}

static void what_was_said_before_is_in_the_snapshot_only(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *reader = NULL;

        source->n_events = 3;
        stream_say(source->stream, "update", NULL, strdup("{}"));
        reader = join(source, NULL);
        assert_reads(reader, 1, "retry: 2000\n\nevent: snapshot\ndata: {\"reset\":false,\"n\":1}\nid: e3\n\n");
}

static void who_was_away_is_told_what_it_missed_first(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *reader = NULL;

        source->n_events = 3;
        reader = join(source, "e1");
        assert_reads(reader, 1,
                "retry: 2000\n\nevent: event\nid: e2\ndata: {\"missed\":1}\n\nevent: event\nid: e3\ndata: "
                "{\"missed\":1}\n\n"
                "event: snapshot\ndata: {\"reset\":false,\"n\":1}\nid: e3\n\n");
}

static void an_event_nobody_knows_is_a_reset(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *reader = join(source, "gone");

        assert_reads(reader, 1, "retry: 2000\n\nevent: snapshot\ndata: {\"reset\":true,\"n\":1}\n\n");
}

static void what_was_missed_has_an_end(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *reader = NULL;
        _cleanup_(freep) char *text = NULL;
        char last[32];

        source->n_events = STREAM_REPLAY_MAX + 10;
        reader = join(source, "e1");
        text = read_all(reader, 1, 4096);
        (void)snprintf(last, sizeof(last), "id: e%d\n", STREAM_REPLAY_MAX + 1);
        assert_non_null(strstr(text, last));
        (void)snprintf(last, sizeof(last), "id: e%d\n", STREAM_REPLAY_MAX + 2);
        assert_null(strstr(text, last));
        assert_non_null(strstr(text, "event: snapshot"));
}

static void one_snapshot_serves_all_who_join_together(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *a = join(source, NULL), *b = join(source, NULL),
                                                    *c = join(source, NULL), *d = join(source, NULL);
        _cleanup_(freep) char *one = read_all(a, 100, 4096), *two = read_all(b, 100 + STREAM_SNAPSHOT_USEC - 1, 4096);
        _cleanup_(freep) char *three = NULL, *four = NULL;

        assert_string_equal(one, two);
        assert_int_equal(source->n_snapshots, 1);
        three = read_all(c, 100 + STREAM_SNAPSHOT_USEC, 4096);
        assert_non_null(strstr(three, "\"n\":2"));
        assert_int_equal(source->n_snapshots, 2);
        stream_stale(source->stream);
        four = read_all(d, 100 + STREAM_SNAPSHOT_USEC, 4096);
        assert_non_null(strstr(four, "\"n\":3"));
        assert_int_equal(source->n_snapshots, 3);
}

/* A snapshot that is a moment old must not lose what was said since. */
static void what_was_said_after_a_shared_snapshot_is_not_lost(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *a = join(source, NULL), *b = NULL;
        _cleanup_(freep) char *one = read_all(a, 1, 4096);

        stream_say(source->stream, "update", NULL, strdup("{}"));
        b = join(source, NULL);
        assert_reads(
                b, 2, "retry: 2000\n\nevent: snapshot\ndata: {\"reset\":false,\"n\":1}\n\nevent: update\ndata: {}\n\n");
}

static void fill_ring(Source *source) {
        for (int i = 0; i < 3; i++) {
                char *data = malloc(STREAM_RING_BYTES / 2);

                memset(data, 'x', STREAM_RING_BYTES / 2 - 1);
                data[STREAM_RING_BYTES / 2 - 1] = '\0';
                stream_say(source->stream, "update", NULL, data);
        }
}

static void who_falls_behind_gets_a_snapshot_again(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *reader = join(source, NULL);
        _cleanup_(freep) char *first = read_all(reader, 1, 4096);

        fill_ring(source);
        stream_say(source->stream, "update", NULL, strdup("{}"));
        stream_stale(source->stream);
        assert_reads(reader, 2, "event: snapshot\ndata: {\"reset\":false,\"n\":2}\n\n");
}

static void who_falls_behind_within_a_message_is_broken_off(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *reader = join(source, NULL);
        _cleanup_(freep) char *first = read_all(reader, 1, 4096);
        char piece[64];

        stream_say(source->stream, "update", NULL, strdup("{\"this is longer than what is read of it\":1}"));
        assert_int_equal(stream_reader_read(reader, 1, piece, 20), 20);
        fill_ring(source);
        assert_int_equal(stream_reader_read(reader, 1, piece, 20), -EPIPE);
        assert_int_equal(stream_reader_read(reader, 1, piece, 20), -EPIPE);
}

static void snapshots_being_read_have_an_end(void **state) {
        Source *source = *state;
        StreamReader *readers[STREAM_SNAPSHOTS_MAX + 1];
        char piece[64];

        /* Each into the middle of a snapshot of its own. */
        for (size_t i = 0; i < ELEMENTSOF(readers); i++) {
                readers[i] = join(source, NULL);
                stream_stale(source->stream);
                assert_int_equal(stream_reader_read(readers[i], 1, piece, 53), 53);
        }
        assert_int_equal(source->n_snapshots, STREAM_SNAPSHOTS_MAX + 1);
        for (size_t i = 0; i < ELEMENTSOF(readers); i++) {
                int n = stream_reader_read(readers[i], 1, piece, sizeof(piece));

                assert_true(i == 0 ? n == -EPIPE : n > 0);
                stream_reader_free(readers[i]);
        }
}

static void readers_have_an_end(void **state) {
        Source *source = *state;
        StreamReader *readers[STREAM_READERS_MAX], *more = NULL;

        for (size_t i = 0; i < ELEMENTSOF(readers); i++)
                readers[i] = join(source, NULL);
        assert_int_equal(stream_readers(source->stream), STREAM_READERS_MAX);
        assert_int_equal(stream_reader_new(source->stream, NULL, &more), -EMFILE);
        for (size_t i = 0; i < ELEMENTSOF(readers); i++)
                stream_reader_free(readers[i]);
        assert_int_equal(stream_readers(source->stream), 0);
}

static void what_can_not_be_kept_is_a_gap(void **state) {
        Source *source = *state;
        _cleanup_(stream_reader_freep) StreamReader *reader = join(source, NULL);
        _cleanup_(freep) char *first = read_all(reader, 1, 4096);

        stream_say(source->stream, "update", NULL, NULL);
        assert_reads(reader, 1, "event: snapshot\ndata: {\"reset\":false,\"n\":2}\n\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(who_joins_gets_a_snapshot_then_what_is_said, setup, teardown),
                cmocka_unit_test_setup_teardown(what_was_said_before_is_in_the_snapshot_only, setup, teardown),
                cmocka_unit_test_setup_teardown(who_was_away_is_told_what_it_missed_first, setup, teardown),
                cmocka_unit_test_setup_teardown(an_event_nobody_knows_is_a_reset, setup, teardown),
                cmocka_unit_test_setup_teardown(what_was_missed_has_an_end, setup, teardown),
                cmocka_unit_test_setup_teardown(one_snapshot_serves_all_who_join_together, setup, teardown),
                cmocka_unit_test_setup_teardown(what_was_said_after_a_shared_snapshot_is_not_lost, setup, teardown),
                cmocka_unit_test_setup_teardown(who_falls_behind_gets_a_snapshot_again, setup, teardown),
                cmocka_unit_test_setup_teardown(who_falls_behind_within_a_message_is_broken_off, setup, teardown),
                cmocka_unit_test_setup_teardown(snapshots_being_read_have_an_end, setup, teardown),
                cmocka_unit_test_setup_teardown(readers_have_an_end, setup, teardown),
                cmocka_unit_test_setup_teardown(what_can_not_be_kept_is_a_gap, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
