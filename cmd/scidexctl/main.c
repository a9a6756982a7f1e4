/*
 * scidexctl: asks the supervisor and the record, for people and (with --json) for programs.
 *
 * One verb, one file; the table below is the only list of them, and help and "did you mean" are made from it.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/ctl.h"
#include <limits.h>
#include <locale.h>

const Verb verbs[] = {
        { "list", "", "Runs that are alive now", 0, 0, OPTION_WATCH | OPTION_ALL | OPTION_HOSTS, verb_list },
        { "tree", "", "The groups as the kernel has them: processes, memory and limits, what is foreign", 0, 0,
                OPTION_WATCH, verb_tree },
        { "top", "", "What runs, again and again: hosts, runs that use most of their limits, the last kills", 0, 0,
                OPTION_HOSTS, verb_top },
        { "show", "RUN", "All that is known of one run", 1, 1, OPTION_WATCH, verb_show },
        { "why", "RUN", "Why a run ended, on what evidence, and what to do", 1, 1, OPTION_WATCH, verb_why },
        { "kill", "RUN...", "End runs: TERM, grace, then KILL to the whole group", 1, SIZE_MAX, 0, verb_kill },
        { "set", "RUN", "Give a run that lives other limits", 1, 1, OPTION_LIMITS, verb_set },
        { "register", "PID...", "Take processes that run already, and their children, under supervision", 1, SIZE_MAX,
                OPTION_LIMITS | OPTION_ANALYSIS_ID | OPTION_LABEL, verb_register },
        { "unregister", "RUN", "Let go of what was registered; nothing is ended", 1, 1, 0, verb_unregister },
        { "events", "", "Kills, newest first", 0, 0,
                OPTION_LIMIT | OPTION_ANALYSIS | OPTION_REASON | OPTION_RUN | OPTION_SINCE | OPTION_HOSTS |
                        OPTION_FOLLOW | OPTION_WATCH,
                verb_events },
        { "history", "", "Runs that have ended, newest first", 0, 0,
                OPTION_LIMIT | OPTION_ANALYSIS | OPTION_VERDICT | OPTION_SINCE | OPTION_HOSTS | OPTION_WATCH,
                verb_history },
        { "suggest", "ANALYSIS", "Limits for the next run, from what the last 50 took", 1, 1,
                OPTION_HOSTS | OPTION_WATCH, verb_suggest },
        { "report", "", "What runs asked for against what they used, per analysis or user", 0, 0,
                OPTION_LIMIT | OPTION_ANALYSIS | OPTION_VERDICT | OPTION_SINCE | OPTION_BY | OPTION_HOSTS |
                        OPTION_WATCH,
                verb_report },
        { "db", "PART", "The database: migrate, status, forget HOST, retain TIME; dead, retry for rows it refused", 0,
                2, OPTION_POSTGRES | OPTION_WATCH, verb_db },
        { "doctor", "", "What this machine can enforce, and what to do about the rest", 0, 0,
                OPTION_POSTGRES | OPTION_WATCH, verb_doctor },
        { "watch", "VERB...", "One of those that only ask, again and again: every 2 s, or --watch=TIME", 0, 0,
                OPTION_WATCH, NULL },
        { "complete", "WORD...", NULL, 0, SIZE_MAX, 0, verb_complete },
        { NULL },
};

int status_after_flush(int status) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        perror("scidexctl: writing the output");
        return CTL_NO_ANSWER;
}

int main(int argc, char *argv[]) {
        _cleanup_(options_deinit) Options options = { 0 };
        _cleanup_(json_decrefp) json_t *error = NULL;
        Terminal terminal;

        (void)setlocale(LC_ALL, "");
        if (options_parse(argc, argv, &options, &error) < 0)
                return status_after_flush(answer_report_failure(&options, error));
        if (options.version) {
                (void)printf("scidexctl %s\n", SCIDEX_VERSION);
                return status_after_flush(CTL_OK);
        }
        if (options.help) {
                options_print_help(stdout, options.verb);
                return status_after_flush(CTL_OK);
        }
        terminal = terminal_probe(options.no_colour);
        return status_after_flush(
                options.watch_usec ? watch(&options, &terminal) : options.verb->run(&options, &terminal));
}
