/*
 * launch-bench ROUNDS ENTRY [::: ENTRY]...: runs the entries in turn, ROUNDS times, and prints `round entry
 * nanoseconds`.
 *
 * An ENTRY is [NAME=VALUE]... COMMAND [ARG]... [:then COMMAND ...]: commands that are run one after the other and timed
 * as one, posix_spawn to waitpid. `%d` in a VALUE becomes the round; a variable holds until another entry sets it.
 * Called by tests/bench/launch.py. In C because the cost of the measuring program must be far below that of `true`; in
 * turn because a machine's speed drifts, so that only what ran side by side can be compared. Output of the commands is
 * discarded; an entry that fails is said and counts.
 */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES_MAX 64

static long long now_nsec(void) {
        struct timespec time;

        clock_gettime(CLOCK_MONOTONIC, &time);
        return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* "A=b-%d" with the round put in, into the environment of what is spawned next. */
static void set_variable(const char *assignment, long round) {
        char *key = strdup(assignment), *equals = key ? strchr(key, '=') : NULL, *text, *mark, *made = NULL;

        if (!equals)
                exit(2);
        *equals = '\0';
        text = equals + 1;
        mark = strstr(text, "%d");
        if (mark) {
                *mark = '\0';
                if (asprintf(&made, "%s%ld%s", text, round, mark + 2) < 0 || !made)
                        exit(2);
                text = made;
        }
        if (setenv(key, text, 1) < 0)
                exit(2);
        free(made);
        free(key);
}

static int run_command(char **argv, const posix_spawn_file_actions_t *actions) {
        pid_t pid;
        int status, r;

        if (!argv[0])
                exit(2);
        r = posix_spawnp(&pid, argv[0], actions, NULL, argv, environ);
        if (r != 0) {
                fprintf(stderr, "launch-bench: %s: %s\n", argv[0], strerror(r));
                exit(2);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        exit(2);
        return status;
}

static void run_entry(char **words, long round, long entry, const posix_spawn_file_actions_t *actions) {
        long long begin;
        int failed = 0;

        for (; *words && strchr(*words, '='); words++)
                set_variable(*words, round);
        begin = now_nsec();
        while (*words) {
                char **end = words, *separator;

                while (*end && strcmp(*end, ":then") != 0)
                        end++;
                separator = *end;
                *end = NULL;
                failed |= run_command(words, actions);
                *end = separator;
                words = separator ? end + 1 : end;
        }
        printf("%ld %ld %lld\n", round, entry, now_nsec() - begin);
        if (failed)
                fprintf(stderr, "launch-bench: entry %ld failed in round %ld (wait status %d)\n", entry, round, failed);
}

static long split_entries(char **argv, char ***ret_entries) {
        long count = 0;

        ret_entries[count++] = argv;
        for (; *argv; argv++)
                if (strcmp(*argv, ":::") == 0) {
                        *argv = NULL;
                        if (count == ENTRIES_MAX)
                                exit(2);
                        ret_entries[count++] = argv + 1;
                }
        return count;
}

int main(int argc, char **argv) {
        posix_spawn_file_actions_t actions;
        char **entries[ENTRIES_MAX];
        long rounds = argc > 2 ? strtol(argv[1], NULL, 10) : 0, count;

        if (rounds <= 0) {
                fprintf(stderr, "usage: launch-bench ROUNDS ENTRY [::: ENTRY]...\n");
                return 2;
        }
        setvbuf(stdout, NULL, _IOFBF, 1 << 16);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        count = split_entries(argv + 2, entries);
        for (long round = 0; round < rounds; round++)
                for (long entry = 0; entry < count; entry++)
                        run_entry(entries[entry], round, entry, &actions);
        return 0;
}
