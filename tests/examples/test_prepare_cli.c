/* ito-ddpm prepare, and data that were prepared. */
#include "examples/ddpm/data.h"
#include "examples/ddpm/prepared.h"
#include "tests/examples/cli.h"
#include "tests/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(cli_prepare, .init = cli_enter, .fini = cli_leave, .timeout = 120);
TestSuite(prepared, .init = cli_enter, .fini = cli_leave, .timeout = 120);

#define PREPARE "prepare --data folder:photos --size 8 --grey --out p.safetensors "
#define LEARN "--batch 4 --channels 8 --multipliers 1,2 --blocks 1 --diffusion-steps 20 "

static void command(const char *text)
{
    cr_assert_eq(system(text), 0, "%s", text);
}

static void is_in(const char *words, const char *text)
{
    cr_expect_not_null(strstr(text, words), "\"%s\" is not in: %s", words, text);
}

/* photos/cat and photos/dog, of images that differ. */
static void write_photos(void)
{
    write_classes();
    for (int i = 0; i < 3; i++) {
        char path[64];
        ito_generator g = ito_generator_make(7, (uint64_t)i);
        snprintf(path, sizeof path, "photos/dog/%d.png", i);
        cr_assert_eq(ito_png_save(path, ito_randint(&g, 0, 256, ITO_SHAPE(1, 12, 10), ITO_U8)),
                     ITO_OK);
    }
}

Test(cli_prepare, training_on_a_prepared_folder_is_training_on_the_folder)
{
    write_photos();
    succeeds(run(PREPARE "--json"));
    cr_expect(number("images") == 6 && number("classes") == 2 && number("width") == 8);
    cr_expect_str_eq(complained, "p.safetensors: 6 images; train with: ito-ddpm train --data "
                                 "prepared:p.safetensors --out run\n");
    succeeds(run(
        "train --data folder:photos --size 8 --grey --conditional --out a --steps 4 " LEARN QUIET));
    succeeds(
        run("train --data prepared:p.safetensors --conditional --out b --steps 4 " LEARN QUIET));
    same_directory("a/checkpoints/step-4", "b/checkpoints/step-4");
    succeeds(run("train --data prepared:p.safetensors --out c --steps 2 " LEARN QUIET));
}

Test(cli_prepare, a_run_that_began_on_the_folder_goes_on_with_the_file)
{
    write_photos();
    succeeds(run("train --data folder:photos --size 8 --grey --conditional --out a --steps 4 "
                 "--stop-at 2 " LEARN QUIET));
    succeeds(run(
        "train --data folder:photos --size 8 --grey --conditional --out b --steps 4 " LEARN QUIET));
    succeeds(run(PREPARE));
    succeeds(run("train --resume --out a --data prepared:p.safetensors"));
    same_directory("a/checkpoints/step-4", "b/checkpoints/step-4");
}

Test(cli_prepare, other_commands_take_prepared_data)
{
    write_photos();
    succeeds(run(PREPARE));
    succeeds(
        run("train --data prepared:p.safetensors --conditional --out r --steps 2 " LEARN QUIET));
    succeeds(run("eval --model r --data prepared:p.safetensors --bits-per-dim --json"));
    cr_expect_eq(number("images"), 6);
    succeeds(run("plot --data prepared:p.safetensors --out plots"));
    cr_expect(there("plots/noised.png"));
    succeeds(run("classifier --model r --data prepared:p.safetensors --steps 2 --channels 8 --out "
                 "k.safetensors"));
    succeeds(run("info p.safetensors"));
    is_in("kind: data set of ito-ddpm prepare\n", said);
    is_in("images: u8 [6, 1, 8, 8]\n", said);
    is_in("labels: i64 [6]\n", said);
    is_in("class_names: [\"cat\",\"dog\"]\n", said);
    command("printf x | dd of=p.safetensors bs=1 seek=$(($(stat -c %s p.safetensors) - 60)) "
            "conv=notrunc 2>dd.txt");
    fails_with(run("info p.safetensors"), "tensor images: checksum does not match");
}

Test(cli_prepare, what_cannot_be_read_is_left_out_as_in_training)
{
    write_photos();
    put_file("photos/dog/zz.png", "this is no image");
    fails_with(
        run(PREPARE),
        "photos/dog/zz.png: is not a PNG, JPEG, BMP or WebP image (image 7 of 7); --skip-bad "
        "leaves such files out, and ito-ddpm info photos names all of them");
    command("test -z \"$(ls | grep p.safetensors)\""); /* nor a part of it */
    succeeds(run(PREPARE "--skip-bad --json"));
    cr_expect_eq(number("images"), 6);
    is_in("photos: 7 files: 6 images used, 1 left out (dog/zz.png: cannot be read)\n", complained);
    write_photos();
    put_file("photos/readme.txt", "hello");
    command("rm photos/dog/zz.png");
    succeeds(run(PREPARE));
    is_in("photos: 7 files: 6 images used, 1 left out (readme.txt: not an image)\n", complained);
}

Test(cli_prepare, bad_files_are_left_out_of_any_part)
{
    command("mkdir many");
    for (int i = 0; i < 600; i++) {
        char path[64];
        snprintf(path, sizeof path, "many/%03d.png", i);
        if (i >= 256 && i < 520) /* all of a part, and some of the next */
            put_file(path, "bad");
        else
            cr_assert_eq(ito_png_save(path, ito_full(ITO_SHAPE(1, 4, 4), i % 256, ITO_U8)), ITO_OK);
    }
    succeeds(run("prepare --data folder:many --size 4 --grey --skip-bad --out p.safetensors "
                 "--json"));
    cr_expect_eq(number("images"), 336);
    is_in("left out: 244 more, which ito-ddpm info many names\n", complained);
    ito_tensor *x = data_load((data_options){.spec = "prepared:p.safetensors"});
    cr_assert_not_null(x, "%s", ito_error());
    cr_expect_eq(((const uint8_t *)ito_const_data(x))[335 * 16], 599 % 256);
    command("rm many/0*.png many/1*.png many/20*.png many/21*.png many/22*.png many/23*.png "
            "many/24*.png many/250.png many/251.png many/252.png many/253.png many/254.png "
            "many/255.png many/5[2-9]*.png");
    int code = run("prepare --data folder:many --size 4 --skip-bad --out q.safetensors");
    cr_expect_eq(code, 1);
    is_in("ito-ddpm prepare: folder:many: none of its images can be read\n", complained);
    cr_expect(!there("q.safetensors"));
}

Test(cli_prepare, images_without_a_class_are_prepared_without_classes)
{
    write_photos();
    command("cp photos/cat/0.png photos/loose.png");
    succeeds(run(PREPARE));
    static const char without[] = "folder:photos: not every image has a class and every class an "
                                  "image: prepared without classes\n";
    is_in(without, complained);
    fails_with(run("train --data prepared:p.safetensors --conditional --out r " LEARN QUIET),
               "ito-ddpm train: p.safetensors: it was prepared of images without classes");
    succeeds(run("train --data prepared:p.safetensors --out r --steps 1 " LEARN QUIET));
    command("rm photos/loose.png; mkdir photos/bird");
    succeeds(run(PREPARE));
    is_in(without, complained);
    command("mkdir -p none/cat");
    fails_with(run("prepare --data folder:none --out n.safetensors"), "none: holds no ");
}

Test(cli_prepare, every_kind_of_data_is_prepared)
{
    succeeds(run("prepare --data npy:data.npy --out p.safetensors --json"));
    cr_expect(number("images") == 40 && number("classes") == 0);
    write_npy("half.npy", ito_full(ITO_SHAPE(3, 1, 8, 8), 0.5, ITO_F64));
    succeeds(run("prepare --data npy:half.npy --range 0,2 --out f.safetensors"));
    ito_tensor *x = data_load((data_options){.spec = "prepared:f.safetensors"});
    cr_assert(x != NULL && ito_dtype_of(x) == ITO_F32, "%s", ito_error());
    cr_expect_eq(((const float *)ito_const_data(x))[191], -0.5f);
    cr_expect(data_mirrors("prepared:f.safetensors"));

    write_idx("train-images-idx3-ubyte", ito_zeros(ITO_SHAPE(3, 8, 8), ITO_U8));
    write_idx("train-labels-idx1-ubyte", ito_full(ITO_SHAPE(3), 7, ITO_U8));
    succeeds(run("prepare --data mnist:. --out m.safetensors"));
    cr_expect(!data_mirrors("prepared:m.safetensors"), "digits are mirrored");
    cr_expect(data_has_classes("prepared:m.safetensors") &&
              !data_has_classes("prepared:f.safetensors"));
    ito_tensor *labels;
    cJSON *names;
    x = data_load_classes((data_options){.spec = "prepared:m.safetensors"}, &labels, &names);
    cr_assert_not_null(x, "%s", ito_error());
    cr_expect(((const uint8_t *)ito_const_data(labels))[2] == 7 && cJSON_GetArraySize(names) == 10);
    cJSON_Delete(names);
    fails_with(run("prepare --data mnist:. --split test --out t.safetensors"),
               "t10k-images-idx3-ubyte: there is no such file");
}

/* 8 MiB of images: the memory that training takes does not grow with them. */
Test(cli_prepare, a_data_set_is_not_in_memory)
{
    write_images("large.npy", 8192, 32);
    succeeds(run("prepare --data npy:large.npy --out p.safetensors --json"));
    cr_expect_lt(number("peak_bytes"), 4e6);
    static const char *const data[] = {"prepared:p.safetensors", "npy:large.npy"};
    for (int i = 0; i < 2; i++) {
        succeeds(run("train --data %s --out r%d --steps 2 --json " LEARN QUIET, data[i], i));
        cr_expect_lt(number("peak_bytes"), 8e6, "%s: %s", data[i], said);
    }
    same_directory("r0/checkpoints/step-2", "r1/checkpoints/step-2");
    write_idx("train-images-idx3-ubyte", ito_reshape(ito_npy_load("large.npy"), 8192, 32, 32));
    succeeds(run("train --data mnist:. --out whole --steps 2 --flip yes --json " LEARN QUIET));
    cr_expect_gt(number("peak_bytes"), 12e6, "the bound above would hold for any");
}

Test(cli_prepare, a_folder_is_prepared_in_less_memory_than_its_images_take)
{
    write_class("many", 600, 128, 9); /* 28 MiB of colour */
    succeeds(run("prepare --data folder:many --size 128 --out p.safetensors --json"));
    cr_expect_eq(number("images"), 600);
    cr_expect_lt(number("peak_bytes"), 15e6);
}

Test(cli_prepare, what_does_not_fit_is_refused)
{
    write_photos();
    is_usage_error("prepare --out p.safetensors", "--data is missing: what is prepared");
    is_usage_error("prepare --data npy:data.npy", "--out is missing: where it goes");
    is_usage_error("prepare --data npy:data.npy --grey --out p.safetensors",
                   "--grey: it is for folder:DIR, whose images it changes");
    is_usage_error("prepare --data npy:data.npy --skip-bad --out p.safetensors",
                   "--skip-bad: it is for folder:DIR, which has a file for each image");
    is_usage_error(PREPARE "--range 0,1", "--range: it is for npy:FILE, whose numbers it explains");
    is_usage_error(PREPARE "--split test", "--split: a folder has no test set");
    is_usage_error("prepare --data prepared:x --out p.safetensors",
                   "--data: prepared:x is prepared already");
    is_usage_error("prepare --data npy:data.npy --out p.png", "--out: ");
    fails_with(run("prepare --data npy:no.npy --out p.safetensors"),
               "no.npy: cannot open: No such file or directory");
    fails_with(run("prepare --data folder:photos/no --out p.safetensors"), "photos/no: ");
    cr_expect(!there("p.safetensors"));
}

/* ---- files that are not what they should be ---- */

/* A file of these tensors, with class names if there are any. */
static void write_prepared(const char *format, ito_tensor *images, ito_tensor *labels,
                           const char *names)
{
    const char *keys[] = {PREPARED_FORMAT, PREPARED_CLASSES}, *values[] = {format, names};
    cr_assert_eq(ito_safetensors_save("p", labels != NULL ? 2 : 1,
                                      (const char *[]){PREPARED_IMAGES, PREPARED_LABELS},
                                      (ito_tensor *[]){images, labels}, names != NULL ? 2 : 1, keys,
                                      values),
                 ITO_OK, "%s", ito_error());
}

static void refused(bool classes, ito_status code, const char *sentence)
{
    ito_tensor *labels;
    cJSON *names;
    data_options o = {.spec = "prepared:p"};
    expect_refused(classes ? data_load_classes(o, &labels, &names) : data_load(o), code, sentence);
}

Test(prepared, files_of_another_kind_are_refused)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 1, 4, 4), ITO_U8), *y = ito_zeros(ITO_SHAPE(2), ITO_U8);
    static const char names[] = "[\"a\",\"b\"]";
    write_prepared("pt", x, NULL, NULL);
    refused(false, ITO_ERR_FORMAT, "p: it is not a file of ito-ddpm prepare");
    cr_expect(!data_has_classes("prepared:p") && !data_has_classes("prepared:no"));
    cr_expect_eq(ito_error_code(), ITO_OK);
    write_prepared(PREPARED_FORMAT_VALUE, ito_reshape(x, 2, 16), NULL, NULL);
    refused(false, ITO_ERR_FORMAT, "p: its images are not [N, C, H, W] of u8 or f32");
    write_prepared(PREPARED_FORMAT_VALUE, ito_cast(x, ITO_I32), NULL, NULL);
    refused(false, ITO_ERR_FORMAT, "p: its images are not [N, C, H, W] of u8 or f32");
    write_prepared(PREPARED_FORMAT_VALUE, ito_zeros(ITO_SHAPE(0, 1, 4, 4), ITO_U8), NULL, NULL);
    refused(false, ITO_ERR_SHAPE, "prepared:p: it holds no images");
    write_prepared(PREPARED_FORMAT_VALUE, x, y, NULL);
    refused(true, ITO_ERR_ARGUMENT, "p: it was prepared of images without classes");
    write_prepared(PREPARED_FORMAT_VALUE, x, ito_zeros(ITO_SHAPE(3), ITO_U8), names);
    refused(true, ITO_ERR_FORMAT, "p: its labels are not u8 or i64, one for each image");
    write_prepared(PREPARED_FORMAT_VALUE, x, ito_cast(y, ITO_F32), names);
    refused(true, ITO_ERR_FORMAT, "p: its labels are not u8 or i64, one for each image");
    write_prepared(PREPARED_FORMAT_VALUE, x, y, "[1]");
    refused(true, ITO_ERR_FORMAT, "p: its class_names are not a list of texts");
    write_prepared(PREPARED_FORMAT_VALUE, x, y, "a, b");
    refused(true, ITO_ERR_FORMAT, "p: its class_names are not a list of texts");
    write_prepared(PREPARED_FORMAT_VALUE, x, ito_full(ITO_SHAPE(2), 2, ITO_I64), names);
    refused(true, ITO_ERR_FORMAT, "p: label 0 is 2, of 2 classes");
    write_prepared(PREPARED_FORMAT_VALUE, x, ito_full(ITO_SHAPE(2), -1, ITO_I64), names);
    refused(true, ITO_ERR_FORMAT, "p: label 0 is -1, of 2 classes");
}

/* Touch all pixels of a file that has been cut short. */
_Noreturn static void use_what_is_gone(void)
{
    volatile unsigned sum = 0;
    const uint8_t *pixels = NULL;
    ito_tensor *x = data_load((data_options){.spec = "prepared:p"});
    if (x != NULL && freopen("child.txt", "w", stderr) != NULL && truncate("p", 4096) == 0)
        pixels = ito_const_data(x);
    for (int64_t i = 0; pixels != NULL && i < ito_numel(x); i++)
        sum += pixels[i];
    _exit(sum == 0 ? 3 : 4);
}

Test(prepared, a_file_that_is_cut_short_in_use_ends_the_program_with_a_sentence)
{
    char words[256];
    write_prepared(PREPARED_FORMAT_VALUE, ito_zeros(ITO_SHAPE(64, 1, 32, 32), ITO_U8), NULL, NULL);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        use_what_is_gone();
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_expect_eq(WEXITSTATUS(status), 1);
    slurp("child.txt", words, sizeof words);
    cr_expect_str_eq(words, "ito-ddpm: p: has become shorter while it was in use\n");
}
