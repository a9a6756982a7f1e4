/*
 * The asking side: which socket, whose, and one question at a time.
 *
 * Called by scidex-run and scidexctl.  The hard thing is trust: a socket in a shared directory may have been bound by
 * anybody, so the server's uid is taken from the kernel (SO_PEERCRED) before the first byte is sent, and only root or
 * ourselves will do.
 */
#include "control/client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SYSTEM_SOCKET "/run/scidex/control"

static int server_is_trusted(int fd) {
        struct ucred who;
        socklen_t size = sizeof(who);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
                return -errno;
        return who.uid == 0 || who.uid == geteuid() ? 0 : CLIENT_E_FOREIGN;
}

static int connect_errno_to_result(int error) {
        switch (error) {
        case ENOENT:
        case ENOTDIR:
                return CLIENT_E_NO_SOCKET;
        case ECONNREFUSED:
                return CLIENT_E_REFUSED;
        case EACCES:
        case EPERM:
                return CLIENT_E_DENIED;
        default:
                return -error;
        }
}

/*
 * Where a server's queue is full (a supervisor that does not come up, and thousands of launches), connect(2) waits, in
 * its turn and without a bound but this one: SO_SNDTIMEO (unix_stream_connect(), net/unix/af_unix.c).
 */
static int bound_wait(int fd, uint64_t usec) {
        struct timeval wait = { .tv_sec = (time_t)(usec / USEC_PER_SEC),
                .tv_usec = (suseconds_t)(usec % USEC_PER_SEC) };

        return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ? -errno : 0;
}

static int connect_within(const char *path, uint64_t wait_usec, int *ret_fd) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(close_fdp) int fd = -EBADF;
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        r = bound_wait(fd, wait_usec);
        if (r < 0)
                return r;
        while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                if (errno != EINTR)
                        return connect_errno_to_result(errno);
        r = server_is_trusted(fd);
        if (r == 0)
                r = bound_wait(fd, 0);
        if (r != 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int client_connect(const char *path, int *ret_fd) {
        return connect_within(path, CLIENT_CONNECT_USEC, ret_fd);
}

int client_connect_now(const char *path, int *ret_fd) {
        return connect_within(path, USEC_PER_MSEC, ret_fd);
}

void client_paths_freep(char ***paths) {
        if (!*paths)
                return;
        for (char **p = *paths; *p; p++)
                free(*p);
        free(*paths);
}

/* An environment variable that holds an absolute path, else NULL: relative ones are to be ignored (XDG base directory
 * spec.). */
static const char *environment_path(const char *name) {
        const char *value = getenv(name);

        return value && value[0] == '/' ? value : NULL;
}

int client_private_path(char **ret_path) {
        const char *socket_path = getenv("SCIDEX_SOCKET");
        const char *runtime = environment_path("XDG_RUNTIME_DIR");

        if (socket_path && *socket_path)
                *ret_path = strdup(socket_path);
        else if (runtime)
                *ret_path = text_printf("%s/scidex/control", runtime);
        else
                *ret_path = text_printf("/tmp/scidex-%u/control", (unsigned)geteuid());
        return *ret_path ? 0 : -ENOMEM;
}

int client_socket_paths(bool private_only, char ***ret_paths) {
        _cleanup_(client_paths_freep) char **paths = calloc(3, sizeof(char *));
        const char *given = getenv("SCIDEX_SOCKET");
        size_t n = 0;
        int r;

        if (!paths)
                return -ENOMEM;
        if (!private_only && !(given && *given)) {
                paths[n] = strdup(SYSTEM_SOCKET);
                if (!paths[n++])
                        return -ENOMEM;
        }
        r = client_private_path(&paths[n]);
        if (r < 0)
                return r;
        *ret_paths = TAKE_PTR(paths);
        return 0;
}

int client_record_path(const char *control_path, char **ret_path) {
        const char *slash = strrchr(control_path, '/');
        const char *name = slash ? slash + 1 : control_path;

        if (strcmp(name, "control") == 0)
                *ret_path = text_printf("%.*srecord", (int)(name - control_path), control_path);
        else
                *ret_path = text_printf("%s.record", control_path);
        return *ret_path ? 0 : -ENOMEM;
}

int client_state_directory(char **ret_path) {
        const char *file = environment_path("SCIDEX_STORAGE_SQLITE");
        const char *state = environment_path("XDG_STATE_HOME");
        const char *home = environment_path("HOME");

        if (file)
                *ret_path = text_printf("%.*s", (int)MAX_OF(strrchr(file, '/') - file, (ptrdiff_t)1), file);
        else if (state)
                *ret_path = text_printf("%s/scidex", state);
        else if (geteuid() == 0)
                *ret_path = strdup("/var/lib/scidex");
        else if (home)
                *ret_path = text_printf("%s/.local/state/scidex", home);
        else
                *ret_path = text_printf("/tmp/scidex-%u/state", (unsigned)geteuid());
        return *ret_path ? 0 : -ENOMEM;
}

int client_ask(int fd, const json_t *request, uint64_t timeout_usec, Message *ret_reply) {
        uint64_t until_usec = usec_add(clock_boottime_usec(), timeout_usec);
        int r = message_send(fd, request, NULL, 0);

        return r < 0 ? r : client_await(fd, until_usec, ret_reply);
}

int client_await(int fd, uint64_t until_usec, Message *ret_reply) {
        int r;

        for (;;) {
                struct pollfd waiting = { .fd = fd, .events = POLLIN };
                uint64_t left = usec_sub(until_usec, clock_boottime_usec());
                int timeout = left == USEC_INFINITY ? -1 : (int)MIN_OF(left / USEC_PER_MSEC + 1, UINT64_C(3600000));

                if (left == 0)
                        return -ETIMEDOUT;
                r = poll(&waiting, 1, timeout);
                if (r > 0)
                        return message_receive(fd, ret_reply);
                if (r < 0 && errno != EINTR)
                        return -errno;
        }
}
