/* CIFAR-10 in its binary version.
 * Invariant: all files are open and their sizes checked before memory is taken for the images. */
#include "tensor/io/cifar.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILES = 5, PIXELS = 3 * 32 * 32, RECORD = 1 + PIXELS, LABELS = 10, CHUNK_RECORDS = 64 };

typedef struct batches {
    int n; /* files */
    char path[MAX_FILES][PATH_MAX];
    file_reader file[MAX_FILES];
    int64_t records;
} batches;

static ito_status format_paths(batches *b, const char *dir, const char *below, bool train)
{
    b->n = train ? MAX_FILES : 1;
    for (int i = 0; i < b->n; i++) {
        int length =
            train ? snprintf(b->path[i], PATH_MAX, "%s/%sdata_batch_%d.bin", dir, below, i + 1)
                  : snprintf(b->path[i], PATH_MAX, "%s/%stest_batch.bin", dir, below);
        if (length < 0 || length >= PATH_MAX)
            return file_error(ITO_ERR_IO, dir, "is too long for a path");
    }
    return ITO_OK;
}

static ito_status open_batches(batches *b, const char *dir, bool train)
{
    ito_status status = format_paths(b, dir, "cifar-10-batches-bin/", train);
    if (status == ITO_OK && access(b->path[0], F_OK) != 0)
        status = format_paths(b, dir, "", train);
    for (int i = 0; i < b->n && status == ITO_OK; i++) {
        status = file_open(&b->file[i], b->path[i]);
        if (status == ITO_OK && b->file[i].size % RECORD != 0)
            status = file_error(ITO_ERR_FORMAT, b->path[i],
                                "%" PRId64 " bytes are no whole number of records of %d bytes",
                                b->file[i].size, RECORD);
        b->records += b->file[i].size / RECORD;
    }
    return status;
}

/* All records of one file, through a buffer of CHUNK_RECORDS. */
static ito_status read_batch(const file_reader *f, unsigned char *buffer, unsigned char *image,
                             int64_t *label)
{
    int64_t records = f->size / RECORD;
    for (int64_t r = 0; r < records; r++) {
        if (r % CHUNK_RECORDS == 0) {
            int64_t n = records - r < CHUNK_RECORDS ? records - r : CHUNK_RECORDS;
            ito_status status = file_read(f, buffer, n * RECORD, r * RECORD);
            if (status != ITO_OK)
                return status;
        }
        const unsigned char *record = buffer + r % CHUNK_RECORDS * RECORD;
        if (record[0] >= LABELS)
            return file_error(ITO_ERR_FORMAT, f->path, "record %" PRId64 ": label %d is above 9", r,
                              record[0]);
        label[r] = record[0];
        memcpy(image + r * PIXELS, record + 1, PIXELS);
    }
    return ITO_OK;
}

static ito_status read_batches(const batches *b, ito_tensor *images, ito_tensor *labels)
{
    unsigned char *buffer = mem_alloc((size_t)CHUNK_RECORDS * RECORD);
    ito_status status = buffer == NULL ? ITO_ERR_MEMORY : ITO_OK;
    int64_t first = 0;
    for (int i = 0; i < b->n && status == ITO_OK; i++) {
        status =
            read_batch(&b->file[i], buffer, (unsigned char *)tensor_data(images) + first * PIXELS,
                       (int64_t *)tensor_data(labels) + first);
        first += b->file[i].size / RECORD;
    }
    mem_free(buffer);
    return status;
}

static ito_status load(batches *b, const char *dir, bool train, ito_tensor **images,
                       ito_tensor **labels)
{
    ito_status status = open_batches(b, dir, train);
    if (status != ITO_OK)
        return status;
    ito_tensor *x = tensor_empty(ITO_SHAPE(b->records, 3, 32, 32), ITO_U8);
    ito_tensor *y = x == NULL ? NULL : tensor_empty(ITO_SHAPE(b->records), ITO_I64);
    status = y == NULL ? ito_error_code() : read_batches(b, x, y);
    if (status == ITO_OK) {
        *images = x;
        *labels = y;
    } else {
        ito_release(tensor_disown(x));
        ito_release(tensor_disown(y));
    }
    return status;
}

ito_status ito_cifar10_load(const char *dir, bool train, ito_tensor **images, ito_tensor **labels)
{
    if (dir == NULL || images == NULL || labels == NULL)
        return error_status(ITO_ERR_ARGUMENT, "cifar10_load: there is no %s",
                            dir == NULL ? "directory" : "place for the result");
    batches *b = mem_alloc(sizeof *b);
    if (b == NULL)
        return ITO_ERR_MEMORY;
    memset(b, 0, sizeof *b);
    for (int i = 0; i < MAX_FILES; i++)
        b->file[i].fd = -1;
    ito_status status = load(b, dir, train, images, labels);
    for (int i = 0; i < MAX_FILES; i++)
        file_close(&b->file[i]);
    mem_free(b);
    return status;
}
