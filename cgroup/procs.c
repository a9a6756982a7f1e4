/*
 * Reads cgroup.procs into a list; used by the listing, the sweep of signals and the move into a leaf.
 *
 * A read(2) of cgroup.procs gives at most a page, so it is read to its end; between two reads processes come and go,
 * and a list is never more than a hint of whom to look at (cgroup-v2.rst: it may even name one twice).
 */
#include "cgroup/procs.h"
#include "base/cleanup.h"
#include "cgroup/group-internal.h"
#include "cgroup/group.h"
#include "cgroup/walk.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BITS_PER_WORD 64

void pid_list_deinit(PidList *list) {
        free(list->pids);
        *list = (PidList){};
}

static int pid_list_append(PidList *list, pid_t pid) {
        if (list->count == list->allocated) {
                size_t wanted = list->allocated ? list->allocated * 2 : 32;
                pid_t *grown = reallocarray(list->pids, wanted, sizeof(pid_t));

                if (!grown)
                        return -ENOMEM;
                list->pids = grown;
                list->allocated = wanted;
        }
        list->pids[list->count++] = pid;
        return 0;
}

/* The digits of one pid that may be cut by the end of a read. */
typedef struct PidParser {
        PidList *list;
        uint64_t value;
        bool digits;
} PidParser;

static int parser_end_line(PidParser *parser) {
        pid_t pid = (pid_t)parser->value;

        if (!parser->digits)
                return -EINVAL;
        parser->value = 0;
        parser->digits = false;
        return pid > 0 ? pid_list_append(parser->list, pid) : 0;
}

static int parser_feed(PidParser *parser, const char *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                int r = 0;

                if (text[i] == '\n') {
                        r = parser_end_line(parser);
                } else if (text[i] >= '0' && text[i] <= '9') {
                        parser->value = parser->value * 10 + (uint64_t)(text[i] - '0');
                        parser->digits = true;
                        r = parser->value < PID_LIMIT ? 0 : -EINVAL;
                } else {
                        r = -EINVAL;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int procs_parse(const char *text, PidList *ret) {
        _cleanup_(pid_list_deinit) PidList list = {};
        PidParser parser = { .list = &list };
        int r = parser_feed(&parser, text, strlen(text));

        if (r < 0)
                return r;
        if (parser.digits)
                return -EINVAL;
        *ret = list;
        list = (PidList){};
        return 0;
}

static int procs_read_fd(int fd, PidList *list) {
        PidParser parser = { .list = list };
        char buffer[4096];

        for (;;) {
                ssize_t n = read(fd, buffer, sizeof(buffer));
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n == 0 ? 0 : -errno;
                r = parser_feed(&parser, buffer, (size_t)n);
                if (r < 0)
                        return r;
        }
}

int procs_read(int group_fd, PidList *ret) {
        _cleanup_(pid_list_deinit) PidList list = {};
        _cleanup_(close_fdp) int fd = walk_open(group_fd, "cgroup.procs", O_RDONLY);
        int r;

        if (fd < 0)
                return group_result(group_fd, fd);
        r = procs_read_fd(fd, &list);
        if (r < 0 && r != -EOPNOTSUPP)
                return group_result(group_fd, r);
        *ret = list;
        list = (PidList){};
        return 0;
}

bool pid_set_contains(const PidSet *set, pid_t pid) {
        size_t word = (size_t)pid / BITS_PER_WORD;

        return pid > 0 && word < set->count && (set->words[word] >> ((size_t)pid % BITS_PER_WORD) & 1);
}

int pid_set_add(PidSet *set, pid_t pid) {
        size_t word = (size_t)pid / BITS_PER_WORD;

        if (pid <= 0 || pid >= PID_LIMIT)
                return -ERANGE;
        if (word >= set->count) {
                size_t wanted = word * 2 + 1;
                uint64_t *grown = reallocarray(set->words, wanted, sizeof(uint64_t));

                if (!grown)
                        return -ENOMEM;
                memset(grown + set->count, 0, (wanted - set->count) * sizeof(uint64_t));
                set->words = grown;
                set->count = wanted;
        }
        set->words[word] |= UINT64_C(1) << ((size_t)pid % BITS_PER_WORD);
        return 0;
}

void pid_set_clear(PidSet *set) {
        if (set->words)
                memset(set->words, 0, set->count * sizeof(uint64_t));
}

void pid_set_deinit(PidSet *set) {
        free(set->words);
        *set = (PidSet){};
}
