/* ito-ddpm info of weights that other programs wrote: tests/reference/weights. */
#include "tests/examples/cli.h"

#include "tensor/io/safetensors.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli_weights, .init = cli_enter, .fini = cli_leave, .timeout = 600);

/* info of a fixture, with all of its tensors. */
static int info_of(const char *name)
{
    const char *source = getenv("ITO_SOURCE");
    return run("info %s/tests/reference/weights/%s --tensors", source != NULL ? source : ".", name);
}

static void says(const char *line)
{
    cr_expect_not_null(strstr(said, line), "\"%s\" is not in: %s", line, said);
}

Test(cli_weights, every_dtype_is_listed_by_its_own_name)
{
    succeeds(info_of("dtypes.safetensors"));
    static const char *const lines[] = {"float8_e4m3fn: f8_e4m3 [256]",
                                        "float8_e5m2: f8_e5m2 [256]",
                                        "float8_e8m0fnu: f8_e8m0 [256]",
                                        "int8: i8 [4]",
                                        "int16: i16 [4]",
                                        "uint16: u16 [4]",
                                        "uint32: u32 [4]",
                                        "uint64: u64 [4]",
                                        "too_large: u64 [2]",
                                        "float4: f4 [2, 6]",
                                        "complex64: c64 [3]",
                                        "int8.values: i32 [4]"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        says(lines[i]);
}

Test(cli_weights, files_of_pytorch_are_listed)
{
    succeeds(info_of("checkpoint.pt"));
    says("kind: weights, PyTorch\ntensors: 31\n");
    says("  views.strided: f32 [2, 3]\n");
    says("  optimizer.state.0.exp_avg: f32 [2]\n");
    fails_with(info_of("calls.pt"),
               "calls.pt: its pickle calls posix.system, which was not executed");
    fails_with(info_of("legacy.pt"), "legacy.pt: is in the format of PyTorch before 1.6");
}

Test(cli_weights, a_bool_that_is_none_does_not_close_its_file)
{
    static const char bytes[] = "{\"a\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}"
                                "\1\2";
    FILE *f = fopen("bool.safetensors", "wb");
    const uint64_t length = sizeof bytes - 3;
    cr_assert_eq(fwrite(&length, 8, 1, f), 1);
    cr_assert_eq(fwrite(bytes, sizeof bytes - 1, 1, f), 1);
    fclose(f);
    succeeds(run("info bool.safetensors"));
    says("  a: bool [2]\n");
}

Test(cli_weights, an_index_is_listed_as_one_file)
{
    float one = 1;
    ito_tensor *t = ito_from_data(&one, ITO_SHAPE(1), ITO_F32);
    cr_assert_eq(ito_safetensors_save("x-00001-of-00002.safetensors", 1, (const char *[]){"a"}, &t,
                                      0, NULL, NULL),
                 ITO_OK);
    static const char index[] = "{\"weight_map\": {\"a\": \"x-00001-of-00002.safetensors\", "
                                "\"b\": \"x-00002-of-00002.safetensors\"}}";
    FILE *f = fopen("x.safetensors.index.json", "wb");
    cr_assert_eq(fwrite(index, sizeof index - 1, 1, f), 1);
    fclose(f);
    fails_with(run("info x.safetensors.index.json"),
               "x.safetensors.index.json: the file x-00002-of-00002.safetensors that it names: "
               "cannot open: No such file or directory");
    cr_assert_eq(ito_safetensors_save("x-00002-of-00002.safetensors", 1, (const char *[]){"b"}, &t,
                                      0, NULL, NULL),
                 ITO_OK);
    succeeds(run("info x.safetensors.index.json"));
    says("kind: weights, safetensors in 2 files\ntensors: 2\n");
}
