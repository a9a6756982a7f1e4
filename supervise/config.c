/*
 * The configuration as a whole: its built-in values, and the words for what is wrong with it.
 *
 * Called by config-load.c and by those that print findings.  A value that may be a secret never gets into one.
 */
#include "supervise/config-internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include <string.h>

#define HTTP_LISTEN "127.0.0.1:8787 /run/scidex/http"

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
        if (system)
                config->http_listen = strdup(HTTP_LISTEN);
        config->group_name = strdup("scidex");
        config->admin_group_name = strdup("scidex-admin");
        if (!config->group_name || !config->admin_group_name || (system && !config->http_listen))
                return -ENOMEM;
        *ret = TAKE_PTR(config);
        return 0;
}

void config_free(Config *config) {
        for (size_t i = 0; i < config->n_texts; i++)
                free(config->texts[i]);
        free(config->texts);
        for (size_t i = 0; i < config->n_files; i++)
                free(config->files[i]);
        free(config->files);
        for (size_t i = 0; i < config->n_users; i++)
                free(config->users[i].name);
        free(config->users);
        free(config->group_name);
        free(config->admin_group_name);
        free(config->postgres);
        free(config->sqlite);
        free(config->http_listen);
        free(config->http_hosts);
        free(config->closed);
        free(config);
}

int config_find(ConfigFindings *findings, bool is_error, const ConfigPlace *place, char *reason, const char *remedy) {
        ConfigFinding *list = reallocarray(findings->list, findings->n + 1, sizeof(ConfigFinding));
        bool is_secret = place->key && strcmp(place->key, "postgres") == 0;

        if (list)
                findings->list = list;
        if (!list || !reason) {
                free(reason);
                return -ENOMEM;
        }
        list[findings->n++] = (ConfigFinding){ .is_error = is_error,
                .file = strdup(place->file),
                .line = place->line,
                .section = place->section ? strdup(place->section) : NULL,
                .key = place->key ? strdup(place->key) : NULL,
                .value = place->value && !is_secret ? strdup(place->value) : NULL,
                .reason = reason,
                .remedy = remedy ? strdup(remedy) : NULL };
        findings->n_errors += is_error;
        return list[findings->n - 1].file ? 0 : -ENOMEM;
}

void config_findings_deinit(ConfigFindings *findings) {
        for (size_t i = 0; i < findings->n; i++) {
                free(findings->list[i].file);
                free(findings->list[i].section);
                free(findings->list[i].key);
                free(findings->list[i].value);
                free(findings->list[i].reason);
                free(findings->list[i].remedy);
        }
        free(findings->list);
        *findings = (ConfigFindings){ 0 };
}

char *config_finding_text(const ConfigFinding *f) {
        _cleanup_(freep) char *line = f->line ? text_printf(":%u", f->line) : strdup("");
        _cleanup_(freep) char *value = f->value ? text_printf(" = \"%s\"", f->value) : strdup("");
        _cleanup_(freep) char *text = NULL;

        if (!line || !value)
                return NULL;
        text = text_printf("%s%s: %s%s%s%s%s%s%s%s%s", f->file ? f->file : "?", line, f->section ? "[" : "",
                f->section ? f->section : "", f->section ? "] " : "", f->key ? f->key : "", value, f->key ? ": " : "",
                f->reason ? f->reason : "wrong", f->remedy ? "; " : "", f->remedy ? f->remedy : "");
        return text ? text_escape(text) : NULL;
}

char *config_history_text(const Config *c) {
        unsigned long long usec = c->history_usec, kib = c->history_bytes >> 10;

        if (c->history_usec == CONFIG_UNLIMITED && c->history_bytes == CONFIG_UNLIMITED)
                return strdup("infinity");
        /* "infinity" is of both: the other is then named again. */
        if (c->history_usec == CONFIG_UNLIMITED)
                return text_printf("infinity,%lluK", kib);
        if (c->history_bytes == CONFIG_UNLIMITED)
                return text_printf("infinity,%lluus", usec);
        return text_printf("%lluus,%lluK", usec, kib);
}
