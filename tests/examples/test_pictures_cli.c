/* What commands write: names that say what is in the files, pictures of any number of channels and
 * any size, single ones that other commands take, and nothing lost by writing over it. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_pictures, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define FEW "--steps 3 "

/* A run of images [n, channels, 8, 8]. */
static void train_channels(const char *out, int64_t channels, const char *more)
{
    ito_generator g = ito_generator_make(1, 1);
    write_npy("channels.npy", ito_randint(&g, 0, 256, ITO_SHAPE(8, channels, 8, 8), ITO_U8));
    succeeds(run("train --data npy:channels.npy --out %s " TINY " %s", out, more));
}

static void is_size(const char *path, int64_t height, int64_t width)
{
    ito_tensor *x = ito_image_load(path, 1);
    cr_assert_not_null(x, "%s", ito_error_message());
    cr_expect(ito_size(x, 1) == height && ito_size(x, 2) == width, "%s: %dx%d", path,
              (int)ito_size(x, 1), (int)ito_size(x, 2));
}

/* The byte that x in [-1, 1] is drawn as. */
static int level(float x)
{
    float y = (x + 1.0f) * 127.5f + 0.5f;
    return y < 0.0f ? 0 : y > 255.0f ? 255 : (int)y;
}

Test(cli_pictures, a_picture_is_what_its_name_says)
{
    train_tiny("r", "--steps 1 " QUIET);
    succeeds(run("sample --model r --n 4 " FEW "--out a.jpg"));
    cr_assert_eq(system("head -c 3 a.jpg | od -An -tx1 | grep -q 'ff d8 ff'"), 0);
    is_size("a.jpg", 22, 22);
    is_usage_error("sample --model r --out g.txt",
                   "--out: g.txt: the name of a picture ends in .png, .jpg or .jpeg");
    is_usage_error("sample --model r --npy o.txt",
                   "--npy: o.txt: the name of a file of an array ends in .npy");
    is_usage_error("sample --model r --trajectory s.gif",
                   "--trajectory: s.gif: the name of a picture ends in .png, .jpg or .jpeg");
    is_usage_error("edit --model r --image a.png --out g", "--out: g: the name of a picture ends");
    is_usage_error("export --model r --out g.png",
                   "--out: g.png: the name of a file of a network ends in .safetensors");
    is_usage_error("compress --model r --images a.png --out g.png",
                   "--out: g.png: the name of a file of compressed images ends in .ito");
    is_usage_error("classifier --model r --data folder:x --out g.npy",
                   "--out: g.npy: the name of a file of a network ends in .safetensors");
    cr_assert(!there("g.txt") && !there("o.txt") && !there("s.gif") && !there("g.png"));
}

Test(cli_pictures, what_is_of_another_kind_is_not_written_over)
{
    train_tiny("r", "--steps 1 " QUIET);
    write_npy("one.npy", ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_U8));
    static const char *const cases[][3] = {
        {"sample --model r --n 1 " FEW "--out %s", "a.png", "an image"},
        {"sample --model r --n 1 " FEW "--npy %s", "a.npy", "a .npy file"},
        {"sample --model r --n 1 " FEW "--trajectory %s", "b.png", "an image"},
        {"sample --model r --n 1 " FEW "--out d/ --format jpg ", "d/0000.jpg", "an image"},
        {"sample --model r --n 1 " FEW "--frames d ", "d/frame-0002.png", "an image"},
        {"decode --model r --image one.npy " FEW "--out %s", "c.png", "an image"},
        {"compress --model r --images one.npy --steps 3 --block-bits 6 --candidate-bits 9 --out %s",
         "a.ito", "a file of ito-ddpm compress"},
        {"export --model r --out %s", "a.safetensors", "a safetensors file"}};
    cr_assert_eq(system("mkdir d"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[256], words[256], text[64];
        snprintf(command, sizeof command, cases[i][0], cases[i][1]);
        snprintf(words, sizeof words,
                 "%s: it is there and is not %s; name another file, or write over it by --force",
                 cases[i][1], cases[i][2]);
        put_file(cases[i][1], "notes of mine");
        fails_with(run("%s", command), words);
        slurp(cases[i][1], text, sizeof text);
        cr_expect_str_eq(text, "notes of mine");
        succeeds(run("%s --force", command));
        succeeds(run("%s", command)); /* over one of its kind */
        put_file(cases[i][1], "");
        succeeds(run("%s", command));
    }
}

Test(cli_pictures, single_images_have_no_border_and_are_taken_by_every_command)
{
    train_tiny("r", "--steps 1 " QUIET);
    succeeds(run("sample --model r --n 1 " FEW "--out one.png"));
    is_size("one.png", 8, 8);
    succeeds(run("sample --model r --n 3 --first 7 " FEW "--out many/ --npy many.npy"));
    cr_expect_str_eq(complained, "3 images in many/\n3 images in many.npy\n");
    cr_expect(there("many/0007.png") && there("many/0009.png") && !there("many/0010.png"));
    const float *x = ito_const_data(ito_npy_load("many.npy"));
    for (int i = 0; i < 3; i++) {
        char path[32];
        snprintf(path, sizeof path, "many/%04d.png", 7 + i);
        is_size(path, 8, 8);
        const uint8_t *pixels = ito_const_data(ito_image_load(path, 1));
        for (int k = 0; k < 64; k++)
            cr_assert_eq(pixels[k], level(x[i * 64 + k]), "%s: pixel %d", path, k);
    }
    succeeds(run("edit --model r --image one.png --n 1 " FEW "--out edited.png"));
    succeeds(run("inpaint --model r --image edited.png --mask one.png --n 2 " FEW "--out in/"));
    succeeds(run("encode --model r --data folder:many " FEW "--npy noise.npy --out back"
                 "/ --format jpg"));
    cr_expect(there("back/0002.jpg"));
    succeeds(run("interpolate --model r --data folder:in " FEW "--n 3 --out between/"));
    succeeds(run("decode --model r --image noise.npy " FEW "--out decoded/"));
    succeeds(run("compress --model r --images between --steps 3 --block-bits 6 "
                 "--candidate-bits 9 --out a.ito"));
    succeeds(run("decompress --model r a.ito --out again/"));
    cr_expect_eq(system("cmp between/0001.png again/0001.png"), 0);
}

/* Without limits on the way, numbers leave the range of pixels a little. */
Test(cli_pictures, generated_numbers_beyond_the_range_are_cut_as_in_a_picture)
{
    train_tiny("r", "--steps 1 " QUIET);
    ito_tensor *x = ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_F32);
    float *numbers = ito_data(x);
    numbers[0] = -1.25f;
    numbers[9] = 1.5f;
    write_npy("beyond.npy", x);
    numbers[0] = -1.0f;
    numbers[9] = 1.0f;
    write_npy("cut.npy", x);
    numbers[9] = 1.51f;
    write_npy("wild.npy", x);
    succeeds(run("edit --model r --n 1 " FEW "--image beyond.npy --npy a.npy"));
    succeeds(run("edit --model r --n 1 " FEW "--image cut.npy --npy b.npy"));
    cr_expect(same_file("a.npy", "b.npy"));
    fails_with(run("edit --model r --image wild.npy --npy c.npy"),
               "wild.npy: its numbers reach 1.51; f32 images lie in [-1, 1]");
}

Test(cli_pictures, padding_columns_and_zoom_are_as_asked)
{
    train_tiny("r", "--steps 1 " QUIET);
    succeeds(run("sample --model r --n 6 " FEW "--out a.png --columns 3 --padding 5 --zoom 4"));
    is_size("a.png", 2 * (32 + 5) + 5, 3 * (32 + 5) + 5);
    succeeds(run("sample --model r --n 6 " FEW "--out b.png --columns 3 --padding 0"));
    is_size("b.png", 16, 24);
    succeeds(run("sample --model r --n 1 " FEW "--out c.png --padding 1"));
    is_size("c.png", 10, 10);
    const uint8_t *large = ito_const_data(ito_image_load("a.png", 1)),
                  *small = ito_const_data(ito_image_load("b.png", 1));
    for (int y = 0; y < 8 * 4; y++)
        for (int x = 0; x < 8 * 4; x++) /* the image in row 1, column 2 */
            cr_assert_eq(large[(42 + y) * 116 + 79 + x], small[(8 + y / 4) * 24 + 16 + x / 4]);
    succeeds(run("sample --model r --n 1 " FEW "--frames f --zoom 2"));
    is_size("f/frame-0000.png", 16, 16);
    is_usage_error("sample --model r --npy a.npy --zoom 2",
                   "--zoom: it needs an --out, the picture");
    is_usage_error("sample --model r --out d/ --columns 2",
                   "--columns: each image is a file of its own in DIR/");
    is_usage_error("sample --model r --out a.png --format png",
                   "--format: it is for --out DIR/; the name of a file says it");
    is_usage_error("decompress --model r a.ito --npy a.npy --padding 1",
                   "--padding: it needs an --out, the picture");
    fails_with(run("sample --model r --out nowhere/d/"),
               "nowhere/d/: cannot make the directory: No such file or directory");
    cr_assert(!there("d"));
}

Test(cli_pictures, a_picture_that_would_be_too_large_is_refused_before_the_work)
{
    train_tiny("r", "--steps 1 " QUIET);
#define MOST "; the most are 16384 a side and 67108864 in all"
    is_usage_error("sample --model r --n 10000 --steps 20 --zoom 20 --out a.png",
                   "--out: a picture of 10000 images would have 16202 x 16202 pixels" MOST);
    is_usage_error("sample --model r --n 2000 --steps 20 --columns 2000 --out a.png",
                   "--out: a picture of 2000 images would have 20002 x 12 pixels" MOST);
    is_usage_error("sample --model r --n 2000 --steps 20 --frames f --columns 2000",
                   "--frames: a picture of 2000 images would have 20002 x 12 pixels" MOST);
    is_usage_error("sample --model r --n 2000 --steps 20 --trajectory s.png",
                   "--trajectory: a picture of 20000 images would have 102 x 20002 pixels" MOST);
    write_images("large.npy", 4, 256);
    is_usage_error(
        "train --data npy:large.npy --out t --sample-count 10000 " TINY,
        "--sample-count: a picture of 10000 images would have 25802 x 25802 pixels" MOST);
    cr_assert(!there("f") && !there("t"));
}

/* Neither grey nor colour: each channel is a grey image, side by side. */
Test(cli_pictures, images_of_any_number_of_channels_are_drawn)
{
    static const int64_t channels[] = {2, 4, 5};
    for (int i = 0; i < 3; i++) {
        int64_t C = channels[i];
        char words[100];
        cr_assert_eq(system("rm -rf r"), 0);
        train_channels("r", C, "--steps 2 --sample-every 1 --sample-count 4 --sample-steps 2");
        snprintf(words, sizeof words,
                 "images have %d channels: pictures show them side by side, in grey\n", (int)C);
        cr_expect_not_null(strstr(complained, words), "%s", complained);
        is_size("r/samples/step-1.png", 2 * 10 + 2, 2 * (8 * C + 2) + 2);
        cr_expect(there("r/samples/step-2.png"));
        succeeds(run("sample --model r --n 1 " FEW "--out a.png --npy a.npy --trajectory s.png"));
        snprintf(words, sizeof words,
                 "1 image in a.png\nthe %d channels of each are side by side, in grey\n", (int)C);
        cr_expect_not_null(strstr(complained, words), "%s", complained);
        is_size("a.png", 8, 8 * C);
        const float *x = ito_const_data(ito_npy_load("a.npy"));
        const uint8_t *pixels = ito_const_data(ito_image_load("a.png", 1));
        for (int64_t c = 0; c < C; c++)
            for (int k = 0; k < 64; k++)
                cr_assert_eq(pixels[k / 8 * 8 * C + c * 8 + k % 8], level(x[c * 64 + k]));
        succeeds(run("edit --model r --image a.npy --n 2 " FEW "--out b.png"));
        is_size("b.png", 10 + 2, 2 * (8 * C + 2) + 2);
        snprintf(words, sizeof words,
                 "a.png: a picture has 1 or 3 channels, and the network takes %d; a .npy file can "
                 "have them",
                 (int)C);
        fails_with(run("edit --model r --image a.png --n 2 " FEW "--out b.png"), words);
        succeeds(run("plot --out p --data npy:channels.npy"));
        cr_expect(there("p/noised.png"));
    }
}
