/*
 * launch-bench ROUNDS ENTRY [::: ENTRY]...: runs the entries in turn, ROUNDS times, and prints `round entry
 * nanoseconds`.
 *
 * An ENTRY is [@UID:GID] [NAME=VALUE]... COMMAND [ARG]... [:then COMMAND ...]: commands that are run one after the
 * other and timed as one, fork to waitpid, as that user (no other groups), else as who we are. `%d` in a VALUE or an
 * ARG becomes the round; a variable holds until another entry sets it. Called by tests/bench/launch.py. In C because
 * the cost of the measuring program must be far below that of `true`; in turn because a machine's speed drifts, so that
 * only what ran side by side can be compared. Output of the commands is discarded; an entry that fails is said and
 * counts.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES_MAX 64

typedef struct User {
        uid_t uid;
        gid_t gid;
        int set;
} User;

static long long now_nsec(void) {
        struct timespec time;

        clock_gettime(CLOCK_MONOTONIC, &time);
        return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* "b-%d" with the round put in; the caller frees. */
static char *with_round(const char *text, long round) {
        const char *mark = strstr(text, "%d");
        char *made = NULL;

        if (!mark)
                return strdup(text);
        if (asprintf(&made, "%.*s%ld%s", (int)(mark - text), text, round, mark + 2) < 0)
                exit(2);
        return made;
}

/* "A=b" into the environment of what is spawned next. */
static void set_variable(const char *assignment, long round) {
        char *made = with_round(assignment, round), *equals = made ? strchr(made, '=') : NULL;

        if (!equals)
                exit(2);
        *equals = '\0';
        if (setenv(made, equals + 1, 1) < 0)
                exit(2);
        free(made);
}

static void become(char **argv, const User *user, int null_in, int null_out) {
        if (dup2(null_in, STDIN_FILENO) < 0 || dup2(null_out, STDOUT_FILENO) < 0)
                _exit(126);
        if (user->set &&
                (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0 ||
                        syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0))
                _exit(126);
        execvp(argv[0], argv);
        _exit(127);
}

static int run_command(char **argv, const User *user) {
        static int null_in = -1, null_out = -1;
        int status;
        pid_t pid;

        if (null_in < 0) {
                null_in = open("/dev/null", O_RDONLY | O_CLOEXEC);
                null_out = open("/dev/null", O_WRONLY | O_CLOEXEC);
        }
        if (!argv[0] || null_in < 0 || null_out < 0)
                exit(2);
        pid = fork();
        if (pid == 0)
                become(argv, user, null_in, null_out);
        if (pid < 0) {
                perror("launch-bench: fork");
                exit(2);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        exit(2);
        return status;
}

static void set_round(char **words, char **made, long round) {
        for (; *words; words++, made++)
                *made = with_round(*words, round);
        *made = NULL;
}

static void run_entry(char **words, long round, long entry) {
        char **all, **word;
        long long begin;
        size_t n = 0;
        int failed = 0;
        User user = { .set = 0 };

        if (words[0] && words[0][0] == '@') {
                char *colon;

                user.uid = (uid_t)strtoul(*words + 1, &colon, 10);
                user.gid = (gid_t)strtoul(colon + 1, NULL, 10);
                user.set = 1;
                words++;
        }
        for (; *words && strchr(*words, '='); words++)
                set_variable(*words, round);
        while (words[n])
                n++;
        all = calloc(n + 1, sizeof(char *));
        if (!all)
                exit(2);
        set_round(words, all, round);
        word = all;
        begin = now_nsec();
        while (*word) {
                char **end = word, *separator;

                while (*end && strcmp(*end, ":then") != 0)
                        end++;
                separator = *end;
                *end = NULL;
                failed |= run_command(word, &user);
                *end = separator;
                word = separator ? end + 1 : end;
        }
        printf("%ld %ld %lld\n", round, entry, now_nsec() - begin);
        if (failed)
                fprintf(stderr, "launch-bench: entry %ld failed in round %ld (wait status %d)\n", entry, round, failed);
        for (word = all; *word; word++)
                free(*word);
        free(all);
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
        char **entries[ENTRIES_MAX];
        long rounds = argc > 2 ? strtol(argv[1], NULL, 10) : 0, count;

        if (rounds <= 0) {
                fprintf(stderr, "usage: launch-bench ROUNDS ENTRY [::: ENTRY]...\n");
                return 2;
        }
        setvbuf(stdout, NULL, _IOFBF, 1 << 16);
        count = split_entries(argv + 2, entries);
        for (long round = 0; round < rounds; round++)
                for (long entry = 0; entry < count; entry++)
                        run_entry(entries[entry], round, entry);
        return 0;
}
