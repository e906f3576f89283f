/* ito-ddpm export: one file makes the images that the run makes, and says what it is. */
#include "tests/examples/cli.h"

#include "tensor/io/safetensors.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(cli_export, .init = cli_enter, .fini = cli_leave, .timeout = 600);

static int64_t bytes_of(const char *path)
{
    struct stat info;
    cr_assert_eq(stat(path, &info), 0);
    return info.st_size;
}

Test(cli_export, an_exact_file_makes_the_images_of_its_run)
{
    write_classes();
    succeeds(run(FOLDER "--out r --steps 2 --conditional " QUIET));
    succeeds(run("export --model r --out exact.safetensors --dtype f32"));
    cr_expect_not_null(strstr(complained, "step 2 of r/checkpoints/step-2/ema.safetensors: "), "%s",
                       complained);
    const char *how = "--n 3 --steps 4 --class dog --guidance 2";
    succeeds(run("sample --model r --npy a.npy %s", how));
    succeeds(run("sample --model exact.safetensors --npy b.npy --json %s", how));
    cr_expect_not_null(strstr(said, "\"step\":2"), "%s", said);
    cr_expect(same_file("a.npy", "b.npy"));

    /* Also when it has gone through another export. */
    succeeds(run("export --model exact.safetensors --out again.safetensors --dtype f32"));
    cr_expect(same_file("exact.safetensors", "again.safetensors"));
}

Test(cli_export, plain_weights_are_others_than_averages)
{
    train_tiny("r", "--steps 3 " QUIET);
    succeeds(run("export --model r --out ema.safetensors --dtype f32"));
    succeeds(run("export --model r --out model.safetensors --dtype f32 --weights model"));
    cr_expect(!same_file("ema.safetensors", "model.safetensors"));
}

Test(cli_export, half_the_bytes_are_usual)
{
    train_tiny("r", "--steps 1 " QUIET);
    succeeds(run("export --model r --out half.safetensors"));
    succeeds(run("export --model r --out whole.safetensors --dtype f32"));
    cr_expect_lt(bytes_of("half.safetensors"), bytes_of("whole.safetensors"));
    ito_safetensors *f = ito_safetensors_open("half.safetensors");
    cr_assert_not_null(f);
    for (int64_t i = 0; i < ito_safetensors_count(f); i++)
        cr_expect_eq(ito_safetensors_dtype(f, i), ITO_BF16);
    ito_safetensors_close(f);
    succeeds(run("sample --model half.safetensors --out grid.png --n 2 --steps 2"));
}

Test(cli_export, what_cannot_be_exported_is_said)
{
    is_usage_error("export --out x.safetensors", "--model is missing: the network to write");
    is_usage_error("export --model r", "--out is missing: the file or directory to write it to");
    is_usage_error("export --model r --out d e", "--out: where the network goes is said twice");
    is_usage_error("export --model r --out d --format diffusers --force",
                   "--force: a directory is never written over");
    is_usage_error("export --model r --out x --dtype f16", "--dtype");
    train_tiny("r", "--steps 1 " QUIET);
    fails_with(run("export --model r --out nowhere/x.safetensors"),
               "nowhere/x.safetensors: cannot write it: No such file or directory");
    succeeds(run("export --model r --out x.safetensors"));
    cr_assert_eq(system("cp r/checkpoints/step-1/ema.safetensors lone.safetensors"), 0);
    fails_with(run("export --model lone.safetensors --out y.safetensors"),
               "lone.safetensors: neither the file nor a state.json beside it says what network it "
               "is for");
    fails_with(run("sample --model data.npy --out g.png"), "data.npy: ");
    cr_expect(!there("y.safetensors"));
}

/* ---- ONNX ---- */

static unsigned char first_byte(const char *path)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    int byte = fgetc(f);
    fclose(f);
    return (unsigned char)byte;
}

/* What the graph computes is checked with onnxruntime: tests/reference/onnx_check.py. */
Test(cli_export, a_graph_is_written_for_onnx_runtimes)
{
    write_classes();
    succeeds(run(FOLDER "--out r --steps 1 --conditional " QUIET));
    succeeds(run("export --model r --format onnx --out net.onnx"));
    cr_expect_not_null(strstr(complained, ": an ONNX graph in net.onnx, of sample (f32), timestep "
                                          "(i64), class_labels (i64), to out_sample\n"),
                       "%s", complained);
    cr_expect_eq(first_byte("net.onnx"), 8);
    succeeds(run("export --model r --format onnx --out again.onnx"));
    cr_expect(same_file("net.onnx", "again.onnx"));
    succeeds(run("export --model r --format onnx --weights model --out net.onnx"));
    cr_expect(!there("net.onnx.data"));
    fails_with(run("sample --model net.onnx --out g.png"),
               "net.onnx: it is an ONNX file, not a file of weights");
}

Test(cli_export, a_graph_of_continuous_time_and_of_its_own_estimate)
{
    train_tiny("r", "--steps 1 --schedule flow --prediction flow --diffusion-steps 0 "
                    "--self-conditioning " QUIET);
    succeeds(run("export --model r --format onnx --out net.onnx"));
    cr_expect_not_null(strstr(complained, "of sample (f32), timestep (f32), x_0 (f32), to "
                                          "out_sample\n"),
                       "%s", complained);
}

Test(cli_export, what_no_graph_is_written_for_is_said)
{
    is_usage_error("export --model r --format onnx --dtype f32 --out net.onnx",
                   "--dtype: an ONNX file has the network's own");
    is_usage_error("export --model r --format onnx --out net.bin",
                   "--out: net.bin: the name of a file of a graph ends in .onnx");
    cr_assert_eq(system("echo text > other.onnx"), 0);
    fails_with(
        run("export --model r --format onnx --out other.onnx"),
        "other.onnx: it is there and is not an ONNX file; name another file, or write over it "
        "by --force");
}

/* ---- diffusers ---- */

Test(cli_export, a_directory_of_diffusers_makes_the_images_of_its_run)
{
    write_classes();
    succeeds(run(FOLDER "--out r --steps 2 --conditional --schedule quad " QUIET));
    succeeds(run("export --model r --format diffusers --out d"));
    cr_expect_not_null(strstr(complained, "step 2 of r/checkpoints/step-2/ema.safetensors: for "
                                          "diffusers, in d\nDDPMPipeline gives no labels"),
                       "%s", complained);
    const char *how = "--n 3 --sampler ddim --steps 4 --class dog --guidance 2";
    succeeds(run("sample --model r --npy a.npy %s", how));
    succeeds(run("sample --model d --npy b.npy --json %s", how));
    cr_expect_not_null(strstr(said, "\"step\":2"), "%s", said);
    cr_expect(same_file("a.npy", "b.npy"));
    succeeds(run("export --model d exact.safetensors --dtype f32"));
    succeeds(run("sample --model exact.safetensors --npy c.npy %s", how));
    cr_expect(same_file("a.npy", "c.npy"));
    fails_with(run("export --model r --format diffusers --out d"),
               "d: it is there already; name a directory that is new or empty");
}

Test(cli_export, samples_follow_the_scheduler)
{
    train_tiny("r", "--steps 1 --sampler ddim --spacing leading " QUIET);
    succeeds(run("export --model r --format diffusers --out d"));
    succeeds(run("sample --model d --npy a.npy --n 2 --steps 3"));
    cr_expect_not_null(strstr(complained, "as the scheduler of the model says: ddim, spacing "
                                          "leading"),
                       "%s", complained);
    cr_assert_eq(system("sed -i '/clip_sample\"/s/true/false/' d/scheduler/scheduler_config.json"),
                 0);
    succeeds(run("sample --model d --npy b.npy --n 2 --steps 3"));
    cr_expect_not_null(strstr(complained, "ddim, spacing leading, no clipping"), "%s", complained);
    cr_expect(!same_file("a.npy", "b.npy"));
    succeeds(run("sample --model d --npy c.npy --n 2 --steps 3 --threshold 1"));
    cr_expect_null(strstr(complained, "no clipping"), "%s", complained);
}

Test(cli_export, a_directory_without_a_scheduler_is_said)
{
    train_tiny("r", "--steps 1 " QUIET);
    succeeds(run("export --model r --format diffusers --out d"));
    cr_assert_eq(system("rm -r d/scheduler"), 0);
    succeeds(run("sample --model d --npy a.npy --n 1 --steps 2"));
    cr_expect_not_null(strstr(complained, "d: it has no scheduler_config.json: taken as linear, "
                                          "1000 steps, eps\n"),
                       "%s", complained);
    succeeds(run("info d"));
    cr_expect_not_null(strstr(said, "kind: directory of diffusers\n"), "%s", said);
    cr_expect_not_null(strstr(said, "weights: d/unet/diffusion_pytorch_model.safetensors\n"), "%s",
                       said);
    cr_expect_not_null(strstr(said, "notes: [\"d: it has no scheduler_config.json"), "%s", said);
}

Test(cli_export, info_of_a_directory_of_which_there_is_nothing_to_say)
{
    train_tiny("r", "--steps 1 " QUIET);
    succeeds(run("export --model r --format diffusers --out d"));
    succeeds(run("info d"));
    cr_expect_not_null(strstr(said, "kind: directory of diffusers\n"), "%s", said);
    cr_expect_null(strstr(said, "notes"), "%s", said);
}

Test(cli_export, what_diffusers_has_not_is_said)
{
    train_tiny("r", "--steps 1 --schedule flow --prediction flow --diffusion-steps 0 " QUIET);
    fails_with(run("export --model r --format diffusers --out d"),
               "save_diffusers: the schedule flow has no form in diffusers: it is in continuous "
               "time, and schedulers have steps");
    cr_expect(!there("d"));
}

Test(cli_export, weights_of_pytorch_are_read_by_the_config_beside_them)
{
    char command[600];
    snprintf(command, sizeof command, "cp -r %s/tests/reference/diffusers/root d",
             getenv("ITO_SOURCE") != NULL ? getenv("ITO_SOURCE") : ".");
    cr_assert_eq(system(command), 0);
    succeeds(run("sample --model d --npy a.npy --n 2 --steps 3"));
    cr_expect_not_null(strstr(complained,
                              "d/diffusion_pytorch_model.bin: its tensors have the names "
                              "of diffusers before 0.17\n"),
                       "%s", complained);
    cr_assert_eq(system("cd d && mv diffusion_pytorch_model.bin mine.bin"), 0);
    succeeds(run("sample --model d/mine.bin --npy b.npy --n 2 --steps 3"));
    cr_expect(same_file("a.npy", "b.npy"));
    succeeds(run("export --model d/mine.bin --format diffusers --out e"));
    succeeds(run("sample --model e --npy c.npy --n 2 --steps 3"));
    cr_expect(same_file("a.npy", "c.npy"));
    cr_assert_eq(system("mv d/mine.bin ."), 0);
    fails_with(run("sample --model mine.bin --npy b.npy"),
               "mine.bin: neither the file nor a state.json beside it says what network it is for; "
               "weights of diffusers need their config.json beside them");
}
