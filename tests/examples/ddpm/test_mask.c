/* Masks: what each kind of file means, and what is refused. */
#include "examples/ddpm/mask.h"
#include "tests/examples/cli.h"
#include "tests/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

TestSuite(mask, .init = cli_enter, .fini = cli_leave);

enum { H = 4, W = 6 };

/* [H, W] of this dtype: `off` in the left half, `on` in the right. */
static ito_tensor *halves(ito_dtype dtype, double off, double on)
{
    double values[H * W];
    for (int i = 0; i < H * W; i++)
        values[i] = i % W < W / 2 ? off : on;
    return ito_cast(ito_from_data(values, ITO_SHAPE(H, W), ITO_F64), dtype);
}

/* The mask of the file keeps the right half, in each channel. */
static void keeps_right(const char *path, int64_t channels)
{
    ito_tensor *m = mask_load(path, channels, H, W);
    cr_assert_not_null(m, "%s", ito_error());
    cr_assert(ito_dtype_of(m) == ITO_BOOL && ito_ndim(m) == 4 && ito_size(m, 0) == 1);
    cr_assert_eq(ito_numel(m), channels * H * W);
    const bool *keep = ito_const_data(m);
    for (int64_t i = 0; i < channels * H * W; i++)
        cr_assert_eq(keep[i], i % W >= W / 2, "element %" PRId64, i);
}

Test(mask, arrays_keep_where_they_are_true_or_one_or_white)
{
    static const struct {
        ito_dtype dtype;
        double off, on;
    } cases[] = {
        {ITO_BOOL, 0, 1},      {ITO_U8, 0, 1},   {ITO_U8, 0, 255},  {ITO_U8, 100, 200},
        {ITO_F32, 0, 1},       {ITO_F32, -1, 1}, {ITO_F64, 0, 255}, {ITO_F32, 0.4, 0.6},
        {ITO_F32, -0.1, 0.1},  {ITO_I64, 0, 1},  {ITO_I32, 0, 255}, {ITO_I32, -1, 1},
        {ITO_F16, 0.25, 0.75},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_npy("m.npy", halves(cases[i].dtype, cases[i].off, cases[i].on));
        keeps_right("m.npy", 1);
        keeps_right("m.npy", 3);
    }
}

Test(mask, arrays_have_channels_or_none)
{
    ito_tensor *m = halves(ITO_BOOL, 0, 1);
    ito_tensor *three = ito_contiguous(ito_expand(ito_unsqueeze(m, 0), 3, H, W));
    ito_tensor *shapes[] = {ito_reshape(m, 1, H, W),
                            ito_reshape(m, H, W, 1),
                            ito_reshape(m, 1, 1, H, W),
                            ito_reshape(m, 1, H, W, 1),
                            three,
                            ito_contiguous(ito_permute(three, 1, 2, 0)),
                            ito_unsqueeze(three, 0)};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        write_npy("m.npy", shapes[i]);
        keeps_right("m.npy", 3);
    }
    write_npy("m.npy", three);
    expect_refused(mask_load("m.npy", 1, H, W), ITO_ERR_SHAPE,
                   "m.npy: the mask is [3, 4, 6]; for this network one is [4, 6], or that with an "
                   "axis of channels");
    write_npy("m.npy", ito_transpose(m, 0, 1));
    expect_refused(
        mask_load("m.npy", 3, H, W), ITO_ERR_SHAPE,
        "m.npy: the mask is [6, 4]; for this network one is [4, 6], or that with an axis "
        "of channels");
    write_npy("m.npy", ito_reshape(m, H * W));
    expect_refused(
        mask_load("m.npy", 3, H, W), ITO_ERR_SHAPE,
        "m.npy: the mask is [24]; for this network one is [4, 6], or that with an axis of "
        "channels");
    write_npy("m.npy", ito_zeros(ITO_SHAPE(2, 1, H, W), ITO_U8));
    expect_refused(
        mask_load("m.npy", 3, H, W), ITO_ERR_SHAPE,
        "m.npy: the mask is [2, 1, 4, 6]; for this network one is [4, 6], or that with an "
        "axis of channels");
}

Test(mask, pictures_keep_where_they_are_bright)
{
    static const double pairs[][2] = {{0, 255}, {0, 1}, {0, 128}, {127, 128}, {60, 200}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        ito_tensor *m = ito_unsqueeze(halves(ITO_U8, pairs[i][0], pairs[i][1]), 0);
        cr_assert_eq(ito_png_save("m.png", m), ITO_OK);
        keeps_right("m.png", 1);
        cr_assert_eq(ito_png_save("m.png", ito_contiguous(ito_expand(m, 3, H, W))), ITO_OK);
        keeps_right("m.png", 3);
    }
    /* Painted in yellow: all channels stay, not red and green alone. */
    ito_tensor *on = halves(ITO_U8, 0, 255), *off = halves(ITO_U8, 0, 0);
    ito_tensor *yellow = ito_reshape(ito_cat((ito_tensor *[]){on, on, off}, 3, 0), 3, H, W);
    cr_assert_eq(ito_png_save("m.png", yellow), ITO_OK, "%s", ito_error());
    keeps_right("m.png", 3);
    expect_refused(mask_load("m.png", 3, W, H), ITO_ERR_SHAPE,
                   "m.png: the mask is [1, 4, 6]; for this network one is [6, 4], or that with an "
                   "axis of channels");
}

static void put_chunk(FILE *f, const char *kind, const void *bytes, uint32_t n)
{
    uint32_t length = __builtin_bswap32(n);
    uLong crc = crc32(crc32(0, (const Bytef *)kind, 4), bytes, n);
    uint32_t check = __builtin_bswap32((uint32_t)crc);
    fwrite(&length, 4, 1, f);
    fwrite(kind, 4, 1, f);
    fwrite(bytes, 1, n, f);
    fwrite(&check, 4, 1, f);
}

/* Grey with alpha: half of it is transparent. */
Test(mask, a_picture_with_transparency_is_refused)
{
    unsigned char rows[H * (1 + 2 * W)] = {0}, packed[512];
    for (int y = 0; y < H; y++)
        for (int x = W / 2; x < W; x++)
            rows[y * (1 + 2 * W) + 2 + 2 * x] = 255;
    uLongf size = sizeof packed;
    cr_assert_eq(compress(packed, &size, rows, sizeof rows), Z_OK);
    FILE *f = fopen("m.png", "wb");
    cr_assert_not_null(f);
    fwrite("\x89PNG\r\n\x1a\n", 8, 1, f);
    put_chunk(f, "IHDR", "\0\0\0\6\0\0\0\4\10\4\0\0\0", 13);
    put_chunk(f, "IDAT", packed, (uint32_t)size);
    put_chunk(f, "IEND", "", 0);
    fclose(f);
    expect_refused(mask_load("m.png", 1, H, W), ITO_ERR_ARGUMENT,
                   "m.png: it has transparency, which may stand for what stays or what is "
                   "completed; save the mask in black and white, without an alpha channel");
}

Test(mask, all_or_nothing_is_refused)
{
    static const struct {
        ito_dtype dtype;
        double value;
        const char *sentence;
    } cases[] = {
        {ITO_BOOL, 1,
         "m.npy: the mask keeps all of the image (its numbers are from 1 to 1), so that there is "
         "nothing to complete"},
        {ITO_BOOL, 0,
         "m.npy: the mask keeps nothing of the image (its numbers are from 0 to 0); ito-ddpm "
         "sample "
         "makes whole images"},
        {ITO_U8, 255,
         "m.npy: the mask keeps all of the image (its numbers are from 255 to 255), so that there "
         "is "
         "nothing to complete"},
        {ITO_I32, 2,
         "m.npy: the mask keeps nothing of the image (its numbers are from 2 to 2); ito-ddpm "
         "sample "
         "makes whole images"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_npy("m.npy", ito_full(ITO_SHAPE(H, W), cases[i].value, cases[i].dtype));
        expect_refused(mask_load("m.npy", 1, H, W), ITO_ERR_ARGUMENT, cases[i].sentence);
    }
    cr_assert_eq(ito_png_save("m.png", ito_full(ITO_SHAPE(1, H, W), 255, ITO_U8)), ITO_OK);
    expect_refused(mask_load("m.png", 1, H, W), ITO_ERR_ARGUMENT,
                   "m.png: the mask keeps all of the image (its numbers are from 255 to 255), so "
                   "that there is nothing to complete");
}

Test(mask, numbers_that_are_no_mask_are_refused)
{
    write_npy("m.npy", halves(ITO_F32, -5, 300));
    expect_refused(mask_load("m.npy", 1, H, W), ITO_ERR_RANGE,
                   "m.npy: the mask has numbers from -5 to 300; one has 0 where the image is "
                   "completed and 1, or 255, where it stays");
    write_npy("m.npy", halves(ITO_F32, 0, (double)NAN));
    expect_refused(mask_load("m.npy", 1, H, W), ITO_ERR_RANGE,
                   "m.npy: the mask has a number that is not finite");
    expect_refused(mask_load("no.png", 1, H, W), ITO_ERR_IO,
                   "no.png: cannot open: No such file or directory");
}
