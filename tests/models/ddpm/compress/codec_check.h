/* What tests of the coder share: 8-bit images of Gaussian data, compressed by their best network,
 * and whether they come back. */
#ifndef ITO_TESTS_CODEC_CHECK_H
#define ITO_TESTS_CODEC_CHECK_H

#include "models/ddpm/compress/codec.h"
#include "tensor/internal.h"
#include "tests/models/ddpm/ddpm_check.h"
#include "tests/models/ddpm/gaussian.h"

#include <string.h>

enum { SIDE = 6, D = SIDE * SIDE, T = 60 };

static inline ito_tensor *images(uint64_t stream, int64_t n)
{
    ito_generator g = ito_generator_make(17, stream);
    ito_tensor *x = ito_mul_scalar(ito_randn(&g, ITO_SHAPE(n, 1, SIDE, SIDE), ITO_F32), 0.5);
    x = ito_clamp(ito_add_scalar(ito_mul_scalar(x, 127.5), 127.5), 0.0, 255.0);
    return ito_cast(x, ITO_U8);
}

typedef struct world {
    ito_diffusion *d;
    gaussian_network g;
    ito_tensor *x;
    ito_compressed c;
} world;

static inline world begin(const ito_variance *variance, int64_t n)
{
    world w = {
        .d =
            ito_diffusion_create(.steps = T, .schedule = &ito_schedule_cosine, .variance = variance,
                                 .objective = variance->learned ? &ito_objective_hybrid : NULL)};
    cr_assert_not_null(w.d, "%s", ito_error());
    w.x = images(0, n);
    return w;
}

static inline void end(world *w)
{
    ito_diffusion_free(w->d);
}

#define QUICK .steps = 20, .block_bits = 6, .candidate_bits = 11, .model = 5

static inline void compress_with(world *w, ito_compress_options o)
{
    w->g = gaussian_make(w->d, -0.4);
    cr_assert_eq(ito_diffusion_compress_with(w->d, &w->g.base, w->x, o, &w->c), ITO_OK, "%s",
                 ito_error());
}

#define compress(w, ...) compress_with(w, ITO_OPTIONS(ito_compress_options, __VA_ARGS__))

enum { TO_THE_END = -1 };

static inline ito_status decompress(world *w, const uint8_t *bytes, int64_t size, int64_t until,
                                    ito_decompressed *out)
{
    return ito_diffusion_decompress(w->d, &w->g.base, bytes, size, out, .source = "f.ito",
                                    .model = 5, .until = until);
}

static inline bool same(const ito_tensor *a, const ito_tensor *b)
{
    return ito_numel(a) == ito_numel(b) &&
           memcmp(ito_const_data(a), ito_const_data(b), (size_t)ito_numel(a)) == 0;
}

static inline void comes_back(world *w)
{
    ito_decompressed r;
    int64_t size = ito_numel(w->c.file);
    cr_assert_eq(decompress(w, ito_const_data(w->c.file), size, TO_THE_END, &r), ITO_OK, "%s",
                 ito_error());
    cr_assert(r.exact && r.t == 0 && r.read == size);
    cr_assert(same(r.images, w->x));
}

#endif
