/*
 * scidex-run: launches one run into a group of its own and waits for it.
 *
 * Stays the parent of the command (only a parent gets the exit status) and outside of its group (a kernel kill of the
 * group must not take the messenger along).  Nothing of ours ever goes to stdout.  The steps: options, a supervisor, a
 * group, the start, the wait, one line.
 */
#include "base/cleanup.h"
#include "cmd/scidex-run/launch.h"

int main(int argc, char **argv) {
        _cleanup_(run_options_deinit) RunOptions options = { 0 };
        _cleanup_(launch_deinit) Launch launch = { .options = &options,
                .connection = CONNECTION_NONE,
                .group_fd = -EBADF,
                .kill_fd = -EBADF,
                .signal_fd = -EBADF,
                .report_fd = -EBADF,
                .spawned = { .pidfd = -EBADF, .gate_fd = -EBADF, .exec_fd = -EBADF },
                .deadline_usec = UINT64_MAX };
        int r;

        /* Unseeded, jansson reads /dev/urandom; our tables hold what the supervisor or our own user wrote. */
        json_object_seed(1);
        r = run_options_parse(argc, argv, &options);
        if (r == -ENOMEM)
                run_say("out of memory; nothing was started");
        if (r != 0)
                return r > 0 ? EXIT_SUCCESS : RUN_EXIT_FAILED;
        if (launch_open_report(&launch) < 0 || connection_open(options.private_only, &launch.connection) < 0 ||
                launch_ask(&launch) < 0 || launch_start(&launch) < 0 || launch_wait(&launch) < 0)
                return RUN_EXIT_FAILED;
        return launch_finish(&launch);
}
