/* Progressive coding on Gaussian data with its best network: images come back, beginnings of files
 * give more and more of them, and files take about what the bound says. */
#include "tests/models/ddpm/compress/codec_check.h"

#include "models/ddpm/sampler/sampler.h"
#include "tensor/runtime.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- there and back ---- */

Test(codec, images_come_back_exactly_whatever_the_variance)
{
    const ito_variance *const variances[] = {&ito_variance_fixedsmall, &ito_variance_fixedlarge,
                                             &ito_variance_learned_range};
    for (int i = 0; i < 3; i++) {
        world w = begin(variances[i], 3);
        compress(&w, QUICK);
        comes_back(&w);
        end(&w);
    }
}

Test(codec, images_come_back_for_any_steps_and_predictions)
{
    const ito_prediction *const predictions[] = {&ito_prediction_v, &ito_prediction_x_0,
                                                 &ito_prediction_edm, &ito_prediction_x_prev};
    const int64_t steps[] = {1, 2, T, 7};
    for (int i = 0; i < 4; i++) {
        world w = {.d = ito_diffusion_create(.steps = T, .prediction = predictions[i],
                                             .variance = &ito_variance_fixedsmall,
                                             .sigma_data = gaussian_sigma_data(predictions[i])),
                   .x = images(1, 2)};
        compress(&w, QUICK, .no_clip = i == 3, .seed = (uint64_t)i);
        comes_back(&w);
        compress(&w, .steps = steps[i], .block_bits = 3, .candidate_bits = 5, .model = 5);
        cr_assert_eq(ito_size(w.c.written, 1), steps[i]);
        comes_back(&w);
        end(&w);
    }
}

/* Values that no Gaussian image has. */
Test(codec, unlikely_images_come_back_too)
{
    world w = begin(&ito_variance_fixedsmall, 1);
    uint8_t *x = ito_data(w.x);
    for (int i = 0; i < D; i++)
        x[i] = i % 2 == 0 ? 0 : 255;
    compress(&w, QUICK);
    comes_back(&w);
    end(&w);
}

Test(codec, a_file_says_what_is_in_it)
{
    world w = begin(&ito_variance_fixedsmall, 3);
    ito_tensor *labels = ito_from_data((const int64_t[]){300, 0, 10}, ITO_SHAPE(3), ITO_I64);
    compress(&w, QUICK, .labels = labels, .seed = 1234567890123);
    ito_compressed_info info;
    cr_assert_eq(ito_compressed_inspect(ito_const_data(w.c.file), ito_numel(w.c.file), "f", &info),
                 ITO_OK);
    cr_assert(info.shape.ndim == 4 && info.shape.dim[0] == 3 && info.shape.dim[1] == 1 &&
              info.shape.dim[2] == SIDE && info.shape.dim[3] == SIDE);
    cr_assert_eq(memcmp(ito_const_data(info.labels), ito_const_data(labels), 3 * sizeof(int64_t)),
                 0);
    cr_assert(info.steps == 20 && info.block_bits == 6 && info.candidate_bits == 11);
    cr_assert(info.seed == 1234567890123 && info.header == w.c.header);
    cr_assert_eq(info.size, ito_numel(w.c.file));
    comes_back(&w);
    end(&w);
}

Test(codec, the_file_is_the_same_on_any_number_of_threads)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    ito_tensor *file = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        ito_set_threads(threads);
        compress(&w, QUICK);
        cr_assert(file == NULL || same(file, w.c.file), "%d threads", threads);
        file = w.c.file;
        comes_back(&w);
    }
    end(&w);
}

/* ---- files of earlier versions ---- */

/* Version 0.1 (commit 6f83b70), with the settings of the test below, wrote this. */
static const uint8_t file_of_0_1[] = {
    0x49, 0x74, 0x6f, 0x01, 0x02, 0x02, 0x01, 0x04, 0x04, 0x05, 0x09, 0x03, 0x06, 0x34,
    0x03, 0xc8, 0x01, 0xc4, 0xc1, 0x58, 0x9b, 0x15, 0x81, 0xf4, 0xa9, 0x5c, 0xa4, 0xa4,
    0x36, 0x6e, 0x5b, 0x79, 0xdc, 0x5d, 0x14, 0xb3, 0x8d, 0xae, 0x38, 0x4f, 0x1c, 0xb9,
    0xac, 0xd2, 0xa9, 0x7b, 0x1f, 0xd7, 0x41, 0x9b, 0xde, 0x4d, 0x88, 0x4f, 0x73, 0xb7,
    0x0c, 0xca, 0x46, 0xf8, 0xb9, 0x77, 0x0b, 0x4a, 0xc1, 0xd0, 0x34, 0x83, 0x1d, 0xcb,
    0xd9, 0x63, 0x2f, 0xa4, 0x4e, 0x5b, 0x00, 0x31, 0xe2, 0x5f, 0x37, 0xaf, 0x07};

static world world_of_0_1(void)
{
    cr_assert(isa_use("base"));
    uint8_t pixels[2 * 16];
    for (int i = 0; i < 32; i++)
        pixels[i] = (uint8_t)((i * 37 + 11) % 256);
    world w = {.d = ito_diffusion_create(.steps = 12, .schedule = &ito_schedule_cosine,
                                         .prediction = &ito_prediction_v,
                                         .variance = &ito_variance_learned_range,
                                         .objective = &ito_objective_hybrid),
               .x = ito_from_data(pixels, ITO_SHAPE(2, 1, 4, 4), ITO_U8)};
    w.g = gaussian_make(w.d, -0.4);
    return w;
}

Test(codec, a_file_of_version_0_1_comes_back)
{
    world w = world_of_0_1();
    ito_decompressed r;
    cr_assert_eq(decompress(&w, file_of_0_1, sizeof file_of_0_1, TO_THE_END, &r), ITO_OK, "%s",
                 ito_error());
    cr_assert(r.exact && same(r.images, w.x));
    end(&w);
}

Test(codec, version_0_1_wrote_the_same_bytes)
{
    world w = world_of_0_1();
    ito_tensor *labels = ito_from_data((const int64_t[]){3, 200}, ITO_SHAPE(2), ITO_I64);
    compress(&w, .steps = 5, .block_bits = 3, .candidate_bits = 6, .seed = 9, .model = 5,
             .labels = labels);
    cr_assert_eq(ito_numel(w.c.file), (int64_t)sizeof file_of_0_1);
    cr_assert_eq(memcmp(ito_const_data(w.c.file), file_of_0_1, sizeof file_of_0_1), 0);
    end(&w);
}

/* ---- beginnings ---- */

/* Mean squared error, on the scale of 0 to 255. */
static double error_of(const world *w, const ito_tensor *x)
{
    const uint8_t *a = ito_const_data(w->x), *b = ito_const_data(x);
    double sum = 0.0;
    for (int64_t i = 0; i < ito_numel(x); i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum / (double)ito_numel(x);
}

Test(codec, the_more_of_a_file_the_better_the_images)
{
    world w = begin(&ito_variance_fixedsmall, 40);
    compress(&w, QUICK);
    int64_t size = ito_numel(w.c.file), last_t = T;
    double errors[5];
    for (int i = 0; i < 5; i++) {
        ito_decompressed r;
        int64_t part = w.c.header + (size - w.c.header) * i / 4;
        cr_assert_eq(decompress(&w, ito_const_data(w.c.file), part, TO_THE_END, &r), ITO_OK, "%s",
                     ito_error());
        cr_assert(r.exact == (i == 4) && r.t <= last_t && r.read <= part, "part %d", i);
        errors[i] = error_of(&w, r.images);
        last_t = r.t;
    }
    cr_assert_eq(errors[4], 0.0);
    for (int i = 1; i < 5; i++)
        cr_assert(errors[i] < 0.9 * errors[i - 1], "%d: %g after %g", i, errors[i], errors[i - 1]);
    end(&w);
}

Test(codec, every_beginning_that_has_the_header_decodes)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    compress(&w, QUICK);
    ito_decompressed r;
    for (int64_t n = 1; n < ito_numel(w.c.file); n++) {
        ito_scope_begin();
        ito_status status = decompress(&w, ito_const_data(w.c.file), n, TO_THE_END, &r);
        if (n < w.c.header) {
            char sentence[80];
            snprintf(sentence, sizeof sentence, "f.ito: it ends after %ld bytes, within its header",
                     (long)n);
            cr_assert_eq(status, ITO_ERR_FORMAT);
            cr_assert_str_eq(ito_error_message(), sentence);
            ito_error_clear();
        } else {
            cr_assert_eq(status, ITO_OK, "%ld: %s", (long)n, ito_error());
            cr_assert(!r.exact && r.read >= w.c.header && r.read <= n);
        }
        ito_scope_end();
    }
    end(&w);
}

Test(codec, until_stops_at_a_step)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    compress(&w, QUICK);
    const int64_t *times = ito_const_data(w.c.times);
    double squares[40];
    ito_to_data(w.c.squares, squares, ITO_F64);
    for (int i = 0; i < 20; i++) {
        ito_decompressed r;
        cr_assert_eq(decompress(&w, ito_const_data(w.c.file), ito_numel(w.c.file), times[i], &r),
                     ITO_OK, "%s", ito_error());
        cr_assert(!r.exact && r.t == times[i]);
        /* What compress saw there, but for rounding to 8 bits, at most half a value. */
        double seen = 127.5 * sqrt(0.5 * (squares[i] + squares[20 + i]));
        cr_assert_float_eq(sqrt(error_of(&w, r.images)), seen, 0.5, "step %d", i);
    }
    end(&w);
}

/* ---- what it takes ---- */

static double sum(const ito_tensor *table)
{
    const double *p = ito_const_data(table);
    double total = 0.0;
    for (int64_t i = 0; i < ito_numel(table); i++)
        total += p[i];
    return total;
}

/* The sum over the steps of the same bound, taken along another path; that of the samples sent is a
 * little longer, by a tenth at the most, since they are not drawn from all there could be. What is
 * written is more again: with such small blocks, the most by 0.9 of it. */
Test(codec, files_take_what_the_bound_says_and_some_more)
{
    world w = begin(&ito_variance_fixedsmall, 8);
    compress(&w, .steps = T, .block_bits = 4, .candidate_bits = 12, .model = 5);
    ito_tensor *scaled = ito_add_scalar(ito_mul_scalar(ito_cast(w.x, ITO_F64), 1 / 127.5), -1.0);
    ito_bits bits;
    cr_assert_eq(ito_bits_per_dim(w.d, &w.g.base, scaled, &bits), ITO_OK);
    double numbers = (double)ito_numel(w.x), bound = sum(w.c.bound) / numbers;
    double other = ito_item(ito_mean(bits.total)) - ito_item(ito_mean(bits.prior));
    double written = sum(w.c.written) / numbers;
    cr_expect_float_eq(bound, other, 0.1 * other, "%g, and by the bound %g", bound, other);
    cr_expect(written > bound && written < 1.9 * bound, "%g for %g", written, bound);
    /* Checks take 2 bytes for each 62, and the last ones are not full. */
    double file = 8.0 * (double)(ito_numel(w.c.file) - w.c.header);
    cr_expect(file >= sum(w.c.written) - 1.0 && file < sum(w.c.written) * (1.0 + 2.0 / 62) + 64.0);
    end(&w);
}

/* ---- what is sent ---- */

enum { SENT = 12, IMAGES = 16 };

/* The best network, and each x that it was evaluated on. */
typedef struct listener {
    ito_network base;
    gaussian_network g;
    int evaluations;
    double x[SENT][IMAGES * D];
} listener;

static ito_tensor *listen(ito_network *self, const ito_network_input *in)
{
    listener *l = (listener *)self;
    cr_assert_eq(ito_to_data(in->x, l->x[l->evaluations++], ITO_F64), ITO_OK);
    return ito_network_evaluate(&l->g.base, in);
}

/* With a variance of more than beta~ what is sent is narrower than what is expected, and moved: its
 * samples have both from q(x_s | x_t, x_0), but for the few per cent that more candidates would
 * give; and the bound that is told is the divergence of the two. */
Test(codec, samples_are_of_the_posterior_and_the_bound_is_their_divergence)
{
    static listener l;
    world w = begin(&ito_variance_fixedlarge, IMAGES);
    l.base = network_of(listen, NULL);
    l.g = gaussian_make(w.d, 0.0);
    cr_assert_eq(ito_diffusion_compress(w.d, &l.base, w.x, &w.c, .steps = SENT, .block_bits = 4,
                                        .candidate_bits = 12),
                 ITO_OK, "%s", ito_error());
    cr_assert_eq(l.evaluations, SENT);
    const int64_t *times = ito_const_data(w.c.times);
    const uint8_t *pixels = ito_const_data(w.x);
    double moved = 0.0, shifts = 0.0, spread = 0.0;
    for (int i = 0; i < SENT - 1; i++) {
        double A = w.d->process->signal[times[i]], N = w.d->process->noise[times[i]];
        double a = w.d->process->signal[times[i + 1]], n = w.d->process->noise[times[i + 1]];
        double alpha = A * A / (a * a), beta = 1.0 - alpha, ratio = n / N, bits = 0.0;
        for (int k = 0; k < IMAGES * D; k++) {
            double x = l.x[i][k], x_0 = pixels[k] / 127.5 - 1.0;
            double estimate = fmin(fmax(0.25 * A / (0.25 * A * A + N * N) * x, -1.0), 1.0);
            double mean = sqrt(alpha) * ratio * ratio * x + a * beta / (N * N) * estimate;
            double shift = a * beta / (N * N) * (x_0 - estimate) / sqrt(beta);
            double z = (l.x[i + 1][k] - mean) / sqrt(beta);
            moved += z * shift;
            shifts += shift * shift;
            spread += (z - shift) * (z - shift) / (ratio * ratio);
            bits += (0.5 * (shift * shift + ratio * ratio - 1.0) - log(ratio)) / M_LN2;
        }
        double told = 0.0;
        for (int k = 0; k < IMAGES; k++)
            told += ((const double *)ito_const_data(w.c.bound))[k * SENT + i];
        cr_expect_float_eq(told, bits, 1e-4 * bits, "step %d: %g, not %g", i, told, bits);
    }
    double numbers = (SENT - 1) * IMAGES * D;
    cr_expect_float_eq(moved / shifts, 1.0, 5.0 / sqrt(shifts) + 0.05, "%g", moved / shifts);
    cr_expect_float_eq(spread / numbers, 1.0, 5.0 * sqrt(2.0 / numbers) + 0.05, "%g",
                       spread / numbers);
    end(&w);
}

static bool stop(int64_t done, int64_t steps, void *context)
{
    (void)steps, (void)context;
    return done < 3;
}

Test(codec, progress_stops_it_without_an_error)
{
    world w = begin(&ito_variance_fixedsmall, 1);
    compress(&w, QUICK);
    ito_compressed c;
    ito_decompressed r;
    cr_assert_eq(ito_diffusion_compress(w.d, &w.g.base, w.x, &c, QUICK, .progress = stop),
                 ITO_ERR_ARGUMENT);
    cr_assert_eq(ito_diffusion_decompress(w.d, &w.g.base, ito_const_data(w.c.file),
                                          ito_numel(w.c.file), &r, .model = 5, .progress = stop),
                 ITO_ERR_ARGUMENT);
    cr_assert_eq(ito_error_code(), ITO_OK);
    end(&w);
}

Test(codec, every_failing_request_is_an_error_and_leaks_nothing)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    ito_compress_options o = ITO_OPTIONS(ito_compress_options, .steps = 4, .block_bits = 4,
                                         .candidate_bits = 6, .model = 5);
    compress_with(&w, o);
    for (int way = 0; way < 2; way++) {
        ito_status status = ITO_ERR_MEMORY;
        int64_t failures = 0;
        for (; status != ITO_OK; failures += status != ITO_OK) {
            ito_compressed c = {.file = NULL};
            ito_decompressed r = {.images = NULL};
            int64_t before = ito_memory_blocks();
            ito_scope_begin();
            ito_memory_fail_nth(failures + 1);
            status = way == 0 ? ito_diffusion_compress_with(w.d, &w.g.base, w.x, o, &c)
                              : decompress(&w, ito_const_data(w.c.file), ito_numel(w.c.file),
                                           TO_THE_END, &r);
            ito_memory_fail_nth(0);
            cr_assert(status == ITO_OK || status == ITO_ERR_MEMORY, "request %ld: %s",
                      (long)failures + 1, ito_error());
            cr_assert(status == ITO_OK || (c.file == NULL && r.images == NULL));
            ito_error_clear();
            ito_scope_end();
            cr_assert_eq(ito_memory_blocks(), before, "request %ld", (long)failures + 1);
            cr_assert(failures < 100000);
        }
        cr_assert_gt(failures, 0);
    }
    end(&w);
}
