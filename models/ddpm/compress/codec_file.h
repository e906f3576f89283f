/* Internal: the file of codec.h: a header, and the coded stream cut into frames.
 *
 *     "Ito" and a byte: the version, 1
 *     a byte: 1 unless x_0-hat is clipped, 2 if there are labels, 4 times the instruction set
 *     varints (7 bits a byte, the lowest first): N, C, H, W, S, seed, block bits, candidate bits,
 *         bytes of the stream; with labels N more
 *     of 4, 4 and 2 bytes, the lowest first: fingerprint of network and diffusion; crc32 of the
 *         images; low half of the crc32 of the first x_0-hat
 *     2 bytes: low half of the crc32 of all bytes before
 *     frames: up to frame_room bytes of the stream, and the low half of the crc32 of all
 *         bytes before
 * A check therefore covers what came before it too, and the stream can be used frame by frame. */
#ifndef ITO_DDPM_CODEC_FILE_H
#define ITO_DDPM_CODEC_FILE_H

#include "models/ddpm/compress/codec.h"

typedef struct code_header {
    ito_compressed_info info;
    const char *isa;
    bool no_clip;
    uint32_t fingerprint, pixels;
    uint16_t first_estimate;
    int64_t stream; /* bytes */
    uint32_t check; /* crc32 up to the frames */
} code_header;

/* The file as u8 [bytes], of the current scope; info.header and info.size are filled in. */
ito_tensor *code_file_make(code_header *h, const uint8_t *stream);
/* The header; labels are of the current scope. */
ito_status code_file_header(const uint8_t *bytes, int64_t size, const char *source,
                            code_header *out);
/* The stream as far as there are whole frames, to be released with mem_free; *size is how much it
 * is, *read how much of the file. ITO_ERR_FORMAT for a damaged frame and for what is too long. */
uint8_t *code_file_stream(const code_header *h, const uint8_t *bytes, int64_t there,
                          const char *source, int64_t *size, int64_t *read);

#endif
