/* ito-ddpm compress and decompress from outside: images come back to the bit, beginnings of files
 * give guesses, and what does not fit is refused. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/whole_file.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

TestSuite(cli_compress, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define FAST "--steps 8 --block-bits 6 --candidate-bits 9 "

/* A run, and two.npy: the first images of its data. */
static void prepare(void)
{
    train_tiny("r", "--steps 2 " QUIET);
    ito_tensor *x = ito_reshape(ito_narrow(ito_npy_load("data.npy"), 0, 0, 2), 2, 1, 8, 8);
    write_npy("two.npy", ito_contiguous(x));
    write_npy("one.npy", ito_contiguous(ito_narrow(x, 0, 1, 1)));
    cr_assert_eq(ito_png_save("one.png", ito_select(x, 0, 1)), ITO_OK);
}

static ito_tensor *pixels(const char *path)
{
    ito_tensor *x = ito_contiguous(ito_image_load(path, 1));
    cr_assert_not_null(x, "%s", ito_error());
    return x;
}

static bool same_pixels(const ito_tensor *a, const ito_tensor *b)
{
    return ito_numel(a) == ito_numel(b) &&
           memcmp(ito_const_data(a), ito_const_data(b), (size_t)ito_numel(a)) == 0;
}

static void chunk(FILE *f, const char *type, const void *data, size_t n)
{
    unsigned char bytes[256], crc[4];
    memcpy(bytes, type, 4);
    memcpy(bytes + 4, data, n);
    uint32_t sum = (uint32_t)crc32(0, bytes, (uInt)n + 4);
    for (int i = 0; i < 4; i++)
        crc[i] = (unsigned char)(sum >> 8 * (3 - i));
    fwrite((unsigned char[]){0, 0, 0, (unsigned char)n}, 1, 4, f);
    fwrite(bytes, 1, n + 4, f);
    fwrite(crc, 1, 4, f);
}

/* 8x8 zeros, with a palette if the colour type is 3, and tRNS if transparent. */
static void write_black_png(const char *path, int depth, int colour, bool transparent)
{
    static const int samples[] = {[0] = 1, [2] = 3, [3] = 1, [4] = 2, [6] = 4};
    unsigned char rows[8 * 65] = {0}, packed[200];
    uLongf size = sizeof packed;
    uLong n = (uLong)(8 * (1 + samples[colour] * depth));
    cr_assert_eq(compress(packed, &size, rows, n), Z_OK);
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f);
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, f);
    chunk(f, "IHDR",
          (unsigned char[]){0, 0, 0, 8, 0, 0, 0, 8, (unsigned char)depth, (unsigned char)colour, 0,
                            0, 0},
          13);
    if (colour == 3)
        chunk(f, "PLTE", "\7\7\7\0\0\0", 6);
    if (transparent)
        chunk(f, "tRNS", "\0\0", colour == 3 ? 1 : 2);
    chunk(f, "IDAT", packed, size);
    chunk(f, "IEND", "", 0);
    cr_assert_eq(fclose(f), 0);
}

static int64_t size_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    fseek(f, 0, SEEK_END);
    int64_t size = ftell(f);
    fclose(f);
    return size;
}

Test(cli_compress, images_come_back_exactly)
{
    prepare();
    succeeds(run("compress --model r --images two.npy --out two.ito --curve c.csv " FAST "--json"));
    cr_expect_eq(number("bytes"), (double)size_of("two.ito"));
    cr_expect_eq(number("steps"), 8);
    cr_expect(number("bits_per_dim_written") > number("bits_per_dim_of_the_bound"));
    cr_expect_float_eq(number("overhead"),
                       number("bits_per_dim_written") / number("bits_per_dim_of_the_bound") - 1,
                       1e-6);
    char curve[4096];
    slurp("c.csv", curve, sizeof curve);
    cr_expect_eq(count_lines(curve), 1 + 8 + 1);
    cr_expect_eq(strncmp(curve, "t,bits_per_dim,bound_bits_per_dim,rmse\n19,0,0,", 46), 0, "%s",
                 curve);
    succeeds(run("decompress --model r two.ito --npy back.npy --out grid.png --json"));
    cr_expect_eq(number("exact"), 1);
    cr_expect(same_file("two.npy", "back.npy"));
    /* One image as PNG, and a directory of them: as the .npy of the same. */
    succeeds(run("compress --model r --images one.png --out one.ito " FAST));
    cr_expect_not_null(strstr(said, "image 0: bits/dim written "), "%s", said);
    succeeds(run("decompress --model r one.ito --out back.png --npy back.npy"));
    succeeds(run("decompress --model r --file one.ito --out named.png"));
    cr_assert(same_file("back.png", "named.png"));
    cr_expect(same_pixels(pixels("one.png"), pixels("back.png")));
    cr_expect(same_file("one.npy", "back.npy"));
    cr_assert_eq(system("mkdir dir && cp one.png dir/b.png && cp one.png dir/a.PNG"), 0);
    succeeds(run("compress --model r --images dir --out dir.ito " FAST "--threads 1"));
    succeeds(run("compress --model r --images dir --out again.ito " FAST "--threads 3 --batch 1"));
    cr_expect(same_file("dir.ito", "again.ito"));
    succeeds(run("decompress --model r dir.ito --npy back.npy --json"));
    cr_expect_eq(number("images"), 2);
}

Test(cli_compress, a_part_of_a_file_gives_a_guess)
{
    prepare();
    succeeds(run("compress --model r --images one.png --out one.ito " FAST));
    cr_assert_eq(system("head -c 120 one.ito > part.ito"), 0);
    succeeds(run("decompress --model r part.ito --out part.png --json"));
    cr_expect_eq(number("exact"), 0);
    cr_expect(number("t") > 0 && number("bytes_read") <= 120);
    cr_expect_eq(number("bytes"), (double)size_of("one.ito"));
    cr_expect_not_null(strstr(complained, "bytes of part.ito: what the network makes of step "),
                       "%s", complained);
    succeeds(run("decompress --model r one.ito --until 5 --out until.png --json"));
    cr_expect(number("exact") == 0 && number("t") <= 5);
    cr_expect(!same_pixels(pixels("until.png"), pixels("part.png")));
    cr_assert_eq(system("head -c 12 one.ito > part.ito"), 0);
    fails_with(run("decompress --model r part.ito --out a.png"),
               "part.ito: it ends after 12 bytes, within its header");
    cr_expect(!there("a.png"));
}

/* In the order of the listing: those at the top, then folder by folder. */
Test(cli_compress, a_directory_gives_all_of_its_images_or_none)
{
    prepare();
    ito_tensor *two = ito_npy_load("two.npy");
    cr_assert_eq(system("mkdir -p all/deep/er && cp one.png all/z.PNG"), 0);
    cr_assert_eq(ito_png_save("all/deep/er/a.png", ito_select(two, 0, 0)), ITO_OK);
    cr_assert_eq(system("touch all/notes.txt"), 0);
    succeeds(run("compress --model r --images all --out all.ito " FAST));
    cr_expect_not_null(
        strstr(complained, "all: 3 files: 2 images used, 1 left out (notes.txt: not an image)\n"),
        "%s", complained);
    succeeds(run("decompress --model r all.ito --npy back.npy"));
    ito_tensor *back = ito_npy_load("back.npy");
    cr_expect(same_pixels(ito_contiguous(ito_flip(back, 0)), two));

    cr_assert_eq(system("touch all/x.gif"), 0);
    fails_with(run("compress --model r --images all --out none.ito " FAST),
               "ito-ddpm compress: all: 1 of its images is of a format that is not read (x.gif); "
               "make it a PNG file first\n");
    cr_assert_eq(system("touch all/deep/y.tif"), 0);
    fails_with(run("compress --model r --images all --out none.ito " FAST),
               "ito-ddpm compress: all: 2 of its images are of a format that is not read (x.gif, "
               "...); make them PNG files first\n");
    cr_expect(!there("none.ito"));
    /* The pixels of a JPEG file are those that come back, as for one alone. */
    cr_assert_eq(system("rm -r all/* && cp one.png all"), 0);
    cr_assert_eq(ito_image_save("all/a.jpg", ito_select(two, 0, 0)), ITO_OK);
    succeeds(run("compress --model r --images all --out both.ito " FAST));
    succeeds(run("decompress --model r both.ito --npy back.npy"));
    back = ito_npy_load("back.npy");
    cr_expect(same_pixels(ito_contiguous(ito_narrow(back, 0, 0, 1)), pixels("all/a.jpg")));
    cr_expect(same_pixels(ito_contiguous(ito_narrow(back, 0, 1, 1)), pixels("one.png")));
}

Test(cli_compress, classes_are_in_the_file)
{
    prepare();
    cr_assert_eq(system("mkdir -p folder/bag folder/boot && for i in 1 2 3 4; do cp one.png "
                        "folder/bag/$i.png; cp one.png folder/boot/$i.png; done"),
                 0);
    succeeds(run("train --data folder:folder --size 8 --grey --conditional --out k --steps 2 " TINY
                 " " QUIET));
#define K "compress --model k --images two.npy --out k.ito " FAST
    const char *const given[] = {"", "--class boot", "--class none", "--class bag,1",
                                 "--class 0,none"};
    for (int i = 0; i < 5; i++) {
        succeeds(run(K "%s", given[i]));
        succeeds(run("decompress --model k k.ito --npy back.npy"));
        cr_expect(same_file("two.npy", "back.npy"), "%s", given[i]);
    }
    succeeds(run(K "--class BAG,none --json"));
    cr_expect_not_null(strstr(complained, "classes: bag, none\n"), "%s", complained);
    cr_expect_not_null(strstr(said, "\"class\":\"bag\"}"), "%s", said);
    cr_expect_not_null(strstr(said, "\"class\":\"none\"}"), "%s", said);
    is_usage_error(K "--class hat", "--class: \"hat\" is none of bag, boot, nor 0 to 1");
    is_usage_error(K "--class bag,boot,bag", "--class: there are 3 for 2 images");
    is_usage_error("compress --model r --images two.npy --out k.ito --class bag",
                   "--class: the network was trained without classes");
}

Test(cli_compress, info_describes_the_file_having_verified_it)
{
    prepare();
    succeeds(run("compress --model r --images two.npy --out two.ito --seed 7 " FAST));
    succeeds(run("info two.ito --json"));
    cr_expect_not_null(strstr(said, "\"kind\":\"images compressed by ito-ddpm\""), "%s", said);
    cr_expect_not_null(strstr(said, "\"shape\":\"[2, 1, 8, 8]\""), "%s", said);
    cr_expect_eq(number("images"), 2.0);
    cr_expect_eq(number("seed"), 7.0);
    struct stat whole;
    cr_assert_eq(stat("two.ito", &whole), 0);
    cr_expect_eq(number("bytes"), (double)whole.st_size);
    cr_expect_eq(number("bits_per_dim"), 8.0 * (double)whole.st_size / 128.0);
    cr_expect_null(strstr(said, "bytes_there"), "%s", said);

    cr_assert_eq(
        system("head -c 90 two.ito >part.ito; cp two.ito bad.ito; printf x | dd of=bad.ito "
               "bs=1 seek=70 conv=notrunc 2>/dev/null; cp two.ito named"),
        0);
    succeeds(run("info named"));
    succeeds(run("info part.ito --json"));
    cr_expect_eq(number("bytes"), (double)whole.st_size);
    cr_expect_eq(number("bytes_there"), 90.0);
    fails_with(run("info bad.ito"), "bad.ito: it is damaged within bytes ");
    put_file("words.ito", "Item");
    fails_with(run("info words.ito"), "words.ito: it holds no images compressed by ito-ddpm");
    put_file("words.txt", "some words");
    fails_with(run("info words.txt"), "words.txt: it is neither a safetensors, PyTorch, npy, npz, "
                                      "IDX, image nor compressed file");
}

Test(cli_compress, refuses_what_does_not_fit_and_writes_nothing)
{
    prepare();
    write_images("large.npy", 2, 12);
    ito_generator g = ito_generator_make(1, 1);
    ito_tensor *colour = ito_randint(&g, 0, 256, ITO_SHAPE(3, 8, 8), ITO_U8);
    cr_assert_eq(ito_png_save("colour.png", colour), ITO_OK);
    write_npy("colour.npy", ito_unsqueeze(colour, 0));
    write_npy("float.npy", ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_F32));
    put_file("text.ito", "Image");
    cr_assert_eq(system("mkdir empty"), 0);
#define COMPRESS "compress --model r --out a.ito --images "
    fails_with(run(COMPRESS "large.npy"),
               "large.npy: the images are 12x12 with 1 channel, and the network takes 8x8 with 1");
    fails_with(run(COMPRESS "colour.npy"),
               "colour.npy: the images are 8x8 with 3 channels, and the network takes 8x8 with 1");
    fails_with(run(COMPRESS "colour.png"),
               "colour.png: the image has colours, and the network takes 1 channel");
    fails_with(run(COMPRESS "float.npy"),
               "float.npy: the images are f32; only bytes (uint8) come back exactly");
    write_npy("none.npy", ito_zeros(ITO_SHAPE(0, 1, 8, 8), ITO_U8));
    fails_with(run(COMPRESS "none.npy"), "none.npy: it holds no images");
    fails_with(run(COMPRESS "empty"), "empty: there is no image file in it");
    fails_with(run(COMPRESS "no.png"), "no.png: ");
    is_usage_error(COMPRESS "one.png --steps 21",
                   "--steps: 21 is more than the 20 of the diffusion");
    fails_with(run(COMPRESS "one.png --block-bits 9 --candidate-bits 4"),
               "compress: blocks of 9 bits and 2^4 candidates; ");
    is_usage_error("compress --model r --out a.ito", "--images is missing");
    is_usage_error("compress --model r --images one.png", "--out is missing");
    is_usage_error("compress --images one.png --out a.ito", "--model is missing");
    is_usage_error("decompress --model r --out a.png", "FILE.ito is missing");
    is_usage_error("decompress --model r one.ito", "--out or --npy is missing");
    fails_with(run("compress --model r --images one.png --out nowhere/a.ito"),
               "nowhere/a.ito: cannot write it");
    cr_expect(!there("a.ito"));

    succeeds(run("compress --model r --images one.png --out one.ito " FAST));
#define DECOMPRESS "decompress --model r --out a.png "
    fails_with(run(DECOMPRESS "text.ito"), "text.ito: it holds no images compressed by ito-ddpm");
    fails_with(run(DECOMPRESS "no.ito"), "no.ito: ");
    is_usage_error(DECOMPRESS "one.ito --until 20",
                   "--until: 20 is no step of the diffusion, which ends at 19");
    fails_with(run("decompress --model r --weights model --out a.png one.ito"),
               "one.ito: it was made with another network, another checkpoint of it or another "
               "diffusion");
    train_tiny("other", "--steps 2 --seed 5 " QUIET);
    fails_with(run("decompress --model other --out a.png one.ito"),
               "one.ito: it was made with another network");
    fails_with(run("decompress --model r --variance fixedlarge --out a.png one.ito"),
               "one.ito: it was made with another network");
    cr_assert_eq(system("cp one.ito bad.ito && printf x | dd of=bad.ito bs=1 seek=70 conv=notrunc "
                        "2>/dev/null"),
                 0);
    fails_with(run(DECOMPRESS "bad.ito"), "bad.ito: it is damaged within bytes ");
    cr_expect(!there("a.png"));
}

Test(cli_compress, refuses_a_file_of_another_instruction_set)
{
    prepare();
    succeeds(run("compress --model r --images one.png --out one.ito " FAST));
    setenv("ITO_ISA", "base", 1);
    int code = run("decompress --model r one.ito --out a.png");
    unsetenv("ITO_ISA");
    if (code == 0)
        cr_skip("this machine has no other instruction set");
    fails_with(code, ", and this is base: their last bits differ (ITO_ISA=");
    cr_expect(!there("a.png"));
}

/* What an 8-bit image without alpha cannot hold is refused: it would be lost without a word. */
Test(cli_compress, what_would_not_come_back_is_refused)
{
    enum { GREY = 0, COLOUR = 2, PALETTE = 3, GREY_ALPHA = 4, COLOUR_ALPHA = 6 };
    static const struct {
        int depth, colour;
        bool transparent; /* tRNS */
        const char *words;
    } cases[] = {
#define BITS                                                                                       \
    "its samples have 16 bits, and 8 of them would come back; make it an image of 8 bits first"
#define ALPHA                                                                                      \
    "it has transparency, which would not come back; remove its alpha channel or transparent "     \
    "colours first"
        {16, GREY, false, BITS},         {16, COLOUR, false, BITS}, {8, GREY_ALPHA, false, ALPHA},
        {8, COLOUR_ALPHA, false, ALPHA}, {8, GREY, true, ALPHA},    {8, PALETTE, true, ALPHA}};
    prepare();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char words[256];
        snprintf(words, sizeof words, "a.png: %s", cases[i].words);
        write_black_png("a.png", cases[i].depth, cases[i].colour, cases[i].transparent);
        cr_assert_not_null(ito_image_load("a.png", 3), "%s", ito_error());
        fails_with(run("compress --model r --out a.ito --images a.png " FAST), words);
        cr_assert_eq(system("mkdir -p dir && mv a.png dir"), 0);
        snprintf(words, sizeof words, "dir/a.png: %s", cases[i].words);
        fails_with(run("compress --model r --out a.ito --images dir " FAST), words);
    }
    cr_expect_not(there("a.ito"));
    /* Fewer bits, and a palette, are all there. */
    write_black_png("a.png", 4, PALETTE, false);
    succeeds(run("compress --model r --out a.ito --images a.png " FAST));
    write_black_png("a.png", 1, GREY, false);
    succeeds(run("compress --model r --out a.ito --images a.png " FAST));
    succeeds(run("decompress --model r a.ito --out back.png"));
    cr_expect(same_pixels(pixels("a.png"), pixels("back.png")));
}

Test(cli_compress, four_colours_are_refused)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/reference/images.safetensors", getenv("ITO_SOURCE"));
    prepare();
    ito_safetensors *f = ito_safetensors_open(path);
    ito_tensor *file = ito_safetensors_read(f, "jpeg/cmyk.file");
    cr_assert_eq(ito_file_write("a.jpg", ito_const_data(file), (size_t)ito_numel(file)), ITO_OK);
    ito_safetensors_close(f);
    fails_with(
        run("compress --model r --out a.ito --images a.jpg " FAST),
        "a.jpg: its colours are cyan, magenta, yellow and black, and would come back as red, "
        "green and blue; convert it first");
    cr_expect_not(there("a.ito"));
}
