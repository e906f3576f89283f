/* ito-ddpm export: a trained network as one self-contained file. */
#include "examples/common/messages.h"
#include "examples/common/outputs.h"
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/inference.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct export_options {
    const char *model, *out, *weights, *dtype;
    bool force;
} export_options;

#define AT(field) offsetof(export_options, field)

static const option_row rows[] = {
    MODEL_ROW,
    TEXT_ROW("out", out, "FILE.safetensors", NULL, "Where the network goes"),
    WEIGHTS_ROW,
    WORDS_ROW("dtype", dtype, "bf16|f32", "bf16",
              "In half the bytes, rounded to 8 bits of precision, or exactly"),
    FORCE_ROW,
    END_ROW,
};

static const char doc[] =
    "Write a trained network with its settings to one safetensors file, which every --model takes."
    "\v"
    "Examples:\n"
    "  ito-ddpm export --model run --out clothes.safetensors\n"
    "  ito-ddpm sample --model clothes.safetensors --out grid.png\n\n"
    "PyTorch reads it too: the names and shapes are those of diffusers' UNet2DModel.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

static void parse(export_options *o, int argc, char **argv)
{
    command_line c = {.command = "export", .doc = doc, .options = rows, .values = o};
    options_parse(&c, argc, argv);
    options_require(&c, "model", "the network to write");
    options_require(&c, "out", "the file to write it to");
}

static bool export_model(const export_options *o)
{
    model_files f;
    if (!output_can_write((output){"out", o->out, FILE_SAFETENSORS}, o->force) ||
        !model_find(o->model, strcmp(o->weights, "model") == 0, &f))
        return false;
    char step[24];
    snprintf(step, sizeof step, "%" PRId64, f.step);
    const char *keys[] = {MODEL_SETTINGS, MODEL_STEP}, *values[] = {f.text, step};
    cJSON_Minify(f.text);
    ito_unet *unet = model_load(&f);
    bool good =
        unet != NULL && ito_module_save(&unet->base, o->out, .bf16 = strcmp(o->dtype, "bf16") == 0,
                                        .metadata_keys = keys, .metadata_values = values,
                                        .n_metadata = 2) == ITO_OK;
    struct stat info;
    if (good && stat(o->out, &info) == 0)
        note("step %s of %s: %" PRId64 " bytes in %s\n", step, f.weights, (int64_t)info.st_size,
             o->out);
    if (unet != NULL)
        ito_module_free(&unet->base);
    model_files_free(&f);
    return good;
}

int command_export(int argc, char **argv)
{
    export_options o;
    parse(&o, argc, argv);
    ito_scope_begin();
    int code = export_model(&o) ? 0 : options_report("export");
    ito_scope_end();
    return code;
}
