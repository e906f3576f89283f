/* Folders of images as people have them: files at any depth, of other formats, and damaged ones. */
#include "tests/examples/cli.h"

#include "tensor/io/image.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(cli_folder, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define SMALL                                                                                      \
    "--size 8 --grey --batch 4 --channels 8 --multipliers 1,2 --blocks 1 --diffusion-steps 20 "    \
    "--sample-every 0 "

static void says(const char *line)
{
    cr_expect_not_null(strstr(complained, line), "\"%s\" is not in: %s", line, complained);
}

static void shell(const char *command)
{
    cr_assert_eq(system(command), 0, "%s", command);
}

/* ---- files that are left out ---- */

Test(cli_folder, what_is_left_out_is_said_at_the_start)
{
    write_class("photos", 2, 8, 10);
    write_class("photos/thumbs", 1, 8, 20);
    write_class("photos/deep/er/more", 3, 8, 30);
    succeeds(run("train --data folder:photos --out all --steps 1 " SMALL));
    says("folder:photos: 6 images of 1x8x8;");
    cr_expect_null(strstr(complained, "left out"), "%s", complained);
    shell("touch photos/x.gif");
    succeeds(run("train --data folder:photos/ --out one --steps 1 " SMALL));
    says("photos/: 7 files: 6 images used, 1 left out (x.gif: format not read)\n");
    shell("touch photos/y.gif photos/.hidden.gif photos/deep/notes.txt");
    succeeds(run("plot --data folder:photos --out plots"));
    says("photos: 9 files: 6 images used, 3 left out (x.gif and 1 more: format not read; "
         "deep/notes.txt: not an image)\n");
}

/* Names of files come from outside, and may hold what would control the terminal. */
Test(cli_folder, control_characters_of_names_are_not_printed)
{
    write_class("photos", 1, 8, 10);
    shell("touch photos/\"$(printf 'a\\033[31mb')\".gif && printf x > photos/\"$(printf "
          "'c\\rd')\".png");
    succeeds(run("plot --data folder:photos --out p --skip-bad"));
    says("left out (a?[31mb.gif: format not read; c?d.png: cannot be read)\n"
         "left out: photos/c?d.png: ");
    succeeds(run("plot --data folder:photos --out p --skip-bad --quiet"));
    cr_expect_str_eq(complained, "");
}

Test(cli_folder, images_beside_the_folders_of_classes_are_refused_with_classes)
{
    write_classes();
    shell("cp photos/cat/0.png photos/cat/1.png photos");
    fails_with(run("train --data folder:photos --conditional --out r " SMALL),
               "ito-ddpm train: photos: 2 images are beside the folders of its classes (0.png, "
               "...): move them into one, or do without classes\n");
    succeeds(run("train --data folder:photos --out r --steps 1 " SMALL));
    says("folder:photos: 8 images of 1x8x8;");
    succeeds(run("info photos --json"));
    cr_expect(number("files") == 8 && number("images") == 8 && number("classes") == 2 &&
              number("images_beside_classes") == 2);
}

/* ---- files that cannot be read ---- */

/* photos/cat and photos/dog with a bad file each. */
static void write_bad_ones(void)
{
    write_classes();
    put_file("photos/cat/bad.png", "no image");
    put_file("photos/dog/empty.jpg", "");
}

Test(cli_folder, a_bad_file_is_named_with_a_way_on)
{
    write_bad_ones();
    fails_with(
        run("train --data folder:photos --out r " SMALL),
        "ito-ddpm train: photos/cat/bad.png: is not a PNG, JPEG, BMP or WebP image (image 4 "
        "of 8); --skip-bad leaves such files out, and ito-ddpm info photos names all of them\n");
    cr_expect(!there("r"));
}

Test(cli_folder, bad_files_are_skipped_on_request_and_each_is_named)
{
    write_bad_ones();
    succeeds(run("train --data folder:photos --conditional --skip-bad --out skipped --steps 4 "
                 "--stop-at 2 --checkpoint-every 2 " SMALL));
    says("photos: 8 files: 6 images used, 2 left out (cat/bad.png and 1 more: cannot be read)\n"
         "left out: photos/cat/bad.png: is not a PNG, JPEG, BMP or WebP image\n"
         "left out: photos/dog/empty.jpg: is empty\n");
    succeeds(run("train --out skipped --resume")); /* the run has it in its settings */
    says("photos: 8 files: 6 images used");
    shell("mkdir sound && cp -r photos sound && rm sound/photos/cat/bad.png "
          "sound/photos/dog/empty.jpg");
    succeeds(run("train --data folder:sound/photos --conditional --out sound/r --steps 4 "
                 "--checkpoint-every 2 " SMALL));
    cr_expect(same_file("skipped/checkpoints/step-4/model.safetensors",
                        "sound/r/checkpoints/step-4/model.safetensors"));
    is_usage_error("train --out sound/r --resume --skip-bad", "--skip-bad: it differs");
}

Test(cli_folder, at_most_twenty_bad_files_are_named_each)
{
    write_class("photos", 1, 8, 1);
    shell("for i in $(seq 10 31); do touch photos/$i.png; done");
    succeeds(run("plot --data folder:photos --out plots --skip-bad"));
    says("photos: 23 files: 1 image used, 22 left out (10.png and 21 more: cannot be read)\n");
    says("left out: photos/29.png: is empty\n"
         "left out: 2 more, which ito-ddpm info photos names\n");
    cr_expect_null(strstr(complained, "30.png"));
}

Test(cli_folder, every_command_with_data_skips_bad_files)
{
    write_bad_ones();
    succeeds(run("train --data folder:photos --skip-bad --out r --steps 1 " SMALL));
    static const char *const commands[] = {
        "eval --model r --bits-per-dim --n 1 --data folder:photos",
        "classifier --model r --data folder:photos --out c.safetensors --steps 1 --channels 8",
        "encode --model r --data folder:photos --n 1 --steps 2 --npy a.npy",
        "interpolate --model r --data folder:photos --n 3 --steps 2 --npy b.npy",
        "plot --data folder:photos --out plots"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        cr_expect_eq(run("%s", commands[i]), 1);
        says("photos/cat/bad.png: is not a PNG, JPEG, BMP or WebP image (image 4 of 8); --skip-bad "
             "leaves");
        succeeds(run("%s --skip-bad", commands[i]));
        says("left out: photos/dog/empty.jpg: is empty\n");
    }
    write_images("grey.npy", 3, 28);
    fails_with(run("eval --images grey.npy --data folder:photos --mmd"), "--skip-bad leaves");
    succeeds(run("eval --images grey.npy --data folder:photos --mmd --skip-bad"));
    says("left out: photos/dog/empty.jpg: is empty\n");
}

Test(cli_folder, other_data_have_no_files_to_skip)
{
#define WHY "--skip-bad: it is for folder:DIR, which has a file for each image"
    is_usage_error("train --data npy:data.npy --out r --skip-bad", WHY);
    is_usage_error("plot --out p --skip-bad", WHY);
    is_usage_error("plot --out p --data npy:data.npy --skip-bad", WHY);
    is_usage_error("eval --model r --data npy:data.npy --frechet --skip-bad", WHY);
    is_usage_error("classifier --model r --data mnist:d --out c --skip-bad", WHY);
    is_usage_error("encode --model r --data npy:data.npy --npy a.npy --skip-bad", WHY);
}

/* ---- info ---- */

Test(cli_folder, info_lists_every_file_that_is_left_out_with_its_reason)
{
    write_classes();
    shell("rm photos/dog/2.png");
    write_class("photos/dog", 2, 9, 1);
    write_class("large", 1, 20, 1);
    shell("mv large/0.png photos/dog/2.png && touch photos/cat/x.gif photos/readme.txt");
    succeeds(run("info folder:photos"));
    cr_expect_str_eq(said, "path: photos\n"
                           "kind: folder of images\n"
                           "files: 8\n"
                           "images: 6\n"
                           "sizes: 8x8 to 20x20\n"
                           "classes: 2\n"
                           "images_of_class:\n"
                           "  cat: 3\n"
                           "  dog: 3\n"
                           "left_out:\n"
                           "  readme.txt: not an image\n"
                           "  cat/x.gif: format not read\n");
    cr_expect_str_eq(complained, "");
}

Test(cli_folder, info_names_all_bad_files_and_fails)
{
    write_bad_ones();
    fails_with(run("info photos"), "ito-ddpm info: photos: 2 of its 8 images cannot be read; train "
                                   "and others go on without them by --skip-bad\n");
    cr_expect_not_null(strstr(said, "images: 6\n"), "%s", said);
    cr_expect_not_null(strstr(said, "bad_files:\n"
                                    "  cat/bad.png: is not a PNG, JPEG, BMP or WebP image\n"
                                    "  dog/empty.jpg: is empty\n"),
                       "%s", said);
    cr_expect_eq(run("info photos --json"), 1);
    cr_expect_eq(number("images"), 6);
    shell("rm photos/*/[0-9].png");
    fails_with(
        run("info photos"),
        "ito-ddpm info: photos: holds no PNG, JPEG, BMP or WebP images that can be read, but 2 "
        "other files (cat/bad.png: is not a PNG, JPEG, BMP or WebP image)\n");
    cr_expect_not_null(strstr(said, "  dog/empty.jpg: is empty\n"), "%s", said);
}

Test(cli_folder, info_of_a_directory_without_images_is_an_error_alone)
{
    shell("mkdir papers && touch papers/a.txt");
    fails_with(run("info papers"),
               "papers: holds no PNG, JPEG, BMP or WebP images that can be read, but "
               "1 other file (a.txt: not an image)\n");
    cr_expect_str_eq(said, "");
}

Test(cli_folder, info_names_the_classes_of_other_data)
{
    shell("mkdir digits");
    write_idx("digits/train-images-idx3-ubyte", ito_zeros(ITO_SHAPE(3, 5, 5), ITO_U8));
    succeeds(run("info digits"));
    cr_expect_not_null(strstr(said, "class_names: [\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\","
                                    "\"7\",\"8\",\"9\"]\n"),
                       "%s", said);
    succeeds(run("info mnist:digits"));
    cr_expect_not_null(strstr(said, "path: digits\n"), "%s", said);
}

/* ---- names of classes ---- */

/* A network of these classes, in k. */
static void train_classes(const char *const *names)
{
    char dir[64];
    for (int i = 0; names[i] != NULL; i++) {
        snprintf(dir, sizeof dir, "photos/%s", names[i]);
        cr_assert(mkdir("photos", 0700) == 0 || i > 0);
        cr_assert_eq(mkdir(dir, 0700), 0);
        snprintf(dir, sizeof dir, "photos/%s/1.png", names[i]);
        cr_assert_eq(ito_png_save(dir, ito_full(ITO_SHAPE(1, 8, 8), 80 * i, ITO_U8)), ITO_OK);
    }
    succeeds(run("train --data folder:photos --conditional --out k --steps 1 " SMALL));
}

#define TRAIN_CLASSES(...) train_classes((const char *const[]){__VA_ARGS__, NULL})
#define PACK "compress --model k --out a.ito --steps 2 --candidate-bits 4 --block-bits 4 --images "
#define DRAW "sample --model k --n 1 --steps 2 --npy a.npy --json --class "

Test(cli_folder, the_class_that_was_taken_is_said)
{
    TRAIN_CLASSES("cat", "dog", "Fish");
    succeeds(run(DRAW "DOG"));
    says("class: dog, number 2 of 0 to 2\n");
    cr_expect_not_null(strstr(said, "\"class\":\"dog\",\"class_index\":2"), "%s", said);
    succeeds(run(DRAW "0"));
    says("class: Fish, number 0 of 0 to 2\n");
    succeeds(run(DRAW "all"));
    cr_expect_str_eq(complained, "1 image in a.npy\n");
    cr_expect_not_null(strstr(said, "\"class\":\"all\","), "%s", said);
    succeeds(run("encode --model k --n 1 --steps 2 --data folder:photos --npy a.npy --json "
                 "--class cat"));
    says("class: cat, number 1 of 0 to 2\n");
    cr_expect_not_null(strstr(said, "\"class\":\"cat\",\"class_index\":1"), "%s", said);
    succeeds(run("info k"));
    cr_expect_not_null(strstr(said, ", 3 classes: Fish, cat, dog\n"), "%s", said);
}

Test(cli_folder, numbers_that_are_names_are_names)
{
    TRAIN_CLASSES("1", "10", "2");
    succeeds(run(DRAW "2"));
    says("class: 2, number 2 of 0 to 2\n");
    succeeds(run(DRAW "10"));
    says("class: 10, number 1 of 0 to 2\n");
    is_usage_error(DRAW "0", "--class: \"0\" is none of 1, 10, 2; where names are numbers, classes "
                             "are not counted");
    succeeds(run(PACK "photos/1/1.png --class 10"));
    says("class: 10\n");
}

Test(cli_folder, classes_of_special_names_can_be_said)
{
    TRAIN_CLASSES("all", "none", "red, round");
    succeeds(run(DRAW "all"));
    says("class: each in turn; the one of that name is --class name:all\n");
    succeeds(run(DRAW "name:all"));
    says("class: all, number 0 of 0 to 2\n");
    succeeds(run(DRAW "none"));
    says("class: none of them; the one of that name is --class name:none\n");
    succeeds(run(DRAW "name:none --guidance 2"));
    says("class: none, number 1 of 0 to 2\n");
    succeeds(run(DRAW "'red, round'"));
    says("class: red, round, number 2 of 0 to 2\n");
    succeeds(run(PACK "photos/all/1.png --class 'red, round'"));
    says("class: red, round\n");
    write_images("two.npy", 2, 8);
    succeeds(run(PACK "two.npy --class 'red\\, round,name:all'"));
    says("classes: red, round, all\n");
}
