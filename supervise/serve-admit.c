/*
 * Whether a run may be launched, taken over or changed: the configuration held against what its user already has.
 *
 * Called by the handlers that make a run or change one.  admit.c judges; here is looked up what it is to know: who
 * asks, which runs they have, what the admin wrote.
 */
#include "supervise/serve.h"

#include <string.h>

/* In a user's own supervisor the caps are a guard of that user against accidents, and bind the owner too. */
static bool is_bound(const Request *q) {
        return !q->s->config->system || client_peer(q->session->client)->role < ROLE_ADMIN;
}

static uint64_t plus(uint64_t a, uint64_t b) {
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* without: the id of a run that is not counted, "" for none. */
static UserUsage usage_of(const Supervisor *s, uid_t uid, const char *without) {
        UserUsage usage = { 0 };
        const Run *run;

        LIST_FOREACH(run, &s->runs, link) {
                if (run->uid != uid || !run_lives(run) || strcmp(run->id.text, without) == 0)
                        continue;
                usage.runs++;
                if (!run->outer) /* else it lies within the outer one's */
                        usage.memory_bytes =
                                plus(usage.memory_bytes, plus(run->request.memory_bytes, run->request.swap_bytes));
        }
        return usage;
}

/*
 * A user's own supervisor is not reloaded by anybody: once its file is mended, the next launch shall work. The system's
 * is (systemctl reload), and must not read files because somebody asks for a run.
 */
static void read_again(Supervisor *s) {
        _cleanup_(config_findings_deinit) ConfigFindings findings = { 0 };
        _cleanup_(config_freep) Config *config = NULL;

        if (s->config->system || !s->config->closed ||
                config_load(s->options.config_path, s->options.config_system, &config, &findings) < 0)
                return;
        supervisor_take_config(s, TAKE_PTR(config));
}

static bool refuse_closed(const Request *q) {
        serve_refuse(q, "denied", "no run is started while the limits of its user are not known", q->s->config->closed,
                q->s->config->system ? "Ask the admin to mend it: scidex-supervisor --check-config, then systemctl "
                                       "reload scidex-supervisor."
                                     : "Mend it: scidex-supervisor --private --check-config shows all that is wrong.");
        return false;
}

static bool refuse_as(const Request *q, int r, const RequestError *error) {
        serve_refuse(q,
                r == CONFIG_E_ABOVE_CAP ? "denied"
                        : r == -EINVAL  ? "bad-request"
                                        : "failed",
                error->message ? error->message : "out of memory", NULL, error->hint);
        return false;
}

bool serve_admit(const Request *q, uid_t uid, bool nested, RunRequest *request) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserUsage usage = usage_of(q->s, uid, "");
        UserCaps caps = USER_CAPS_NONE;
        int r;

        read_again(q->s);
        if (is_bound(q) && q->s->config->closed)
                return refuse_closed(q);
        if (is_bound(q))
                caps = config_caps(q->s->config, uid);
        r = config_admit(q->s->config, &caps, &usage, nested, request, &error);
        return r == 0 || refuse_as(q, r, &error);
}

bool serve_admit_change(const Request *q, const Run *run, const RunRequest *after) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserUsage usage = usage_of(q->s, run->uid, run->id.text);
        UserCaps caps = config_caps(q->s->config, run->uid);
        int r;

        if (!is_bound(q))
                return true;
        if (q->s->config->closed)
                return refuse_closed(q);
        r = config_admit_change(q->s->config, &caps, &usage, run->outer != NULL, &run->request, after, &error);
        return r == 0 || refuse_as(q, r, &error);
}
