/*
 * The configuration as a whole: its built-in values, and where it is read from.
 *
 * Called at the start and on reload.
 */
#include "supervise/config.h"

#include "base/clock.h"
#include <string.h>

int config_new(bool system, Config **ret) {
        _cleanup_(config_freep) Config *config = calloc(1, sizeof(*config));
        RunRequest built_in;

        if (!config)
                return -ENOMEM;
        request_init(&built_in);
        *config = (Config){
                .system = system,
                .defaults = { .memory_bytes = built_in.memory_bytes,
                        .swap_bytes = built_in.swap_bytes,
                        .timeout_usec = built_in.timeout_usec,
                        .grace_usec = built_in.grace_usec,
                        .pids = built_in.pids,
                        .thrash_usec = built_in.thrash_usec },
                .caps = USER_CAPS_NONE,
                .group = CONFIG_NO_GROUP,
                .admin_group = CONFIG_NO_GROUP,
                .history_usec = 30 * 86400 * USEC_PER_SEC,
                .history_bytes = UINT64_C(1) << 30,
                .http_analysis_ids = true,
        };
        config->group_name = strdup("scidex");
        config->admin_group_name = strdup("scidex-admin");
        if (!config->group_name || !config->admin_group_name)
                return -ENOMEM;
        *ret = TAKE_PTR(config);
        return 0;
}

void config_free(Config *config) {
        for (size_t i = 0; i < config->n_texts; i++)
                free(config->texts[i]);
        free(config->texts);
        free(config->users);
        free(config->group_name);
        free(config->admin_group_name);
        free(config->postgres);
        free(config->sqlite);
        free(config->http_listen);
        free(config->closed);
        free(config);
}

int config_load(const char *path, bool system, Config **ret, ConfigFindings *ret_findings) {
        *ret_findings = (ConfigFindings){ 0 };
        return config_new(system, ret);
}

void config_findings_deinit(ConfigFindings *findings) {
        *findings = (ConfigFindings){ 0 };
}

char *config_finding_text(const ConfigFinding *finding) {
        return NULL;
}
