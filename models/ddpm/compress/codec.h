/* Images as files, by the progressive coding of Ho et al. 2020, section 4.3: algorithm 3 sends,
 * algorithm 4 receives. The whole file gives the images exactly; its beginning gives the network's
 * estimate from the bits so far.
 *
 * Both sides draw the same x_T. For each step from t to s on a list that falls to 0, what is sent
 * is a sample of q(x_s | x_t, x_0), to a receiver who expects p(x_s | x_t): it takes about as many
 * bits as the term of the bound, and some more. Then the pixels are sent, by the discretised
 * decoder p(x_0 | x_1). L_T costs nothing, since x_T is not of q(x_T | x_0), and should be small.
 *
 * Both sides must compute the same numbers to the last bit, so files are for one network and one
 * instruction set; others are refused.
 */
#ifndef ITO_DDPM_CODEC_H
#define ITO_DDPM_CODEC_H

#include "../likelihood/bound.h"

#ifdef __cplusplus
extern "C" {
#endif

/** 50 steps, or T if that is less. */
#define ITO_COMPRESS_STEPS (-1)
/** block_bits + 6, at most 20. */
#define ITO_COMPRESS_CANDIDATES (-1)

/** How to compress. */
typedef struct ito_compress_options {
    int reserved_;
    /* S that the network is evaluated at, T - 1 to 0, spaced by rate */
    int64_t steps ITO_DEFAULT(ITO_COMPRESS_STEPS);
    /* a step's numbers are sent in blocks of about so many bits */
    int block_bits ITO_DEFAULT(10);
    /* 2^this candidates for each block: more take more time and make samples more accurate; at
     * most 20 */
    int candidate_bits ITO_DEFAULT(ITO_COMPRESS_CANDIDATES);
    bool no_clip;       /* leave x_0-hat as it is; by default it is clipped to [-1, 1] */
    uint64_t seed;      /* of all that both sides draw; in the file */
    ito_tensor *labels; /* [N] i64, at least 0, for the network, when decompressing too; in the
                           file. NULL: none */
    uint32_t model;     /* a number that identifies the network, such as its checksum */
    ito_step_progress *progress;
    void *progress_context;
} ito_compress_options;
#define ITO_DEFAULTS_ito_compress_options                                                          \
    .steps = ITO_COMPRESS_STEPS, .block_bits = 10, .candidate_bits = ITO_COMPRESS_CANDIDATES

/** All of the current scope. Column i is for step i of S, row n for image n. */
typedef struct ito_compressed {
    ito_tensor *file;    /* u8 [bytes] */
    int64_t header;      /* bytes of it that hold no images */
    ito_tensor *times;   /* i64 [S] the steps */
    ito_tensor *written; /* f64 [N, S] bits written, the last column being the pixels */
    ito_tensor *bound;   /* f64 [N, S] the terms of the bound: KL, in the last column L_0 */
    ito_tensor *squares; /* f64 [N, S] mean squared error of x_0-hat before the step is sent */
} ito_compressed;

/**
 * @param network  evaluated on all images at once, at one step; see network.h.
 * @param images   u8 [N, C, H, W].
 * @param out      written on success.
 * @return         ITO_ERR_SHAPE, ITO_ERR_DTYPE; ITO_ERR_RANGE for options; ITO_ERR_ARGUMENT if the
 *                 prediction does not determine x_0 at the first step; ITO_ERR_NUMERIC if the
 *                 network returns numbers that are not finite; its own errors. If progress stops it
 *                 ITO_ERR_ARGUMENT, with no error recorded.
 */
ITO_API ito_status ito_diffusion_compress_with(const ito_diffusion *d, ito_network *network,
                                               ito_tensor *images, ito_compress_options options,
                                               ito_compressed *out);
#define ito_diffusion_compress(...)                                                                \
    ITO_AT(ITO_CALL_3_OUT(ito_diffusion_compress_with, ito_compress_options, __VA_ARGS__, ))

/** The header of a file. */
typedef struct ito_compressed_info {
    ito_shape shape;             /* of the images, [N, C, H, W] */
    ito_tensor *labels;          /* [N] i64 of the current scope, or NULL */
    int64_t steps, header, size; /* size: of the whole file; there may be fewer bytes */
    int64_t read;                /* bytes that are present and undamaged */
    int block_bits, candidate_bits;
    uint64_t seed;
} ito_compressed_info;

/**
 * @param source  where the bytes came from, for messages.
 * @return        ITO_ERR_FORMAT if they do not begin as such a file, if its header is truncated, or
 *                if anything behind that is damaged.
 */
ITO_API ito_status ito_compressed_inspect(const uint8_t *bytes, int64_t size, const char *source,
                                          ito_compressed_info *out);

/** How to decompress. */
typedef struct ito_decompress_options {
    int reserved_;
    const char *source;            /* where the bytes came from, for messages */
    uint32_t model;                /* as it was compressed with */
    int64_t until ITO_DEFAULT(-1); /* stop at the first step that is not above this one; -1: at
                                      none */
    ito_step_progress *progress;
    void *progress_context;
} ito_decompress_options;
#define ITO_DEFAULTS_ito_decompress_options .until = -1

/** The result of decompressing. */
typedef struct ito_decompressed {
    ito_tensor *images; /* u8 [N, C, H, W] of the current scope */
    bool exact;         /* they are those that were compressed; else the x_0-hat of x_t */
    int64_t t;          /* 0 if exact */
    int64_t read;       /* bytes of the file that were present and undamaged */
} ito_decompressed;

/**
 * @param bytes  a file or its beginning, at least its header.
 * @param out    written on success.
 * @return       ITO_ERR_FORMAT for another kind of file or a damaged one; ITO_ERR_ARGUMENT for a
 *               file of another network, diffusion or instruction set, or where the network's
 *               numbers differ for another reason; and as above.
 */
ITO_API ito_status ito_diffusion_decompress_with(const ito_diffusion *d, ito_network *network,
                                                 const uint8_t *bytes, int64_t size,
                                                 ito_decompress_options options,
                                                 ito_decompressed *out);
#define ito_diffusion_decompress(...)                                                              \
    ITO_AT(ITO_CALL_4_OUT(ito_diffusion_decompress_with, ito_decompress_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_compressed_inspect(...) ITO_AT(ito_compressed_inspect(__VA_ARGS__))
#endif

#endif
