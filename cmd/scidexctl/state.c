/*
 * Where the record lies while no supervisor is there to say it, and which database it is sent to.
 *
 * Called before the record is read from the disk or the database is asked, and by doctor.  The supervisor goes by its
 * configuration, so that is read here as well; what is wrong in it is the supervisor's to say.
 */
#include "cmd/scidexctl/ask.h"

#include "base/cleanup.h"
#include "control/client.h"
#include "supervise/config.h"
#include <stddef.h>
#include <string.h>

/*
 * The text at offset of the configuration; NULL in *ret: it says nothing of it. Not read as the system's: no names are
 * to be looked up for this.
 */
static int configured(const char *path, size_t offset, char **ret) {
        _cleanup_(config_findings_deinit) ConfigFindings findings = { 0 };
        _cleanup_(config_freep) Config *config = NULL;
        int r = config_load(path, false, &config, &findings);
        const char *text;

        if (r < 0)
                return r;
        text = *(char *const *)((const char *)config + offset);
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

/* Root's may be the record of a private supervisor or of the system's. */
int ask_state_directory(char **ret) {
        int r;

        *ret = NULL;
        r = configured(NULL, offsetof(Config, sqlite), ret);
        if (r == 0 && !*ret && geteuid() == 0)
                r = configured(CONFIG_SYSTEM_FILE, offsetof(Config, sqlite), ret);
        return r < 0 || *ret ? r : client_state_directory(ret);
}

int ask_conninfo(const Options *options, char **ret) {
        int r;

        *ret = NULL;
        if (options->postgres) {
                *ret = strdup(options->postgres);
                return *ret ? 0 : -ENOMEM;
        }
        r = configured(NULL, offsetof(Config, postgres), ret);
        if (r == 0 && !*ret)
                r = configured(CONFIG_SYSTEM_FILE, offsetof(Config, postgres), ret);
        return r < 0 || *ret ? r : -ENOENT;
}
