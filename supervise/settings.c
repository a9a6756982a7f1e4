/*
 * The configuration in use: taken at the start, on reload, and into the server (who may ask what, and how much).
 *
 * Called by the wiring and by serve-admit.c.  A configuration with errors is told and not taken: the one from before
 * holds, and what runs never notices.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "control/peer.h"
#include "supervise/supervisor-internal.h"
#include <string.h>
#include <systemd/sd-daemon.h>

#define CLIENTS_OF_UID_MAX  16000 /* all that one user's cap of runs can ask for */
#define CLIENTS_BESIDE_RUNS 64    /* scidexctl and the like */

/* Who may ask what. Borrows from the configuration. */
PeerPolicy supervisor_policy(const Supervisor *s) {
        PeerPolicy policy = PEER_POLICY_PRIVATE(geteuid());

        if (s->options.private_mode || !s->config || !s->config->system)
                return policy;
        policy.group = s->config->group;
        policy.admin_group = s->config->admin_group;
        policy.group_name = s->config->group_name;
        policy.namespaces_count = geteuid() == 0;
        return policy;
}

/* Also where systemd has bound it: who may ask stands in one place. */
static void admit_groups(const Supervisor *s, const char *path, const PeerPolicy *policy) {
        int r;

        if (s->options.private_mode || !s->config || !s->config->system || geteuid() != 0)
                return;
        r = server_admit_groups(path, policy);
        if (r < 0)
                log_line(LOG_LEVEL_WARNING, "%s can't be opened to %s, going on: %s", path,
                        r == -EOPNOTSUPP ? "the admins' group (let them be in the users' too)"
                                         : "the configured groups",
                        strerror(-r));
}

void supervisor_admit_http(const Supervisor *s) {
        PeerPolicy policy = supervisor_policy(s);

        for (size_t i = 0; i < s->http.n; i++)
                if (s->http.list[i].fd >= 0 && *s->http.list[i].listen == '/')
                        admit_groups(s, s->http.list[i].listen, &policy);
}

/* What the log said once, `systemctl status` says for as long as it is so. */
static void show_closed(const Supervisor *s) {
        if (s->config && s->config->closed)
                (void)sd_notifyf(
                        0, "STATUS=%s can launch: %s", s->config->system ? "Only admins" : "Nobody", s->config->closed);
        else
                (void)sd_notify(0, "STATUS=");
}

void supervisor_apply_users(Supervisor *s) {
        AccountBounds bounds = ACCOUNT_BOUNDS_DEFAULT;
        PeerPolicy policy = supervisor_policy(s);

        if (s->config && s->config->caps.runs_max < CLIENTS_OF_UID_MAX)
                bounds.clients = MAX_OF(bounds.clients, (unsigned)s->config->caps.runs_max + CLIENTS_BESIDE_RUNS);
        admit_groups(s, s->options.socket_path, &policy);
        admit_groups(s, s->record_path, &policy);
        supervisor_admit_http(s);
        server_set_policy(s->server, &policy);
        recorder_set_policy(s->recorder, &policy);
        server_set_bounds(s->server, &bounds);
        show_closed(s);
}

void supervisor_take_config(Supervisor *s, Config *config) {
        _cleanup_(config_freep) Config *old = s->config;

        s->config = config;
        s->record_host.cmdline = config->record_cmdline;
        if (recorder_set_postgres(s->recorder, config->postgres) < 0)
                log_line(LOG_LEVEL_ERROR, "[storage] postgres: no memory; the database from before holds");
        supervisor_apply_users(s);
        supervisor_apply_http(s);
}

/* The new configuration holds for what is asked from now on; runs keep what they have. */
void supervisor_reload(Supervisor *s) {
        _cleanup_(config_findings_deinit) ConfigFindings findings = { 0 };
        _cleanup_(config_freep) Config *config = NULL;
        int r = config_load(s->options.config_path, s->options.config_system, &config, &findings);

        for (size_t i = 0; i < findings.n; i++) {
                _cleanup_(freep) char *line = config_finding_text(&findings.list[i]);

                log_line(findings.list[i].is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s", line ? line : "");
        }
        if (r < 0 || findings.n_errors > 0) {
                log_line(LOG_LEVEL_ERROR, "the configuration is not reloaded (%s); the one from before holds",
                        r < 0 ? strerror(-r) : "see above");
                return;
        }
        supervisor_take_config(s, TAKE_PTR(config));
        log_line(LOG_LEVEL_INFO, "the configuration is reloaded; it holds for what is asked from now on");
}
