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
    bool plain = strcmp(o->weights, "model") == 0, bf16 = strcmp(o->dtype, "bf16") == 0;
    if (!output_can_write((output){"out", o->out, FILE_SAFETENSORS}, o->force))
        return false;
    ito_ddpm *model = model_load(o->model, ITO_OPTIONS(ito_ddpm_load_options, .plain = plain));
    bool good = model != NULL && ito_ddpm_save(model, o->out, .bf16 = bf16) == ITO_OK;
    struct stat info;
    if (good && stat(o->out, &info) == 0)
        note("step %" PRId64 " of %s: %" PRId64 " bytes in %s\n", model->step, model->path,
             (int64_t)info.st_size, o->out);
    ito_ddpm_free(model);
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
