/* The header of a .npy file, and where its bytes come from. Not installed. */
#ifndef ITO_IO_NPY_HEADER_H
#define ITO_IO_NPY_HEADER_H

#include "tensor/internal.h"
#include "tensor/io/npy.h"
#include "tensor/io/npz.h"

/* How elements lie in a file, and what they become. */
typedef struct npy_elements {
    const char *name; /* NumPy's, without the byte order */
    ito_dtype dtype;
    int size; /* of one, in the file */
    bool is_signed;
} npy_elements;

typedef struct npy_header {
    const char *path;
    const char *next, *end; /* of the text still to be read */
    npy_elements elements;
    bool big_endian, fortran_order;
    ito_shape shape;
} npy_header;

/* Parse the dictionary; path is for messages. */
ito_status npy_header_parse(npy_header *h, const char *path, const char *text, int64_t length);

/* The bytes of a .npy file one after another: of a file, or of a member of an archive. */
typedef struct npy_source npy_source;
struct npy_source {
    const char *path; /* for messages */
    int64_t left;     /* bytes still to come */
    /* The next n, at most left. */
    ito_status (*read)(npy_source *s, void *out, int64_t n);
};

/* Read the header alone, behind which the elements come, and compare its claim with what is left.
 */
ito_status npy_read_header(npy_source *s, npy_header *h);
/* The tensor in s, all of whose bytes are read; NULL with an error recorded. */
ito_tensor *npy_read(npy_source *s);

/* What array i of an archive is, by its header alone. */
ito_status npz_describe(const struct ito_npz *f, int64_t i, npy_header *h);

#endif
