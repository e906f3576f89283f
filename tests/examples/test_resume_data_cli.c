/* A run goes on with its own images, wherever they are, and with no others. */
#include "tests/examples/cli.h"

#include "autograd/ops.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(cli_resume_data, .init = cli_enter, .fini = cli_leave, .timeout = 600);

#define STOPPED "--steps 4 --stop-at 2 " QUIET
#define RESUME "train --out r --resume "

static void begin_conditional(const char *out)
{
    write_classes();
    succeeds(run(FOLDER "--conditional --steps 4 --stop-at 2 " QUIET " --out %s", out));
}

Test(cli_resume_data, a_run_goes_on_from_another_directory)
{
    char here[200];
    train_tiny("whole", "--steps 4 " QUIET);
    train_tiny("r", STOPPED);
    cr_assert_not_null(getcwd(here, sizeof here));
    cr_assert_eq(system("mkdir elsewhere"), 0);
    cr_assert_eq(chdir("elsewhere"), 0);
    succeeds(run("train --out ../r --resume"));
    cr_assert_eq(chdir(here), 0);
    same_directory("whole/checkpoints/step-4", "r/checkpoints/step-4");
    char text[256];
    snprintf(text, sizeof text, "grep -q '\"data\":\t\"npy:%s/data.npy\"' r/config.json", here);
    cr_assert_eq(system(text), 0, "%s", text);
}

/* The same bytes, spelled or placed differently. */
Test(cli_resume_data, the_same_images_may_be_elsewhere)
{
    train_tiny("whole", "--steps 4 " QUIET);
    train_tiny("r", "--steps 4 --stop-at 1 " QUIET);
    succeeds(run(RESUME "--stop-at 2 --data npy:./data.npy"));
    cr_assert_eq(system("mkdir moved && mv data.npy moved/images.npy"), 0);
    fails_with(run(RESUME "--stop-at 3"), "/data.npy: cannot open: No such file or directory; if "
                                          "the images are elsewhere now, name the place by --data");
    succeeds(run(RESUME "--stop-at 3 --data npy:moved/images.npy"));
    succeeds(run(RESUME)); /* it is remembered */
    same_directory("whole/checkpoints/step-4", "r/checkpoints/step-4");
}

Test(cli_resume_data, other_images_are_named_and_refused)
{
    train_tiny("r", STOPPED);
    ito_tensor *x = ito_npy_load("data.npy");
    unsigned char *bytes = ito_data(x);
    bytes[17 * 64 + 5] ^= 1;
    write_npy("one.npy", x);
    fails_with(run(RESUME "--data npy:one.npy"),
               "npy:one.npy: its image 17 is not the one that the run began with");
    bytes[17 * 64 + 5] ^= 1;
    write_npy("float.npy", ito_add_scalar(ito_mul_scalar(ito_cast(x, ITO_F32), 1 / 127.5), -1));
    fails_with(run(RESUME "--data npy:float.npy"),
               "npy:float.npy: its images are 1x8x8 of f32; the run began with 1x8x8 of u8");
    write_images("large.npy", 40, 12);
    fails_with(run(RESUME "--data npy:large.npy"),
               "npy:large.npy: its images are 1x12x12 of u8; the run began with 1x8x8 of u8");
    write_images("more.npy", 41, 8);
    fails_with(run(RESUME "--data npy:more.npy"),
               "npy:more.npy: it has 41 images; the run began with 40");
    for (int i = 0; i < 40 * 64; i++)
        bytes[i] = (unsigned char)(255 - bytes[i]);
    write_npy("data.npy", x); /* in the same place */
    fails_with(run(RESUME), "/data.npy: its image 0 is not the one that the run began with");
    cr_expect_not(there("r/checkpoints/step-4"));
}

/* Of many images some are looked at, the first and the last among them. */
Test(cli_resume_data, the_last_of_many_images_is_looked_at)
{
    write_images("data.npy", 1000, 8);
    train_tiny("r", STOPPED);
    ito_tensor *x = ito_npy_load("data.npy");
    ((unsigned char *)ito_data(x))[999 * 64] ^= 1;
    write_npy("data.npy", x);
    fails_with(run(RESUME), "/data.npy: its image 999 is not the one that the run began with");
}

Test(cli_resume_data, the_same_images_of_other_classes_are_refused)
{
    begin_conditional("r");
    cr_assert_eq(
        system("mkdir a b c d; cp -r photos/cat a/cat; cp -r photos/dog a/bird; cp -r "
               "photos/* b; mv b/dog/0.png b/cat/9.png; cp -r photos/* c; cp -r photos/dog "
               "c/eel; cp -r photos/* d"),
        0);
    fails_with(run(RESUME "--data folder:a"),
               "folder:a: its class 0 is bird; the run began with cat");
    fails_with(run(RESUME "--data folder:b"),
               "folder:b: its images are not of the classes that the run began with");
    fails_with(run(RESUME "--data folder:c"), "folder:c: it has 9 images; the run began with 6");
    succeeds(run(RESUME "--data folder:d"));
    is_usage_error(RESUME "--flip no", "--flip: it differs from that of the run");
}

/* Make the run's config.json that of a version without hashes and absolute paths. */
static void make_old(const char *dir)
{
    char path[64], text[65536];
    snprintf(path, sizeof path, "%s/config.json", dir);
    slurp(path, text, sizeof text);
    cJSON *config = cJSON_Parse(text), *options = cJSON_GetObjectItem(config, "options");
    cJSON_DeleteItemFromObject(config, "data");
    cr_assert(cJSON_ReplaceItemInObject(options, "data", cJSON_CreateString("npy:data.npy")));
    char *old = cJSON_Print(config);
    put_file(path, old);
    free(old);
    cJSON_Delete(config);
}

/* A run of a version that kept only the number of images and a path. */
Test(cli_resume_data, a_run_of_an_earlier_version_goes_on_with_its_place_alone)
{
    train_tiny("whole", "--steps 4 " QUIET);
    train_tiny("r", "--steps 4 --stop-at 1 " QUIET);
    make_old("r");
    cr_assert_eq(system("cp data.npy copy.npy"), 0);
    is_usage_error(RESUME "--data npy:copy.npy",
                   "--data: the run in r was begun by an earlier version, which noted nothing that "
                   "tells its images from others; it goes on with npy:data.npy alone");
    write_images("data.npy", 41, 8);
    fails_with(run(RESUME), "npy:data.npy: it has 41 images; the run began with 40");
    cr_assert_eq(system("cp copy.npy data.npy"), 0);
    succeeds(run(RESUME "--data npy:./data.npy --stop-at 2"));
    cr_assert_eq(system("grep -q hashes r/config.json"), 0);
    succeeds(run(RESUME "--data npy:copy.npy"));
    same_directory("whole/checkpoints/step-4", "r/checkpoints/step-4");
}
