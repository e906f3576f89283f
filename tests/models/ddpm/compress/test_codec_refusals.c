/* What the coder does not compress, and files that it does not decode. */
#include "tests/models/ddpm/compress/codec_check.h"

#include "tensor/runtime.h"

#include <stdlib.h>

#define assert_not_compressed(w, x, code, sentence, ...)                                           \
    assert_refused_status(ito_diffusion_compress((w)->d, &(w)->g.base, x, &(w)->c, __VA_ARGS__),   \
                          code, sentence)

Test(codec_refusals, what_are_no_8_bit_images_is_not_compressed)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    w.g = gaussian_make(w.d, 0.0);
    assert_not_compressed(&w, ito_reshape(w.x, 2, D), ITO_ERR_SHAPE,
                          "compress: [2, 36] is not [N, C, H, W]", QUICK);
    assert_not_compressed(&w, ito_cast(w.x, ITO_F32), ITO_ERR_DTYPE,
                          "compress: images are u8, not f32", QUICK);
    assert_not_compressed(&w, NULL, ITO_ERR_ARGUMENT, "compress: images is NULL", QUICK);
    end(&w);
}

Test(codec_refusals, numbers_of_steps_out_of_range_are_refused)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    w.g = gaussian_make(w.d, 0.0);
    assert_not_compressed(&w, w.x, ITO_ERR_RANGE, "compress: 61 steps; the process has 1 to 60",
                          .steps = 61);
    assert_not_compressed(&w, w.x, ITO_ERR_RANGE, "compress: 0 steps; the process has 1 to 60",
                          .steps = 0);
    end(&w);
}

Test(codec_refusals, numbers_of_candidates_out_of_range_are_refused)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    w.g = gaussian_make(w.d, 0.0);
    assert_not_compressed(
        &w, w.x, ITO_ERR_RANGE,
        "compress: blocks of 10 bits and 2^21 candidates; blocks have at least 1 bit, and "
        "candidates as many to 20",
        .candidate_bits = 21);
    assert_not_compressed(
        &w, w.x, ITO_ERR_RANGE,
        "compress: blocks of 10 bits and 2^0 candidates; blocks have at least 1 bit, and "
        "candidates as many to 20",
        .candidate_bits = 0);
    assert_not_compressed(
        &w, w.x, ITO_ERR_RANGE,
        "compress: blocks of 0 bits and 2^6 candidates; blocks have at least 1 bit, and "
        "candidates as many to 20",
        .block_bits = 0);
    end(&w);
}

Test(codec_refusals, labels_that_do_not_fit_are_refused)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    w.g = gaussian_make(w.d, 0.0);
    assert_not_compressed(&w, w.x, ITO_ERR_SHAPE,
                          "compress: labels are [3] of i64 for images [2, 1, 6, 6]",
                          .labels = ito_zeros(ITO_SHAPE(3), ITO_I64));
    assert_not_compressed(&w, w.x, ITO_ERR_RANGE,
                          "compress: label 0 is -1; labels are at least 0 and below 2^31",
                          .labels = ito_full(ITO_SHAPE(2), -1, ITO_I64));
    end(&w);
}

static ito_tensor *nothing_finite(ito_network *self, const ito_network_input *in)
{
    (void)self;
    return ito_full_like(in->x, (double)NAN);
}

Test(codec_refusals, a_network_that_gives_no_numbers_is_refused)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    w.g.base = network_of(nothing_finite, NULL);
    assert_not_compressed(&w, w.x, ITO_ERR_NUMERIC,
                          "codec: what the network says at step 59 is not finite", .steps = 5);
    assert_refused_status(ito_diffusion_compress(w.d, NULL, w.x, &w.c, QUICK), ITO_ERR_ARGUMENT,
                          "network: it is NULL");
    end(&w);
}

Test(codec_refusals, a_prediction_that_does_not_tell_the_images_is_refused)
{
    world w = {.d = ito_diffusion_create(.schedule = &ito_schedule_jsd, .steps = T),
               .x = images(0, 1)};
    w.g = gaussian_make(w.d, 0.0);
    assert_not_compressed(&w, w.x, ITO_ERR_ARGUMENT,
                          "codec: eps does not tell x_0 at step 59 (signal 0)", QUICK);
    end(&w);
}

Test(codec_refusals, a_process_in_continuous_time_is_refused)
{
    world w = {.d = ito_diffusion_create(.schedule = &ito_schedule_flow,
                                         .prediction = &ito_prediction_flow),
               .x = images(0, 1)};
    cr_assert_not_null(w.d, "%s", ito_error());
    w.g = gaussian_make(w.d, 0.0);
    assert_not_compressed(
        &w, w.x, ITO_ERR_ARGUMENT,
        "compress: the process must be in steps, and this one is in continuous time", QUICK);
    end(&w);
}

/* f.ito with one sentence, of which these are the words. */
static void not_read(world *w, const uint8_t *bytes, int64_t size, ito_status code,
                     const char *words)
{
    ito_decompressed r;
    cr_assert_eq(decompress(w, bytes, size, TO_THE_END, &r), code, "%s", words);
    cr_assert_not_null(strstr(ito_error_message(), words), "%s", ito_error_message());
    ito_error_clear();
}

Test(codec_refusals, damage_is_found_wherever_it_is)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    compress(&w, QUICK);
    int64_t size = ito_numel(w.c.file);
    uint8_t *bytes = malloc((size_t)size + 1);
    for (int64_t i = 0; i <= size; i++) {
        memcpy(bytes, ito_const_data(w.c.file), (size_t)size);
        bytes[i] ^= 0x10;
        ito_scope_begin();
        ito_decompressed r;
        ito_status status = decompress(&w, bytes, i == size ? size + 1 : size, TO_THE_END, &r);
        cr_assert_eq(status, ITO_ERR_FORMAT, "byte %ld: %s", (long)i, ito_error());
        const char *words = i < 3                 ? "it holds no images compressed by ito-ddpm"
                            : i == 3              ? "it is of version 17, and this reads version 1"
                            : i == size           ? " bytes, of which "
                            : i < w.c.header      ? "its header"
                            : i < w.c.header + 64 ? "(part 1 of "
                                                  : "it is damaged within bytes ";
        cr_assert_not_null(strstr(ito_error_message(), words), "byte %ld: %s", (long)i,
                           ito_error_message());
        ito_error_clear();
        ito_scope_end();
    }
    free(bytes);
    end(&w);
}

static ito_tensor *another_network(ito_network *self, const ito_network_input *in)
{
    return ito_mul_scalar(ito_network_evaluate(self->context, in), 1.0001);
}

#define OTHER                                                                                      \
    "f.ito: it was made with another network, another checkpoint of it or another diffusion"

Test(codec_refusals, a_file_of_another_diffusion_is_refused)
{
    world w = begin(&ito_variance_fixedsmall, 2), other = begin(&ito_variance_fixedlarge, 2);
    compress(&w, QUICK);
    other.g = gaussian_make(other.d, 0.0);
    not_read(&other, ito_const_data(w.c.file), ito_numel(w.c.file), ITO_ERR_ARGUMENT, OTHER);
    ito_diffusion_free(other.d);
    other.d = ito_diffusion_create(.steps = 10);
    not_read(&other, ito_const_data(w.c.file), ito_numel(w.c.file), ITO_ERR_ARGUMENT, OTHER);
    end(&w);
    end(&other);
}

Test(codec_refusals, a_file_of_another_network_is_refused)
{
    world w = begin(&ito_variance_fixedsmall, 2);
    compress(&w, QUICK);
    const uint8_t *bytes = ito_const_data(w.c.file);
    int64_t size = ito_numel(w.c.file);
    ito_decompressed r;
    assert_refused_status(
        ito_diffusion_decompress(w.d, &w.g.base, bytes, size, &r, .source = "f.ito", .model = 6),
        ITO_ERR_ARGUMENT, OTHER);
    /* The same number, but not the same network. */
    ito_network another = network_of(another_network, &w.g);
    assert_refused_status(
        ito_diffusion_decompress(w.d, &another, bytes, size, &r, .model = 5), ITO_ERR_ARGUMENT,
        "codec: the network says something else here than where the images were "
        "compressed; another version or build of the program may have made the file");
    end(&w);
}

Test(codec_refusals, a_file_of_another_instruction_set_is_refused)
{
    if (strcmp(ito_isa(), "base") == 0)
        cr_skip_test("this machine has no other instruction set than base");
    world w = begin(&ito_variance_fixedsmall, 2);
    compress(&w, QUICK);
    char sentence[200];
    snprintf(
        sentence, sizeof sentence,
        "f.ito: it was made with %s, and this is base: their last bits differ (ITO_ISA=%s asks "
        "for the former)",
        ito_isa(), ito_isa());
    cr_assert(isa_use("base"));
    not_read(&w, ito_const_data(w.c.file), ito_numel(w.c.file), ITO_ERR_ARGUMENT, sentence);
    end(&w);
}

Test(codec_refusals, a_file_names_whichever_instruction_set_made_it)
{
    for (int i = 0; isa_name(i) != NULL; i++) {
        if (!isa_use(isa_name(i)))
            continue;
        world w = begin(&ito_variance_fixedsmall, 2);
        compress(&w, QUICK);
        comes_back(&w);
        end(&w);
    }
}
