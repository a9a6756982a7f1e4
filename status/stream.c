/*
 * The ring, and the readers of it.
 *
 * Called by feed.c, which says, and by http-stream.c, which reads whatever its sockets take.  The hard thing is a
 * reader that takes nothing: texts are counted references, and it could hold each one that ever was.  So what leaves
 * the ring, or is one snapshot too many, is taken away from whoever still reads it; that reader is broken off, which a
 * browser answers by joining again with the last id that it has seen.
 */
#include "status/stream.h"

#include "base/clock.h"
#include "base/file.h"
#include <string.h>
#include <sys/queue.h>

#define HELLO      "retry: 2000\n\n"
#define KNOWN_HEAD "event: snapshot\ndata: {\"reset\":false,"
#define RESET_HEAD "event: snapshot\ndata: {\"reset\":true,"

typedef struct Text {
        unsigned references;
        size_t size;
        char *bytes; /* owned */
} Text;

typedef struct Snapshot {
        Text *text; /* owned reference */
        uint64_t seq;
        uint64_t made_usec;
} Snapshot;

struct Stream {
        StreamSource source;
        Text *ring[STREAM_RING_MESSAGES]; /* owned references; message n at n % STREAM_RING_MESSAGES */
        uint64_t head, tail;              /* tail <= n < head are there */
        size_t bytes;
        Snapshot snapshots[STREAM_SNAPSHOTS_MAX]; /* the newest first */
        size_t n_snapshots;
        bool is_stale;
        LIST_HEAD(, StreamReader) readers;
        size_t n_readers;
        void (*news)(void *userdata);
        void *news_userdata;
};

typedef enum Stage {
        STAGE_HELLO,
        STAGE_REPLAY,
        STAGE_HEAD,
        STAGE_SNAPSHOT,
        STAGE_RING,
} Stage;

struct StreamReader {
        LIST_ENTRY(StreamReader) link;
        Stream *stream;
        Stage stage;
        Text *text; /* owned reference: what is being read, or */
        const char *fixed;
        size_t size, offset; /* of it */
        uint64_t seq;        /* of the next message */
        int64_t place;
        unsigned replayed;
        bool is_replaying, is_unknown, is_broken;
};

static void text_unref(Text *text) {
        if (!text || --text->references > 0)
                return;
        free(text->bytes);
        free(text);
}

/* Takes the bytes over. NULL on OOM, or without bytes. */
static Text *text_new(char *bytes) {
        Text *text = bytes ? malloc(sizeof(*text)) : NULL;

        if (!text) {
                free(bytes);
                return NULL;
        }
        *text = (Text){ .references = 1, .size = strlen(bytes), .bytes = bytes };
        return text;
}

int stream_new(const StreamSource *source, Stream **ret) {
        Stream *stream = calloc(1, sizeof(*stream));

        if (!stream)
                return -ENOMEM;
        stream->source = *source;
        LIST_INIT(&stream->readers);
        *ret = stream;
        return 0;
}

void stream_free(Stream *stream) {
        for (; stream->tail < stream->head; stream->tail++)
                text_unref(stream->ring[stream->tail % STREAM_RING_MESSAGES]);
        for (size_t i = 0; i < stream->n_snapshots; i++)
                text_unref(stream->snapshots[i].text);
        free(stream);
}

void stream_on_news(Stream *stream, void (*news)(void *userdata), void *userdata) {
        stream->news = news;
        stream->news_userdata = userdata;
}

size_t stream_readers(const Stream *stream) {
        return stream->n_readers;
}

void stream_stale(Stream *stream) {
        stream->is_stale = true;
}

/* Takes a text away from those who read it. */
static void text_drop(Stream *stream, Text *text) {
        StreamReader *reader;

        if (text->references > 1)
                LIST_FOREACH(reader, &stream->readers, link)
        if (reader->text == text) {
                reader->text = NULL;
                reader->is_broken = true;
                text->references--;
        }
        text_unref(text);
}

static void ring_drop(Stream *stream) {
        Text *text = stream->ring[stream->tail++ % STREAM_RING_MESSAGES];

        stream->bytes -= text->size;
        text_drop(stream, text);
}

static char *frame(const char *event, const char *id, const char *data) {
        return id ? text_printf("event: %s\nid: %s\ndata: %s\n\n", event, id, data)
                  : text_printf("event: %s\ndata: %s\n\n", event, data);
}

void stream_say(Stream *stream, const char *event, const char *id, char *data) {
        Text *text = data ? text_new(frame(event, id, data)) : NULL;

        free(data);
        if (!text || text->size > STREAM_RING_BYTES) {
                /* There is a gap for everybody now. */
                text_unref(text);
                while (stream->tail < stream->head)
                        ring_drop(stream);
                stream->head++;
                stream->tail++;
                stream->is_stale = true;
        } else {
                while (stream->head - stream->tail == STREAM_RING_MESSAGES ||
                        (stream->tail < stream->head && stream->bytes + text->size > STREAM_RING_BYTES))
                        ring_drop(stream);
                stream->ring[stream->head++ % STREAM_RING_MESSAGES] = text;
                stream->bytes += text->size;
        }
        if (stream->news)
                stream->news(stream->news_userdata);
}

static char *snapshot_text(Stream *stream) {
        const StreamSource *source = &stream->source;
        _cleanup_(freep) char *members = source->snapshot(source->userdata);
        const char *id = source->newest(source->userdata);

        if (!members)
                return NULL;
        return id ? text_printf("%s}\nid: %s\n\n", members, id) : text_printf("%s}\n\n", members);
}

/* The newest snapshot, made anew where it is old. NULL on OOM. */
static const Snapshot *snapshot_get(Stream *stream, uint64_t now_usec) {
        Snapshot *newest = &stream->snapshots[0];
        Text *text;

        if (stream->n_snapshots > 0 && !stream->is_stale && newest->seq >= stream->tail &&
                usec_sub(now_usec, newest->made_usec) < STREAM_SNAPSHOT_USEC)
                return newest;
        text = text_new(snapshot_text(stream));
        if (!text)
                return NULL;
        if (stream->n_snapshots == STREAM_SNAPSHOTS_MAX)
                text_drop(stream, stream->snapshots[--stream->n_snapshots].text);
        memmove(&stream->snapshots[1], &stream->snapshots[0], stream->n_snapshots * sizeof(Snapshot));
        stream->n_snapshots++;
        *newest = (Snapshot){ .text = text, .seq = stream->head, .made_usec = now_usec };
        stream->is_stale = false;
        return newest;
}

int stream_reader_new(Stream *stream, const char *last_event_id, StreamReader **ret) {
        const StreamSource *source = &stream->source;
        StreamReader *reader;

        if (stream->n_readers == STREAM_READERS_MAX)
                return -EMFILE;
        reader = calloc(1, sizeof(*reader));
        if (!reader)
                return -ENOMEM;
        reader->stream = stream;
        if (last_event_id && *last_event_id) {
                reader->is_replaying = source->find(last_event_id, &reader->place, source->userdata) == 0;
                reader->is_unknown = !reader->is_replaying;
        }
        LIST_INSERT_HEAD(&stream->readers, reader, link);
        stream->n_readers++;
        *ret = reader;
        return 0;
}

void stream_reader_free(StreamReader *reader) {
        LIST_REMOVE(reader, link);
        reader->stream->n_readers--;
        text_unref(reader->text);
        free(reader);
}

static void read_fixed(StreamReader *reader, const char *fixed, Stage next) {
        reader->fixed = fixed;
        reader->size = strlen(fixed);
        reader->offset = 0;
        reader->stage = next;
}

static void read_text(StreamReader *reader, Text *text, Stage next) {
        reader->text = text;
        reader->fixed = NULL;
        reader->size = text->size;
        reader->offset = 0;
        reader->stage = next;
}

/* The next event that was missed. 1: there is one, 0: there is none, -ENOMEM. */
static int replay_next(StreamReader *reader) {
        const StreamSource *source = &reader->stream->source;
        _cleanup_(freep) char *id = NULL, *data = NULL;
        Text *text;
        int r = -ENOENT;

        if (reader->is_replaying && reader->replayed < STREAM_REPLAY_MAX)
                r = source->replay(&reader->place, &id, &data, source->userdata);
        if (r < 0) {
                reader->stage = STAGE_HEAD;
                return r == -ENOMEM ? r : 0;
        }
        text = text_new(frame("event", id, data));
        if (!text)
                return -ENOMEM;
        reader->replayed++;
        read_text(reader, text, STAGE_REPLAY);
        return 1;
}

static int snapshot_next(StreamReader *reader, uint64_t now_usec) {
        const Snapshot *snapshot = snapshot_get(reader->stream, now_usec);

        if (!snapshot)
                return -ENOMEM;
        snapshot->text->references++;
        reader->seq = snapshot->seq;
        read_text(reader, snapshot->text, STAGE_RING);
        return 1;
}

/* What comes after what has been read. 1, 0: nothing yet, -ENOMEM. */
static int reader_next(StreamReader *reader, uint64_t now_usec) {
        Stream *stream = reader->stream;
        Text *text;
        int r;

        switch (reader->stage) {
        case STAGE_HELLO:
                read_fixed(reader, HELLO, STAGE_REPLAY);
                return 1;
        case STAGE_REPLAY:
                r = replay_next(reader);
                if (r != 0)
                        return r;
                __attribute__((fallthrough));
        case STAGE_HEAD:
                read_fixed(reader, reader->is_unknown ? RESET_HEAD : KNOWN_HEAD, STAGE_SNAPSHOT);
                reader->is_unknown = false;
                return 1;
        case STAGE_SNAPSHOT:
                return snapshot_next(reader, now_usec);
        case STAGE_RING:
                break;
        }
        if (reader->seq == stream->head)
                return 0;
        if (reader->seq < stream->tail) {
                reader->stage = STAGE_HEAD;
                return reader_next(reader, now_usec);
        }
        text = stream->ring[reader->seq++ % STREAM_RING_MESSAGES];
        text->references++;
        read_text(reader, text, STAGE_RING);
        return 1;
}

static bool is_at_end(const StreamReader *reader) {
        return reader->offset == reader->size;
}

int stream_reader_read(StreamReader *reader, uint64_t now_usec, char *buffer, size_t max) {
        size_t done = 0;

        while (done < max && !reader->is_broken) {
                size_t n = MIN_OF(max - done, reader->size - reader->offset);
                int r;

                if (n > 0) {
                        memcpy(buffer + done, (reader->text ? reader->text->bytes : reader->fixed) + reader->offset, n);
                        reader->offset += n;
                        done += n;
                }
                if (!is_at_end(reader))
                        break;
                text_unref(TAKE_PTR(reader->text));
                reader->size = reader->offset = 0;
                r = reader_next(reader, now_usec);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
        }
        return done > 0 ? (int)done : reader->is_broken ? -EPIPE : 0;
}
