/* Event files, read back by a decoder that was written from the formats' descriptions: TFRecord
 * (length, its checksum, data, their checksum) and protocol buffers' wire format. */
#include "examples/common/events.h"
#include "tensor/base.h"
#include "tests/temporary.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *directory;

static void enter(void)
{
    directory = temporary_directory();
    cr_assert_eq(chdir(directory), 0);
}

static void leave(void)
{
    remove_tree(directory);
}

TestSuite(events, .init = enter, .fini = leave);

/* CRC-32C by polynomial division of the whole message, most significant bit first. */
static uint32_t checksum(const unsigned char *data, size_t n)
{
    uint32_t remainder = 0;
    for (size_t bit = 0; bit < 8 * (n + 4); bit++) {
        size_t byte = bit / 8;
        unsigned in = byte < n ? data[byte] : 0;
        in = in >> bit % 8 & 1; /* each byte enters with its least significant bit first */
        if (bit < 32)
            in ^= 1; /* the register starts with ones */
        uint32_t carry = remainder >> 31;
        remainder = remainder << 1 | in;
        if (carry)
            remainder ^= 0x1edc6f41u;
    }
    uint32_t reflected = 0;
    for (int i = 0; i < 32; i++)
        reflected |= (remainder >> i & 1) << (31 - i);
    return ~reflected;
}

static uint32_t masked(const unsigned char *data, size_t n)
{
    uint32_t crc = checksum(data, n);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

Test(events, the_decoder_knows_the_published_check_value)
{
    cr_assert_eq(checksum((const unsigned char *)"123456789", 9), 0xe3069283u);
}

/* What one record says. */
typedef struct event {
    double wall_time;
    int64_t step;
    char version[32];
    int status; /* of a session log, or 0 */
    int n;
    char tag[8][32];
    float value[8];
} event;

static uint64_t varint(const unsigned char **p)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        unsigned char byte = *(*p)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return value;
    }
}

static void decode_value(event *e, const unsigned char *p, const unsigned char *end)
{
    while (p < end) {
        uint64_t key = varint(&p);
        if (key == 10) {
            uint64_t n = varint(&p);
            memcpy(e->tag[e->n], p, n);
            p += n;
        } else {
            cr_assert_eq(key, 21);
            memcpy(&e->value[e->n], p, 4);
            p += 4;
        }
    }
    e->n++;
}

static void decode(event *e, const unsigned char *p, const unsigned char *end)
{
    *e = (event){.n = 0};
    while (p < end) {
        uint64_t key = varint(&p);
        if (key == 9) {
            memcpy(&e->wall_time, p, 8);
            p += 8;
            continue;
        }
        if (key == 16) {
            e->step = (int64_t)varint(&p);
            continue;
        }
        uint64_t n = varint(&p);
        const unsigned char *inner = p, *stop = p + n;
        if (key == 26)
            memcpy(e->version, p, n);
        else if (key == 58) {
            cr_assert_eq(varint(&inner), 8);
            e->status = (int)varint(&inner);
        } else {
            cr_assert_eq(key, 42);
            while (inner < stop) {
                cr_assert_eq(varint(&inner), 10);
                uint64_t size = varint(&inner);
                decode_value(e, inner, inner + size);
                inner += size;
            }
        }
        p = stop;
    }
    cr_assert_eq(p, end);
}

static int read_file(const char *path, event *events)
{
    static unsigned char bytes[1 << 16];
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    size_t size = fread(bytes, 1, sizeof bytes, f), at = 0;
    fclose(f);
    int n = 0;
    while (at < size) {
        uint64_t length;
        uint32_t sum;
        memcpy(&length, bytes + at, 8);
        memcpy(&sum, bytes + at + 8, 4);
        cr_assert_eq(sum, masked(bytes + at, 8));
        memcpy(&sum, bytes + at + 12 + length, 4);
        cr_assert_eq(sum, masked(bytes + at + 12, length));
        decode(&events[n++], bytes + at + 12, bytes + at + 12 + length);
        at += length + 16;
    }
    cr_assert_eq(at, size);
    return n;
}

Test(events, a_file_says_what_was_written)
{
    event_file e;
    event read[8];
    cr_assert(events_open(&e, "logs", 300), "%s", ito_error_message());
    cr_assert(events_write(&e, 301, (event_scalar[]){{"loss", 0.5}, {"lr", 1e-3}}, 2));
    cr_assert(events_write(&e, 70000, (event_scalar[]){{"loss", (double)NAN}, {"lr", 2.0}}, 2));
    cr_assert_eq(read_file(e.path, read), 4);
    events_close(&e);

    cr_assert_str_eq(read[0].version, "brain.Event:2");
    cr_assert_gt(read[0].wall_time, 1.7e9); /* seconds since 1970, after 2023 */
    cr_assert_eq(read[1].status, 1);        /* SessionLog.START: steps from here on begin anew */
    cr_assert_eq(read[1].step, 301);
    cr_assert_eq(read[2].step, 301);
    cr_assert_eq(read[2].n, 2);
    cr_assert_str_eq(read[2].tag[0], "loss");
    cr_assert_eq(read[2].value[0], 0.5f);
    cr_assert_str_eq(read[2].tag[1], "lr");
    cr_assert_eq(read[2].value[1], 1e-3f);
    cr_assert_eq(read[3].step, 70000);
    cr_assert_eq(read[3].n, 1);
    cr_assert_str_eq(read[3].tag[0], "lr");
}

Test(events, a_directory_that_cannot_be_made_is_named)
{
    event_file e;
    cr_assert_not(events_open(&e, "no/such/place", 0));
    cr_assert_not_null(strstr(ito_error_message(), "no/such/place/events.out.tfevents."));
    cr_assert_not_null(strstr(ito_error_message(), "cannot make its directory"));
    events_close(&e);
}

Test(events, more_scalars_than_a_record_holds_are_refused)
{
    event_file e;
    event_scalar many[200];
    for (int i = 0; i < 200; i++)
        many[i] = (event_scalar){"scalar", 1.0};
    cr_assert(events_open(&e, "logs", 0));
    cr_assert_not(events_write(&e, 1, many, 200));
    cr_assert_not_null(strstr(ito_error_message(), "200 scalars are too many for one record"));
    events_close(&e);
}
