/*
 * Which run an inotify watch belongs to.
 *
 * Called by the supervisor's files. A tree by watch descriptor: descriptors only grow, so an array would grow with
 * every run that ever was.
 */
#include "supervise/life.h"

#include <search.h>

typedef struct Watching {
        int watch;
        Run *run;
} Watching;

static int watching_compare(const void *a, const void *b) {
        const Watching *x = a, *y = b;

        return (x->watch > y->watch) - (x->watch < y->watch);
}

bool watching_find(Supervisor *s, int watch, Run **ret) {
        Watching key = { .watch = watch };
        Watching *const *found = tfind(&key, &s->watches, watching_compare);

        if (found)
                *ret = (*found)->run;
        return found != NULL;
}

int watching_add(Supervisor *s, Run *run, const char *file) {
        int watch = group_events_add(&s->events, run->group.fd, file);
        Watching *w;

        if (watch < 0)
                return watch;
        w = malloc(sizeof(*w));
        if (!w) {
                group_events_remove(&s->events, watch);
                return -ENOMEM;
        }
        *w = (Watching){ .watch = watch, .run = run };
        (void)tsearch(w, &s->watches, watching_compare);
        return watch;
}

void watching_remove(Supervisor *s, int *watch) {
        Watching key = { .watch = *watch };
        Watching *const *found;
        Watching *w;

        if (*watch < 0)
                return;
        found = tfind(&key, &s->watches, watching_compare);
        if (found) {
                w = *found;
                (void)tdelete(&key, &s->watches, watching_compare);
                free(w);
        }
        group_events_remove(&s->events, *watch);
        *watch = -1;
}

void watching_deinit(Supervisor *s) {
        tdestroy(s->watches, free);
        s->watches = NULL;
}
