/* TensorBoard event files.
 * Invariant: a record is written by one call, so a reader sees whole records, or a truncated last
 * one, which its checksum reveals. */
#include "examples/common/events.h"

#include <errno.h>
#include <inttypes.h>
#include <ito/tensor/base.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_BYTES = 1024 }; /* of a record */

/* A protocol buffer that is being built. */
typedef struct message {
    unsigned char bytes[MOST_BYTES];
    size_t size;
} message;

/* Fields of Event, Summary, Summary.Value and SessionLog: number << 3 | type on the wire. */
enum {
    EVENT_WALL_TIME = 1 << 3 | 1,    /* double */
    EVENT_STEP = 2 << 3,             /* varint */
    EVENT_FILE_VERSION = 3 << 3 | 2, /* text */
    EVENT_SUMMARY = 5 << 3 | 2,
    EVENT_SESSION_LOG = 7 << 3 | 2,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5, /* float */
    SESSION_STATUS = 1 << 3,
    SESSION_START = 1
};

static void put_bytes(message *m, const void *data, size_t size)
{
    if (m->size + size <= MOST_BYTES) /* what callers put in is bounded well below */
        memcpy(m->bytes + m->size, data, size);
    m->size += size;
}

static void put_varint(message *m, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        put_bytes(m, &(unsigned char){(unsigned char)(value | 128)}, 1);
    put_bytes(m, &(unsigned char){(unsigned char)value}, 1);
}

static void put_block(message *m, int field, const void *data, size_t size)
{
    put_varint(m, (uint64_t)field);
    put_varint(m, size);
    put_bytes(m, data, size);
}

/* Numbers are little-endian, as are the machines this runs on. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are written as they lie");

/* CRC-32C (Castagnoli), bit by bit: a record has a hundred bytes. */
static uint32_t crc32c(const void *data, size_t size)
{
    const unsigned char *byte = data;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= byte[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* The checksum as TFRecord stores it. */
static uint32_t masked(const void *data, size_t size)
{
    uint32_t crc = crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static bool failed(const event_file *e, const char *action)
{
    ito_error_set(ITO_ERR_IO, "%s: cannot %s: %s", e->path, action, strerror(errno));
    return false;
}

static bool write_record(event_file *e, const message *m)
{
    unsigned char record[MOST_BYTES + 16];
    uint64_t length = m->size;
    uint32_t length_sum = masked(&length, sizeof length), sum = masked(m->bytes, m->size);
    memcpy(record, &length, 8);
    memcpy(record + 8, &length_sum, 4);
    memcpy(record + 12, m->bytes, m->size);
    memcpy(record + 12 + m->size, &sum, 4);
    return (fwrite(record, m->size + 16, 1, e->file) == 1 && fflush(e->file) == 0) ||
           failed(e, "write");
}

static message begin_event(int64_t step)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    message m = {.size = 0};
    put_varint(&m, EVENT_WALL_TIME);
    put_bytes(&m, &seconds, sizeof seconds);
    put_varint(&m, EVENT_STEP);
    put_varint(&m, (uint64_t)step);
    return m;
}

bool events_open(event_file *e, const char *dir, int64_t step)
{
    char host[64] = "localhost";
    gethostname(host, sizeof host - 1);
    *e = (event_file){.file = NULL};
    if (asprintf(&e->path, "%s/events.out.tfevents.%010" PRId64 ".%s.%d", dir, (int64_t)time(NULL),
                 host, (int)getpid()) < 0) {
        e->path = NULL;
        ito_error_set(ITO_ERR_MEMORY, "%s: no memory for the path", dir);
        return false;
    }
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return failed(e, "make its directory");
    e->file = fopen(e->path, "wb");
    if (e->file == NULL)
        return failed(e, "create");
    message version = begin_event(0), start = begin_event(step + 1), session = {.size = 0};
    put_block(&version, EVENT_FILE_VERSION, "brain.Event:2", 13);
    put_varint(&session, SESSION_STATUS);
    put_varint(&session, SESSION_START);
    put_block(&start, EVENT_SESSION_LOG, session.bytes, session.size);
    return write_record(e, &version) && write_record(e, &start);
}

bool events_write(event_file *e, int64_t step, const event_scalar *scalars, int n)
{
    message event = begin_event(step), summary = {.size = 0};
    for (int i = 0; i < n; i++) {
        message value = {.size = 0};
        float number = (float)scalars[i].value;
        if (!isfinite(number))
            continue;
        put_block(&value, VALUE_TAG, scalars[i].tag, strlen(scalars[i].tag));
        put_varint(&value, VALUE_SIMPLE);
        put_bytes(&value, &number, sizeof number);
        put_block(&summary, SUMMARY_VALUE, value.bytes, value.size);
    }
    put_block(&event, EVENT_SUMMARY, summary.bytes, summary.size);
    if (event.size > MOST_BYTES) {
        ito_error_set(ITO_ERR_ARGUMENT, "%s: %d scalars are too many for one record", e->path, n);
        return false;
    }
    return write_record(e, &event);
}

void events_close(event_file *e)
{
    if (e->file != NULL)
        fclose(e->file);
    free(e->path);
    *e = (event_file){.file = NULL};
}
