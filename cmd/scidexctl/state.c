/*
 * Where the record lies while no supervisor is there to say it.
 *
 * Called before the record is read from the disk, and by doctor.  The supervisor goes by its configuration, so that is
 * read here as well; what is wrong in it is the supervisor's to say.
 */
#include "cmd/scidexctl/ask.h"

#include "base/cleanup.h"
#include "control/client.h"
#include "supervise/config.h"
#include <string.h>

/* NULL in *ret: it says nothing of it. Not read as the system's: no names are to be looked up for this. */
static int configured(const char *path, char **ret) {
        _cleanup_(config_findings_deinit) ConfigFindings findings = { 0 };
        _cleanup_(config_freep) Config *config = NULL;
        int r = config_load(path, false, &config, &findings);

        if (r == 0 && config->sqlite) {
                *ret = strdup(config->sqlite);
                r = *ret ? 0 : -ENOMEM;
        }
        return r;
}

/* Root's may be the record of a private supervisor or of the system's. */
int ask_state_directory(char **ret) {
        int r;

        *ret = NULL;
        r = configured(NULL, ret);
        if (r == 0 && !*ret && geteuid() == 0)
                r = configured(CONFIG_SYSTEM_FILE, ret);
        return r < 0 || *ret ? r : client_state_directory(ret);
}
