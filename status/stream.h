/*
 * Messages for many readers: server-sent events, without a socket.
 *
 * What is said is kept once, for all, in a ring of bounded size; a reader is a place in it. Who joins is given what it
 * has missed since the event that it names, then a snapshot, then what is said. Who falls behind by a whole ring gets
 * a snapshot instead; who does so in the middle of a message is broken off, and joins again.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_RING_BYTES    (1 << 20)
#define STREAM_RING_MESSAGES 4096
#define STREAM_READERS_MAX   256
#define STREAM_SNAPSHOTS_MAX 16                      /* being read at once; who reads the oldest then is broken off */
#define STREAM_REPLAY_MAX    500                     /* events that one reader is told that it has missed */
#define STREAM_SNAPSHOT_USEC (UINT64_C(1) * 1000000) /* one serves all who join within this time */

typedef struct Stream Stream;
typedef struct StreamReader StreamReader;

typedef struct StreamSource {
        /* The snapshot: a JSON object's members as text, without braces ("\"runs\":[]"). Caller frees. NULL on OOM. */
        char *(*snapshot)(void *userdata);
        /* The event_id of the newest event told, NULL: none. Borrowed until the next call. */
        const char *(*newest)(void *userdata);
        /* The place of an event in the record. 0 or -ENOENT. */
        int (*find)(const char *event_id, int64_t *ret_place, void *userdata);
        /* The first event behind *place, which it moves on: its id and data, one line of JSON; caller frees. -ENOENT.
         */
        int (*replay)(int64_t *place, char **ret_id, char **ret_data, void *userdata);
        void *userdata;
} StreamSource;

/* 0 or -ENOMEM. */
int stream_new(const StreamSource *source, Stream **ret);
/* No reader may be left. */
void stream_free(Stream *stream);
DEFINE_CLEANUP(Stream *, stream_free);
/* Who is told when something was said, and readers that had nothing to read have; before: nobody. */
void stream_on_news(Stream *stream, void (*news)(void *userdata), void *userdata);

/* Says data (one line of JSON, taken over) as message `event` (static). id may be NULL. What can't be kept is lost. */
void stream_say(Stream *stream, const char *event, const char *id, char *data);
/* What a snapshot shows has changed in a way that it may not leave out: the next one is made anew. */
void stream_stale(Stream *stream);
size_t stream_readers(const Stream *stream);

/* last_event_id: NULL or "" for none. 0, -EMFILE: STREAM_READERS_MAX, -ENOMEM. */
int stream_reader_new(Stream *stream, const char *last_event_id, StreamReader **ret);
/*
 * The next bytes, at most max. now_usec: BOOTTIME. The number of them; 0: nothing now, wait for news; -EPIPE: broken
 * off, -ENOMEM.
 */
int stream_reader_read(StreamReader *reader, uint64_t now_usec, char *buffer, size_t max);
void stream_reader_free(StreamReader *reader);
DEFINE_CLEANUP(StreamReader *, stream_reader_free);
