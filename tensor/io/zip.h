/* Zip archives, which NumPy's .npz and PyTorch's files are. Not installed.
 *
 * Members are stored or deflated. Memory for the directory is bounded by the file's size; what a
 * member claims to be is compared with the bytes that it takes before it is read. */
#ifndef ITO_IO_ZIP_H
#define ITO_IO_ZIP_H

#include "tensor/io/file.h"
#include "tensor/io/zstream.h"

typedef struct zip_member {
    char *name; /* in the archive's directory */
    uint32_t crc;
    int method, flags;
    int64_t packed, size, at; /* bytes in the archive, unpacked, and where its local header is */
} zip_member;

typedef struct zip_archive {
    file_reader file;
    const char *what; /* "an npz archive", for messages */
    char *directory;
    zip_member *members;
    int64_t count;
} zip_archive;

/* Open an archive and read its directory, zip64's too. path and what stay the caller's, who keeps
 * them alive. On failure there is nothing to close.
 * Source: PKWARE, APPNOTE.TXT, sections 4.3 and 4.5.3. */
ito_status zip_open(zip_archive *z, const char *path, const char *what);
void zip_close(zip_archive *z);

/* The bytes of a member, one after another. */
typedef struct zip_reader {
    const char *path; /* for messages */
    const file_reader *file;
    const zip_member *member;
    int64_t begin;             /* of its bytes in the file */
    int64_t next, packed_left; /* in the file, of what is still packed */
    bool deflated, ended;
    z_stream inflater;
    char *input; /* of a deflated member */
    uint32_t crc;
} zip_reader;

/* Begin to read: the member's size is then known to be possible. path is for messages. On failure
 * there is nothing to end. */
ito_status zip_read_begin(zip_reader *r, const zip_archive *z, const zip_member *m,
                          const char *path);
/* The next n bytes. */
ito_status zip_read(zip_reader *r, void *out, int64_t n);
/* Whether the checksum of all bytes, which have been read, is the archive's. */
ito_status zip_read_check(const zip_reader *r);
void zip_read_end(zip_reader *r);

#endif
