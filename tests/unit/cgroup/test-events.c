/* cgroup/events.c: a change of a group names its watch; nothing else does. */
#include "base/cleanup.h"
#include "cgroup/events.h"
#include "scratch.h"
#include <poll.h>
#include <string.h>

typedef struct Heard {
        int watches[16];
        size_t count;
} Heard;

static void hear(int watch, void *userdata) {
        Heard *heard = userdata;

        if (heard->count < ELEMENTSOF(heard->watches))
                heard->watches[heard->count++] = watch;
}

static void the_group_that_changed_is_named(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_events_deinit) GroupEvents events = { .fd = -EBADF };
        _cleanup_(group_deinit) Group quiet = GROUP_NONE, loud = GROUP_NONE;
        int quiet_watch, loud_watch;
        Heard heard = {};
        Child child;

        assert_int_equal(group_events_init(&events), 0);
        assert_int_equal(group_create(scratch->group.fd, "quiet", &quiet), 0);
        assert_int_equal(group_create(scratch->group.fd, "loud", &loud), 0);
        quiet_watch = group_events_add(&events, quiet.fd, "cgroup.events");
        loud_watch = group_events_add(&events, loud.fd, "cgroup.events");
        assert_true(quiet_watch > 0 && loud_watch > 0 && quiet_watch != loud_watch);
        child = child_start(&loud, body_pause);
        assert_true(wait_fd(events.fd, POLLIN));
        assert_int_equal(group_events_dispatch(&events, hear, &heard), 0);
        assert_true(heard.count > 0);
        for (size_t i = 0; i < heard.count; i++)
                assert_int_equal(heard.watches[i], loud_watch);
        child_destroy(&child);
}

static void the_end_of_the_last_process_is_an_event(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_events_deinit) GroupEvents events = { .fd = -EBADF };
        Child child = child_start(&scratch->group, body_pause);
        Heard heard = {};
        int watch;

        assert_int_equal(group_events_init(&events), 0);
        watch = group_events_add(&events, scratch->group.fd, "cgroup.events");
        assert_true(watch > 0);
        child_destroy(&child);
        wait_populated(&scratch->group, false);
        assert_true(wait_fd(events.fd, POLLIN));
        assert_int_equal(group_events_dispatch(&events, hear, &heard), 0);
        assert_true(heard.count > 0);
        assert_int_equal(heard.watches[0], watch);
}

static void a_watch_that_was_removed_is_not_heard(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_events_deinit) GroupEvents events = { .fd = -EBADF };
        Heard heard = {};
        int watch;

        assert_int_equal(group_events_init(&events), 0);
        watch = group_events_add(&events, scratch->group.fd, "cgroup.events");
        group_events_remove(&events, watch);
        assert_true(wait_fd(events.fd, POLLIN)); /* the kernel's IN_IGNORED */
        assert_int_equal(group_events_dispatch(&events, hear, &heard), 0);
        assert_int_equal(heard.count, 0);
        group_events_remove(&events, -1);
}

static void nothing_waiting_is_success(void **state) {
        _cleanup_(group_events_deinit) GroupEvents events = { .fd = -EBADF };
        Heard heard = {};

        assert_int_equal(group_events_init(&events), 0);
        assert_int_equal(group_events_dispatch(&events, hear, &heard), 0);
        assert_int_equal(heard.count, 0);
}

static void a_file_that_does_not_exist_cannot_be_watched(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_events_deinit) GroupEvents events = { .fd = -EBADF };

        assert_int_equal(group_events_init(&events), 0);
        assert_int_equal(group_events_add(&events, scratch->group.fd, "no.such.file"), -ENOENT);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                T(the_group_that_changed_is_named),
                T(the_end_of_the_last_process_is_an_event),
                T(a_watch_that_was_removed_is_not_heard),
                cmocka_unit_test(nothing_waiting_is_success),
                T(a_file_that_does_not_exist_cannot_be_watched),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
