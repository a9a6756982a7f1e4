/*
 * Answers to those who read: history, events, why, kills, storage; and to admins about what the database has refused.
 *
 * Called by the server for each packet of the record socket.  The hard thing is a list for a client that reads slowly:
 * one row is on its way at a time, and the next is sought when the socket has taken it.  A row that grew past the size
 * of a packet loses its longest member rather than its place, and says so in `left_out`.
 */
#include "cmd/scidex-recorder/answers.h"

#include "db/outbox.h"
#include "db/queries.h"
#include <string.h>

#define LIMIT_DEFAULT  100
#define WHY_EVENTS_MAX 256 /* a run has one kill and its leftovers; more is a run of another program's making */

typedef struct Listing {
        Cursor *cursor;  /* owned; NULL: a list of dead letters */
        const char *op;  /* static */
        int64_t dead_id; /* the last one sent */
        uint64_t n_dead;
} Listing;

static void listing_free(Listing *listing) {
        if (listing->cursor)
                cursor_free(listing->cursor);
        free(listing);
}
DEFINE_CLEANUP(Listing *, listing_free);

static Viewer viewer_of(const Client *client, const char *op) {
        const Peer *peer = client_peer(client);

        return (Viewer){ .all = peer_may(op, peer->role, PEER_OTHERS), .uid = peer->uid };
}

/* Sends and drops the reply; NULL (no memory) ends the connection, as no answer would hang the client. */
static void send_reply(Client *client, json_t *reply) {
        if (!reply || client_send(client, reply, NULL, 0) < 0)
                client_close(client);
        json_decref(reply);
}

static void send_error(
        Client *client, const char *op, const char *code, const char *message, const char *detail, const char *hint) {
        send_reply(client, message_error(op, code, message, detail, hint));
}

static void send_away(Client *client, const Answers *answers, const char *op) {
        const char *detail = spool_detail(answers->spool), *hint = spool_hint(answers->spool);

        send_error(client, op, "failed", "the record can't be read", *detail ? detail : NULL, hint);
}

static size_t size_of(const json_t *value) {
        return json_dumpb(value, NULL, 0, JSON_COMPACT);
}

static void end_list(Client *client, Listing *listing) {
        json_t *reply = message_reply(listing->op);

        if (reply &&
                (json_object_set_new(reply, "end", json_true()) < 0 ||
                        json_object_set_new(reply, "count",
                                json_from_u64(listing->cursor ? cursor_count(listing->cursor) : listing->n_dead)) <
                                0)) {
                json_decref(reply);
                reply = NULL;
        }
        client_set_userdata(client, NULL);
        listing_free(listing);
        send_reply(client, reply);
}

static void send_row(Client *client, const Listing *listing, json_t *row) {
        json_t *packet = NULL;

        if (message_fit(row, MESSAGE_MAX_BYTES - MESSAGE_ENVELOPE_BYTES) == 0)
                packet = json_pack("{s:i, s:s, s:O}", "v", MESSAGE_VERSION, "re", listing->op, "row", row);
        send_reply(client, packet);
}

/* 0, QUERY_E_END, QUERY_E_AWAY, -ENOMEM. */
static int next_dead(Listing *listing, Spool *spool, json_t **ret_row) {
        int r = outbox_dead_next(spool, listing->dead_id, ret_row);

        if (r != 0)
                return r == OUTBOX_E_END ? QUERY_E_END : r < 0 ? r : QUERY_E_AWAY;
        listing->dead_id = json_integer_value(json_object_get(*ret_row, "id"));
        listing->n_dead++;
        return 0;
}

static void on_more(Client *client, void *userdata) {
        _cleanup_(json_decrefp) json_t *row = NULL;
        const Answers *answers = userdata;
        Listing *listing = client_userdata(client);
        int r;

        if (!listing)
                return;
        r = listing->cursor ? cursor_next(listing->cursor, &row) : next_dead(listing, answers->spool, &row);
        if (r == 0) {
                send_row(client, listing, row);
                client_more(client);
                return;
        }
        if (r == QUERY_E_END) {
                end_list(client, listing);
                return;
        }
        client_set_userdata(client, NULL);
        send_away(client, answers, listing->op);
        listing_free(listing);
}

/* 0 and the text ("" if absent or null), or -EINVAL. */
static int read_text(const json_t *body, const char *key, const char **ret) {
        int r = json_get_text(body, key, ret);

        if (r == -ENOENT)
                *ret = "";
        return r == -ENOENT ? 0 : r;
}

static void begin_list(Client *client, Answers *answers, const char *op, const Filter *filter) {
        _cleanup_(listing_freep) Listing *listing = calloc(1, sizeof(*listing));
        int r = listing ? cursor_new(answers->spool, filter, &listing->cursor) : -ENOMEM;

        if (r == -EINVAL) {
                send_error(client, op, "bad-request", "since_at is no time", filter->since_at,
                        "Write RFC 3339 in UTC: 2026-11-21T07:19:42Z.");
                return;
        }
        if (r < 0) {
                client_close(client);
                return;
        }
        listing->op = op;
        client_set_userdata(client, TAKE_PTR(listing));
        on_more(client, answers);
}

/* Sends the error that belongs to a selector that is not one run. */
static void send_unselected(
        Client *client, Answers *answers, const char *op, const char *selector, int r, Selection *selection) {
        json_t *reply;

        if (r < 0)
                client_close(client);
        else if (r == QUERY_E_AWAY)
                send_away(client, answers, op);
        else if (r == QUERY_E_NOT_FOUND)
                send_error(client, op, "not-found", "no such run in the record", selector,
                        "Name a run id, at least 4 characters of its beginning or end, or an analysis id.");
        else {
                reply = message_error(
                        op, "ambiguous", "several runs match", selector, "Give more characters of the run id.");
                if (reply)
                        (void)json_object_set(json_object_get(reply, "error"), "candidates", selection->candidates);
                send_reply(client, reply);
        }
}

static void ask_list(Client *client, Answers *answers, const char *op, RecordKind kind, const json_t *body) {
        _cleanup_(selection_deinit) Selection selection = { .run_id = NULL };
        Filter filter = { .kind = kind, .viewer = viewer_of(client, op), .limit = LIMIT_DEFAULT };
        const char *selector = "";
        int r;

        r = json_get_u64(body, "limit", &filter.limit);
        if ((r < 0 && r != -ENOENT) || read_text(body, "analysis_id", &filter.analysis_id) < 0 ||
                read_text(body, kind == RECORD_RUN ? "verdict" : "reason", &filter.why) < 0 ||
                read_text(body, "since_at", &filter.since_at) < 0 || read_text(body, "run", &selector) < 0) {
                send_error(client, op, "bad-request", "a member has the wrong type", NULL,
                        "limit is a number, the others are texts.");
                return;
        }
        if (kind == RECORD_EVENT && *selector) {
                r = query_select(answers->spool, &filter.viewer, selector, &selection);
                if (r != 0) {
                        send_unselected(client, answers, op, selector, r, &selection);
                        return;
                }
                if (selection.analysis_id)
                        filter.analysis_id = selection.analysis_id;
                else
                        filter.run_id = selection.run_id;
        }
        begin_list(client, answers, op, &filter);
}

static void ask_history(Client *client, Answers *answers, const json_t *body) {
        ask_list(client, answers, "history", RECORD_RUN, body);
}

static void ask_events(Client *client, Answers *answers, const json_t *body) {
        ask_list(client, answers, "events", RECORD_EVENT, body);
}

/* The events of a run, newest first, the earlier ones short, as many as fit into the packet. 0, QUERY_E_AWAY, -ENOMEM.
 */
static int read_events(Answers *answers, const Viewer *viewer, const char *run_id, size_t max_bytes, json_t *events) {
        Filter filter = { .kind = RECORD_EVENT, .viewer = *viewer, .run_id = run_id, .limit = WHY_EVENTS_MAX };
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        int r = cursor_new(answers->spool, &filter, &cursor);
        size_t used = 0;

        while (r == 0) {
                _cleanup_(json_decrefp) json_t *event = NULL;

                r = cursor_next(cursor, &event);
                if (r != 0)
                        break;
                if (json_array_size(events) > 0) {
                        (void)json_object_del(event, "timeline");
                        (void)json_object_del(event, "processes");
                } else if (message_fit(event, max_bytes) < 0)
                        return 0;
                used += size_of(event) + 1;
                if (used > max_bytes)
                        return 0;
                if (json_array_append(events, event) < 0)
                        return -ENOMEM;
        }
        return r == QUERY_E_END ? 0 : r;
}

static int read_why(Answers *answers, const Viewer *viewer, const char *run_id, json_t **ret_run, json_t *events) {
        int r = query_run(answers->spool, viewer, run_id, ret_run);

        /* Half a packet for each; the event says more, so the run gives way first. */
        if (r == 0)
                r = message_fit(*ret_run, MESSAGE_MAX_BYTES / 2 - MESSAGE_ENVELOPE_BYTES);
        return r == 0 ? read_events(answers, viewer, run_id,
                                MESSAGE_MAX_BYTES - MESSAGE_ENVELOPE_BYTES - size_of(*ret_run), events)
                      : r;
}

static void ask_why(Client *client, Answers *answers, const json_t *body) {
        _cleanup_(selection_deinit) Selection selection = { .run_id = NULL };
        _cleanup_(json_decrefp) json_t *run = NULL, *events = json_array(), *reply = message_reply("why");
        Viewer viewer = viewer_of(client, "why");
        const char *selector = "";
        int r;

        if (read_text(body, "run", &selector) < 0 || !*selector) {
                send_error(
                        client, "why", "bad-request", "no run is named", NULL, "Give run: a run id or an analysis id.");
                return;
        }
        r = query_select(answers->spool, &viewer, selector, &selection);
        if (r == 0)
                r = read_why(answers, &viewer, selection.run_id, &run, events);
        if (r != 0) {
                send_unselected(client, answers, "why", selector, r, &selection);
                return;
        }
        if (json_object_set(reply, "run", run) < 0 || json_object_set(reply, "events", events) < 0)
                client_close(client);
        else
                send_reply(client, TAKE_PTR(reply));
}

static void ask_kills(Client *client, Answers *answers, const json_t *body) {
        _cleanup_(json_decrefp) json_t *reply = message_reply("kills");
        Viewer viewer = viewer_of(client, "kills");
        const char *since_at = "";
        json_t *by_reason = NULL;
        uint64_t count = 0;
        int r = read_text(body, "since_at", &since_at);

        if (r == 0)
                r = query_kills(answers->spool, &viewer, since_at, &count, &by_reason);
        if (r == -EINVAL)
                send_error(client, "kills", "bad-request", "since_at is no time", since_at,
                        "Write RFC 3339 in UTC: 2026-11-21T07:19:42Z.");
        else if (r == QUERY_E_AWAY)
                send_away(client, answers, "kills");
        else if (r != 0 || json_object_set_new(reply, "count", json_from_u64(count)) < 0 ||
                json_object_set_new(reply, "by_reason", by_reason) < 0)
                client_close(client);
        else
                send_reply(client, TAKE_PTR(reply));
}

static void ask_storage(Client *client, Answers *answers, const json_t *body) {
        json_t *reply = message_reply("storage");

        if (reply && json_object_set_new(reply, "storage", shipping_storage(answers->shipping, answers->spool)) < 0) {
                json_decref(reply);
                reply = NULL;
        }
        send_reply(client, reply);
}

/* What the database has refused for good; other users' rows are among it. */
static void ask_dead(Client *client, Answers *answers, const json_t *body) {
        Listing *listing = calloc(1, sizeof(*listing));

        if (!listing) {
                client_close(client);
                return;
        }
        listing->op = "dead";
        client_set_userdata(client, listing);
        on_more(client, answers);
}

static void ask_retry(Client *client, Answers *answers, const json_t *body) {
        _cleanup_(json_decrefp) json_t *reply = message_reply("retry");
        uint64_t id = 0, count = 0;
        int r = json_get_u64(body, "id", &id);

        if ((r < 0 && r != -ENOENT) || id > INT64_MAX) {
                send_error(client, "retry", "bad-request", "id is no number", NULL,
                        "Give the id that `dead` lists, or none for all.");
                return;
        }
        r = outbox_retry(answers->spool, (int64_t)id, &count);
        shipping_wake(answers->shipping);
        if (r > 0)
                send_away(client, answers, "retry");
        else if (r == 0 && id > 0 && count == 0)
                send_error(client, "retry", "not-found", "there is no such row", NULL, "scidexctl db dead lists them");
        else if (r < 0 || json_object_set_new(reply, "count", json_from_u64(count)) < 0)
                client_close(client);
        else
                send_reply(client, TAKE_PTR(reply));
}

static const struct {
        const char *op;
        void (*ask)(Client *client, Answers *answers, const json_t *body);
} questions[] = {
        { "history", ask_history },
        { "events", ask_events },
        { "why", ask_why },
        { "kills", ask_kills },
        { "storage", ask_storage },
        { "dead", ask_dead },
        { "retry", ask_retry },
};

static void on_request(Client *client, Message *message, void *userdata) {
        const char *op = json_string_value(json_object_get(message->body, "op"));
        const Peer *peer = client_peer(client);

        if (peer->role == ROLE_NONE) {
                send_reply(client, peer_refusal(op ? op : "?", client_policy(client), peer->uid));
                client_close(client);
                return;
        }
        if (client_userdata(client)) {
                send_error(client, op ? op : "?", "busy", "a list is on its way", NULL,
                        "Read it to its end, or ask on another connection.");
                return;
        }
        if (op && peer_knows(op) && !peer_may(op, peer->role, PEER_OWN)) {
                send_error(client, op, "denied", "only root and admins may", NULL,
                        "Ask as root or as a member of the admins' group.");
                return;
        }
        intake_settle(((Answers *)userdata)->intake);
        for (size_t i = 0; op && i < ELEMENTSOF(questions); i++)
                if (strcmp(questions[i].op, op) == 0) {
                        questions[i].ask(client, userdata, message->body);
                        return;
                }
        send_error(client, op ? op : "?", op ? "unsupported" : "bad-request",
                op ? "the record has no such operation" : "the packet has no op", NULL,
                "The record socket answers history, events, why, kills, storage, dead and retry.");
}

static void on_closed(Client *client, void *userdata) {
        Listing *listing = client_userdata(client);
        Answers *answers = userdata;

        if (listing)
                listing_free(listing);
        if (answers->until_closed)
                (void)sd_event_exit(answers->until_closed, EXIT_SUCCESS);
}

const ServerHandlers answers_handlers = { .request = on_request, .closed = on_closed, .more = on_more };
