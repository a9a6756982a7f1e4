/*
 * scidex-supervisor: owns the tree, watches the runs, kills what is over its limits.
 *
 * Started by systemd, by hand, or (--private) by the first scidex-run.  The steps are those of all our programs: parse
 * the arguments, find the paths, make the supervisor, say that it is ready, run the loop.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/scidex-supervisor/options.h"
#include "cmd/scidex-supervisor/pass.h"
#include "supervise/supervisor.h"
#include <sys/prctl.h>
#include <systemd/sd-daemon.h>

int main(int argc, char **argv) {
        _cleanup_(options_deinit) Options options = { .ready_fd = -EBADF };
        _cleanup_(supervisor_freep) Supervisor *supervisor = NULL;
        _cleanup_(freep) char *error = NULL;
        int r;

        log_open("scidex-supervisor", LOG_LEVEL_INFO);
        /* A heap of small things: huge pages would fill what was given back of it again. No run is a child of ours. */
        (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
        r = options_parse(argc, argv, &options);
        if (r != 0)
                return r > 0 ? EXIT_SUCCESS : OPTIONS_EXIT_USAGE;
        if (options.check_config)
                return options_check_config(&options);
        r = options_read_config(&options);
        if (r == 0)
                r = options_find_paths(&options, &error);
        if (r == 0 && (options.supervisor.mode == SUPERVISOR_ONCE || options.supervisor.mode == SUPERVISOR_DRAIN))
                return pass_run(&options);
        if (r == 0) {
                options.supervisor.config = TAKE_PTR(options.config);
                r = supervisor_new(&options.supervisor, &supervisor, &error);
        }
        if (r < 0) {
                options_report(&options, r == -EBUSY ? "busy" : error ? error : strerror(-r));
                log_line(LOG_LEVEL_ERROR, "%s", error ? error : strerror(-r));
                return EXIT_FAILURE;
        }
        options_report(&options, NULL);
        (void)sd_notify(0, "READY=1");
        return supervisor_run(supervisor) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
